/** Looks at a database as it is, for `portcullis doctor`: nothing is made, migrated or unwrapped. */
import { existsSync } from 'node:fs';
import { sealedUnder } from '../lib/crypto.ts';
import { openDatabase } from './database.ts';
import { migrationStatus, type MigrationStatus } from './migrate.ts';
import type { SigningKey } from './signing-keys.ts';
import { pathOf } from './sqlite/open.ts';

/** What was found. */
export interface Inspection {
  readonly kind: 'sqlite' | 'postgresql';
  readonly migrations: MigrationStatus;
  /** The database's clock, epoch milliseconds, and how long the answer took (milliseconds). */
  readonly clock: { readonly now: number; readonly took: number };
  /** Fingerprints of the secret keys that wrap the data keys. */
  readonly wrappedBy: readonly string[];
  readonly signingKeys: readonly Pick<SigningKey, 'kid' | 'alg' | 'status' | 'createdAt'>[];
}

/** The path of a SQLite file; undefined for another database. */
export const databaseFile = (url: string): string | undefined =>
  url.startsWith('file:') ? pathOf(url) : undefined;

/**
 * @returns undefined when there is no SQLite file yet
 * @throws StartError when it cannot be opened, is newer than this release, or has an edited migration
 */
export async function inspectDatabase(url: string): Promise<Inspection | undefined> {
  const file = databaseFile(url);
  if (file !== undefined && !existsSync(file)) return undefined;
  const database = await openDatabase({ url });
  try {
    const { sql, kind, nowMs } = database;
    const migrations = await migrationStatus(database);
    const started = performance.now();
    const [time] = await sql.read<{ now: number }>('doctor.clock', `SELECT ${nowMs} AS now`);
    const clock = { now: time?.now ?? 0, took: performance.now() - started };
    if (migrations.applied.length === 0) return { kind, migrations, clock, wrappedBy: [], signingKeys: [] };
    const keys = await sql.read<{ wrapped: Uint8Array }>('doctor.data-keys', 'SELECT wrapped FROM data_keys');
    return {
      kind,
      migrations,
      clock,
      wrappedBy: [...new Set(keys.map(({ wrapped }) => sealedUnder(wrapped)))],
      signingKeys: await sql.read(
        'doctor.signing-keys',
        `SELECT kid, alg, status, created_at AS "createdAt" FROM signing_keys ORDER BY created_at, kid`,
      ),
    };
  } finally {
    await database.close();
  }
}
