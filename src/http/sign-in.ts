/** One attempt to sign in: throttled, audited, and the same for known and unknown names. */
import type { Context } from 'koa';
import { ACR_PASSWORD } from '../provider/acr.ts';
import type { Throttled } from '../users/throttle.ts';
import { originOf } from './context.ts';
import { recordThrottled } from './throttled.ts';
import type { KnownAccounts } from './known-accounts.ts';
import type { KnownDevices } from './known-devices.ts';
import { single, type Form } from './request-body.ts';
import { passkeyStep } from './passkey-step.ts';
import { askForSecondStep, secondStep, type SecondStepDependencies } from './second-step.ts';

export interface SignInDependencies extends SecondStepDependencies {
  readonly devices: KnownDevices;
  readonly known: KnownAccounts;
}

/** What somebody signs in for. */
export interface Attempt {
  readonly clientId?: string | undefined;
  /** What the CSRF field of the page is made for: the second step goes on in the same browser. */
  readonly subject: string;
}

/** What the engine is told of a sign-in; `generation` is the user's when the password was checked. */
export interface Login {
  readonly accountId: string;
  readonly acr: string;
  readonly amr: readonly string[];
  readonly generation: string;
  /** Epoch seconds; undefined: just now. */
  readonly loginTs?: number | undefined;
}

/** Why a sign-in failed, as the audit says it. */
export const WRONG_PASSWORD = 'wrong name or password';

interface Again {
  readonly error: 'invalid' | 'throttled' | 'missing' | 'expired' | 'passkey';
  readonly status: number;
  readonly retryAfterSeconds?: number;
}

/** What the page for the second factor needs. */
export interface Second extends Partial<Omit<Again, 'error'>> {
  readonly error?: 'invalid' | 'throttled' | 'missing' | 'passkey';
  /** The value of its hidden field `pending`. */
  readonly pending: string;
  readonly app: boolean;
  /** What the browser is asked for; undefined for somebody without passkeys. */
  readonly passkey: string | undefined;
}

/** Signed in, or what to show: the page for the password again, or the one for the second factor. */
export type SignIn =
  | { readonly login: Login; readonly page?: never; readonly second?: never }
  | { readonly page: Again; readonly login?: never; readonly second?: never }
  | { readonly second: Second; readonly login?: never; readonly page?: never };

/**
 * Signs in, and remembers the account in the browser.
 * @param form `username` and `password`; or, in the second step, `pending` and `code`; or `asked` and `credential`, of a
 *   passkey in place of both
 */
export async function signIn(
  deps: SignInDependencies,
  ctx: Context,
  form: Form,
  attempt: Attempt,
): Promise<SignIn> {
  const outcome = await prove(deps, ctx, form, attempt);
  if (outcome.login) await deps.known.remember(ctx, outcome.login.accountId);
  return outcome;
}

async function prove(deps: SignInDependencies, ctx: Context, form: Form, attempt: Attempt): Promise<SignIn> {
  if (single(form, 'pending') !== undefined) return secondStep(deps, ctx, form, attempt);
  if (single(form, 'credential') !== undefined) return passkeyStep(deps, ctx, form, attempt);
  const { accounts, throttle, changes, devices } = deps;
  const { clientId, subject } = attempt;
  const username = single(form, 'username');
  const password = single(form, 'password');
  if (username === undefined || password === undefined) return { page: { error: 'missing', status: 400 } };
  const about = { ...originOf(ctx), ...(clientId === undefined ? {} : { clientId }) };
  const guess = { username, ip: about.ip, device: devices.of(ctx, username) };
  const budgets = throttle.forLogin(guess);
  const refuse = async (refused: Throttled): Promise<SignIn> => {
    const { retryAfter } = refused;
    await recordThrottled(deps, refused, about);
    return { page: { error: 'throttled', status: 429, retryAfterSeconds: retryAfter } };
  };
  const blocked = await throttle.check(budgets);
  if (blocked) return refuse(blocked);
  const leave = throttle.enter(guess);
  if (!leave) return refuse({ retryAfter: 1 });
  const found = await accounts.authenticate(username, password).finally(leave);
  if (!found.ok) {
    const used = await throttle.fail(budgets);
    if (used) return refuse(used); // parallel guesses used up the budget
    // The name that was typed is never kept: it may be a password. Whose account it was is, where there is one.
    const whose = found.userId === undefined ? {} : { userId: found.userId };
    await changes.record({ type: 'login.failed', ...about, ...whose, detail: { reason: WRONG_PASSWORD } });
    return { page: { error: 'invalid', status: 401 } };
  }
  const { user } = found;
  const late = await throttle.succeed(budgets);
  if (late) return refuse(late);
  devices.remember(ctx, username);
  const first = { accountId: user.id, generation: user.generation };
  const second = await askForSecondStep(deps, first, subject);
  if (second) return { second };
  await changes.record({
    type: 'login.succeeded',
    ...about,
    actor: `user:${user.id}`,
    userId: user.id,
    detail: { amr: ['pwd'] },
  });
  return { login: { ...first, acr: ACR_PASSWORD, amr: ['pwd'] } };
}
