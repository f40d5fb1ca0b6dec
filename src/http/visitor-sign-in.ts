/** Signing in without a client: for the account pages and for the confirmation of a device. */
import type { Context } from 'koa';
import { randomId } from '../lib/ids.ts';
import type { BrowserSessions } from './browser-session.ts';
import { originOf } from './context.ts';
import type { Csrf } from './csrf.ts';
import type { ShowPage } from './pages.ts';
import { single, type Form } from './request-body.ts';
import { signIn, type SignInDependencies } from './sign-in.ts';
import type { LoginPage } from './views.ts';

/** Where a sign-in may lead: nothing that a form says is taken as an address. */
const TARGETS: Readonly<Record<string, string>> = {
  profile: '/account',
  apps: '/account/apps',
  sessions: '/account/sessions',
  activity: '/account/activity',
  password: '/account/password',
  device: '/device',
};

export type Target = keyof typeof TARGETS;

export interface VisitorSignInDependencies extends SignInDependencies {
  readonly show: ShowPage;
  readonly csrf: Csrf;
  readonly basePath: string;
  readonly browserSessions: BrowserSessions;
}

export interface VisitorSignIn {
  /** Asks to sign in; `userCode` is carried through to the device page. */
  ask(ctx: Context, target: Target, userCode?: string): void;
  /** Answers the form, and leads to its target. */
  submit(ctx: Context, form: Form): Promise<void>;
}

/** Names the browser in the form's CSRF field, where there is no session yet. */
const COOKIE = 'portcullis_visitor';

export function createVisitorSignIn(deps: VisitorSignInDependencies): VisitorSignIn {
  const { show, csrf, basePath, browserSessions } = deps;
  const path = `${basePath}/account/login`;
  const visitorOf = (ctx: Context): string | undefined => ctx.cookies.get(COOKIE, { signed: true });

  const page = (
    ctx: Context,
    fields: Record<string, string>,
    again: Partial<LoginPage> = {},
    status?: number,
  ): void => {
    const visitor = visitorOf(ctx) ?? randomId();
    ctx.cookies.set(COOKIE, visitor, { signed: true, httpOnly: true, sameSite: 'strict', path });
    const token = csrf.token(`visitor:${visitor}`);
    show(ctx, { page: 'login', action: path, csrf: token, client: undefined, fields, ...again }, status);
  };

  return {
    ask: (ctx, target, userCode) =>
      page(ctx, { target, ...(userCode === undefined ? {} : { user_code: userCode }) }),
    async submit(ctx, form) {
      csrf.check(form, `visitor:${visitorOf(ctx) ?? ''}`);
      const asked = single(form, 'target') ?? '';
      const target = Object.hasOwn(TARGETS, asked) ? asked : 'profile';
      const userCode = single(form, 'user_code');
      const outcome = await signIn(deps, form, originOf(ctx), undefined);
      if (outcome.page) {
        const { error, status, retryAfterSeconds } = outcome.page;
        if (retryAfterSeconds !== undefined) ctx.set('retry-after', String(retryAfterSeconds));
        const fields = { target, ...(userCode === undefined ? {} : { user_code: userCode }) };
        page(ctx, fields, { username: single(form, 'username'), error, retryAfterSeconds }, status);
        return;
      }
      await browserSessions.begin(ctx, outcome.login);
      const query =
        userCode === undefined ? '' : `?${new URLSearchParams({ user_code: userCode }).toString()}`;
      ctx.redirect(`${basePath}${TARGETS[target] ?? '/account'}${query}`);
      ctx.status = 303;
    },
  };
}
