/** Databases to run a suite on: SQLite always, PostgreSQL too when TEST_DATABASE_URL names a server. */
import { createHash, randomBytes } from 'node:crypto';
import { globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { openDatabase, type Database, type DatabaseOptions } from '../../src/storage/database.ts';
import { migrate } from '../../src/storage/migrate.ts';

export type DatabaseKind = Database['kind'];

/** An admin's URL: databases are made on that server, and dropped. */
const adminUrl = process.env['TEST_DATABASE_URL'];

export const databaseKinds: readonly DatabaseKind[] = adminUrl ? ['sqlite', 'postgresql'] : ['sqlite'];

/** An empty database, and how to get rid of it. */
export interface FreshDatabase {
  readonly url: string;
  drop(): Promise<void>;
}

/** A database that nobody else uses, without tables. */
export function freshDatabase(kind: DatabaseKind): Promise<FreshDatabase> {
  return kind === 'sqlite' ? Promise.resolve(freshFile()) : freshOnServer();
}

/** A migrated database, open; `close` drops it as well. */
export interface OpenFresh {
  readonly database: Database;
  readonly url: string;
  close(): Promise<void>;
}

/** Opens a fresh, migrated database; `options` go to `openDatabase`. */
export async function openFresh(kind: DatabaseKind, options?: Partial<DatabaseOptions>): Promise<OpenFresh> {
  const { url, drop } = await (kind === 'sqlite' ? freshFile() : freshOnServer(await template()));
  const database = await openDatabase({ ...options, url });
  await migrate(database); // does nothing on a copy of the template
  return {
    database,
    url,
    close: async () => {
      await database.close();
      await drop();
    },
  };
}

function freshFile(): FreshDatabase {
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-test-'));
  return {
    url: `file:${join(folder, 'test.db')}`,
    drop: () => Promise.resolve(rmSync(folder, { recursive: true, force: true })),
  };
}

async function asAdmin<T>(work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: adminUrl ?? '' });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

function urlOf(database: string): string {
  const url = new URL(adminUrl ?? '');
  url.pathname = `/${database}`;
  return url.href;
}

async function freshOnServer(from?: string): Promise<FreshDatabase> {
  const name = `portcullis_test_${randomBytes(6).toString('hex')}`;
  await asAdmin((client) => client.query(`create database ${name}${from ? ` template ${from}` : ''}`));
  return {
    url: urlOf(name),
    drop: () => asAdmin(async (client) => void (await client.query(`drop database ${name} with (force)`))),
  };
}

const TEMPLATE_LOCK = 72_707_370;
let migrated: Promise<string> | undefined;

/** A migrated database to copy; it stays on the server, under a name that changes with the migrations. */
function template(): Promise<string> {
  migrated ??= makeTemplate();
  return migrated;
}

async function makeTemplate(): Promise<string> {
  const folder = join(import.meta.dirname, '../../prisma/migrations/postgresql');
  const hash = createHash('sha256');
  for (const file of globSync('*/migration.sql', { cwd: folder }).sort()) {
    hash.update(file).update(readFileSync(join(folder, file)));
  }
  const name = `portcullis_template_${hash.digest('hex').slice(0, 12)}`;
  await asAdmin(async (client) => {
    await client.query(`select pg_advisory_lock(${TEMPLATE_LOCK})`); // until the connection ends
    const found = await client.query('select 1 from pg_database where datname = $1', [name]);
    if (found.rowCount) return;
    const { url } = await freshOnServer();
    const database = await openDatabase({ url });
    await migrate(database);
    await database.close();
    await client.query(`alter database ${new URL(url).pathname.slice(1)} rename to ${name}`);
  });
  return name;
}
