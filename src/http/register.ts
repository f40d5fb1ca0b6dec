/** `/account/register`: an account of one's own, once the address is confirmed. Only where the operator opened it. */
import type { Context } from 'koa';
import { z } from 'zod';
import { PortcullisError } from '../lib/errors.ts';
import type { Throttled } from '../users/throttle.ts';
import { newPasswordFaults } from './account-password.ts';
import { originOf } from './context.ts';
import { localeOf } from './pages.ts';
import { single, type Form } from './request-body.ts';
import { say, tokenOf, type VisitorPage, type VisitorPageDependencies } from './visitor-page.ts';
import type { RegisterAskPage, RegisterCreatePage } from './views.ts';

const address = z.email().max(254);

export function createRegister(deps: VisitorPageDependencies): VisitorPage {
  const { show, basePath, visitors, accounts, mailing, throttle } = deps;
  const { links } = mailing;
  const action = `${basePath}/account/register`;
  const common = (ctx: Context) => ({ page: 'register', action, csrf: visitors.csrf(ctx) }) as const;
  const expired = (ctx: Context): void => say(deps, ctx, 'link-expired', { status: 400, path: '/register' });

  const askPage = (ctx: Context, again: Partial<RegisterAskPage> = {}, status?: number): void =>
    show(ctx, { ...common(ctx), step: 'ask', ...again }, status);

  const ask = async (ctx: Context, form: Form): Promise<void> => {
    const email = single(form, 'email')?.trim();
    if (email === undefined) return askPage(ctx, { error: 'missing' }, 422);
    if (!address.safeParse(email).success) return askPage(ctx, { email, error: 'invalid' }, 422);
    const refused = await mailing.ask({ kind: 'register', email, locale: localeOf(ctx) }, originOf(ctx).ip);
    if (!refused) return say(deps, ctx, 'register.sent');
    ctx.set('retry-after', String(refused.retryAfter));
    return askPage(ctx, { email, error: 'throttled', retryAfterSeconds: refused.retryAfter }, 429);
  };

  const createPage = (
    ctx: Context,
    token: string,
    email: string,
    form: Form = {},
    errors?: RegisterCreatePage['errors'],
    refused?: Throttled,
  ): void => {
    const typed = { username: single(form, 'username') ?? (errors ? '' : email), name: single(form, 'name') };
    const page = { ...common(ctx), step: 'create', fields: { token }, email } as const;
    const { minLength } = accounts.passwordPolicy;
    const retryAfterSeconds = refused?.retryAfter;
    if (refused) ctx.set('retry-after', String(refused.retryAfter));
    const status = refused ? 429 : errors ? 422 : 200;
    show(ctx, { ...page, ...typed, minLength, errors, retryAfterSeconds }, status);
  };

  const create = async (ctx: Context, token: string, form: Form): Promise<void> => {
    const link = await links.find('register', token);
    if (!link || (await mailing.taken(link.email))) return expired(ctx); // taken since the mail was sent
    const { email } = link;
    const [username, name] = [single(form, 'username'), single(form, 'name')];
    const faults = newPasswordFaults(accounts.passwordPolicy, { username: username ?? '', email }, form);
    if (username === undefined)
      return createPage(ctx, token, email, form, { ...faults, username: 'missing' });
    // A name that looks like somebody else's address would be taken for it.
    if (username.includes('@') && username.toLowerCase() !== email.toLowerCase())
      return createPage(ctx, token, email, form, { ...faults, username: 'invalid' });
    if (faults) return createPage(ctx, token, email, form, faults);
    // Whether a name is taken can be asked here, so asking is throttled.
    const by = originOf(ctx);
    const budgets = throttle.forGuess('username', by.ip, token);
    const throttled = (refused: Throttled): void =>
      createPage(ctx, token, email, form, { username: 'throttled' }, refused);
    const blocked = await throttle.check(budgets);
    if (blocked) return throttled(blocked);
    const password = single(form, 'new_password');
    const document = { username, name, email, email_verified: true, password };
    try {
      await accounts.create(document, by, links.proof('register', token));
    } catch (error) {
      if (!(error instanceof PortcullisError) || error.status >= 500) throw error;
      if (error.code === 'proof_used') return expired(ctx);
      if (error.code === 'username_taken') {
        const used = await throttle.fail(budgets);
        return used ? throttled(used) : createPage(ctx, token, email, form, { username: 'taken' });
      }
      const wrong = error.details.errors?.some(({ pointer }) => pointer === '/name') ? 'name' : 'username';
      return createPage(ctx, token, email, form, { [wrong]: 'invalid' });
    }
    return say(deps, ctx, 'register.done');
  };

  /** @throws PortcullisError 404 */
  const requireOpen = (): void => {
    if (!deps.offers.register) throw new PortcullisError('not_found', 404, 'There is no such page.');
  };

  return {
    async show(ctx) {
      requireOpen();
      const token = tokenOf(ctx);
      if (token === undefined) return askPage(ctx);
      const link = await links.find('register', token);
      return link ? createPage(ctx, token, link.email) : expired(ctx);
    },
    async submit(ctx, form) {
      requireOpen();
      visitors.check(ctx, form);
      const token = single(form, 'token');
      return token === undefined ? ask(ctx, form) : create(ctx, token, form);
    },
  };
}
