/** Mails to people: who may ask for one, what it says, and where its link leads. */
import type { Settings } from '../config/schema.ts';
import { createMailTransport, type Mail } from '../delivery/mail-transport.ts';
import { createMailer, type Mailer } from '../delivery/mailer.ts';
import type { Clock } from '../lib/clock.ts';
import type { Artifacts } from '../storage/artifacts.ts';
import type { Mails } from '../storage/mails.ts';
import type { UserRecord } from '../storage/user-record.ts';
import { usernameKey, type UserStore } from '../storage/users.ts';
import type { Logger } from '../telemetry/logger.ts';
import { createMailLinks, LINK_LIFE, type MailLinks } from '../users/mail-links.ts';
import type { Throttle, Throttled } from '../users/throttle.ts';
import type { Views } from './views.ts';

/** What somebody asked for. To whom a mail goes, if to anybody, is found out when it is sent. */
export type MailRequest = { readonly locale: string } & (
  | { readonly kind: 'recover'; readonly typed: string }
  | { readonly kind: 'verify'; readonly userId: string; readonly email: string }
  | { readonly kind: 'register'; readonly email: string }
);

/** What the sign-in page offers beside itself. */
export interface Offers {
  readonly recover: boolean;
  readonly register: boolean;
}

/** Links arrive by mail, so nothing is offered where there is none. */
export function offersOf(settings: Pick<Settings, 'environment' | 'smtpUrl' | 'registration'>): Offers {
  const recover = settings.environment === 'development' || settings.smtpUrl !== undefined;
  return { recover, register: recover && settings.registration === 'open' };
}

export interface Mailing {
  readonly links: MailLinks;
  /** For the node that does the background work; none where there is no mail. */
  readonly duties: readonly Mailer[];
  /**
   * Asks for a mail. It takes as long, and answers the same, whether there is anybody to write to.
   * @returns the refusal when too many were asked for from this address
   */
  ask(request: MailRequest, ip: string): Promise<Throttled | undefined>;
}

export interface MailingDependencies {
  readonly settings: Settings;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly storage: {
    readonly artifacts: Artifacts;
    readonly mails: Mails;
    readonly users: Pick<UserStore, 'findById' | 'findByUsername' | 'findByEmail'>;
  };
  readonly throttle: Throttle;
  readonly text: Views['text'];
}

export function createMailing(deps: MailingDependencies): Mailing {
  const { settings, clock, logger, throttle, text } = deps;
  const { artifacts, mails, users } = deps.storage;
  const links = createMailLinks(artifacts, clock);
  const site = new URL(settings.issuer).host;
  const minutes = LINK_LIFE / 60_000;

  const mail = (
    { locale }: MailRequest,
    kind: 'recover' | 'verify' | 'register' | 'known',
    to: string,
    token: string | undefined,
    username = '',
  ): Mail => {
    const query = token === undefined ? '' : `/${kind}?${new URLSearchParams({ token }).toString()}`;
    const link = `${settings.issuer}/account${query}`;
    return {
      to,
      subject: text(locale, `mail.${kind}.subject`, { site }),
      text: text(locale, `mail.${kind}.text`, { site, link, minutes, username }),
    };
  };
  /** Those whose address is confirmed: nobody else's account is given away by a mail. */
  const recoverable = async (typed: string): Promise<UserRecord[]> => {
    const [named, addressed] = await Promise.all([users.findByUsername(typed), users.findByEmail(typed)]);
    const found = new Map([named, ...addressed].map((user) => [user?.id, user]));
    return [...found.values()].filter((user) => user?.enabled === true && user.emailVerified) as UserRecord[];
  };

  /** What too many mails are counted by: where they go to, however the account was named. */
  const mailboxOf = async (request: MailRequest): Promise<string> => {
    if (request.kind !== 'recover') return usernameKey(request.email);
    const found = await recoverable(request.typed.trim());
    const boxes = new Set(found.map(({ email = '' }) => usernameKey(email)));
    return boxes.size === 0 ? usernameKey(request.typed) : [...boxes].sort().join(' ');
  };

  const compose = async (asked: unknown): Promise<readonly Mail[]> => {
    const request = asked as MailRequest;
    if (request.kind === 'recover') {
      const found = await recoverable(request.typed.trim());
      return Promise.all(
        found.map(async ({ id, generation, username, email = '' }) => {
          const token = await links.create('recover', { userId: id, generation, email });
          return mail(request, 'recover', email, token, username);
        }),
      );
    }
    const { email } = request;
    if (request.kind === 'verify') {
      const token = await links.create('verify', { userId: request.userId, email });
      const user = await users.findById(request.userId);
      return user?.email === email ? [mail(request, 'verify', email, token, user.username)] : [];
    }
    const [known] = await users.findByEmail(email);
    if (known) return [mail(request, 'known', email, undefined, known.username)];
    return [mail(request, 'register', email, await links.create('register', { email }))];
  };

  const send = createMailTransport({ settings, clock, logger });
  return {
    links,
    duties: send ? [createMailer({ mails, compose, send, clock, logger })] : [],
    async ask(request, ip) {
      const refused = await throttle.fail(throttle.forGuess('mail', ip));
      if (refused) return refused;
      // One address gets no more than a few, whoever asks; that they stop is nothing to tell.
      const enough = await throttle.fail(throttle.forGuess('mail to', await mailboxOf(request)));
      if (!enough) await mails.add(request);
      return undefined;
    },
  };
}
