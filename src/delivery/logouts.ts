/**
 * Back-channel logout (OpenID Connect Back-Channel Logout 1.0): tells clients of sessions that have ended, at least
 * once. The app makes it; the node that holds the lease runs it.
 */
import type { Clock } from '../lib/clock.ts';
import { VERSION } from '../lib/version.ts';
import type { ClaimedNotice, LogoutNotices } from '../storage/logout-notices.ts';
import type { Logger } from '../telemetry/logger.ts';
import { AT_ONCE, backoff, createLanes, MAX_ATTEMPTS, type Deliverer } from './lanes.ts';
import { OutboundError, type OutboundFetch } from './outbound.ts';

/** What is sent to a client. */
export interface LogoutRequest {
  readonly url: string;
  /** The logout token. */
  readonly token: string;
}

export function createLogoutDeliverer(dependencies: {
  readonly notices: LogoutNotices;
  /** Made anew for each attempt, for a token lives two minutes; undefined: there is nobody to tell any more. */
  readonly compose: (notice: ClaimedNotice) => Promise<LogoutRequest | undefined>;
  readonly fetch: OutboundFetch;
  readonly clock: Clock;
  readonly logger: Logger;
}): Deliverer {
  const { notices, compose, fetch, clock, logger } = dependencies;

  /** Back-Channel Logout 1.0, 2.5 and 2.8. Returns why it failed; undefined: the client was told. */
  async function attempt({ url, token }: LogoutRequest): Promise<string | undefined> {
    const headers = {
      'content-type': 'application/x-www-form-urlencoded',
      'user-agent': `Portcullis/${VERSION}`,
    };
    const body = new URLSearchParams({ logout_token: token }).toString();
    try {
      const { ok, status } = await fetch(url, { method: 'POST', headers, body });
      return ok ? undefined : `answered ${status}`;
    } catch (error) {
      if (error instanceof OutboundError) return error.message;
      throw error;
    }
  }

  async function deliver(notice: ClaimedNotice): Promise<void> {
    const { id, clientId, attempts } = notice;
    const request = await compose(notice);
    const reason = request && (await attempt(request));
    if (reason === undefined) return notices.done(id);
    const about = { client_id: clientId, notice_id: id, attempts, reason };
    if (attempts < MAX_ATTEMPTS) {
      logger.info({ event: 'logout_notice.failed', ...about }, 'a client did not take a logout token');
      return notices.failed(id, clock.now() + backoff(attempts), reason);
    }
    logger.warn({ event: 'logout_notice.given_up', ...about }, 'telling a client of a logout was given up');
    return notices.failed(id, undefined, reason);
  }

  return createLanes({
    name: 'logouts',
    due: () => notices.due(),
    async send(clientId) {
      const claimed = await notices.claim(clientId, AT_ONCE);
      await Promise.all(claimed.map(deliver));
      return claimed.length > 0;
    },
    logger,
  });
}
