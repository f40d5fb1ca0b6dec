/** Signing in with a passkey alone. It is two factors: the key, and what unlocks it. Called by `sign-in.ts`. */
import type { Context } from 'koa';
import { PortcullisError } from '../lib/errors.ts';
import { ACR_MFA } from '../provider/acr.ts';
import type { UserRecord } from '../storage/user-record.ts';
import type { Accounts } from '../users/accounts.ts';
import type { SecondFactors } from '../users/second-factors.ts';
import type { Throttled } from '../users/throttle.ts';
import { originOf } from './context.ts';
import { recordThrottled, type ThrottledDependencies } from './throttled.ts';
import type { KnownDevices } from './known-devices.ts';
import { single, type Form } from './request-body.ts';
import { openField, sealField, type SealedFields } from './sealed-field.ts';
import type { Attempt, SignIn } from './sign-in.ts';
import type { LoginPage } from './views.ts';

export interface PasskeyStepDependencies extends SealedFields {
  readonly secondFactors: SecondFactors;
}

/** `amr`, RFC 8176: a key was proved to be there, and its user to be present; both together are more than one factor. */
const AMR = ['pop', 'user', 'mfa'] as const;

/** Milliseconds that a sign-in page may be left open. */
const LIFE = 30 * 60_000;

const FIELD = 'passkey';

/** Why a sign-in failed, as the audit says it. */
export const WRONG_PASSKEY = 'wrong passkey';

/**
 * What a sign-in page asks of anybody who may have a passkey; undefined where there can be none.
 * @param subject what the CSRF field of the page is made for
 */
export function offerPasskey(deps: PasskeyStepDependencies, subject: string): LoginPage['passkey'] {
  const challenge = deps.secondFactors.newChallenge();
  const options = deps.secondFactors.passkeySignIn(challenge);
  if (options === undefined) return undefined;
  return { options, asked: sealField(deps, { name: FIELD, subject }, { challenge }, LIFE) };
}

/** @param form `asked`, and `credential`: what the browser answered to it */
export async function passkeyStep(
  deps: PasskeyStepDependencies &
    ThrottledDependencies & {
      readonly accounts: Accounts;
      readonly devices: KnownDevices;
    },
  ctx: Context,
  form: Form,
  { clientId, subject }: Attempt,
): Promise<SignIn> {
  const { accounts, changes, devices, secondFactors, throttle } = deps;
  const asked = await openField<{ challenge: string }>(deps, { name: FIELD, subject }, single(form, 'asked'));
  if (!asked) return { page: { error: 'expired', status: 400 } };
  const answer = single(form, 'credential') ?? '';
  const owner = await secondFactors.passkeyOwner(answer);
  const about = {
    ...originOf(ctx),
    ...(clientId === undefined ? {} : { clientId }),
    ...(owner === undefined ? {} : { userId: owner }),
  };
  // Nobody can know the id of a key that they never saw, so those that there are have budgets of their own.
  const budgets =
    owner === undefined ? throttle.forGuess('passkey', about.ip) : throttle.forSecondFactor(owner, about.ip);
  const refuse = async (refused: Throttled): Promise<SignIn> => {
    const { retryAfter } = refused;
    await recordThrottled(deps, refused, about);
    return { page: { error: 'throttled', status: 429, retryAfterSeconds: retryAfter } };
  };
  const blocked = await throttle.check(budgets);
  if (blocked) return refuse(blocked);
  const user = owner === undefined ? undefined : await enabled(accounts, owner);
  const proof = user && (await secondFactors.verifyPasskey(user.id, answer, asked.challenge, 'alone'));
  if (!user || !proof) {
    const used = await throttle.fail(budgets);
    if (used) return refuse(used); // parallel guesses used up the budget
    await changes.record({ type: 'login.failed', ...about, detail: { reason: WRONG_PASSKEY } });
    return { page: { error: 'passkey', status: 401 } };
  }
  const late = await throttle.succeed(budgets);
  if (late) return refuse(late);
  devices.remember(ctx, user.username);
  const actor = `user:${user.id}`;
  await changes.record({ type: 'login.succeeded', ...about, actor, userId: user.id, detail: { amr: AMR } });
  return { login: { accountId: user.id, generation: user.generation, acr: ACR_MFA, amr: AMR } };
}

/** The user, unless they may not sign in. */
async function enabled(accounts: Accounts, id: string): Promise<UserRecord | undefined> {
  try {
    const user = await accounts.get(id);
    return user.enabled ? user : undefined;
  } catch (error) {
    if (error instanceof PortcullisError && error.code === 'not_found') return undefined;
    throw error;
  }
}
