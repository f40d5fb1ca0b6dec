/**
 * `/account/verify`: an address is confirmed by a link that arrived there. A click, so that no mail scanner does it.
 * Where the address is a new one, only whoever is signed in to the account may click: else somebody who asks for the
 * address of another would have it by a careless click of its owner, and pass for them with every app that goes by it.
 */
import type { Context } from 'koa';
import type { Addresses } from '../storage/addresses.ts';
import type { UserRecord } from '../storage/user-record.ts';
import type { UserStore } from '../storage/users.ts';
import type { LinkPurposes } from '../users/mail-links.ts';
import type { BrowserSessions } from './browser-session.ts';
import { originOf } from './context.ts';
import type { MailRequest } from './mailing.ts';
import { localeOf } from './pages.ts';
import { single } from './request-body.ts';
import { say, tokenOf, type VisitorPage, type VisitorPageDependencies } from './visitor-page.ts';
import type { VisitorSignIn } from './visitor-sign-in.ts';

export interface VerifyAddressDependencies extends VisitorPageDependencies {
  readonly addresses: Addresses;
  readonly users: Pick<UserStore, 'findById'>;
  readonly browserSessions: BrowserSessions;
  readonly visitorSignIn: VisitorSignIn;
}

interface Opened {
  readonly link: LinkPurposes['verify'];
  readonly user: UserRecord;
}

export function createVerifyAddress(deps: VerifyAddressDependencies): VisitorPage {
  const { show, text, basePath, visitors, mailing, browserSessions } = deps;
  const expired = (ctx: Context): void => say(deps, ctx, 'link-expired', { status: 400 });

  /** What the token is about; undefined when that was answered: no longer good, or not for whoever is here. */
  const opened = async (ctx: Context, token: string): Promise<Opened | undefined> => {
    const link = await mailing.links.find('verify', token);
    const user = link && (await deps.users.findById(link.userId));
    const session = link?.change && (await browserSessions.current(ctx));
    if (!user) expired(ctx);
    else if (!link.change || session?.userId === user.id) return { link, user };
    else if (session) say(deps, ctx, 'verify.other', { status: 403 });
    else deps.visitorSignIn.ask(ctx, 'verify', token);
    return undefined;
  };

  return {
    async show(ctx) {
      const token = tokenOf(ctx) ?? '';
      const found = await opened(ctx, token);
      if (!found) return;
      const { email, change } = found.link;
      const { username } = found.user;
      const said = (part: string): string =>
        text(localeOf(ctx), `verify.${change ? 'change.' : ''}${part}`, { email, username });
      const form = {
        action: `${basePath}/account/verify`,
        csrf: visitors.csrf(ctx),
        fields: { token },
        label: said('submit'),
      };
      return show(ctx, { page: 'message', title: said('title'), text: said('text'), form });
    },
    async submit(ctx, form) {
      visitors.check(ctx, form);
      const token = single(form, 'token') ?? '';
      const found = await opened(ctx, token);
      if (!found) return;
      const { link, user } = found;
      const { userId, email, change } = link;
      const other = user.email !== email;
      const changed = [
        ...(other ? ['email'] : []),
        ...(other || !user.emailVerified ? ['email_verified'] : []),
      ];
      const by = { ...originOf(ctx), actor: `user:${userId}`, userId };
      const notice: MailRequest | undefined =
        other && user.emailVerified && user.email !== undefined
          ? { kind: 'changed', userId, to: user.email, locale: localeOf(ctx) }
          : undefined;
      const proof = mailing.links.proof('verify', token);
      const { from, generation } = change ?? { from: email };
      const done = await deps.addresses.prove(
        { userId, email, from, generation, proof, notice },
        changed.length > 0 ? [{ type: 'user.updated', ...by, detail: { changed } }] : [],
      );
      if (!done) return expired(ctx);
      return change ? say(deps, ctx, 'verify.changed') : say(deps, ctx, 'verify.done');
    },
  };
}
