/** Everything that a thief of the database gets. */
import { existsSync, readFileSync } from 'node:fs';
import type { Database } from '../../../src/storage/database.ts';

/** Names of all tables, and each row's columns. */
export type Dump = ReadonlyMap<string, readonly Record<string, unknown>[]>;

const TABLES = {
  sqlite: `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'`,
  postgresql: `SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public'`,
} as const;

/** Every row of every table, as the database's own tools would export it. */
export async function dumpOf({ sql, kind }: Database): Promise<Dump> {
  const tables = await sql.read<{ name: string }>('test.tables', TABLES[kind]);
  const dump = new Map<string, readonly Record<string, unknown>[]>();
  for (const { name } of tables) {
    dump.set(name, await sql.read(`test.dump.${name}`, `SELECT * FROM "${name}"`));
  }
  return dump;
}

/** The dump's values one after the other, bytes as they are. */
export function bytesOf(dump: Dump): Buffer {
  const parts: Buffer[] = [];
  for (const rows of dump.values()) {
    for (const value of rows.flatMap((row) => Object.values(row))) {
      parts.push(
        value instanceof Uint8Array ? Buffer.from(value) : Buffer.from(String(value), 'utf8'),
        Buffer.from('\n'),
      );
    }
  }
  return Buffer.concat(parts);
}

/** A SQLite file with what lies beside it, deleted rows and all. */
export function filesOf(url: string): Buffer {
  const path = url.slice('file:'.length);
  return Buffer.concat(
    ['', '-wal', '-shm', '-journal']
      .map((suffix) => path + suffix)
      .filter(existsSync)
      .map((file) => readFileSync(file)),
  );
}
