/** Authenticator apps and recovery codes. What proves something is used up by one conditional statement. */
import type { Clock } from '../lib/clock.ts';
import type { AuditEvent } from '../telemetry/events.ts';
import type { Change, Changes } from './changes.ts';
import type { DataKeys } from './data-keys.ts';
import type { Database } from './database.ts';
import { sealContext } from './sealed-columns.ts';

/** What a user has; instants are epoch milliseconds. */
export interface SecondFactorRecord {
  readonly createdAt: number;
  readonly lastUsedAt: number | undefined;
  /** Recovery codes that are left. */
  readonly recoveryCodes: number;
}

/** Every mutation is one transaction with its audit row. */
export interface SecondFactorStore {
  find(userId: string): Promise<SecondFactorRecord | undefined>;
  /** The secret of the user's authenticator app. */
  secret(userId: string): Promise<Buffer | undefined>;
  /**
   * Adds an authenticator app and its recovery codes. Atomic: false when there is one by now.
   * @param step the time step whose code proved that the app has the secret
   */
  add(
    userId: string,
    app: { readonly secret: Buffer; readonly step: number; readonly recoveryCodes: readonly string[] },
    event: AuditEvent,
  ): Promise<boolean>;
  /** Uses up a time step, and all before it. Atomic: of any number of callers with one step, one gets true. */
  useStep(userId: string, step: number): Promise<boolean>;
  /** Uses up a recovery code. Atomic: of any number of callers with one code, one gets true. */
  useRecoveryCode(userId: string, code: string, event: (left: number) => AuditEvent): Promise<boolean>;
  /** Replaces all recovery codes. Atomic: false when the user has no second factor. */
  replaceRecoveryCodes(userId: string, codes: readonly string[], event: AuditEvent): Promise<boolean>;
  /** With the recovery codes. Atomic: true for the one who removed it. */
  remove(userId: string, event: AuditEvent): Promise<boolean>;
}

interface Row {
  readonly createdAt: number;
  readonly lastUsedAt: number | null;
  readonly recoveryCodes: number;
}

const KIND = 'recovery code';

export function createSecondFactorStore(
  { sql, kind }: Database,
  keys: DataKeys,
  clock: Clock,
  changes: Changes,
): SecondFactorStore {
  // SQLite has one writer at a time; PostgreSQL locks the row that all codes of a user hang on.
  const LOCK = kind === 'postgresql' ? ' FOR UPDATE' : '';
  const id = (userId: string, code: string): string => JSON.stringify([userId, code]);
  const exists = async ({ tx }: Change, userId: string): Promise<boolean> => {
    const rows = await tx.read('totp.lock', `SELECT user_id FROM totp_secrets WHERE user_id = $1${LOCK}`, [
      userId,
    ]);
    return rows.length === 1;
  };
  const replace = async ({ tx }: Change, userId: string, codes: readonly string[]): Promise<void> => {
    await tx.write('recovery-codes.clear', 'DELETE FROM recovery_codes WHERE user_id = $1', [userId]);
    for (const code of codes) {
      await tx.write('recovery-codes.add', 'INSERT INTO recovery_codes (hash, user_id) VALUES ($1, $2)', [
        keys.hash(KIND, id(userId, code)),
        userId,
      ]);
    }
  };
  return {
    async find(userId) {
      const [row] = await sql.read<Row>(
        'totp.find',
        `SELECT created_at AS "createdAt", last_used_at AS "lastUsedAt",
           (SELECT count(*) FROM recovery_codes r WHERE r.user_id = t.user_id) AS "recoveryCodes"
         FROM totp_secrets t WHERE user_id = $1`,
        [userId],
      );
      return row && { ...row, lastUsedAt: row.lastUsedAt ?? undefined };
    },
    async secret(userId) {
      const [row] = await sql.read<{ sealed: Uint8Array }>(
        'totp.secret',
        'SELECT sealed FROM totp_secrets WHERE user_id = $1',
        [userId],
      );
      return row && keys.open(row.sealed, sealContext.totp(userId));
    },
    add: (userId, { secret, step, recoveryCodes }, event) =>
      changes.raw(async (change) => {
        const { count } = await change.tx.write(
          'totp.add',
          `INSERT INTO totp_secrets (user_id, sealed, last_step, created_at) VALUES ($1, $2, $3, $4)
           ON CONFLICT (user_id) DO NOTHING`,
          [userId, keys.seal(secret, sealContext.totp(userId)), step, clock.now()],
        );
        if (count === 0) return false;
        await replace(change, userId, recoveryCodes);
        await change.record(event);
        return true;
      }),
    async useStep(userId, step) {
      const { count } = await sql.write(
        'totp.use',
        'UPDATE totp_secrets SET last_step = $2, last_used_at = $3 WHERE user_id = $1 AND last_step < $2',
        [userId, step, clock.now()],
      );
      return count === 1;
    },
    useRecoveryCode: (userId, code, event) =>
      changes.raw(async (change) => {
        let used = 0;
        for (const hash of keys.hashes(KIND, id(userId, code))) {
          const { count } = await change.tx.write(
            'recovery-codes.use',
            'DELETE FROM recovery_codes WHERE hash = $1 AND user_id = $2',
            [hash, userId],
          );
          used += count;
        }
        if (used === 0) return false;
        const [row] = await change.tx.read<{ left: number }>(
          'recovery-codes.left',
          'SELECT count(*) AS "left" FROM recovery_codes WHERE user_id = $1',
          [userId],
        );
        await change.record(event(row?.left ?? 0));
        return true;
      }),
    replaceRecoveryCodes: (userId, codes, event) =>
      changes.raw(async (change) => {
        if (!(await exists(change, userId))) return false;
        await replace(change, userId, codes);
        await change.record(event);
        return true;
      }),
    remove: (userId, event) =>
      changes.raw(async (change) => {
        const { count } = await change.tx.write(
          'totp.remove',
          'DELETE FROM totp_secrets WHERE user_id = $1',
          [userId],
        );
        if (count === 0) return false;
        await replace(change, userId, []);
        await change.record(event);
        return true;
      }),
  };
}
