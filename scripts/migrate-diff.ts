// npm run migrate:diff -- <name>     writes prisma/migrations/<database>/<time>_<name>/migration.sql for both databases
// npm run migrate:diff -- --check    exits 1 when schema.prisma and the migrations disagree
// PostgreSQL needs a server for it: TEST_DATABASE_URL. A database of its own is made there, and dropped.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PrismaPg } from '@prisma/adapter-pg';
import {
  bindMigrationAwareSqlAdapterFactory,
  type SqlMigrationAwareDriverAdapterFactory,
} from '@prisma/driver-adapter-utils';
import type * as Engine from '@prisma/schema-engine-wasm';
import pg from 'pg';
import { openSqlite } from '../src/storage/sqlite/open.ts';
import { databaseKinds, freshDatabase, type DatabaseKind } from '../test/support/databases.ts';

const at = (path: string): string => fileURLToPath(new URL(`../prisma/${path}`, import.meta.url));
const SCHEMAS = { sqlite: at('generated/schema.sqlite.prisma'), postgresql: at('schema.prisma') };

type Glue = typeof Engine & { __wbg_set_wasm(exports: unknown): void };

/** The global is typed in the DOM library only. */
declare const WebAssembly: {
  instantiate(
    bytes: Uint8Array,
    imports: object,
  ): Promise<{ instance: { exports: { __wbindgen_start(): void } } }>;
};

/** The engine without its loader, which wants an experimental flag of Node's for importing WebAssembly. */
async function loadEngine(): Promise<typeof Engine> {
  const module = '@prisma/schema-engine-wasm/schema_engine_bg';
  const glue = (await import(module)) as Glue;
  const wasm = createRequire(import.meta.url)
    .resolve(module)
    .replace(/\.js$/, '.wasm');
  const { instance } = await WebAssembly.instantiate(readFileSync(wasm), { './schema_engine_bg.js': glue });
  glue.__wbg_set_wasm(instance.exports);
  instance.exports.__wbindgen_start();
  return glue;
}
const engine = await loadEngine(); // once: its JavaScript half keeps views into the memory of one instance

const CHAR = 18;

/** The engine reads system columns of the type "char", which the adapter does not know; they are text to it. */
function readingChars(pool: pg.Pool): pg.Pool {
  const query = pool.query.bind(pool) as (config: pg.QueryConfig) => Promise<pg.QueryResult>;
  const reading = async (config: pg.QueryConfig): Promise<pg.QueryResult> => {
    const result = await query(config);
    for (const field of result.fields ?? []) {
      if (field.dataTypeID === CHAR) field.dataTypeID = pg.types.builtins.TEXT;
    }
    return result;
  };
  return Object.assign(pool, { query: reading }).on('error', () => {}); // its database is dropped under it
}

type Connect = SqlMigrationAwareDriverAdapterFactory['connect'];

/** Connects the engine to a database; for PostgreSQL it must be a scratch one wherever a shadow is asked for. */
export async function connectEngine(kind: DatabaseKind, url: string): ReturnType<Connect> {
  if (kind === 'postgresql')
    return new PrismaPg(readingChars(new pg.Pool({ connectionString: url }))).connect();
  const store = await openSqlite(url, 0);
  const adapter = await store.adapter.connect();
  return {
    ...adapter,
    dispose: store.close,
    executeRaw: async (query) => {
      if (query.args.length > 0) return adapter.executeRaw(query);
      await adapter.executeScript(query.sql); // the engine sends a whole migration this way
      return 0;
    },
  };
}

/** Prisma's schema engine for the schema in `schema`. */
export function schemaEngine(
  kind: DatabaseKind,
  schema: string,
  connect: Connect,
): Promise<Engine.SchemaEngine> {
  const provider = kind === 'sqlite' ? 'sqlite' : 'postgres';
  return engine.SchemaEngine.new(
    { datamodels: [[SCHEMAS[kind], schema]] },
    () => {},
    bindMigrationAwareSqlAdapterFactory({
      provider,
      adapterName: 'engine',
      connect,
      connectToShadowDb: connect,
    }),
  );
}

/** The migrations of a database, as the engine takes them. */
export function migrationList(kind: DatabaseKind): Engine.MigrationList {
  const baseDir = at(`migrations/${kind}`);
  const entries = existsSync(baseDir) ? readdirSync(baseDir, { withFileTypes: true }) : [];
  const names = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  return {
    baseDir,
    shadowDbInitScript: '',
    lockfile: { path: 'migration_lock.toml', content: `provider = "${kind}"\n` },
    migrationDirectories: names.sort().map((path) => ({
      path,
      migrationFile: {
        path: 'migration.sql',
        content: { tag: 'ok', value: readFileSync(join(baseDir, path, 'migration.sql'), 'utf8') },
      },
    })),
  };
}

/** Nothing is left out. */
export const EVERYTHING: Engine.SchemaFilter = { externalTables: [], externalEnums: [] };

/** The schema of a database as it is in the tree. */
export const schemaOf = (kind: DatabaseKind): string => readFileSync(SCHEMAS[kind], 'utf8');

/**
 * The SQL that leads from the migrations to the schema; undefined when they agree.
 * @param schema its text; by default the tree's
 */
export async function diff(kind: DatabaseKind, schema = schemaOf(kind)): Promise<string | undefined> {
  const cleanups: (() => Promise<void>)[] = [];
  try {
    // Each connection gets an empty database of its own, so none that matters is ever touched.
    const instance = await schemaEngine(kind, schema, async () => {
      const { url, drop } = await freshDatabase(kind);
      cleanups.push(drop);
      return connectEngine(kind, url);
    });
    const { stdout, exitCode } = await instance.diff({
      from: { tag: 'migrations', ...migrationList(kind) },
      to: { tag: 'schemaDatamodel', files: [{ path: SCHEMAS[kind], content: schema }] },
      script: true,
      exitCode: true,
      filters: EVERYTHING,
    });
    return exitCode === 0 ? undefined : (stdout ?? '');
  } finally {
    for (const cleanup of cleanups) await cleanup();
  }
}

function write(kind: DatabaseKind, time: string, name: string, sql: string): void {
  const directory = at(`migrations/${kind}/${time}_${name}`);
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, 'migration.sql'), sql);
  writeFileSync(
    at(`migrations/${kind}/migration_lock.toml`),
    `# Read by Prisma's own tools.\nprovider = "${kind}"\n`,
  );
  console.log(`wrote ${directory}/migration.sql: read it before you commit it`);
}

if (import.meta.main) {
  const [argument] = process.argv.slice(2);
  if (!argument || (argument !== '--check' && !/^[a-z0-9_]+$/.test(argument))) {
    console.error('usage: npm run migrate:diff -- <name in snake_case> | --check');
    process.exit(2);
  }
  if (!databaseKinds.includes('postgresql')) {
    console.error('PostgreSQL: TEST_DATABASE_URL is not set');
    if (argument !== '--check') process.exit(2);
  }
  const time = new Date().toISOString().replace(/\D/g, '').slice(0, 14);
  for (const kind of databaseKinds) {
    const sql = await diff(kind);
    if (sql === undefined) console.log(`${kind}: schema and migrations agree`);
    else if (argument === '--check') {
      console.error(`${kind}: the migrations lack\n${sql}`);
      process.exitCode = 1;
    } else write(kind, time, argument, sql);
  }
}
