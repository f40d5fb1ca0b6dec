/** One attempt to sign in with a password: throttled, audited, and the same for known and unknown names. */
import { ACR_PASSWORD } from '../provider/interaction-policy.ts';
import type { Changes } from '../storage/changes.ts';
import type { Accounts } from '../users/accounts.ts';
import type { Throttle, Throttled } from '../users/throttle.ts';
import { single, type Form } from './request-body.ts';

export interface SignInDependencies {
  readonly accounts: Accounts;
  readonly throttle: Throttle;
  readonly changes: Changes;
}

/** What the engine is told of a sign-in; `generation` is the user's when the password was checked. */
export interface Login {
  readonly accountId: string;
  readonly acr: string;
  readonly amr: readonly string[];
  readonly generation: string;
}

interface Again {
  readonly error: 'invalid' | 'throttled' | 'missing';
  readonly status: number;
  readonly retryAfterSeconds?: number;
}

export type SignIn =
  { readonly page: Again; readonly login?: never } | { readonly login: Login; readonly page?: never };

/** @param form `username` and `password` */
export async function signIn(
  { accounts, throttle, changes }: SignInDependencies,
  form: Form,
  origin: { ip: string; requestId: string },
  clientId: string | undefined,
): Promise<SignIn> {
  const username = single(form, 'username');
  const password = single(form, 'password');
  if (username === undefined || password === undefined) return { page: { error: 'missing', status: 400 } };
  const about = { ...origin, ...(clientId === undefined ? {} : { clientId }) };
  const budgets = throttle.forLogin({ username, ip: origin.ip });
  const refuse = async ({ retryAfter }: Throttled): Promise<SignIn> => {
    await changes.record({ type: 'login.throttled', ...about, detail: {} });
    return { page: { error: 'throttled', status: 429, retryAfterSeconds: retryAfter } };
  };
  const blocked = await throttle.check(budgets);
  if (blocked) return refuse(blocked);
  const found = await accounts.authenticate(username, password);
  if (!found) {
    const used = await throttle.fail(budgets);
    if (used) return refuse(used); // parallel guesses used up the budget
    await changes.record({ type: 'login.failed', ...about, detail: { reason: 'wrong name or password' } });
    return { page: { error: 'invalid', status: 401 } };
  }
  const { user } = found;
  const late = await throttle.succeed(budgets);
  if (late) return refuse(late);
  await changes.record({
    type: 'login.succeeded',
    ...about,
    actor: `user:${user.id}`,
    userId: user.id,
    detail: { amr: ['pwd'] },
  });
  return { login: { accountId: user.id, acr: ACR_PASSWORD, amr: ['pwd'], generation: user.generation } };
}
