/** `/account/email`: another address, once a link that arrives there is opened in this account; see `verify-address.ts`. */
import type { Changes } from '../storage/changes.ts';
import { userSchema } from '../users/user-document.ts';
import type { Confirm } from './account-confirm.ts';
import { common, visitorOf, type AccountSection, type Visit } from './account-section.ts';
import type { Mailing } from './mailing.ts';
import { localeOf, type ShowPage } from './pages.ts';
import { single } from './request-body.ts';
import type { AccountEmailPage } from './views.ts';

export interface EmailDependencies {
  readonly show: ShowPage;
  readonly mailing: Mailing;
  readonly changes: Changes;
}

/** @param asked shows what comes after it was asked for */
export function createEmailSection(
  deps: EmailDependencies,
  confirm: Confirm,
  asked: AccountSection['show'],
): AccountSection {
  const page = (
    visit: Visit,
    again: Pick<AccountEmailPage, 'email' | 'error' | 'retryAfterSeconds'> = {},
    status?: number,
  ): void => {
    const { username, email } = visit.user;
    const account = { username, email };
    deps.show(visit.ctx, { ...common(visit), section: 'email', account, ...again }, status);
  };
  return {
    async show(visit) {
      if (await confirm.done(visit)) page(visit);
      else confirm.ask(visit, 'email');
    },
    async submit(visit, form) {
      if (!(await confirm.done(visit))) return confirm.ask(visit, 'email');
      const { ctx, user } = visit;
      const { id: userId, email: from, emailVerified, generation } = user;
      const to = single(form, 'email')?.trim();
      if (to === undefined) return page(visit, { error: 'missing' }, 422);
      if (!userSchema.shape.email.safeParse(to).success)
        return page(visit, { email: to, error: 'invalid' }, 422);
      if (to === from && emailVerified) return page(visit, { email: to, error: 'same' }, 422);
      const by = visitorOf(visit);
      const about = { userId, locale: localeOf(ctx) };
      // An address that nobody has confirmed may be a stranger's.
      const notice =
        from !== undefined && emailVerified
          ? ({ kind: 'change-asked', ...about, to: from } as const)
          : undefined;
      const change = { kind: 'change', ...about, to, from, generation } as const;
      const refused = await deps.mailing.ask(change, by.ip, notice);
      if (refused) {
        const { retryAfter } = refused;
        ctx.set('retry-after', String(retryAfter));
        return page(visit, { email: to, error: 'throttled', retryAfterSeconds: retryAfter }, 429);
      }
      await deps.changes.record({ type: 'user.email_change_requested', ...by, userId, detail: {} });
      return asked(visit, [{ kind: 'email-asked' }]);
    },
  };
}
