/**
 * Measures what a row of each table that grows takes, indexes included, on SQLite and, where PostgreSQL's programs
 * are found, on a server of its own; there also the write-ahead log of each operation. Rows are made by real
 * sign-ins, then copied under random keys until pages are full of them.
 * Usage: node bench/sizes.ts [--sign-ins 100] [--rows 100000]
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { openDatabase, type Database } from '../src/storage/database.ts';
import { findPostgresql, startPostgresql } from '../test/nodes/support/postgresql-server.ts';
import { basicAuth } from '../test/support/server.ts';
import { startPortcullis, type Target } from './targets.ts';

const { values } = parseArgs({
  options: {
    'sign-ins': { type: 'string', default: '100' },
    rows: { type: 'string', default: '100000' },
  },
});
const signIns = Number(values['sign-ins']);
const rows = Number(values.rows);

/** Columns that differ from row to row, and are indexed; `*`: in order of time. */
const KEYS: Record<string, readonly string[]> = {
  families: ['id', 'user_id', 'session_uid'],
  sessions: ['uid', 'hash', 'user_id'],
  consents: ['user_id'],
  users: ['id', 'username', 'username_key'],
  audit_events: ['*id', 'user_id', 'grant_id'],
};

const DIALECT = {
  sqlite: {
    series: `(WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < $1) SELECT i FROM s) s`,
    text: (column: string) => `substr(lower(hex(randomblob(32))), 1, max(16, length(${column})))`,
    bytes: (column: string) => `randomblob(length(${column}))`,
    inOrder: (column: string) =>
      `substr(${column}, 1, length(${column}) - 12) || printf('%06d%06d', s.i, t.rowid % 1000000)`,
    columns: (table: string) => `SELECT name, type FROM pragma_table_info('${table}')`,
    size: (table: string) =>
      `SELECT SUM(pgsize) AS size FROM dbstat WHERE name IN
         (SELECT name FROM sqlite_master WHERE tbl_name = '${table}')`,
  },
  postgresql: {
    series: `generate_series(1, $1::int) AS s(i)`,
    text: (column: string) =>
      `substr(md5(random()::text) || md5(random()::text), 1, greatest(16, length(${column})))`,
    bytes: (column: string) =>
      `substr(decode(md5(random()::text) || md5(random()::text), 'hex'), 1, length(${column}))`,
    inOrder: (column: string) =>
      `substr(${column}, 1, length(${column}) - 12) || lpad(s.i::text, 6, '0') || lpad((row_number() OVER ())::text, 6, '0')`,
    columns: (table: string) =>
      `SELECT column_name AS name, data_type AS type FROM information_schema.columns
       WHERE table_name = '${table}' AND table_schema = current_schema()`,
    size: (table: string) => `SELECT pg_total_relation_size('${table}') AS size`,
  },
} as const;

/** Copies the rows of a table under random keys. @returns bytes a row */
async function bytesOf({ sql, kind }: Database, table: string): Promise<number> {
  const dialect = DIALECT[kind];
  const columns = await sql.read<{ name: string; type: string }>(`columns-${table}`, dialect.columns(table));
  const keys = KEYS[table] ?? [];
  const value = ({ name, type }: { name: string; type: string }): string => {
    const column = `t.${name}`;
    if (keys.includes(`*${name}`)) return dialect.inOrder(column);
    if (!keys.includes(name)) return column;
    const random = /text/i.test(type) ? dialect.text(column) : dialect.bytes(column);
    return `CASE WHEN ${column} IS NULL THEN NULL ELSE ${random} END`;
  };
  const count = async (): Promise<number> =>
    Number((await sql.read<{ n: number }>(`count-${table}`, `SELECT COUNT(*) AS n FROM ${table}`))[0]?.n);
  const real = await count();
  await sql.write(
    `copy-${table}`,
    `INSERT INTO ${table} (${columns.map(({ name }) => name).join(', ')})
     SELECT ${columns.map(value).join(', ')} FROM ${table} t CROSS JOIN ${dialect.series} ORDER BY s.i`,
    [Math.ceil(rows / real)],
  );
  const [found] = await sql.read<{ size: number }>(`size-${table}`, dialect.size(table));
  return Math.round(Number(found?.size) / (await count()));
}

/** Bytes of the write-ahead log so far. */
async function logged({ sql }: Database): Promise<number> {
  const [row] = await sql.read<{ bytes: string }>(
    'wal',
    `SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::text AS bytes`,
  );
  return Number(row?.bytes);
}

async function token(target: Target, form: Record<string, string>): Promise<string> {
  const response = await fetch(`${target.url}/token`, {
    method: 'POST',
    headers: { authorization: basicAuth(target.client.id, target.client.secret) },
    body: new URLSearchParams(form),
  });
  const body = (await response.json()) as { refresh_token?: string };
  if (response.status !== 200) throw new Error(`no token: ${JSON.stringify(body)}`);
  return body.refresh_token ?? '';
}

async function measure(url: string): Promise<Record<string, number>> {
  const target = await startPortcullis('sizes', { url, pids: [] });
  const database = await openDatabase({ url, statementTimeout: 600_000, busyTimeout: 60_000 });
  const found: Record<string, number> = {};
  const during = async (what: string, times: number, work: () => Promise<void>): Promise<void> => {
    const before = database.kind === 'postgresql' ? await logged(database) : undefined;
    for (let done = 0; done < times; done++) await work();
    if (before !== undefined) found[`log: ${what}`] = Math.round(((await logged(database)) - before) / times);
  };
  try {
    const chains: string[] = [];
    await during('a sign-in, to the first tokens', signIns, async () => {
      chains.push(...(await target.seed(1)).refresh);
    });
    let turn = 0;
    await during('a refresh', signIns * 5, async () => {
      const index = turn++ % chains.length;
      chains[index] = await token(target, {
        grant_type: 'refresh_token',
        refresh_token: chains[index] ?? '',
      });
    });
    await during('client_credentials', signIns * 5, async () => {
      await token(target, { grant_type: 'client_credentials', scope: 'orders:read' });
    });
    const [audit] = await database.sql.read<{ n: number }>(
      'events',
      'SELECT COUNT(*) AS n FROM audit_events',
    );
    found['audit rows of a sign-in'] = Math.round(Number(audit?.n) / signIns);
  } finally {
    await target.stop();
  }
  for (const table of Object.keys(KEYS)) found[`row of ${table}`] = await bytesOf(database, table);
  await database.close();
  return found;
}

const folder = mkdtempSync(join(tmpdir(), 'portcullis-sizes-'));
const results: Record<string, Record<string, number>> = {
  sqlite: await measure(`file:${join(folder, 'sizes.db')}`),
};
rmSync(folder, { recursive: true, force: true });
const bin = findPostgresql();
if (bin === undefined) console.error("PostgreSQL's programs are not found.");
else {
  const server = await startPostgresql(bin);
  try {
    results['postgresql'] = await measure(server.url);
  } finally {
    await server.remove();
  }
}
console.log('bytes');
console.table(
  Object.fromEntries(
    Object.keys(results['postgresql'] ?? results['sqlite'] ?? {}).map((what) => [
      what,
      Object.fromEntries(Object.entries(results).map(([kind, found]) => [kind, found[what] ?? ''])),
    ]),
  ),
);
