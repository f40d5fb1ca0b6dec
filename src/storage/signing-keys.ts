/** Signing keys: public halves plain, private halves sealed, and gone once a key is retired. */
import type { AuditEvent } from '../telemetry/events.ts';
import type { Change, Changes, TypedChange } from './changes.ts';
import type { DataKeys } from './data-keys.ts';
import type { Database } from './database.ts';
import { originOf, type Origin } from './origin.ts';
import { sealContext } from './sealed-columns.ts';

/** pending: published, not signing. active: signing. retiring: published. retired: gone from the JWKS. */
export type KeyStatus = 'pending' | 'active' | 'retiring' | 'retired';

/** What is known of a key without opening it; instants are epoch milliseconds. */
export interface SigningKey {
  readonly kid: string;
  readonly alg: string;
  readonly status: KeyStatus;
  readonly createdAt: number;
  /** When it signs, or began to. */
  readonly activeFrom: number;
  /** When it leaves the JWKS, or left it. */
  readonly retiresAt: number | undefined;
  /** Seconds: the longest lifetime of anything that it was let sign, as far as it was noted; it never falls. */
  readonly longestTtl: number;
}

/** A key with its private half. */
export interface SigningKeyRecord extends SigningKey {
  readonly privateJwk: Readonly<Record<string, unknown>>;
}

/** A step of a key that is there, at this instant: when it began to sign, or leaves the JWKS. */
export interface KeyStep {
  readonly kid: string;
  readonly status: Exclude<KeyStatus, 'pending'>;
  readonly at: number;
}

/** What becomes of the keys. */
export interface KeyPlan {
  readonly add?: readonly SigningKeyRecord[];
  readonly steps?: readonly KeyStep[];
}

export interface SigningKeys {
  /** All of them, oldest first. */
  list(): Promise<SigningKey[]>;
  /** Those that are not retired, oldest first, with their private halves. */
  open(): Promise<SigningKeyRecord[]>;
  /** The public half of a retired key. */
  retired(
    kid: string,
  ): Promise<{ readonly alg: string; readonly publicJwk: Readonly<Record<string, unknown>> } | undefined>;
  /**
   * Changes keys by what `plan` makes of all there are, oldest first. Atomic: one caller at a time on all nodes, each
   * step a conditional update, audit rows in the same transaction; what `plan` throws undoes everything.
   * @returns the keys afterwards, oldest first
   */
  change(plan: (keys: readonly SigningKey[]) => KeyPlan, by: Origin): Promise<SigningKey[]>;
  /** Notes a lifetime (seconds) on the keys that sign. */
  note(ttl: number): Promise<void>;
  /** The longest lifetime of access tokens that an API or a client names, in seconds; 0 when none does. */
  longestTokenTtl(): Promise<number>;
}

interface Row {
  readonly kid: string;
  readonly alg: string;
  readonly status: KeyStatus;
  readonly createdAt: number;
  readonly activeFrom: number;
  readonly retiresAt: number | null;
  readonly longestTtl: number;
}

const LIST = `SELECT kid, alg, status, created_at AS "createdAt", active_from AS "activeFrom",
  retires_at AS "retiresAt", longest_ttl AS "longestTtl" FROM signing_keys ORDER BY created_at, kid`;

const TTL = {
  sqlite: {
    ofClient: `json_extract(metadata, '$.access_token_ttl')`,
    larger: 'MAX',
  },
  postgresql: {
    ofClient: `(metadata::jsonb ->> 'access_token_ttl')::bigint`,
    larger: 'GREATEST',
  },
} as const;

const context = sealContext.signingKey;
const NOTHING = new Uint8Array();

const toKey = (row: Row): SigningKey => ({ ...row, retiresAt: row.retiresAt ?? undefined });

/** The public half of a private JWK. */
function publicHalf(jwk: SigningKeyRecord['privateJwk']): Record<string, unknown> {
  const { d: _d, p: _p, q: _q, dp: _dp, dq: _dq, qi: _qi, ...publicJwk } = jwk;
  return publicJwk;
}

/**
 * Notes on the keys that sign a lifetime (seconds) of what they have signed. To be called by whoever shortens it:
 * what was signed before lives on.
 */
export async function noteLifetime(change: TypedChange, ttl: number | undefined): Promise<void> {
  if (ttl === undefined) return;
  const where = { status: 'active', longestTtl: { lt: ttl } };
  if ((await change.tx.signingKey.count({ where })) === 0) return;
  await change.bump('keys'); // locks the counter's row, as `change` does
  await change.tx.signingKey.updateMany({ where, data: { longestTtl: ttl } });
}

export function createSigningKeys(database: Database, keys: DataKeys, changes: Changes): SigningKeys {
  const { prisma, sql, kind } = database;

  const tell = async (
    { record }: Change,
    type: 'key.created' | 'key.activated' | 'key.retired',
    { kid, alg }: SigningKey,
    by: Origin,
  ): Promise<void> => record({ type, ...originOf(by), detail: { kid, alg } } satisfies AuditEvent);

  async function add(change: Change, key: SigningKeyRecord, by: Origin): Promise<void> {
    await change.tx.write(
      'signing-keys.add',
      `INSERT INTO signing_keys (kid, alg, status, public_jwk, sealed, created_at, active_from, retires_at, longest_ttl)
       VALUES ($1, $2, $3, $4, $5, $6, $7, NULL, $8)`,
      [
        key.kid,
        key.alg,
        key.status,
        JSON.stringify(publicHalf(key.privateJwk)),
        keys.seal(JSON.stringify(key.privateJwk), context(key.kid)),
        key.createdAt,
        key.activeFrom,
        key.longestTtl,
      ],
    );
    await tell(change, 'key.created', key, by);
    if (key.status === 'active') await tell(change, 'key.activated', key, by);
  }

  async function step(change: Change, key: SigningKey, { status, at }: KeyStep, by: Origin): Promise<void> {
    const column = status === 'active' ? 'active_from' : 'retires_at';
    const wiped = status === 'retired';
    const { count } = await change.tx.write(
      `signing-keys.${status}`,
      `UPDATE signing_keys SET status = $1, ${column} = $2${wiped ? ', sealed = $5' : ''}
       WHERE kid = $3 AND status = $4`,
      [status, at, key.kid, key.status, ...(wiped ? [NOTHING] : [])],
    );
    if (count !== 1) throw new Error('a signing key was changed by two at once');
    if (status === 'active') await tell(change, 'key.activated', key, by);
    if (status === 'retired') await tell(change, 'key.retired', key, by);
  }

  return {
    list: async () => (await sql.read<Row>('signing-keys.list', LIST)).map(toKey),
    async open() {
      const rows = await prisma.signingKey.findMany({
        where: { status: { not: 'retired' } },
        orderBy: [{ createdAt: 'asc' }, { kid: 'asc' }],
      });
      const open = async ({ kid, sealed }: (typeof rows)[number]): Promise<SigningKeyRecord['privateJwk']> =>
        JSON.parse((await keys.open(sealed, context(kid))).toString('utf8')) as Record<string, unknown>;
      const opened = rows.map(async (row) => ({
        kid: row.kid,
        alg: row.alg,
        status: row.status as KeyStatus,
        privateJwk: await open(row),
        createdAt: Number(row.createdAt),
        activeFrom: Number(row.activeFrom),
        retiresAt: row.retiresAt === null ? undefined : Number(row.retiresAt),
        longestTtl: row.longestTtl,
      }));
      return Promise.all(opened);
    },
    async retired(kid) {
      if (kid.includes('\0')) return undefined; // PostgreSQL refuses such a text
      const row = await prisma.signingKey.findUnique({ where: { kid, status: 'retired' } });
      return row
        ? { alg: row.alg, publicJwk: JSON.parse(row.publicJwk) as Record<string, unknown> }
        : undefined;
    },
    change: (plan, by) =>
      changes.raw(async (change) => {
        await change.bump('keys'); // locks the counter's row: one at a time
        const before = (await change.tx.read<Row>('signing-keys.list', LIST)).map(toKey);
        const { add: added = [], steps = [] } = plan(before);
        for (const each of steps) {
          const key = before.find(({ kid }) => kid === each.kid);
          if (!key) throw new Error('a step of a signing key that is not there');
          await step(change, key, each, by);
        }
        for (const key of added) await add(change, key, by);
        return (await change.tx.read<Row>('signing-keys.list', LIST)).map(toKey);
      }),
    note: (ttl) => changes.typed((change) => noteLifetime(change, ttl)),
    async longestTokenTtl() {
      const { ofClient, larger } = TTL[kind];
      const [row] = await sql.read<{ ttl: number }>(
        'signing-keys.longest-ttl',
        `SELECT ${larger}(COALESCE((SELECT MAX(access_token_ttl) FROM apis), 0),
           COALESCE((SELECT MAX(${ofClient}) FROM clients), 0)) AS ttl`,
      );
      return row?.ttl ?? 0;
    },
  };
}
