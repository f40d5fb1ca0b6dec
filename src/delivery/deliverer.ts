/**
 * Delivers what lies in the outbox, at least once, in no fixed order: each webhook on its own, so that a slow one
 * holds up no other. The app makes it; the node that holds the lease runs it.
 */
import { toSeconds, type Clock } from '../lib/clock.ts';
import { VERSION } from '../lib/version.ts';
import { isUnavailable } from '../storage/database.ts';
import type { ClaimedMessage, Outbox } from '../storage/outbox.ts';
import type { Subscriptions } from '../storage/subscriptions.ts';
import type { Endpoint, WebhookStore } from '../storage/webhooks.ts';
import type { Logger } from '../telemetry/logger.ts';
import { OutboundError, type OutboundFetch } from './outbound.ts';
import { signedHeaders } from './signature.ts';

/** How one attempt ended. */
export interface Attempt {
  /** The endpoint answered 2xx. */
  readonly delivered: boolean;
  readonly status: number | undefined;
  /** Why not; nothing of the endpoint's answer but its status. */
  readonly error: string | undefined;
}

/** Attempts until a message is given up. */
export const MAX_ATTEMPTS = 10;
const FIRST_BACKOFF = 5_000;
const LONGEST_BACKOFF = 12 * 3_600_000;

/** Milliseconds until the next attempt: 5 s, 20 s, 80 s … 12 h, a day and a half in all. */
export const backoff = (attempts: number): number =>
  Math.min(LONGEST_BACKOFF, FIRST_BACKOFF * 4 ** (attempts - 1));

/** Messages to one endpoint at a time. */
const AT_ONCE = 10;

/** Sends one message, signed. Never throws. */
export async function sendMessage(
  fetch: OutboundFetch,
  { url, secret }: Endpoint,
  { id, body }: Pick<ClaimedMessage, 'id' | 'body'>,
  now: number,
): Promise<Attempt> {
  const headers = {
    'content-type': 'application/json',
    'user-agent': `Portcullis/${VERSION}`,
    ...signedHeaders(secret, { id, timestamp: toSeconds(now), body }),
  };
  try {
    const { ok, status } = await fetch(url, { method: 'POST', headers, body });
    return { delivered: ok, status, error: ok ? undefined : `answered ${status}` };
  } catch (error) {
    if (!(error instanceof OutboundError)) throw error;
    return { delivered: false, status: undefined, error: error.message };
  }
}

export interface Deliverer {
  readonly name: 'webhooks';
  /** Milliseconds between two looks. */
  readonly every: number;
  /** Begins with every webhook that something is due for, and does not wait for the end. */
  run(goOn: () => boolean): Promise<void>;
  /** Resolves when no attempt is under way. */
  idle(): Promise<void>;
}

export function createDeliverer(dependencies: {
  readonly outbox: Outbox;
  readonly webhooks: Pick<WebhookStore, 'endpoint'>;
  readonly subscriptions: Pick<Subscriptions, 'any'>;
  readonly fetch: OutboundFetch;
  readonly clock: Clock;
  readonly logger: Logger;
}): Deliverer {
  const { outbox, webhooks, subscriptions, fetch, clock, logger } = dependencies;
  const lanes = new Map<string, Promise<void>>();

  async function deliver(endpoint: Endpoint, message: ClaimedMessage): Promise<void> {
    const { id, type, attempts } = message;
    const { delivered, error = '' } = await sendMessage(fetch, endpoint, message, clock.now());
    if (delivered) return outbox.delivered(id);
    const about = { webhook_id: endpoint.id, message_id: id, type, attempts, reason: error };
    if (attempts < MAX_ATTEMPTS) {
      logger.info({ event: 'webhook.failed', ...about }, 'a webhook did not take a message');
      return outbox.failed(id, clock.now() + backoff(attempts), error);
    }
    logger.warn({ event: 'webhook.given_up', ...about }, 'a message to a webhook was given up');
    return outbox.failed(id, undefined, error);
  }

  async function lane(webhookId: string, goOn: () => boolean): Promise<void> {
    while (goOn()) {
      const messages = await outbox.claim(webhookId, AT_ONCE);
      const endpoint = messages.length > 0 ? await webhooks.endpoint(webhookId) : undefined;
      if (!endpoint) return;
      await Promise.all(messages.map((message) => deliver(endpoint, message)));
    }
  }

  return {
    name: 'webhooks',
    every: 1_000,
    async run(goOn) {
      if (!subscriptions.any()) return;
      for (const id of await outbox.due()) {
        if (lanes.has(id)) continue;
        const done = lane(id, goOn)
          .catch((error: unknown) => {
            // An outage of the database is told elsewhere; what was claimed is due again after a while.
            logger[isUnavailable(error) ? 'debug' : 'error'](
              { err: error, webhook_id: id },
              'delivery failed',
            );
          })
          .finally(() => lanes.delete(id));
        lanes.set(id, done);
      }
    },
    async idle() {
      await Promise.all(lanes.values());
    },
  };
}
