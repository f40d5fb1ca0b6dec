/**
 * Data keys: random keys that hash ids, tag refresh tokens, seal payloads and sign cookies.
 * They lie in the database, each wrapped under one of the operator's secret keys.
 */
import { randomBytes } from 'node:crypto';
import type { Clock } from '../lib/clock.ts';
import { derive, fingerprint, keyedHash, open, seal, sealedUnder, type NamedKey } from '../lib/crypto.ts';
import { PortcullisError, StartError } from '../lib/errors.ts';
import { randomId } from '../lib/ids.ts';
import type { Database } from './database.ts';
import type { Sql } from './sql.ts';

const PURPOSES = ['hash', 'tag', 'seal', 'cookie'] as const;
type Purpose = (typeof PURPOSES)[number];

/** The unwrapped data keys, by what they are for. */
export interface DataKeys {
  /** The hash that `id` is stored under from now on. */
  hash(kind: string, id: string): Buffer;
  /** Every hash that `id` may be stored under; the first is the newest. */
  hashes(kind: string, id: string): Buffer[];
  /** Seals for storage; `context` says what it is and where it belongs. */
  seal(plaintext: Buffer | string, context: string): Buffer;
  /**
   * Opens what `seal` made. A key that this node has not read yet is looked for in the database, once, unless too many
   * were looked for in vain.
   * @throws SealError
   * @throws PortcullisError `database_unavailable` where the key is there, under a secret key that this node lacks
   */
  open(sealed: Uint8Array, context: string): Promise<Buffer>;
  /** Id of the key that seals now; `sealedUnder` tells which one sealed something. */
  readonly sealingKey: string;
  /** Keys of refresh token tags: the first makes, all verify. */
  readonly tagKeys: readonly Buffer[];
  /** Keys that sign cookies: the first signs, all verify. */
  readonly cookieKeys: readonly string[];
  /** A key for one purpose, derived from the current cookie key; the same on every node. */
  derived(label: string): Buffer;
  /**
   * Reads the keys again.
   * @throws StartError when one is wrapped under a secret key that this node lacks; the others are in use all the same
   */
  reload(): Promise<void>;
}

/**
 * Reads for keys that turned out not to be there, in so many milliseconds: anybody may send values under key ids that
 * they made up, each another one. Beyond them a node learns of new keys as it learns of every other change.
 */
const MAX_MISSES = 10;
const MISS_WINDOW = 10_000;

const wrapContext = (id: string, purpose: string): string => `data-key:${id}:${purpose}`;
const named = (key: Buffer): NamedKey => ({ id: fingerprint(key), key });

/** The first of the operator's secret keys, which wraps. @throws StartError when there is none */
export function wrappingKey(secretKeys: readonly Buffer[]): NamedKey {
  const [first] = secretKeys;
  if (!first) throw new StartError('PORTCULLIS_SECRET_KEYS holds no key');
  return named(first);
}

/** Makes a key, known by `id`. */
export async function addDataKey(
  tx: Sql,
  wrapping: NamedKey,
  key: { readonly id: string; readonly purpose: Purpose; readonly status: 'pending' | 'active' },
  now: number,
): Promise<void> {
  const { id, purpose, status } = key;
  await tx.write(
    'data-keys.create',
    `INSERT INTO data_keys (id, purpose, status, wrapped, wrapped_by, created_at) VALUES ($1, $2, $3, $4, $5, $6)`,
    [id, purpose, status, seal(wrapping, randomBytes(32), wrapContext(id, purpose)), wrapping.id, now],
  );
}

/**
 * Makes one data key for each purpose. To be called in the first migration's transaction only:
 * data keys made beside existing rows could open none of them.
 * @param secretKeys 32 bytes each; the first wraps
 */
export async function createDataKeys(tx: Sql, secretKeys: readonly Buffer[], clock: Clock): Promise<void> {
  const wrapping = wrappingKey(secretKeys);
  for (const purpose of PURPOSES) {
    await addDataKey(tx, wrapping, { id: randomId(6), purpose, status: 'active' }, clock.now());
  }
}

interface DataKeyRow {
  readonly id: string;
  readonly purpose: Purpose;
  /** pending: opens, and does not make yet. active: makes. old: opens and verifies only. */
  readonly status: 'pending' | 'active' | 'old';
  readonly wrapped: Uint8Array;
}

/** A data key as it is used. */
export interface UnwrappedKey extends DataKeyRow {
  readonly key: Buffer;
  /** Fingerprint of the secret key that wraps it. */
  readonly wrappedBy: string;
}

/** What was found in the database. */
interface Found {
  /** For each purpose the one that makes comes first. */
  readonly keys: readonly UnwrappedKey[];
  /** Ids of those that could not be unwrapped. */
  readonly locked: ReadonlySet<string>;
  /** Why not. */
  readonly missing: StartError | undefined;
}

const LIST = `SELECT id, purpose, status, wrapped FROM data_keys
  ORDER BY CASE status WHEN 'active' THEN 0 ELSE 1 END, created_at DESC, id`;

async function findKeys(sql: Sql, secretKeys: readonly Buffer[]): Promise<Found> {
  const rows = await sql.read<DataKeyRow>('data-keys.list', LIST);
  const secrets = new Map(secretKeys.map((key) => [fingerprint(key), key]));
  const locked = rows.filter(({ wrapped }) => !secrets.has(sealedUnder(wrapped)));
  const unknown = locked.map(({ wrapped }) => sealedUnder(wrapped))[0];
  return {
    locked: new Set(locked.map(({ id }) => id)),
    keys: rows.flatMap((row) => {
      const wrappedBy = sealedUnder(row.wrapped);
      if (!secrets.has(wrappedBy)) return [];
      const key = open((id) => secrets.get(id), row.wrapped, wrapContext(row.id, row.purpose));
      return [{ ...row, key, wrappedBy }];
    }),
    missing:
      unknown === undefined
        ? undefined
        : new StartError(
            `the database's keys are wrapped under the secret key with fingerprint ${unknown}, which ` +
              `PORTCULLIS_SECRET_KEYS does not hold (it holds: ${[...secrets.keys()].join(', ') || 'none'})`,
          ),
  };
}

/**
 * All data keys.
 * @throws StartError when a secret key is missing (it is named by its fingerprint)
 */
export async function unwrapDataKeys(
  sql: Sql,
  secretKeys: readonly Buffer[],
): Promise<readonly UnwrappedKey[]> {
  const { keys, missing } = await findKeys(sql, secretKeys);
  if (missing) throw missing;
  return keys;
}

/** Wraps a key under another secret key. */
export async function rewrap(tx: Sql, wrapping: NamedKey, { id, purpose, key }: UnwrappedKey): Promise<void> {
  await tx.write('data-keys.rewrap', `UPDATE data_keys SET wrapped = $2, wrapped_by = $3 WHERE id = $1`, [
    id,
    seal(wrapping, key, wrapContext(id, purpose)),
    wrapping.id,
  ]);
}

/** The keys by what they are for. @throws StartError when those of a purpose are gone */
function byPurpose(keys: readonly UnwrappedKey[]) {
  /** The keys of a purpose; the first makes, all verify. */
  const of = (purpose: Purpose): [first: UnwrappedKey, all: UnwrappedKey[]] => {
    const all = keys.filter((row) => row.purpose === purpose && row.status !== 'pending');
    const [first] = all;
    if (!first) throw new StartError(`the database holds no ${purpose} key: it was damaged`);
    return [first, all];
  };
  const [hashKey, hashKeys] = of('hash');
  const [, tagKeys] = of('tag');
  const [cookieKey, cookieKeys] = of('cookie');
  const [sealing] = of('seal');
  return {
    keys,
    hashKey: hashKey.key,
    hashKeys: hashKeys.map(({ key }) => key),
    tagKeys: tagKeys.map(({ key }) => key),
    cookieKey: cookieKey.key,
    cookieKeys: cookieKeys.map(({ key }) => derive(key, 'cookie signature').toString('base64url')),
    sealing: { id: sealing.id, key: sealing.key },
    sealKeys: new Map(keys.filter((row) => row.purpose === 'seal').map(({ id, key }) => [id, key])),
  };
}

/** What another node sealed is not damaged: it can be opened elsewhere, and here once the secret key is there. */
const lacking = (id: string): PortcullisError =>
  new PortcullisError('database_unavailable', 503, 'The database is not available, try again later.', {
    retryAfter: 1,
    reason: `data key ${id} is wrapped under a secret key that PORTCULLIS_SECRET_KEYS does not hold`,
  });

/**
 * Reads and unwraps the data keys.
 * @throws StartError when a secret key is missing (it is named by its fingerprint) or the keys are gone
 */
export async function loadDataKeys(
  { sql }: Database,
  secretKeys: readonly Buffer[],
  clock: Clock,
): Promise<DataKeys> {
  let current = byPurpose(await unwrapDataKeys(sql, secretKeys));
  let reading: Promise<void> = Promise.resolve();
  let locked: ReadonlySet<string> = new Set();
  let misses = { since: clock.now(), count: 0 };

  async function read(): Promise<void> {
    const { keys, missing, ...rest } = await findKeys(sql, secretKeys);
    locked = rest.locked;
    const found = new Set(keys.map(({ id }) => id));
    current = byPurpose([...keys, ...current.keys.filter(({ id }) => !found.has(id))]);
    if (missing) throw missing;
  }
  /** One after another: a read that began earlier must not undo a later one. */
  const afterOthers = (work: () => Promise<void>): Promise<void> => {
    reading = reading.then(work, work);
    return reading;
  };
  const lookFor = (id: string): Promise<void> =>
    afterOthers(async () => {
      if (current.sealKeys.has(id)) return;
      const now = clock.now();
      if (Math.abs(now - misses.since) >= MISS_WINDOW) misses = { since: now, count: 0 };
      if (misses.count >= MAX_MISSES) return;
      await read().catch((error: unknown) => {
        if (!(error instanceof StartError)) throw error; // another key may be missing; whoever opens will see
      });
      if (!current.sealKeys.has(id)) misses.count += 1;
    });

  return {
    hash: (kind, id) => keyedHash(current.hashKey, kind, id),
    hashes: (kind, id) => current.hashKeys.map((key) => keyedHash(key, kind, id)),
    seal: (plaintext, context) => seal(current.sealing, plaintext, context),
    async open(sealed, context) {
      const id = sealedUnder(sealed);
      if (!current.sealKeys.has(id) && !locked.has(id)) await lookFor(id);
      if (!current.sealKeys.has(id) && locked.has(id)) throw lacking(id);
      return open((name) => current.sealKeys.get(name), sealed, context);
    },
    get sealingKey() {
      return current.sealing.id;
    },
    get tagKeys() {
      return current.tagKeys;
    },
    get cookieKeys() {
      return current.cookieKeys;
    },
    derived: (label) => derive(current.cookieKey, label),
    reload: () => afterOthers(read),
  };
}
