/**
 * Sends the mails that are due, at least once. The app makes it; the node that holds the lease runs it.
 * What a mail says is settled when it is sent: whoever asked for it has learnt nothing by then.
 */
import type { Clock } from '../lib/clock.ts';
import type { ClaimedMail, Mails } from '../storage/mails.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { Mail, MailTransport } from './mail-transport.ts';

export interface Mailer {
  readonly name: 'mails';
  /** Milliseconds between two looks. */
  readonly every: number;
  run(goOn: () => boolean): Promise<void>;
}

const AT_ONCE = 5;
const FIRST_BACKOFF = 10_000;
const LONGEST_BACKOFF = 3_600_000;

export function createMailer(dependencies: {
  readonly mails: Mails;
  /** The mails that a request comes to: none when there is nobody to write to. */
  readonly compose: (request: unknown) => Promise<readonly Mail[]>;
  readonly send: MailTransport;
  readonly clock: Clock;
  readonly logger: Logger;
}): Mailer {
  const { mails, compose, send, clock, logger } = dependencies;
  async function one({ id, request, attempts, expiresAt }: ClaimedMail): Promise<void> {
    try {
      for (const mail of await compose(request)) await send(mail);
      await mails.done(id);
    } catch (error) {
      // Never the error itself: a server's answer may repeat the address.
      const { code, responseCode } = error as { code?: unknown; responseCode?: unknown };
      const about = { mail_id: id, attempts, reason: code, smtp_status: responseCode };
      const next = clock.now() + Math.min(LONGEST_BACKOFF, FIRST_BACKOFF * 2 ** (attempts - 1));
      if (next < expiresAt) {
        logger.warn({ event: 'mail.failed', ...about }, 'a mail could not be sent');
        await mails.failed(id, next);
      } else {
        logger.error({ event: 'mail.given_up', ...about }, 'a mail was given up');
        await mails.done(id);
      }
    }
  }
  return {
    name: 'mails',
    every: 1_000,
    async run(goOn) {
      while (goOn()) {
        const claimed = await mails.claim(AT_ONCE);
        if (claimed.length === 0) return;
        await Promise.all(claimed.map(one));
      }
    },
  };
}
