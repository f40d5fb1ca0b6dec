/**
 * Data keys: random keys that hash ids, tag refresh tokens, seal payloads and sign cookies.
 * They lie in the database, each wrapped under one of the operator's secret keys.
 */
import { randomBytes } from 'node:crypto';
import type { Clock } from '../lib/clock.ts';
import { derive, fingerprint, keyedHash, open, seal, sealedUnder, type NamedKey } from '../lib/crypto.ts';
import { StartError } from '../lib/errors.ts';
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
  /** Opens what `seal` made. @throws SealError */
  open(sealed: Uint8Array, context: string): Buffer;
  /** Keys of refresh token tags: the first makes, all verify. */
  readonly tagKeys: readonly Buffer[];
  /** Keys that sign cookies: the first signs, all verify. */
  readonly cookieKeys: readonly string[];
  /** A key for one purpose, derived from the current cookie key; the same on every node. */
  derived(label: string): Buffer;
}

const wrapContext = (id: string, purpose: string): string => `data-key:${id}:${purpose}`;
const named = (key: Buffer): NamedKey => ({ id: fingerprint(key), key });

/**
 * Makes one data key for each purpose. To be called in the first migration's transaction only:
 * data keys made beside existing rows could open none of them.
 * @param secretKeys 32 bytes each; the first wraps
 */
export async function createDataKeys(tx: Sql, secretKeys: readonly Buffer[], clock: Clock): Promise<void> {
  const [first] = secretKeys;
  if (!first) throw new StartError('PORTCULLIS_SECRET_KEYS is needed to make the database');
  const wrapping = named(first);
  for (const purpose of PURPOSES) {
    const id = randomId(6);
    await tx.write(
      'data-keys.create',
      `INSERT INTO data_keys (id, purpose, status, wrapped, wrapped_by, created_at) VALUES ($1, $2, 'active', $3, $4, $5)`,
      [id, purpose, seal(wrapping, randomBytes(32), wrapContext(id, purpose)), wrapping.id, clock.now()],
    );
  }
}

interface DataKeyRow {
  readonly id: string;
  readonly purpose: Purpose;
  readonly status: string;
  readonly wrapped: Uint8Array;
}

/**
 * Reads and unwraps the data keys.
 * @throws StartError when a secret key is missing (it is named by its fingerprint) or the keys are gone
 */
export async function loadDataKeys(database: Database, secretKeys: readonly Buffer[]): Promise<DataKeys> {
  const rows = await database.sql.read<DataKeyRow>(
    'data-keys.list',
    `SELECT id, purpose, status, wrapped FROM data_keys ORDER BY created_at DESC, id`,
  );
  const secrets = new Map(secretKeys.map((key) => [fingerprint(key), key]));
  const keys = rows.map((row) => {
    const wrappedBy = sealedUnder(row.wrapped);
    if (!secrets.has(wrappedBy)) {
      throw new StartError(
        `the database's keys are wrapped under the secret key with fingerprint ${wrappedBy}, which ` +
          `PORTCULLIS_SECRET_KEYS does not hold (it holds: ${[...secrets.keys()].join(', ') || 'none'})`,
      );
    }
    return { ...row, key: open((id) => secrets.get(id), row.wrapped, wrapContext(row.id, row.purpose)) };
  });
  /** The keys of a purpose; the newest makes, all verify. */
  const of = (purpose: Purpose): [newest: Buffer, all: Buffer[]] => {
    const all = keys
      .filter((row) => row.purpose === purpose && row.status !== 'pending')
      .map((row) => row.key);
    const [newest] = all;
    if (!newest) throw new StartError(`the database holds no ${purpose} key: it was damaged`);
    return [newest, all];
  };
  const [hashKey, hashKeys] = of('hash');
  const [, tagKeys] = of('tag');
  const [cookieKey, cookieKeys] = of('cookie');
  const [sealKey] = of('seal');
  const sealKeys = new Map(keys.filter((row) => row.purpose === 'seal').map((row) => [row.id, row.key]));
  const sealing = { id: keys.find((row) => row.key === sealKey)?.id ?? '', key: sealKey };
  return {
    hash: (kind, id) => keyedHash(hashKey, kind, id),
    hashes: (kind, id) => hashKeys.map((key) => keyedHash(key, kind, id)),
    seal: (plaintext, context) => seal(sealing, plaintext, context),
    open: (sealed, context) => open((id) => sealKeys.get(id), sealed, context),
    tagKeys,
    cookieKeys: cookieKeys.map((key) => derive(key, 'cookie signature').toString('base64url')),
    derived: (label) => derive(cookieKey, label),
  };
}
