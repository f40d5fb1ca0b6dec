/** `/account/recover`: a new password for somebody who has forgotten it, by a link that arrives by mail. */
import type { Context } from 'koa';
import { newPasswordFaults } from './account-password.ts';
import { originOf } from './context.ts';
import { localeOf } from './pages.ts';
import { single, type Form } from './request-body.ts';
import { say, tokenOf, type VisitorPage, type VisitorPageDependencies } from './visitor-page.ts';
import type { RecoverAskPage, RecoverSetPage } from './views.ts';

export function createRecover(deps: VisitorPageDependencies): VisitorPage {
  const { show, basePath, visitors, accounts, mailing } = deps;
  const action = `${basePath}/account/recover`;
  const common = (ctx: Context) => ({ page: 'recover', action, csrf: visitors.csrf(ctx) }) as const;
  const expired = (ctx: Context): void => say(deps, ctx, 'link-expired', { status: 400, path: '/recover' });

  const askPage = (ctx: Context, again: Partial<RecoverAskPage> = {}, status?: number): void =>
    show(ctx, { ...common(ctx), step: 'ask', ...again }, status);

  const ask = async (ctx: Context, form: Form): Promise<void> => {
    const typed = single(form, 'username')?.slice(0, 254);
    if (typed === undefined) return askPage(ctx, { error: 'missing' }, 422);
    const refused = await mailing.ask({ kind: 'recover', typed, locale: localeOf(ctx) }, originOf(ctx).ip);
    if (!refused) return say(deps, ctx, 'recover.sent');
    ctx.set('retry-after', String(refused.retryAfter));
    const again = { username: typed, error: 'throttled', retryAfterSeconds: refused.retryAfter } as const;
    return askPage(ctx, again, 429);
  };

  const setPage = async (ctx: Context, token: string, errors?: RecoverSetPage['errors']): Promise<void> => {
    const link = await mailing.links.find('recover', token);
    if (!link) return expired(ctx);
    const { username } = await accounts.get(link.userId);
    const form = {
      ...common(ctx),
      fields: { token },
      account: { username },
      minLength: accounts.passwordPolicy.minLength,
    };
    return show(ctx, { ...form, step: 'set', errors }, errors ? 422 : 200);
  };

  const set = async (ctx: Context, token: string, form: Form): Promise<void> => {
    const link = await mailing.links.find('recover', token);
    if (!link) return expired(ctx);
    const user = await accounts.get(link.userId);
    const faults = newPasswordFaults(accounts.passwordPolicy, user, form);
    if (faults) return setPage(ctx, token, faults);
    const by = { ...originOf(ctx), actor: `user:${user.id}` };
    const next = single(form, 'new_password') ?? '';
    const { email, generation } = link;
    const proof = mailing.links.proof('recover', token);
    const done = await accounts.recoverPassword(user.id, next, { email, generation, proof }, by);
    return done ? say(deps, ctx, 'recover.done') : expired(ctx);
  };

  return {
    async show(ctx) {
      const token = tokenOf(ctx);
      if (token === undefined) askPage(ctx);
      else await setPage(ctx, token);
    },
    async submit(ctx, form) {
      visitors.check(ctx, form);
      const token = single(form, 'token');
      return token === undefined ? ask(ctx, form) : set(ctx, token, form);
    },
  };
}
