/** Second factors of users: set up and removed on their account pages, asked for after the password. */
import type { Clock } from '../lib/clock.ts';
import { randomId } from '../lib/ids.ts';
import type { Artifacts } from '../storage/artifacts.ts';
import { originOf, type Origin } from '../storage/origin.ts';
import type { Added, SecondFactorRecord, SecondFactorStore } from '../storage/second-factors.ts';
import type { UserRecord } from '../storage/user-record.ts';
import type { AuditEvent } from '../telemetry/events.ts';
import { createPasskeys, type PasskeyOptions } from './passkeys.ts';
import { newRecoveryCodes, normalizeRecoveryCode } from './recovery-codes.ts';
import { base32, matchingStep, newTotpSecret, totpUri } from './totp.ts';

/** An authenticator app that is being set up. */
export interface NewApp {
  readonly secret: Buffer;
  /** As it is typed into an app, and as the QR code says it. */
  readonly typed: string;
  readonly uri: string;
}

/** How a second factor was proved: the method for `amr` (RFC 8176), which has no name for a recovery code. */
export type Proof = 'otp' | 'pop' | 'recovery';

/** Something was set up. */
export interface SetUp {
  /** To be shown this once; undefined when the user has some. */
  readonly recoveryCodes: readonly string[] | undefined;
}

export interface SecondFactors {
  has(userId: string): Promise<boolean>;
  find(userId: string): Promise<SecondFactorRecord | undefined>;
  /** A secret that was not given to anybody yet, or what the page says of one that was. */
  newApp(user: Pick<UserRecord, 'username'>, secret?: Buffer): NewApp;
  /**
   * Sets up an app that shows `code`; undefined when the code is wrong or there is an app by now.
   * @param onlyFirst undefined too when there is any second factor by now: `by` has not proved it
   */
  addApp(
    userId: string,
    secret: Buffer,
    code: string,
    by: Origin,
    onlyFirst?: boolean,
  ): Promise<SetUp | undefined>;
  /** Something that was never signed before. */
  newChallenge(): string;
  /** What a browser is asked for a new passkey; undefined where there can be none. */
  passkeyCreation(
    user: Pick<UserRecord, 'id' | 'username' | 'name'>,
    found: SecondFactorRecord | undefined,
    challenge: string,
  ): PasskeyOptions | undefined;
  /** What a browser is asked for a passkey of the user's; undefined when there is none. */
  passkeyRequest(found: SecondFactorRecord | undefined, challenge: string): PasskeyOptions | undefined;
  /** What a browser is asked of anybody who may have a passkey; undefined where there can be none. */
  passkeySignIn(challenge: string): PasskeyOptions | undefined;
  /** Whose passkey an answer claims to be of, which proves nothing yet. */
  passkeyOwner(answer: string): Promise<string | undefined>;
  /** Adds the passkey that a browser has made for `challenge`; undefined when its answer is not right. */
  addPasskey(
    userId: string,
    passkey: { readonly answer: string; readonly challenge: string; readonly name: string },
    by: Origin,
    onlyFirst?: boolean,
  ): Promise<SetUp | undefined>;
  /** Whether a code of the app, or a recovery code, is right. Each is good once. The caller throttles. */
  verifyCode(userId: string, typed: string, by: Origin): Promise<Proof | undefined>;
  /**
   * Whether a passkey of the user's has signed `challenge`, which is good once.
   * @param alone nothing else was proved: the key must have verified its user, by PIN or biometrics
   */
  verifyPasskey(
    userId: string,
    answer: string,
    challenge: string,
    alone?: 'alone',
  ): Promise<Proof | undefined>;
  /** New recovery codes, to be shown this once, in place of the old ones; undefined without a second factor. */
  renewRecoveryCodes(userId: string, by: Origin): Promise<readonly string[] | undefined>;
  removeApp(userId: string, by: Origin): Promise<void>;
  removePasskey(userId: string, id: string, by: Origin): Promise<void>;
  /** Everything, recovery codes included. Idempotent. */
  reset(userId: string, by: Origin): Promise<void>;
}

export interface SecondFactorDependencies {
  readonly storage: {
    readonly secondFactors: SecondFactorStore;
    readonly artifacts: Pick<Artifacts, 'insertOnce'>;
  };
  readonly clock: Clock;
  readonly issuer: string;
}

/** Milliseconds that a challenge that was used is remembered: longer than any is good for. */
const CHALLENGE_LIFE = 3_600_000;

export function createSecondFactors(deps: SecondFactorDependencies): SecondFactors {
  const { clock, issuer } = deps;
  const { secondFactors: store, artifacts } = deps.storage;
  const passkeys = createPasskeys(issuer);
  const event = (
    userId: string,
    by: Origin,
    what: Pick<Extract<AuditEvent, { type: `user.${string}` }>, 'type' | 'detail'>,
  ): AuditEvent => ({ ...what, ...originOf(by), userId }) as AuditEvent;
  const added = (userId: string, by: Origin, kind: 'totp' | 'passkey'): AuditEvent =>
    event(userId, by, { type: 'user.second_factor_added', detail: { kind } });
  const removed = (userId: string, by: Origin, kind: 'totp' | 'passkey' | 'all'): AuditEvent =>
    event(userId, by, { type: 'user.second_factor_removed', detail: { kind } });
  const normalized = (codes: readonly string[]): string[] => codes.map(normalizeRecoveryCode);
  /** Adds something with recovery codes at hand, in case that it is the first. */
  const setUp = async (
    add: (codes: readonly string[]) => Promise<Added | undefined>,
  ): Promise<SetUp | undefined> => {
    const codes = newRecoveryCodes();
    const done = await add(normalized(codes));
    return done && { recoveryCodes: done.first ? codes : undefined };
  };
  return {
    has: (userId) => store.has(userId),
    find: (userId) => store.find(userId),
    newApp: ({ username }, secret = newTotpSecret()) => ({
      secret,
      typed: base32(secret),
      uri: totpUri(secret, { issuer: new URL(issuer).host, username }),
    }),
    async addApp(userId, secret, code, by, onlyFirst) {
      const step = matchingStep(secret, code.replace(/\s/g, ''), clock.now());
      if (step === undefined) return undefined;
      const event = added(userId, by, 'totp');
      return setUp((codes) => store.addApp(userId, { secret, step }, codes, event, onlyFirst));
    },
    newChallenge: () => randomId(32),
    passkeyCreation: (user, found, challenge) =>
      passkeys.possible ? passkeys.creation(user, found?.passkeys ?? [], challenge) : undefined,
    passkeyRequest: (found, challenge) =>
      found && found.passkeys.length > 0 ? passkeys.request(found.passkeys, challenge) : undefined,
    passkeySignIn: (challenge) => (passkeys.possible ? passkeys.requestOfAnybody(challenge) : undefined),
    async passkeyOwner(answer) {
      const claimed = passkeys.claimed(answer);
      return claimed === undefined ? undefined : store.passkeyOwner(claimed);
    },
    async addPasskey(userId, { answer, challenge, name }, by, onlyFirst) {
      const made = await passkeys.created(answer, challenge);
      if (!made) return undefined;
      const event = added(userId, by, 'passkey');
      return setUp((codes) => store.addPasskey(userId, { ...made, name }, codes, event, onlyFirst));
    },
    async verifyCode(userId, typed, by) {
      const code = typed.replace(/\s/g, '');
      if (!/^\d{6}$/.test(code)) {
        const used = await store.useRecoveryCode(userId, normalizeRecoveryCode(typed), (left) =>
          event(userId, by, { type: 'user.recovery_code_used', detail: { left } }),
        );
        return used ? 'recovery' : undefined;
      }
      const secret = await store.secret(userId);
      const step = secret && matchingStep(secret, code, clock.now());
      return step !== undefined && (await store.useStep(userId, step)) ? 'otp' : undefined;
    },
    async verifyPasskey(userId, answer, challenge, alone) {
      const found = await store.find(userId);
      const who = alone && { id: userId };
      const used = await passkeys.answered(answer, challenge, found?.passkeys ?? [], who);
      if (!used) return undefined;
      const until = clock.now() + CHALLENGE_LIFE;
      if (!(await artifacts.insertOnce('PasskeyChallenge', challenge, until))) return undefined;
      return (await store.usePasskey(userId, used.id, used.counter)) ? 'pop' : undefined;
    },
    async renewRecoveryCodes(userId, by) {
      const codes = newRecoveryCodes();
      const renewed = event(userId, by, { type: 'user.recovery_codes_renewed', detail: {} });
      return (await store.replaceRecoveryCodes(userId, normalized(codes), renewed)) ? codes : undefined;
    },
    async removeApp(userId, by) {
      await store.remove(userId, 'app', removed(userId, by, 'totp'));
    },
    async removePasskey(userId, id, by) {
      await store.remove(userId, { passkey: id }, removed(userId, by, 'passkey'));
    },
    async reset(userId, by) {
      await store.remove(userId, 'all', removed(userId, by, 'all'));
    },
  };
}
