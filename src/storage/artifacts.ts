/** Artifacts: the engine's short-lived records, looked up by keyed hash, their payloads sealed. */
import type { Clock } from '../lib/clock.ts';
import type { DataKeys } from './data-keys.ts';
import type { Database } from './database.ts';
import type { Prisma } from './generated/postgresql/client.ts';
import type { Sql } from './sql.ts';

/** An artifact as it was saved, with what happened to it since. */
export interface Artifact {
  readonly payload: Record<string, unknown>;
  /** Epoch milliseconds. */
  readonly consumedAt: number | undefined;
}

/** What is saved beside the payload. */
export interface ArtifactOptions {
  /** Epoch milliseconds. */
  readonly expiresAt: number;
  readonly grantId?: string | undefined;
  readonly userCode?: string | undefined;
}

/** By what an artifact is found. */
export interface ArtifactName {
  readonly kind: string;
  readonly id: string;
}

interface Row {
  readonly hash: Uint8Array;
  readonly payload: Uint8Array;
  readonly consumedAt: number | null;
}

const COLUMNS = `hash, payload, consumed_at AS "consumedAt"`;
const places = (count: number): string => Array.from({ length: count }, (_, i) => `$${i + 1}`).join(', ');

/** Reads and writes artifacts. Every mutation is idempotent; the ones with a boolean tell who did it. */
export interface Artifacts {
  /** Saves, or replaces, an artifact; replacing keeps what `consume` did. */
  save(kind: string, id: string, payload: object, options: ArtifactOptions, tx?: Sql): Promise<void>;
  /**
   * Saves unless it exists. Atomic: of any number of callers one gets true.
   * @param expiresAt epoch milliseconds; may come from outside: any number is taken
   */
  insertOnce(kind: string, id: string, expiresAt: number, tx?: Sql): Promise<boolean>;
  /** An artifact that has not expired, consumed or not. */
  find(kind: string, id: string): Promise<Artifact | undefined>;
  findByUserCode(kind: string, userCode: string): Promise<Artifact | undefined>;
  /** Marks as consumed. Atomic: of any number of callers one gets true. */
  consume(kind: string, id: string, tx?: Sql): Promise<boolean>;
  /** The same in a typed change. */
  consumeIn(tx: Prisma.TransactionClient, artifact: ArtifactName): Promise<boolean>;
  /** Replaces the payload of one that is there, and tells whether it was. */
  replace(kind: string, id: string, payload: object, expiresAt: number): Promise<boolean>;
  /** Atomic: of any number of callers one gets true. */
  destroy(kind: string, id: string): Promise<boolean>;
  /** The same in a change. */
  remove(kind: string, id: string, tx: Sql): Promise<boolean>;
}

export function createArtifacts({ sql }: Database, keys: DataKeys, clock: Clock): Artifacts {
  const context = (kind: string, hash: Uint8Array): string =>
    `artifact:${kind}:${Buffer.from(hash).toString('base64url')}`;
  const opened = async (kind: string, row: Row | undefined): Promise<Artifact | undefined> => {
    if (!row) return undefined;
    const payload = (await keys.open(row.payload, context(kind, row.hash))).toString('utf8');
    return {
      payload: JSON.parse(payload) as Record<string, unknown>,
      consumedAt: row.consumedAt ?? undefined,
    };
  };
  const byHash = async (hashes: readonly Buffer[]): Promise<Row | undefined> => {
    const n = hashes.length;
    const [row] = await sql.read<Row>(
      `artifacts.find.${n}`,
      `SELECT ${COLUMNS} FROM artifacts WHERE hash IN (${places(n)}) AND expires_at > $${n + 1}`,
      [...hashes, clock.now()],
    );
    return row;
  };
  const userCodeKind = (kind: string): string => `${kind} user code`;
  const remove = async (kind: string, id: string, tx: Sql): Promise<boolean> => {
    const hashes = keys.hashes(kind, id);
    const { count } = await tx.write(
      `artifacts.destroy.${hashes.length}`,
      `DELETE FROM artifacts WHERE hash IN (${places(hashes.length)})`,
      hashes,
    );
    return count > 0;
  };
  return {
    remove,
    async save(kind, id, payload, { expiresAt, grantId, userCode }, tx = sql) {
      const hash = keys.hash(kind, id);
      await tx.write(
        'artifacts.save',
        `INSERT INTO artifacts (hash, kind, payload, grant_id, user_code, expires_at) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (hash) DO UPDATE SET payload = excluded.payload, grant_id = excluded.grant_id,
           expires_at = excluded.expires_at`,
        [
          hash,
          kind,
          keys.seal(JSON.stringify(payload), context(kind, hash)),
          grantId ?? null,
          userCode === undefined ? null : keys.hash(userCodeKind(kind), userCode),
          expiresAt,
        ],
      );
    },
    async insertOnce(kind, id, expiresAt, tx = sql) {
      const [hash = keys.hash(kind, id), ...older] = keys.hashes(kind, id);
      if (older.length > 0 && (await byHash(older))) return false;
      // An assertion's `exp` may be a fraction, or beyond what a column holds.
      const until = Math.max(0, Math.min(Math.ceil(expiresAt), Number.MAX_SAFE_INTEGER));
      const { count } = await tx.write(
        'artifacts.insert-once',
        `INSERT INTO artifacts (hash, kind, payload, expires_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (hash) DO UPDATE SET expires_at = excluded.expires_at WHERE artifacts.expires_at <= $5`,
        [hash, kind, Buffer.alloc(0), until, clock.now()],
      );
      return count === 1;
    },
    find: async (kind, id) => opened(kind, await byHash(keys.hashes(kind, id))),
    async findByUserCode(kind, userCode) {
      const hashes = keys.hashes(userCodeKind(kind), userCode);
      const n = hashes.length;
      const [row] = await sql.read<Row>(
        `artifacts.find-by-user-code.${n}`,
        `SELECT ${COLUMNS} FROM artifacts WHERE user_code IN (${places(n)}) AND expires_at > $${n + 1}`,
        [...hashes, clock.now()],
      );
      return opened(kind, row);
    },
    async consume(kind, id, tx = sql) {
      const hashes = keys.hashes(kind, id);
      const n = hashes.length;
      const { count } = await tx.write(
        `artifacts.consume.${n}`,
        `UPDATE artifacts SET consumed_at = $${n + 1} WHERE hash IN (${places(n)})
         AND consumed_at IS NULL AND expires_at > $${n + 1}`,
        [...hashes, clock.now()],
      );
      return count === 1;
    },
    async consumeIn(tx, { kind, id }) {
      const now = BigInt(clock.now());
      const { count } = await tx.artifact.updateMany({
        where: {
          hash: { in: keys.hashes(kind, id).map((hash) => new Uint8Array(hash)) },
          consumedAt: null,
          expiresAt: { gt: now },
        },
        data: { consumedAt: now },
      });
      return count === 1;
    },
    async replace(kind, id, payload, expiresAt) {
      for (const hash of keys.hashes(kind, id)) {
        const { count } = await sql.write(
          'artifacts.replace',
          `UPDATE artifacts SET payload = $1, expires_at = $2 WHERE hash = $3 AND expires_at > $4`,
          [keys.seal(JSON.stringify(payload), context(kind, hash)), expiresAt, hash, clock.now()],
        );
        if (count === 1) return true;
      }
      return false;
    },
    destroy: (kind, id) => remove(kind, id, sql),
  };
}
