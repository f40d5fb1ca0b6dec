/** The database, whichever it is: the only place that knows. Storage asks it; main and the CLI open and close it. */
import { StartError } from '../lib/errors.ts';
import type { PrismaClient } from './generated/postgresql/client.ts';
import { openPostgresql, type PostgresqlOptions } from './postgresql.ts';
import { timed, type Sql, type Transaction } from './sql.ts';
import { openSqlite } from './sqlite/open.ts';
import type { Store } from './store.ts';

export { isUnavailable, isUniqueViolation } from './failures.ts';
export type { Sql, Transaction } from './sql.ts';

/** An open database. */
export interface Database {
  readonly kind: 'sqlite' | 'postgresql';
  /** Typed as PostgreSQL's client for both: the schema keeps to what both understand. */
  readonly prisma: PrismaClient;
  readonly sql: Sql;
  /** For looking out: on PostgreSQL a connection of its own, so that it does not wait while all others are in use. */
  readonly lookout: Pick<Sql, 'read'>;
  /**
   * All statements of `work` in one transaction on one connection; rolled back when it throws. On SQLite nobody else
   * writes meanwhile: never wait in it for anything but its own statements.
   */
  transaction<T>(work: (tx: Transaction) => Promise<T>): Promise<T>;
  /** SQL expression: the database's own clock in epoch milliseconds as an integer; the same all through a statement. */
  readonly nowMs: string;
  close(): Promise<void>;
}

/** How to open it; all times in milliseconds. */
export interface DatabaseOptions extends Partial<PostgresqlOptions> {
  /** `file:…` (SQLite; relative to the working directory) or `postgresql://…`. */
  readonly url: string;
  /** Told of each finished statement: its name, or Prisma's model and operation. */
  readonly onQuery?: (op: string, seconds: number) => void;
  /** SQLite: how long to wait for another process that writes. */
  readonly busyTimeout?: number;
}

const NOW_MS = {
  sqlite: `cast(round(unixepoch('subsec') * 1000) as integer)`,
  // Stable within a statement, so an index may be searched with it; now() would be the start of the transaction.
  postgresql: `(extract(epoch from statement_timestamp()) * 1000)::bigint`,
} as const;

/**
 * Opens the database at `url`; `migrate` makes its tables.
 * @throws StartError, in one line, when it cannot be opened
 */
export async function openDatabase(options: DatabaseOptions): Promise<Database> {
  const kind = kindOf(options.url);
  if (kind === 'sqlite') {
    const store = await openSqlite(options.url, options.busyTimeout ?? 5_000);
    const generated = await import('./generated/sqlite/client.ts');
    // One schema made both clients; what differs in their types (query modes, skipDuplicates) is not used.
    const prisma = new generated.PrismaClient({ adapter: store.adapter }) as unknown as PrismaClient;
    return assemble(kind, prisma, store, options);
  }
  const store = await openPostgresql(options.url, {
    poolSize: options.poolSize ?? 10,
    // With what is added to it for a server that says nothing, each ends before five seconds are over.
    connectTimeout: options.connectTimeout ?? 4_000,
    statementTimeout: options.statementTimeout ?? 3_500,
    idleTransactionTimeout: options.idleTransactionTimeout ?? 10_000,
    onError: options.onError ?? (() => {}),
  });
  const generated = await import('./generated/postgresql/client.ts');
  return assemble(kind, new generated.PrismaClient({ adapter: store.adapter }), store, options);
}

function kindOf(url: string): Database['kind'] {
  if (url.startsWith('file:')) return 'sqlite';
  if (/^postgres(ql)?:\/\//.test(url)) return 'postgresql';
  throw new StartError('the database URL must start with file: or postgresql://');
}

function assemble(
  kind: Database['kind'],
  prisma: PrismaClient,
  store: Store,
  { onQuery }: DatabaseOptions,
): Database {
  return {
    kind,
    prisma: onQuery ? measured(prisma, onQuery) : prisma,
    sql: onQuery ? timed(store.sql, onQuery) : store.sql,
    lookout: store.lookout,
    transaction: onQuery
      ? (work) => store.transaction((tx) => work({ ...tx, ...timed(tx, onQuery) }))
      : store.transaction,
    nowMs: NOW_MS[kind],
    close: async () => {
      await prisma.$disconnect();
      await store.close();
    },
  };
}

function measured(prisma: PrismaClient, onQuery: (op: string, seconds: number) => void): PrismaClient {
  const extended = prisma.$extends({
    query: {
      async $allOperations({ model, operation, args, query }) {
        const start = performance.now();
        try {
          return (await query(args)) as unknown;
        } finally {
          onQuery(model ? `${model}.${operation}` : operation, (performance.now() - start) / 1000);
        }
      },
    },
  });
  // It lacks $on alone, which is not used.
  return extended as unknown as PrismaClient;
}
