/** Delivers what lies in the outbox to webhooks. The app makes it; the node that holds the lease runs it. */
import { toSeconds, type Clock } from '../lib/clock.ts';
import { VERSION } from '../lib/version.ts';
import type { ClaimedMessage, Outbox } from '../storage/outbox.ts';
import type { Subscriptions } from '../storage/subscriptions.ts';
import type { Endpoint, WebhookStore } from '../storage/webhooks.ts';
import type { Logger } from '../telemetry/logger.ts';
import { AT_ONCE, backoff, createLanes, MAX_ATTEMPTS, type Deliverer } from './lanes.ts';
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

export function createDeliverer(dependencies: {
  readonly outbox: Outbox;
  readonly webhooks: Pick<WebhookStore, 'endpoint'>;
  readonly subscriptions: Pick<Subscriptions, 'any'>;
  readonly fetch: OutboundFetch;
  readonly clock: Clock;
  readonly logger: Logger;
}): Deliverer {
  const { outbox, webhooks, subscriptions, fetch, clock, logger } = dependencies;

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

  return createLanes({
    name: 'webhooks',
    due: async () => (subscriptions.any() ? outbox.due() : []),
    async send(webhookId) {
      const messages = await outbox.claim(webhookId, AT_ONCE);
      const endpoint = messages.length > 0 ? await webhooks.endpoint(webhookId) : undefined;
      if (!endpoint) return false;
      await Promise.all(messages.map((message) => deliver(endpoint, message)));
      return true;
    },
    logger,
  });
}
