/**
 * Authenticator apps, passkeys, and the recovery codes that go with them. What proves something is used up by one
 * conditional statement.
 */
import type { Clock } from '../lib/clock.ts';
import type { AuditEvent } from '../telemetry/events.ts';
import type { Change, Changes } from './changes.ts';
import type { DataKeys } from './data-keys.ts';
import type { Database } from './database.ts';
import { sealContext } from './sealed-columns.ts';

/** When something was set up and used; epoch milliseconds. */
interface Since {
  readonly createdAt: number;
  readonly lastUsedAt: number | undefined;
}

export interface PasskeyRecord extends Since {
  /** The credential's id, base64url. */
  readonly id: string;
  readonly name: string;
  /** COSE. */
  readonly publicKey: Uint8Array;
  /** Signatures so far, as the key counts them; 0 when it does not. */
  readonly counter: number;
  readonly transports: readonly string[];
}

/** What a user has: an app, or passkeys, or both. */
export interface SecondFactorRecord {
  readonly app: Since | undefined;
  /** Oldest first. */
  readonly passkeys: readonly PasskeyRecord[];
  /** Recovery codes that are left. */
  readonly recoveryCodes: number;
}

/** `first`: the user had no second factor before, so the recovery codes that were given are theirs now. */
export type Added = { readonly first: boolean };

/** Every mutation is one transaction with its audit row. */
export interface SecondFactorStore {
  has(userId: string): Promise<boolean>;
  find(userId: string): Promise<SecondFactorRecord | undefined>;
  /** Whose passkey this one is, by its id. */
  passkeyOwner(id: string): Promise<string | undefined>;
  /** The secret of the user's authenticator app. */
  secret(userId: string): Promise<Buffer | undefined>;
  /**
   * Adds an authenticator app. Atomic: undefined when there is one by now.
   * @param app.step the time step whose code proved that the app has the secret
   * @param codes recovery codes, for a user who has none yet
   * @param onlyFirst undefined too when the user has a second factor by now: whoever adds it has not proved that one
   */
  addApp(
    userId: string,
    app: { readonly secret: Buffer; readonly step: number },
    codes: readonly string[],
    event: AuditEvent,
    onlyFirst?: boolean,
  ): Promise<Added | undefined>;
  /** The same for a passkey; undefined when this one is registered. */
  addPasskey(
    userId: string,
    passkey: Pick<PasskeyRecord, 'id' | 'name' | 'publicKey' | 'counter' | 'transports'>,
    codes: readonly string[],
    event: AuditEvent,
    onlyFirst?: boolean,
  ): Promise<Added | undefined>;
  /** Uses up a time step, and all before it. Atomic: of any number of callers with one step, one gets true. */
  useStep(userId: string, step: number): Promise<boolean>;
  /** Notes a use. Atomic: false when the key counts and `counter` is not above what it was: it was copied. */
  usePasskey(userId: string, id: string, counter: number): Promise<boolean>;
  /** Uses up a recovery code. Atomic: of any number of callers with one code, one gets true. */
  useRecoveryCode(userId: string, code: string, event: (left: number) => AuditEvent): Promise<boolean>;
  /** Replaces all recovery codes. Atomic: false when the user has no second factor. */
  replaceRecoveryCodes(userId: string, codes: readonly string[], event: AuditEvent): Promise<boolean>;
  /**
   * Removes the app, a passkey by its id, or all; with the last one go the recovery codes. Atomic: true for the one
   * who removed it.
   */
  remove(
    userId: string,
    which: 'app' | 'all' | { readonly passkey: string },
    event: AuditEvent,
  ): Promise<boolean>;
}

interface PasskeyRow extends Omit<PasskeyRecord, 'transports' | 'lastUsedAt'> {
  readonly transports: string;
  readonly lastUsedAt: number | null;
}

const KIND = 'recovery code';
const HAS = `SELECT user_id FROM totp_secrets WHERE user_id = $1
  UNION ALL SELECT user_id FROM passkeys WHERE user_id = $1`;

export function createSecondFactorStore(
  { sql, kind }: Database,
  keys: DataKeys,
  clock: Clock,
  changes: Changes,
): SecondFactorStore {
  const id = (userId: string, code: string): string => JSON.stringify([userId, code]);
  /** One change of a user's second factors at a time. SQLite has one writer anyway. */
  const lock = async ({ tx }: Change, userId: string): Promise<void> => {
    if (kind === 'postgresql')
      await tx.read('second-factors.lock', 'SELECT id FROM users WHERE id = $1 FOR UPDATE', [userId]);
  };
  const hasIn = async (tx: Pick<typeof sql, 'read'>, userId: string): Promise<boolean> =>
    (await tx.read('second-factors.has', HAS, [userId])).length > 0;
  const replace = async ({ tx }: Change, userId: string, codes: readonly string[]): Promise<void> => {
    await tx.write('recovery-codes.clear', 'DELETE FROM recovery_codes WHERE user_id = $1', [userId]);
    for (const code of codes) {
      await tx.write('recovery-codes.add', 'INSERT INTO recovery_codes (hash, user_id) VALUES ($1, $2)', [
        keys.hash(KIND, id(userId, code)),
        userId,
      ]);
    }
  };
  const codesLeft = async (tx: Pick<typeof sql, 'read'>, userId: string): Promise<number> => {
    const [row] = await tx.read<{ left: number }>(
      'recovery-codes.left',
      'SELECT count(*) AS "left" FROM recovery_codes WHERE user_id = $1',
      [userId],
    );
    return row?.left ?? 0;
  };
  /** @param insert true: it was not there */
  const add = (
    userId: string,
    codes: readonly string[],
    event: AuditEvent,
    onlyFirst: boolean,
    insert: (change: Change) => Promise<boolean>,
  ): Promise<Added | undefined> =>
    changes.raw(async (change) => {
      await lock(change, userId);
      const first = !(await hasIn(change.tx, userId));
      if ((onlyFirst && !first) || !(await insert(change))) return undefined;
      if (first) await replace(change, userId, codes);
      await change.record(event);
      return { first };
    });

  return {
    has: (userId) => hasIn(sql, userId),
    async find(userId) {
      const [[app], rows, recoveryCodes] = await Promise.all([
        sql.read<{ createdAt: number; lastUsedAt: number | null }>(
          'totp.find',
          'SELECT created_at AS "createdAt", last_used_at AS "lastUsedAt" FROM totp_secrets WHERE user_id = $1',
          [userId],
        ),
        sql.read<PasskeyRow>(
          'passkeys.find',
          `SELECT id, name, public_key AS "publicKey", counter, transports, created_at AS "createdAt",
             last_used_at AS "lastUsedAt" FROM passkeys WHERE user_id = $1 ORDER BY created_at, id`,
          [userId],
        ),
        codesLeft(sql, userId),
      ]);
      if (!app && rows.length === 0) return undefined;
      const passkeys = rows.map((row) => ({
        ...row,
        transports: JSON.parse(row.transports) as string[],
        lastUsedAt: row.lastUsedAt ?? undefined,
      }));
      return { app: app && { ...app, lastUsedAt: app.lastUsedAt ?? undefined }, passkeys, recoveryCodes };
    },
    async passkeyOwner(credential) {
      const [row] = await sql.read<{ userId: string }>(
        'passkeys.owner',
        'SELECT user_id AS "userId" FROM passkeys WHERE id = $1',
        [credential],
      );
      return row?.userId;
    },
    async secret(userId) {
      const [row] = await sql.read<{ sealed: Uint8Array }>(
        'totp.secret',
        'SELECT sealed FROM totp_secrets WHERE user_id = $1',
        [userId],
      );
      return row && keys.open(row.sealed, sealContext.totp(userId));
    },
    addApp: (userId, { secret, step }, codes, event, onlyFirst = false) =>
      add(userId, codes, event, onlyFirst, async ({ tx }) => {
        const { count } = await tx.write(
          'totp.add',
          `INSERT INTO totp_secrets (user_id, sealed, last_step, created_at) VALUES ($1, $2, $3, $4)
           ON CONFLICT (user_id) DO NOTHING`,
          [userId, keys.seal(secret, sealContext.totp(userId)), step, clock.now()],
        );
        return count === 1;
      }),
    addPasskey: (userId, passkey, codes, event, onlyFirst = false) =>
      add(userId, codes, event, onlyFirst, async ({ tx }) => {
        const { id: credential, name, publicKey, counter, transports } = passkey;
        const { count } = await tx.write(
          'passkeys.add',
          `INSERT INTO passkeys (id, user_id, name, public_key, counter, transports, created_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (id) DO NOTHING`,
          [credential, userId, name, publicKey, counter, JSON.stringify(transports), clock.now()],
        );
        return count === 1;
      }),
    async useStep(userId, step) {
      const { count } = await sql.write(
        'totp.use',
        'UPDATE totp_secrets SET last_step = $2, last_used_at = $3 WHERE user_id = $1 AND last_step < $2',
        [userId, step, clock.now()],
      );
      return count === 1;
    },
    async usePasskey(userId, credential, counter) {
      const { count } = await sql.write(
        'passkeys.use',
        `UPDATE passkeys SET counter = $3, last_used_at = $4
         WHERE id = $1 AND user_id = $2 AND (counter < $3 OR (counter = 0 AND $3 = 0))`,
        [credential, userId, counter, clock.now()],
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
        await change.record(event(await codesLeft(change.tx, userId)));
        return true;
      }),
    replaceRecoveryCodes: (userId, codes, event) =>
      changes.raw(async (change) => {
        await lock(change, userId);
        if (!(await hasIn(change.tx, userId))) return false;
        await replace(change, userId, codes);
        await change.record(event);
        return true;
      }),
    remove: (userId, which, event) =>
      changes.raw(async (change) => {
        await lock(change, userId);
        const { tx } = change;
        let removed = 0;
        if (which === 'app' || which === 'all') {
          const gone = await tx.write('totp.remove', 'DELETE FROM totp_secrets WHERE user_id = $1', [userId]);
          removed += gone.count;
        }
        if (which !== 'app') {
          const [one, and] = which === 'all' ? [[], ''] : [[which.passkey], ' AND id = $2'];
          const text = `DELETE FROM passkeys WHERE user_id = $1${and}`;
          const gone = await tx.write(`passkeys.remove${and && '.one'}`, text, [userId, ...one]);
          removed += gone.count;
        }
        if (removed === 0) return false;
        if (!(await hasIn(tx, userId))) await replace(change, userId, []);
        await change.record(event);
        return true;
      }),
  };
}
