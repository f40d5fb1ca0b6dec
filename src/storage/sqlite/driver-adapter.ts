/** Prisma's driver adapter over `node:sqlite`: the same two connections that raw SQL runs on. */
import type {
  IsolationLevel,
  SqlDriverAdapter,
  SqlDriverAdapterFactory,
  SqlQuery,
  SqlResultSet,
  Transaction,
} from '@prisma/driver-adapter-utils';
import { DriverAdapterError } from '@prisma/driver-adapter-utils';
import type { Connection } from './connection.ts';
import { columnTypes, toDriverError, toPrisma, toSqlite } from './values.ts';
import type { Writer, WriterTransaction } from './writer.ts';

const info = { provider: 'sqlite', adapterName: 'node-sqlite' } as const;

/** A SELECT cannot write on SQLite; whatever else there is goes to the writer. */
const READS = /^\s*select\b/i;

function bind(query: SqlQuery): ReturnType<typeof toSqlite>[] {
  return query.args.map((value, i) => toSqlite(value, query.argTypes[i]));
}

function queryOn(connection: Connection, query: SqlQuery): SqlResultSet {
  const { statement, names, types: declared } = connection.prepared(query.sql);
  // The array shape was asked for with setReturnArrays.
  const rows = statement.all(...bind(query)) as unknown as unknown[][];
  const types = columnTypes(declared, rows);
  return {
    columnNames: names,
    columnTypes: types,
    rows: rows.map((row) => row.map((value, i) => toPrisma(value, types[i]))),
  };
}

function executeOn(connection: Connection, query: SqlQuery): number {
  return Number(connection.prepared(query.sql).statement.run(...bind(query)).changes);
}

async function guarded<T>(work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw toDriverError(error);
  }
}

const transactionOver = (transaction: WriterTransaction): Transaction => ({
  ...info,
  options: { usePhantomQuery: true }, // commit() and rollback() below do the work, not a query of Prisma's
  queryRaw: (query) => guarded(() => transaction.use((connection) => queryOn(connection, query))),
  executeRaw: (query) => guarded(() => transaction.use((connection) => executeOn(connection, query))),
  commit: () => guarded(() => transaction.commit()),
  rollback: () => guarded(() => transaction.rollback()),
  createSavepoint: (name) =>
    guarded(() => transaction.use((connection) => connection.exec(`SAVEPOINT ${name}`))),
  rollbackToSavepoint: (name) =>
    guarded(() => transaction.use((connection) => connection.exec(`ROLLBACK TO SAVEPOINT ${name}`))),
  releaseSavepoint: (name) =>
    guarded(() => transaction.use((connection) => connection.exec(`RELEASE SAVEPOINT ${name}`))),
});

async function startTransaction(writer: Writer, level?: IsolationLevel): Promise<Transaction> {
  // One writer at a time is serializable, which satisfies every weaker level; SNAPSHOT promises something else.
  if (level === 'SNAPSHOT') throw new DriverAdapterError({ kind: 'InvalidIsolationLevel', level });
  return transactionOver(await guarded(() => writer.begin()));
}

/** The adapter for these two connections; whoever opened them closes them. */
export function driverAdapter(writer: Writer, reader: Connection): SqlDriverAdapterFactory {
  const adapter: SqlDriverAdapter = {
    ...info,
    queryRaw: (query) =>
      guarded(() =>
        READS.test(query.sql)
          ? queryOn(reader, query)
          : writer.run(query.sql, (connection) => queryOn(connection, query)),
      ),
    executeRaw: (query) => guarded(() => writer.run(query.sql, (connection) => executeOn(connection, query))),
    executeScript: (script) => guarded(() => writer.run(script, (connection) => connection.exec(script))),
    startTransaction: (level) => startTransaction(writer, level),
    getConnectionInfo: () => ({ maxBindValues: 32_766, supportsRelationJoins: false }),
    dispose: () => Promise.resolve(),
  };
  return { ...info, connect: () => Promise.resolve(adapter) };
}
