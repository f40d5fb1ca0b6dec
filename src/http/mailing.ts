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
import { createMailLinks, LINK_LIFE, type LinkPurposes, type MailLinks } from '../users/mail-links.ts';
import type { Throttle, Throttled } from '../users/throttle.ts';
import type { Views } from './views.ts';

/** What somebody asked for. To whom a mail goes, if to anybody, is found out when it is sent. */
export type MailRequest = { readonly locale: string } & (
  | { readonly kind: 'recover'; readonly typed: string }
  | { readonly kind: 'verify'; readonly userId: string; readonly email: string }
  | { readonly kind: 'register'; readonly email: string }
  // `to`: a node of the release before takes an `email` of a kind that it does not know for one to be registered.
  | ({ readonly kind: 'change'; readonly userId: string; readonly to: string } & AddressBefore)
  | { readonly kind: 'change-asked' | 'changed'; readonly userId: string; readonly to: string }
);

/** What somebody had, and was, when they asked for another address: a link is worth nothing after that has changed. */
type AddressBefore = NonNullable<LinkPurposes['verify']['change']>;

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
  /** Whether an address is confirmed for somebody. */
  taken(email: string): Promise<boolean>;
  /** For the node that does the background work; none where there is no mail. */
  readonly duties: readonly Mailer[];
  /**
   * Asks for a mail. It takes as long, and answers the same, whether there is anybody to write to.
   * @param also goes out before it
   * @returns the refusal when too many were asked for from this address, or for this account
   */
  ask(request: MailRequest, ip: string, also?: MailRequest): Promise<Throttled | undefined>;
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
    kind: MailRequest['kind'] | 'known' | 'taken',
    to: string,
    path: string,
    username = '',
  ): Mail => {
    const link = `${settings.issuer}/account${path}`;
    return {
      to,
      subject: text(locale, `mail.${kind}.subject`, { site }),
      text: text(locale, `mail.${kind}.text`, { site, link, minutes, username }),
    };
  };
  /** Where a link leads that was just made. */
  const linkTo = async <P extends keyof LinkPurposes>(purpose: P, about: LinkPurposes[P]): Promise<string> =>
    `/${purpose}?${new URLSearchParams({ token: await links.create(purpose, about) }).toString()}`;
  /** Those whose address is confirmed: nobody else's account is given away by a mail. */
  const recoverable = async (typed: string): Promise<UserRecord[]> => {
    const [named, addressed] = await Promise.all([users.findByUsername(typed), users.findByEmail(typed)]);
    const found = new Map([named, ...addressed].map((user) => [user?.id, user]));
    return [...found.values()].filter((user) => user?.enabled === true && user.emailVerified) as UserRecord[];
  };

  /** What too many mails are counted by: where they go to, however the account was named. */
  const mailboxOf = async (request: MailRequest): Promise<string> => {
    if (request.kind !== 'recover') return usernameKey('to' in request ? request.to : request.email);
    const found = await recoverable(request.typed.trim());
    const boxes = new Set(found.map(({ email = '' }) => usernameKey(email)));
    return boxes.size === 0 ? usernameKey(request.typed) : [...boxes].sort().join(' ');
  };

  const compose = async (asked: unknown): Promise<readonly Mail[]> => {
    const request = asked as MailRequest;
    switch (request.kind) {
      case 'recover': {
        const found = await recoverable(request.typed.trim());
        return Promise.all(
          found.map(async ({ id, generation, username, email = '' }) => {
            const path = await linkTo('recover', { userId: id, generation, email });
            return mail(request, 'recover', email, path, username);
          }),
        );
      }
      case 'verify': {
        const { userId, email } = request;
        const user = await users.findById(userId);
        if (user?.email !== email) return [];
        return [mail(request, 'verify', email, await linkTo('verify', { userId, email }), user.username)];
      }
      case 'register': {
        const { email } = request;
        const [known] = await users.findByEmail(email);
        if (known) return [mail(request, 'known', email, '', known.username)];
        return [mail(request, 'register', email, await linkTo('register', { email }))];
      }
      case 'change': {
        const { userId, to, from, generation } = request;
        const user = await users.findById(userId);
        if (!user?.enabled || user.email !== from || user.generation !== generation) return [];
        const other = (await users.findByEmail(to)).find(({ id }) => id !== userId);
        if (other) return [mail(request, 'taken', to, '', other.username)];
        const path = await linkTo('verify', { userId, email: to, change: { from, generation } });
        return [mail(request, 'change', to, path, user.username)];
      }
      case 'change-asked':
      case 'changed': {
        const user = await users.findById(request.userId);
        return user ? [mail(request, request.kind, request.to, '', user.username)] : [];
      }
    }
  };

  const send = createMailTransport({ settings, clock, logger });
  return {
    links,
    taken: async (email) => (await users.findByEmail(email)).length > 0,
    duties: send ? [createMailer({ mails, compose, send, clock, logger })] : [],
    async ask(request, ip, also) {
      const by = 'userId' in request ? request.userId : undefined;
      const refused = await throttle.fail(throttle.forGuess('mail', ip, by));
      if (refused) return refused;
      // One address gets no more than a few, whoever asks; that they stop is nothing to tell.
      const enough = await throttle.fail(throttle.forGuess('mail to', await mailboxOf(request)));
      if (enough) return undefined;
      if (also) await mails.add(also);
      await mails.add(request);
      return undefined;
    },
  };
}
