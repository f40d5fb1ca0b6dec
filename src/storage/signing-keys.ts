/** Signing keys: public halves plain, private halves sealed. */
import type { AuditEvent } from '../telemetry/events.ts';
import type { Changes } from './changes.ts';
import type { DataKeys } from './data-keys.ts';
import type { Database } from './database.ts';

/** pending: published, not signing. active: signing. retiring: published. retired: gone from the JWKS. */
export type KeyStatus = 'pending' | 'active' | 'retiring' | 'retired';

/** A signing key; instants are epoch milliseconds. */
export interface SigningKeyRecord {
  readonly kid: string;
  readonly alg: string;
  readonly status: KeyStatus;
  readonly privateJwk: Record<string, unknown>;
  readonly createdAt: number;
  readonly activeFrom: number;
  readonly retiresAt: number | undefined;
}

export interface SigningKeys {
  /** Keys that are not retired, oldest first. */
  list(): Promise<SigningKeyRecord[]>;
  /** Inserts `keys` unless there are any: of several nodes that start at once, one makes them. Atomic. */
  initialise(keys: readonly SigningKeyRecord[], event: (key: SigningKeyRecord) => AuditEvent): Promise<void>;
}

const context = (kid: string): string => `signing-key:${kid}`;

export function createSigningKeys(database: Database, keys: DataKeys, changes: Changes): SigningKeys {
  const { prisma } = database;
  return {
    async list() {
      const rows = await prisma.signingKey.findMany({
        where: { status: { not: 'retired' } },
        orderBy: [{ createdAt: 'asc' }, { kid: 'asc' }],
      });
      return rows.map((row) => ({
        kid: row.kid,
        alg: row.alg,
        status: row.status as KeyStatus,
        privateJwk: JSON.parse(keys.open(row.sealed, context(row.kid)).toString('utf8')) as Record<
          string,
          unknown
        >,
        createdAt: Number(row.createdAt),
        activeFrom: Number(row.activeFrom),
        retiresAt: row.retiresAt === null ? undefined : Number(row.retiresAt),
      }));
    },
    async initialise(made, event) {
      await changes.typed(async ({ tx, record, bump }) => {
        await bump('keys'); // locks the counter's row: one node at a time
        if ((await tx.signingKey.count()) > 0) return;
        for (const key of made) {
          const { d: _d, p: _p, q: _q, dp: _dp, dq: _dq, qi: _qi, ...publicJwk } = key.privateJwk;
          await tx.signingKey.create({
            data: {
              kid: key.kid,
              alg: key.alg,
              status: key.status,
              publicJwk: JSON.stringify(publicJwk),
              sealed: keys.seal(JSON.stringify(key.privateJwk), context(key.kid)) as Uint8Array<ArrayBuffer>,
              createdAt: BigInt(key.createdAt),
              activeFrom: BigInt(key.activeFrom),
              retiresAt: key.retiresAt === undefined ? null : BigInt(key.retiresAt),
            },
            select: { kid: true },
          });
          await record(event(key));
        }
      });
    },
  };
}
