/** A user's own change of password: what was typed is judged field by field, and guesses are throttled. */
import { PortcullisError } from '../lib/errors.ts';
import type { UserRecord } from '../storage/user-record.ts';
import type { Accounts } from '../users/accounts.ts';
import { checkPassword } from '../users/password-policy.ts';
import type { Throttle } from '../users/throttle.ts';
import type { SignedIn } from './browser-session.ts';
import { single, type Form } from './request-body.ts';
import type { AccountPasswordPage } from './views.ts';

/** What is wrong with a submitted form. */
export interface PasswordFaults {
  readonly errors: NonNullable<AccountPasswordPage['errors']>;
  readonly status: number;
  readonly retryAfterSeconds?: number;
}

interface Attempt {
  readonly user: UserRecord;
  readonly session: SignedIn;
  /** `current_password`, `new_password`, `repeat_password`. */
  readonly form: Form;
  readonly origin: { readonly ip: string; readonly requestId: string };
}

function faultsOf(user: UserRecord, form: Form): PasswordFaults['errors'] {
  const current = single(form, 'current_password');
  const next = single(form, 'new_password');
  const repeat = single(form, 'repeat_password');
  const fault = next === undefined ? 'missing' : next === current ? 'same' : nextFault(user, next);
  return {
    current: current === undefined ? 'missing' : undefined,
    next: fault,
    repeat: repeat === undefined ? 'missing' : repeat === next ? undefined : 'different',
  };
}

type NextFault = NonNullable<PasswordFaults['errors']['next']>;

function nextFault({ username, email }: UserRecord, next: string): NextFault | undefined {
  const fault = checkPassword(next, { username, email });
  if (fault === undefined) return undefined;
  const words: Readonly<Record<string, NextFault>> = { too_short: 'short', too_long: 'long' };
  return words[fault] ?? 'common';
}

/** @returns undefined when the password was changed: every other session and every token of the user has ended */
export async function changePassword(
  { accounts, throttle }: { readonly accounts: Accounts; readonly throttle: Throttle },
  { user, session, form, origin }: Attempt,
): Promise<PasswordFaults | undefined> {
  const errors = faultsOf(user, form);
  const [current, next] = [single(form, 'current_password'), single(form, 'new_password')];
  if (current === undefined || next === undefined || errors.next || errors.repeat)
    return { errors, status: 422 };
  const budgets = throttle.forLogin({ username: user.username, ip: origin.ip, device: session.uid });
  const throttled = ({ retryAfter }: { retryAfter: number }): PasswordFaults => ({
    errors: { current: 'throttled' },
    status: 429,
    retryAfterSeconds: retryAfter,
  });
  const blocked = await throttle.check(budgets);
  if (blocked) return throttled(blocked);
  const generation = await accounts
    .changePassword(user.id, { current, next }, session.uid, { ...origin, actor: `user:${user.id}` })
    .catch((error: unknown) => {
      // Changed by somebody else in the same moment: the password that was checked is not the current one any more.
      if (error instanceof PortcullisError && error.code === 'user_changed') return undefined;
      throw error;
    });
  if (generation !== undefined) {
    await throttle.succeed(budgets);
    return undefined;
  }
  const used = await throttle.fail(budgets);
  return used ? throttled(used) : { errors: { current: 'wrong' }, status: 422 };
}
