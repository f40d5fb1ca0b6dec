/**
 * Brings a database's tables to what this release needs, at start and by `portcullis migrate`.
 * Folder format and bookkeeping table are Prisma's, so that its own tools agree; its engine is not needed.
 */
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { StartError } from '../lib/errors.ts';
import { randomId } from '../lib/ids.ts';
import type { Database, Sql, Transaction } from './database.ts';

/** What `migrate` may be told. */
export interface MigrateOptions {
  /** Told of each applied migration, after its commit. */
  readonly log?: (name: string) => void;
  /** Runs in the transaction of the very first migration, after its tables are there. */
  readonly onFirst?: (tx: Sql) => Promise<void>;
  /** Holds one folder for each kind of database. */
  readonly directory?: URL;
}

/** Names of migrations, in order. */
export interface MigrationStatus {
  readonly applied: string[];
  readonly pending: string[];
}

interface Migration {
  readonly name: string;
  readonly text: string;
  readonly checksum: string;
}

interface Row {
  readonly migration_name: string;
  readonly checksum: string;
  /** 1 or 0. */
  readonly finished: number;
}

const DIRECTORY = new URL('../../prisma/migrations/', import.meta.url);

/**
 * Whether a release that does not know this migration may run on it all the same: it only adds what may be left out.
 * The name says so, because the name is all that an older release finds in the database.
 */
export const onlyExpands = (name: string): boolean => /^\d{14}_expand_/.test(name);

/** The advisory lock of Prisma's own engine. */
const LOCK = 72_707_369;

const TABLE = {
  sqlite: {
    exists: `select 1 from sqlite_master where type = 'table' and name = '_prisma_migrations'`,
    create: `create table if not exists "_prisma_migrations" (
      "id" text primary key not null, "checksum" text not null, "finished_at" datetime,
      "migration_name" text not null, "logs" text, "rolled_back_at" datetime,
      "started_at" datetime not null default current_timestamp,
      "applied_steps_count" integer unsigned not null default 0)`,
    now: `cast(round(unixepoch('subsec') * 1000) as integer)`,
  },
  postgresql: {
    exists: `select 1 from information_schema.tables
      where table_schema = current_schema() and table_name = '_prisma_migrations'`,
    create: `create table if not exists "_prisma_migrations" (
      "id" varchar(36) primary key not null, "checksum" varchar(64) not null, "finished_at" timestamptz,
      "migration_name" varchar(255) not null, "logs" text, "rolled_back_at" timestamptz,
      "started_at" timestamptz not null default now(),
      "applied_steps_count" integer not null default 0)`,
    now: `clock_timestamp()`,
  },
} as const;

/**
 * Applies what is pending, each migration in a transaction of its own. Safe when several processes start at once.
 * @throws StartError when the database is newer than this release by more than what `onlyExpands`, or a migration was
 *   edited, or one fails
 */
export async function migrate(
  database: Database,
  options: MigrateOptions = {},
): Promise<{ applied: string[] }> {
  const migrations = await load(database.kind, options.directory ?? DIRECTORY);
  const applied: string[] = [];
  let { pending } = await inspect(database, database.sql, migrations);
  while (pending.length > 0) {
    const done = await database.transaction(async (tx) => {
      await lock(database.kind, tx);
      await tx.script('migrations.create_table', TABLE[database.kind].create);
      // Another process may have gone on while this one waited for the lock.
      const [next] = (await inspect(database, tx, migrations)).pending;
      if (next) await apply(database.kind, tx, next, next === migrations[0] ? options.onFirst : undefined);
      return next;
    });
    if (!done) break;
    applied.push(done.name);
    options.log?.(done.name);
    ({ pending } = await inspect(database, database.sql, migrations));
  }
  return { applied };
}

/**
 * What is applied and what is not; changes nothing.
 * @throws StartError as `migrate` does
 */
export async function migrationStatus(
  database: Database,
  directory: URL = DIRECTORY,
): Promise<MigrationStatus> {
  const migrations = await load(database.kind, directory);
  const { pending } = await inspect(database, database.sql, migrations);
  return {
    applied: migrations.filter((migration) => !pending.includes(migration)).map(({ name }) => name),
    pending: pending.map(({ name }) => name),
  };
}

/** Names of the migrations of this release, in order. */
export const migrationNames = async (kind: Database['kind']): Promise<string[]> =>
  (await load(kind, DIRECTORY)).map(({ name }) => name);

async function load(kind: Database['kind'], directory: URL): Promise<Migration[]> {
  const folder = new URL(`${kind}/`, directory);
  const entries = await readdir(folder, { withFileTypes: true });
  const names = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  return Promise.all(
    names.sort().map(async (name) => {
      const bytes = await readFile(new URL(`${name}/migration.sql`, folder));
      return {
        name,
        text: bytes.toString('utf8'),
        checksum: createHash('sha256').update(bytes).digest('hex'),
      };
    }),
  );
}

async function inspect(
  { kind }: Database,
  sql: Sql,
  migrations: readonly Migration[],
): Promise<{ pending: Migration[] }> {
  const table = await sql.read('migrations.exists', TABLE[kind].exists);
  const rows =
    table.length === 0
      ? []
      : await sql.read<Row>(
          'migrations.list',
          `select migration_name, checksum, case when finished_at is null then 0 else 1 end as finished
           from "_prisma_migrations" where rolled_back_at is null`,
        );
  const known = new Map(migrations.map((migration) => [migration.name, migration]));
  for (const row of rows) {
    const migration = known.get(row.migration_name);
    if (!migration) {
      if (onlyExpands(row.migration_name) && row.finished !== 0) continue;
      throw new StartError(
        `the database is newer than this release: it has the migration ${row.migration_name}; start a newer release`,
      );
    }
    if (row.finished === 0) {
      throw new StartError(
        `the migration ${row.migration_name} failed earlier: mend the database, then use \`prisma migrate resolve\``,
      );
    }
    if (row.checksum !== migration.checksum) {
      throw new StartError(
        `the migration ${row.migration_name} was edited after it was applied: restore its file`,
      );
    }
  }
  const done = new Set(rows.map((row) => row.migration_name));
  return { pending: migrations.filter(({ name }) => !done.has(name)) };
}

/** SQLite's transaction is the lock. Distributed engines without advisory locks rely on the failing of the second. */
async function lock(kind: Database['kind'], tx: Transaction): Promise<void> {
  if (kind === 'sqlite') return;
  await tx.script('migrations.patience', 'set local statement_timeout = 0; savepoint advisory');
  try {
    await tx.script('migrations.lock', `select pg_advisory_xact_lock(${LOCK})`);
  } catch (error) {
    const { code } = error as { code?: unknown };
    if (code !== '42883' && code !== '0A000') throw error; // undefined_function, feature_not_supported
    await tx.script('migrations.no_lock', 'rollback to savepoint advisory');
  }
}

async function apply(
  kind: Database['kind'],
  tx: Transaction,
  { name, text, checksum }: Migration,
  onFirst: MigrateOptions['onFirst'],
): Promise<void> {
  const { now } = TABLE[kind];
  const started = await tx.write<{ id: string }>(
    'migrations.start',
    `insert into "_prisma_migrations" (id, checksum, migration_name, started_at)
     values ($1, $2, $3, ${now}) returning id`,
    [randomId(), checksum, name],
  );
  try {
    await tx.script('migrations.apply', text);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new StartError(`the migration ${name} failed and was undone: ${reason}`, { cause: error });
  }
  await onFirst?.(tx);
  await tx.write(
    'migrations.finish',
    `update "_prisma_migrations" set finished_at = ${now}, applied_steps_count = 1 where id = $1`,
    [started.rows[0]?.id ?? ''],
  );
}
