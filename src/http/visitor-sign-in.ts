/** Signing in without a client: for the account pages and for the confirmation of a device. */
import type { Context } from 'koa';
import type { BrowserSessions } from './browser-session.ts';
import type { Csrf } from './csrf.ts';
import type { ShowPage } from './pages.ts';
import { single, type Form } from './request-body.ts';
import { showSignIn } from './sign-in-page.ts';
import { signIn, type SignIn, type SignInDependencies } from './sign-in.ts';
import { createVisitors } from './visitor.ts';

/** Where a sign-in may lead: nothing that a form says is taken as an address. */
const TARGETS: Readonly<Record<string, string>> = {
  profile: '/account',
  apps: '/account/apps',
  sessions: '/account/sessions',
  activity: '/account/activity',
  factors: '/account/factors',
  authenticator: '/account/authenticator',
  password: '/account/password',
  email: '/account/email',
  verify: '/account/verify',
  delete: '/account/delete',
  device: '/device',
};

/** The one parameter that is carried through to the target. */
const CARRIED: Readonly<Record<string, string>> = { device: 'user_code', verify: 'token' };

export type Target = keyof typeof TARGETS;

export interface VisitorSignInDependencies extends SignInDependencies {
  readonly show: ShowPage;
  readonly csrf: Csrf;
  readonly basePath: string;
  readonly browserSessions: BrowserSessions;
}

export interface VisitorSignIn {
  /** Asks to sign in; `carried` goes through to the target: a user code, or the token of a link. */
  ask(ctx: Context, target: Target, carried?: string): void;
  /** Answers the form, and leads to its target. */
  submit(ctx: Context, form: Form): Promise<void>;
}

export function createVisitorSignIn(deps: VisitorSignInDependencies): VisitorSignIn {
  const { csrf, basePath, browserSessions } = deps;
  const path = `${basePath}/account/login`;
  const visitors = createVisitors(csrf, basePath);
  const fieldsOf = (target: string, carried: string | undefined): Record<string, string> => {
    const name = CARRIED[target];
    return name === undefined || carried === undefined ? {} : { [name]: carried };
  };
  const pathOf = (target: string, carried: string | undefined): string => {
    const query = new URLSearchParams(fieldsOf(target, carried)).toString();
    return `${basePath}${TARGETS[target] ?? '/account'}${query && `?${query}`}`;
  };

  /** @param sent the form that came to `outcome`; neither at first */
  const page = (
    ctx: Context,
    target: string,
    carried: string | undefined,
    outcome?: Exclude<SignIn, { readonly login: object }>,
    sent?: Form,
  ): void => {
    const subject = visitors.subject(ctx);
    const form = {
      action: path,
      csrf: csrf.token(subject),
      subject,
      client: undefined,
      fields: { target, ...fieldsOf(target, carried) },
      back: pathOf(target, carried),
    };
    showSignIn(deps, ctx, form, outcome, sent);
  };

  return {
    ask: page,
    async submit(ctx, form) {
      const subject = visitors.check(ctx, form);
      const asked = single(form, 'target') ?? '';
      const target = Object.hasOwn(TARGETS, asked) ? asked : 'profile';
      const carried = single(form, CARRIED[target] ?? '');
      const outcome = await signIn(deps, ctx, form, { subject });
      if (!outcome.login) return page(ctx, target, carried, outcome, form);
      // Who was signed in already has confirmed it: what hangs on that session goes on.
      const current = await browserSessions.current(ctx);
      if (current?.userId === outcome.login.accountId)
        await browserSessions.renew(ctx, current, outcome.login);
      else await browserSessions.begin(ctx, outcome.login);
      ctx.redirect(pathOf(target, carried));
      ctx.status = 303;
    },
  };
}
