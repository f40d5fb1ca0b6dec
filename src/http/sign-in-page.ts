/** The page for what a sign-in came to: the password, again if need be, or the second factor. */
import type { Context } from 'koa';
import type { ShowPage } from './pages.ts';
import { offerPasskey, type PasskeyStepDependencies } from './passkey-step.ts';
import { single, type Form } from './request-body.ts';
import type { SignIn } from './sign-in.ts';
import type { LoginPage } from './views.ts';

export interface SignInPageDependencies extends PasskeyStepDependencies {
  readonly show: ShowPage;
}

/** Both pages post to one address. */
export interface SignInForm extends Pick<LoginPage, 'action' | 'csrf' | 'client' | 'fields' | 'confirm'> {
  /** The name that stands in the form at first. */
  readonly username?: string | undefined;
  /** What the CSRF field is made for; a passkey may do instead of the password where it is said. */
  readonly subject?: string | undefined;
  /** Where the page for the second factor leads back to. */
  readonly back?: string | undefined;
}

/**
 * @param outcome of the form that was sent; undefined at first
 * @param sent what was typed stays, but for passwords and codes
 */
export function showSignIn(
  deps: SignInPageDependencies,
  ctx: Context,
  { back, username, subject, ...form }: SignInForm,
  outcome?: Exclude<SignIn, { readonly login: object }>,
  sent: Form = {},
): void {
  const { show } = deps;
  const { status, retryAfterSeconds } = outcome?.second ?? outcome?.page ?? {};
  if (retryAfterSeconds !== undefined) ctx.set('retry-after', String(retryAfterSeconds));
  if (outcome?.second) {
    const { pending, app, passkey, error } = outcome.second;
    const fields = { ...form.fields, pending };
    return show(ctx, { page: 'mfa', ...form, fields, back, app, passkey, error, retryAfterSeconds }, status);
  }
  const typed = single(sent, 'username') ?? username;
  const passkey = subject === undefined ? undefined : offerPasskey(deps, subject);
  const { error } = outcome?.page ?? {};
  return show(ctx, { page: 'login', ...form, username: typed, passkey, error, retryAfterSeconds }, status);
}
