/** `/account/password`: what was typed is judged field by field, and guesses are throttled. */
import { PortcullisError } from '../lib/errors.ts';
import type { UserRecord } from '../storage/user-record.ts';
import type { Accounts } from '../users/accounts.ts';
import type { PasswordPolicy } from '../users/password-policy.ts';
import type { Throttle } from '../users/throttle.ts';
import type { Confirm } from './account-confirm.ts';
import { common, visitorOf, type AccountSection, type Visit } from './account-section.ts';
import type { ShowPage } from './pages.ts';
import type { SecondFactors } from '../users/second-factors.ts';
import { single, type Form } from './request-body.ts';
import type { AccountPasswordPage, NewPasswordErrors } from './views.ts';

/** What is wrong with a submitted form. */
interface PasswordFaults {
  readonly errors: NonNullable<AccountPasswordPage['errors']>;
  readonly status: number;
  readonly retryAfterSeconds?: number;
}

type NextFault = NonNullable<NewPasswordErrors['next']>;

function nextFault(policy: PasswordPolicy, owner: PasswordOwner, next: string): NextFault | undefined {
  const fault = policy.check(next, owner);
  if (fault === undefined) return undefined;
  const words: Readonly<Record<string, NextFault>> = { too_short: 'short', too_long: 'long' };
  return words[fault] ?? 'common';
}

type PasswordOwner = Pick<UserRecord, 'username' | 'email'>;

/** What is wrong with a new password and its repetition: `new_password` and `repeat_password`. */
export function newPasswordFaults(
  policy: PasswordPolicy,
  owner: PasswordOwner,
  form: Form,
): NewPasswordErrors | undefined {
  const [next, repeat] = [single(form, 'new_password'), single(form, 'repeat_password')];
  const faults: NewPasswordErrors = {
    next: next === undefined ? 'missing' : nextFault(policy, owner, next),
    repeat: repeat === undefined ? 'missing' : repeat === next ? undefined : 'different',
  };
  return faults.next || faults.repeat ? faults : undefined;
}

function faultsOf(policy: PasswordPolicy, user: UserRecord, form: Form): PasswordFaults['errors'] {
  const current = single(form, 'current_password');
  const faults = newPasswordFaults(policy, user, form);
  const same = current !== undefined && single(form, 'new_password') === current;
  return { ...faults, ...(same && { next: 'same' }), current: current === undefined ? 'missing' : undefined };
}

export interface PasswordDependencies {
  readonly show: ShowPage;
  readonly accounts: Accounts;
  readonly throttle: Throttle;
  readonly secondFactors: Pick<SecondFactors, 'has'>;
}

/**
 * @param form `current_password`, `new_password`, `repeat_password`
 * @returns undefined when the password was changed: every other session and every token of the user has ended
 */
async function changePassword(
  { accounts, throttle }: PasswordDependencies,
  visit: Visit,
  form: Form,
): Promise<PasswordFaults | undefined> {
  const { user, session } = visit;
  const by = visitorOf(visit);
  const errors = faultsOf(accounts.passwordPolicy, user, form);
  const [current, next] = [single(form, 'current_password'), single(form, 'new_password')];
  if (current === undefined || next === undefined || errors.next || errors.repeat)
    return { errors, status: 422 };
  const guess = { username: user.username, ip: by.ip, device: session.uid };
  const budgets = throttle.forLogin(guess);
  const throttled = ({ retryAfter }: { retryAfter: number }): PasswordFaults => ({
    errors: { current: 'throttled' },
    status: 429,
    retryAfterSeconds: retryAfter,
  });
  const blocked = await throttle.check(budgets);
  if (blocked) return throttled(blocked);
  const leave = throttle.enter(guess);
  if (!leave) return throttled({ retryAfter: 1 });
  const generation = await accounts
    .changePassword(user.id, { current, next }, session.uid, by)
    .catch((error: unknown) => {
      // Changed by somebody else in the same moment: the password that was checked is not the current one any more.
      if (error instanceof PortcullisError && error.code === 'user_changed') return undefined;
      throw error;
    })
    .finally(leave);
  if (generation !== undefined) {
    await throttle.succeed(budgets);
    return undefined;
  }
  const used = await throttle.fail(budgets);
  return used ? throttled(used) : { errors: { current: 'wrong' }, status: 422 };
}

/** @param changed shows what comes after the change */
export function createPasswordSection(
  deps: PasswordDependencies,
  confirm: Confirm,
  changed: AccountSection['show'],
): AccountSection {
  const page = (visit: Visit, { status, ...faults }: Partial<PasswordFaults> = {}): void =>
    deps.show(
      visit.ctx,
      {
        ...common(visit),
        section: 'password',
        account: { username: visit.user.username, name: visit.user.name },
        minLength: deps.accounts.passwordPolicy.minLength,
        ...faults,
      },
      status,
    );
  /** The form asks for the password itself, but for no second factor. */
  const mayChange = async (visit: Visit): Promise<boolean> =>
    confirm.done(visit, await deps.secondFactors.has(visit.user.id));
  return {
    async show(visit) {
      if (await mayChange(visit)) page(visit);
      else confirm.ask(visit, 'password');
    },
    async submit(visit, form) {
      if (!(await mayChange(visit))) return confirm.ask(visit, 'password');
      const faults = await changePassword(deps, visit, form);
      if (!faults) return changed(visit, [{ kind: 'password-changed' }]);
      const { retryAfterSeconds } = faults;
      if (retryAfterSeconds !== undefined) visit.ctx.set('retry-after', String(retryAfterSeconds));
      return page(visit, faults);
    },
  };
}
