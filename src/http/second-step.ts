/** The step after the password, for those who have a second factor. Called by `sign-in.ts`, whatever one signs in to. */
import type { Context } from 'koa';
import { PortcullisError } from '../lib/errors.ts';
import { ACR_MFA } from '../provider/acr.ts';
import type { DataKeys } from '../storage/data-keys.ts';
import type { SecondFactorRecord } from '../storage/second-factors.ts';
import type { Accounts } from '../users/accounts.ts';
import type { Proof, SecondFactors } from '../users/second-factors.ts';
import type { Throttled } from '../users/throttle.ts';
import { originOf } from './context.ts';
import { recordThrottled, type ThrottledDependencies } from './throttled.ts';
import { single, type Form } from './request-body.ts';
import { openField, sealField, type SealedFields } from './sealed-field.ts';
import type { Attempt, Login, Second, SignIn } from './sign-in.ts';

export interface SecondStepDependencies extends SealedFields, ThrottledDependencies {
  readonly accounts: Accounts;
  readonly secondFactors: SecondFactors;
  readonly dataKeys: DataKeys;
}

/** What the password proved. */
export type FirstStep = Pick<Login, 'accountId' | 'generation' | 'loginTs'>;

/** With what a passkey is to sign. */
type Pending = FirstStep & { readonly challenge: string };

/** Milliseconds between the two steps. */
const LIFE = 10 * 60_000;

const FIELD = 'first-step';

/** `amr`, RFC 8176. */
const METHODS: Readonly<Record<Proof, readonly string[]>> = {
  otp: ['pwd', 'otp', 'mfa'],
  pop: ['pwd', 'pop', 'mfa'],
  recovery: ['pwd', 'mfa'],
};

const pageFor = (
  { secondFactors }: SecondStepDependencies,
  found: SecondFactorRecord | undefined,
  { pending, challenge }: { pending: string; challenge: string },
): Second => ({
  pending,
  app: found?.app !== undefined,
  passkey: secondFactors.passkeyRequest(found, challenge),
});

/**
 * What to ask those for who have a second factor; undefined for others.
 * @param subject what the CSRF field of the page is made for
 */
export async function askForSecondStep(
  deps: SecondStepDependencies,
  first: FirstStep,
  subject: string,
): Promise<Second | undefined> {
  const found = await deps.secondFactors.find(first.accountId);
  if (!found) return undefined;
  const challenge = deps.secondFactors.newChallenge();
  const field = { ...first, challenge } satisfies Pending;
  return pageFor(deps, found, { challenge, pending: sealField(deps, { name: FIELD, subject }, field, LIFE) });
}

/** The first step, unless everything that the user had was ended meanwhile. */
async function openFirstStep(
  deps: SecondStepDependencies,
  form: Form,
  subject: string,
): Promise<Pending | undefined> {
  const pending = await openField<Pending>(deps, { name: FIELD, subject }, single(form, 'pending'));
  if (!pending) return undefined;
  try {
    const user = await deps.accounts.get(pending.accountId);
    return user.enabled && user.generation === pending.generation ? pending : undefined;
  } catch (error) {
    if (error instanceof PortcullisError && error.code === 'not_found') return undefined;
    throw error;
  }
}

/** @param form `pending`; and `code`, of the authenticator app or a recovery code, or `credential`, a passkey's answer */
export async function secondStep(
  deps: SecondStepDependencies,
  ctx: Context,
  form: Form,
  { clientId, subject }: Attempt,
): Promise<SignIn> {
  const { throttle, changes, secondFactors } = deps;
  const first = await openFirstStep(deps, form, subject);
  if (!first) return { page: { error: 'expired', status: 400 } };
  const { challenge, ...login } = first;
  const { accountId: userId } = first;
  const again = async (refusal: Pick<Second, 'error' | 'status' | 'retryAfterSeconds'>): Promise<SignIn> => {
    const found = await secondFactors.find(userId);
    const pending = single(form, 'pending') ?? '';
    return { second: { ...pageFor(deps, found, { pending, challenge }), ...refusal } };
  };
  const [code, answer] = [single(form, 'code'), single(form, 'credential')];
  if (code === undefined && answer === undefined) return again({ error: 'missing', status: 422 });
  const who = { ...originOf(ctx), actor: `user:${userId}` };
  const about = { ...who, userId, ...(clientId === undefined ? {} : { clientId }) };
  const budgets = throttle.forSecondFactor(userId, who.ip);
  const refuse = async (refused: Throttled): Promise<SignIn> => {
    const { retryAfter } = refused;
    await recordThrottled(deps, refused, about);
    return again({ error: 'throttled', status: 429, retryAfterSeconds: retryAfter });
  };
  const blocked = await throttle.check(budgets);
  if (blocked) return refuse(blocked);
  const proof =
    answer === undefined
      ? await secondFactors.verifyCode(userId, code ?? '', who)
      : await secondFactors.verifyPasskey(userId, answer, challenge);
  if (proof === undefined) {
    const used = await throttle.fail(budgets);
    if (used) return refuse(used); // parallel guesses used up the budget
    await changes.record({ type: 'login.failed', ...about, detail: { reason: 'wrong second factor' } });
    return again({ error: answer === undefined ? 'invalid' : 'passkey', status: 401 });
  }
  const late = await throttle.succeed(budgets);
  if (late) return refuse(late);
  const amr = METHODS[proof];
  await changes.record({ type: 'login.succeeded', ...about, detail: { amr } });
  return { login: { ...login, acr: ACR_MFA, amr } };
}
