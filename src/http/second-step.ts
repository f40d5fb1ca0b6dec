/** The step after the password, for those who have a second factor. Called by `sign-in.ts`, whatever one signs in to. */
import type { Context } from 'koa';
import type { Clock } from '../lib/clock.ts';
import { SealError } from '../lib/crypto.ts';
import { PortcullisError } from '../lib/errors.ts';
import { ACR_MFA } from '../provider/acr.ts';
import type { Changes } from '../storage/changes.ts';
import type { DataKeys } from '../storage/data-keys.ts';
import type { Accounts } from '../users/accounts.ts';
import type { SecondFactors } from '../users/second-factors.ts';
import type { Throttle, Throttled } from '../users/throttle.ts';
import { originOf } from './context.ts';
import { single, type Form } from './request-body.ts';
import type { Attempt, Login, SignIn } from './sign-in.ts';

export interface SecondStepDependencies {
  readonly accounts: Accounts;
  readonly throttle: Throttle;
  readonly changes: Changes;
  readonly secondFactors: SecondFactors;
  readonly dataKeys: DataKeys;
  readonly clock: Clock;
}

/** What the password proved. */
export type FirstStep = Pick<Login, 'accountId' | 'generation' | 'loginTs'>;

/** Milliseconds between the two steps. */
const LIFE = 10 * 60_000;

const context = (subject: string): string => `first-step:${subject}`;

/**
 * The hidden field that carries the first step to the second. It lies sealed in the page, for one sign-in in one
 * browser: nothing is kept.
 * @param subject what the CSRF field of the page is made for
 */
export function sealFirstStep(
  { dataKeys, clock }: Pick<SecondStepDependencies, 'dataKeys' | 'clock'>,
  first: FirstStep,
  subject: string,
): string {
  const sealed = JSON.stringify({ ...first, until: clock.now() + LIFE });
  return dataKeys.seal(sealed, context(subject)).toString('base64url');
}

async function openFirstStep(
  { dataKeys, clock, accounts }: SecondStepDependencies,
  pending: string,
  subject: string,
): Promise<FirstStep | undefined> {
  try {
    const opened = await dataKeys.open(Buffer.from(pending, 'base64url'), context(subject));
    const { until, ...first } = JSON.parse(opened.toString('utf8')) as FirstStep & { until: number };
    if (until < clock.now()) return undefined;
    const user = await accounts.get(first.accountId);
    // Everything that the user had was ended meanwhile.
    return user.enabled && user.generation === first.generation ? first : undefined;
  } catch (error) {
    const deleted = error instanceof PortcullisError && error.code === 'not_found';
    if (deleted || error instanceof SealError) return undefined;
    throw error;
  }
}

/** @param form `pending`, and `code`: of the authenticator app, or a recovery code */
export async function secondStep(
  deps: SecondStepDependencies,
  ctx: Context,
  form: Form,
  { clientId, subject }: Attempt,
): Promise<SignIn> {
  const { throttle, changes } = deps;
  const pending = single(form, 'pending') ?? '';
  const first = await openFirstStep(deps, pending, subject);
  if (!first) return { page: { error: 'expired', status: 400 } };
  const { accountId: userId } = first;
  const typed = single(form, 'code');
  if (typed === undefined) return { second: { pending, error: 'missing', status: 422 } };
  const who = { ...originOf(ctx), actor: `user:${userId}` };
  const about = { ...who, userId, ...(clientId === undefined ? {} : { clientId }) };
  const budgets = throttle.forSecondFactor(userId, who.ip);
  const refuse = async ({ retryAfter }: Throttled): Promise<SignIn> => {
    await changes.record({ type: 'login.throttled', ...about, detail: {} });
    return { second: { pending, error: 'throttled', status: 429, retryAfterSeconds: retryAfter } };
  };
  const blocked = await throttle.check(budgets);
  if (blocked) return refuse(blocked);
  const method = await deps.secondFactors.verify(userId, typed, who);
  if (method === undefined) {
    const used = await throttle.fail(budgets);
    if (used) return refuse(used); // parallel guesses used up the budget
    await changes.record({ type: 'login.failed', ...about, detail: { reason: 'wrong second factor' } });
    return { second: { pending, error: 'invalid', status: 401 } };
  }
  const late = await throttle.succeed(budgets);
  if (late) return refuse(late);
  // RFC 8176: a recovery code has no name of its own there.
  const amr = method === 'otp' ? ['pwd', 'otp', 'mfa'] : ['pwd', 'mfa'];
  await changes.record({ type: 'login.succeeded', ...about, detail: { amr } });
  return { login: { ...first, acr: ACR_MFA, amr } };
}
