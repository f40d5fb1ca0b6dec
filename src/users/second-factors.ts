/** Second factors of users: set up and removed on their account pages, asked for after the password. */
import type { Clock } from '../lib/clock.ts';
import { originOf, type Origin } from '../storage/origin.ts';
import type { SecondFactorRecord, SecondFactorStore } from '../storage/second-factors.ts';
import type { UserRecord } from '../storage/user-record.ts';
import type { AuditEvent } from '../telemetry/events.ts';
import { newRecoveryCodes, normalizeRecoveryCode } from './recovery-codes.ts';
import { base32, matchingStep, newTotpSecret, totpUri } from './totp.ts';

/** An authenticator app that is being set up. */
export interface NewApp {
  readonly secret: Buffer;
  /** As it is typed into an app, and as the QR code says it. */
  readonly typed: string;
  readonly uri: string;
}

export interface SecondFactors {
  find(userId: string): Promise<SecondFactorRecord | undefined>;
  /** A secret that was not given to anybody yet, or what the page says of one that was. */
  newApp(user: Pick<UserRecord, 'username'>, secret?: Buffer): NewApp;
  /**
   * Sets up an app that shows `code`.
   * @returns recovery codes to be shown this once; undefined when the code is wrong or there is an app by now
   */
  add(userId: string, secret: Buffer, code: string, by: Origin): Promise<string[] | undefined>;
  /**
   * Whether a code of the app, or a recovery code, is right. Each is good once. The caller throttles.
   * @returns the method for `amr` (RFC 8176), undefined when it is wrong or used
   */
  verify(userId: string, typed: string, by: Origin): Promise<'otp' | 'recovery' | undefined>;
  /** New recovery codes, to be shown this once, in place of the old ones; undefined without a second factor. */
  renewRecoveryCodes(userId: string, by: Origin): Promise<string[] | undefined>;
  /** Idempotent. */
  remove(userId: string, by: Origin): Promise<void>;
}

/** @param issuer what apps call this server */
export function createSecondFactors(
  store: SecondFactorStore,
  { clock, issuer }: { readonly clock: Clock; readonly issuer: string },
): SecondFactors {
  const event = <T extends AuditEvent>(
    userId: string,
    by: Origin,
    what: Pick<T, 'type' | 'detail'>,
  ): AuditEvent => ({ ...what, ...originOf(by), userId }) as AuditEvent;
  const normalized = (codes: readonly string[]): string[] => codes.map(normalizeRecoveryCode);
  return {
    find: (userId) => store.find(userId),
    newApp: ({ username }, secret = newTotpSecret()) => ({
      secret,
      typed: base32(secret),
      uri: totpUri(secret, { issuer, username }),
    }),
    async add(userId, secret, code, by) {
      const step = matchingStep(secret, code.replace(/\s/g, ''), clock.now());
      if (step === undefined) return undefined;
      const codes = newRecoveryCodes();
      const app = { secret, step, recoveryCodes: normalized(codes) };
      const added = event(userId, by, { type: 'user.second_factor_added', detail: { kind: 'totp' } });
      return (await store.add(userId, app, added)) ? codes : undefined;
    },
    async verify(userId, typed, by) {
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
    async renewRecoveryCodes(userId, by) {
      const codes = newRecoveryCodes();
      const renewed = event(userId, by, { type: 'user.recovery_codes_renewed', detail: {} });
      return (await store.replaceRecoveryCodes(userId, normalized(codes), renewed)) ? codes : undefined;
    },
    async remove(userId, by) {
      await store.remove(
        userId,
        event(userId, by, { type: 'user.second_factor_removed', detail: { kind: 'totp' } }),
      );
    },
  };
}
