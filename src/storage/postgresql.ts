/** Opens PostgreSQL: one pool, and raw SQL over it with named prepared statements. */
import { PrismaPg } from '@prisma/adapter-pg';
import pg from 'pg';
import { StartError } from '../lib/errors.ts';
import { isUnavailable, translate } from './failures.ts';
import type { SqlValue, Transaction } from './sql.ts';
import type { Store } from './store.ts';

/** Limits of the pool. */
export interface PostgresqlOptions {
  readonly poolSize: number;
  /** Milliseconds to wait for a free or a new connection. */
  readonly connectTimeout: number;
  /** Milliseconds that one statement may take. */
  readonly statementTimeout: number;
  /** Milliseconds that a transaction may sit idle. */
  readonly idleTransactionTimeout: number;
  /** Told of connections that break while nobody waits for an answer on them. */
  readonly onError: (error: Error) => void;
}

/**
 * What everything here counts on, whatever the database's own default is: conditional updates that see each other, and
 * a transaction that, once it has a lock, reads what the one before it wrote.
 */
const ISOLATION = 'SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED';

const NAMED_STATEMENTS = 500;
const UNLIMITED = 2 ** 31 - 1;
/** Milliseconds after the server's own timeout; a server that does not even say that is out of reach. */
const SILENCE = 500;

/** 64-bit integers as numbers; everything else as pg has it. */
const types: pg.CustomTypesConfig = {
  getTypeParser: ((oid: Parameters<typeof pg.types.getTypeParser>[0], format: 'text') =>
    oid === pg.types.builtins.INT8
      ? safeInteger
      : (pg.types.getTypeParser(oid, format) as unknown)) as pg.CustomTypesConfig['getTypeParser'],
};

function safeInteger(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value)) throw new RangeError(`integer ${text} is too large for a number`);
  return value;
}

/** Names the statements that Prisma makes; past the bound they stay unnamed, for the server keeps each name for good. */
function statementNames(): (query: { sql: string }) => string {
  const names = new Map<string, string>();
  return ({ sql }) => {
    let name = names.get(sql);
    if (name === undefined) {
      if (names.size >= NAMED_STATEMENTS) return '';
      name = `prisma_${names.size}`;
      names.set(sql, name);
    }
    return name;
  };
}

/** Not pool.query: that gives a connection up after every error, a duplicate key too. */
async function lend(pool: pg.Pool): Promise<pg.PoolClient> {
  try {
    return await pool.connect();
  } catch (error) {
    throw translate(error);
  }
}

async function query<Row>(
  client: pg.PoolClient,
  name: string,
  text: string,
  values: readonly SqlValue[] = [],
): Promise<{ rows: Row[]; count: number }> {
  const { rows, rowCount } = await client.query({ name, text, values: [...values] });
  return { rows: rows as Row[], count: rowCount ?? 0 };
}

async function single<Row>(
  pool: pg.Pool,
  name: string,
  text: string,
  values?: readonly SqlValue[],
): Promise<{ rows: Row[]; count: number }> {
  const client = await lend(pool);
  let broken = false;
  try {
    return await query(client, name, text, values);
  } catch (error) {
    broken = !(error instanceof pg.DatabaseError && error.severity === 'ERROR');
    throw translate(error);
  } finally {
    client.release(broken);
  }
}

/** @param state kept up by whoever ends the transaction: its connection belongs to somebody else afterwards */
function statementsOf(client: pg.PoolClient, state: { readonly open: boolean }): Transaction {
  const translated = async <T>(call: () => Promise<T>): Promise<T> => {
    if (!state.open) throw new Error('the transaction has ended');
    try {
      return await call();
    } catch (error) {
      throw translate(error);
    }
  };
  return {
    read: async (name, text, params) =>
      (await translated(() => query<never>(client, name, text, params))).rows,
    write: (name, text, params) => translated(() => query<never>(client, name, text, params)),
    script: async (_, text) => {
      const patient: pg.QueryConfig & { query_timeout: number } = { text, query_timeout: UNLIMITED };
      await translated(() => client.query(patient));
    },
  };
}

async function inTransaction<T>(pool: pg.Pool, work: (tx: Transaction) => Promise<T>): Promise<T> {
  const client = await lend(pool);
  const state = { open: true };
  let broken = false;
  try {
    await client.query('BEGIN');
    const result = await work(statementsOf(client, state));
    state.open = false;
    // PostgreSQL answers COMMIT of a transaction in which a statement has failed with ROLLBACK, and no error.
    const { command } = await client.query('COMMIT');
    if (command !== 'COMMIT') throw new Error('transaction rolled back: a statement in it had failed');
    return result;
  } catch (error) {
    state.open = false;
    broken = !(await rolledBack(client, error));
    throw translate(error);
  } finally {
    client.release(broken);
  }
}

/** Whether the connection can be used again; closing it makes the server roll back. */
async function rolledBack(client: pg.PoolClient, error: unknown): Promise<boolean> {
  if (isUnavailable(error)) return false;
  try {
    await client.query('ROLLBACK');
    return true;
  } catch {
    return false;
  }
}

/**
 * @param url `postgresql://…`
 * @throws StartError when the server does not answer
 */
export async function openPostgresql(url: string, options: PostgresqlOptions): Promise<Store> {
  const settings: pg.PoolConfig = {
    connectionString: url,
    application_name: 'portcullis',
    connectionTimeoutMillis: options.connectTimeout,
    statement_timeout: options.statementTimeout,
    query_timeout: options.statementTimeout + SILENCE,
    idle_in_transaction_session_timeout: options.idleTransactionTimeout,
    keepAlive: true,
    onConnect: (client) => client.query(ISOLATION) as unknown as void, // the pool waits for it
    types,
  };
  const [pool, lookout] = [options.poolSize, 1].map((max) => new pg.Pool({ ...settings, max })) as [
    pg.Pool,
    pg.Pool,
  ];
  for (const each of [pool, lookout]) {
    // Without listeners a restart of the database would end the process; a pool only repeats what idle clients say.
    each.on('connect', (client) => client.on('error', options.onError));
    each.on('error', () => {});
  }
  try {
    await pool.query('select 1');
  } catch (error) {
    await pool.end();
    throw new StartError(`cannot reach the database: ${describe(error)}`, { cause: error });
  }
  return {
    adapter: new PrismaPg(pool, { statementNameGenerator: statementNames() }),
    sql: {
      read: async (name, text, params) => (await single<never>(pool, name, text, params)).rows,
      write: (name, text, params) => single(pool, name, text, params),
    },
    lookout: { read: async (name, text, params) => (await single<never>(lookout, name, text, params)).rows },
    transaction: (work) => inTransaction(pool, work),
    close: async () => void (await Promise.all([pool.end(), lookout.end()])),
  };
}

/** An AggregateError (several addresses of a host tried) has no message of its own. */
function describe(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(describe).join('; ');
  return error instanceof Error ? error.message : String(error);
}
