/** A database that tells of each step a request asks it for, and fails where a test wants it to. */
import { AsyncLocalStorage } from 'node:async_hooks';
import type Koa from 'koa';
import type { Database, Sql } from '../../../src/storage/database.ts';
import { PortcullisError } from '../../../src/lib/errors.ts';

/**
 * Told of each step, by the statement's name; a transaction has the steps `begin` and `commit` as well, an operation
 * of Prisma's is `prisma Model.operation`. A tap that throws makes the step fail: `before` it is done, or after.
 */
export interface Tap {
  before?(step: string): void | Promise<void>;
  after?(step: string): void | Promise<void>;
}

/** A `wrapDatabase` whose tap can be changed while the server runs. */
export interface TappedDatabase {
  tap: Tap;
  readonly wrap: (database: Database) => Database;
  /** From now on the steps of requests are told, and no others: a server has work of its own as well. */
  watch(koa: Koa): void;
  /** The steps of `work`, in order: on PostgreSQL each is one round trip. */
  steps(work: () => Promise<unknown>): Promise<string[]>;
}

/** What a database that cannot be reached makes of a statement. */
export const unavailable = (): PortcullisError =>
  new PortcullisError('database_unavailable', 503, 'The database is not available, try again later.', {
    retryAfter: 1,
    reason: 'a test wanted it so',
  });

export function tappedDatabase(): TappedDatabase {
  const tapped: { tap: Tap } = { tap: {} };
  const requests = new AsyncLocalStorage<{ answered: boolean }>();
  const tell = async (what: 'before' | 'after', name: string): Promise<void> => {
    if (requests.getStore()?.answered === false) await tapped.tap[what]?.(name);
  };
  const step = async <T>(name: string, work: () => Promise<T>): Promise<T> => {
    await tell('before', name);
    const result = await work();
    await tell('after', name);
    return result;
  };
  const over = (sql: Sql): Sql => ({
    read: (name, text, params) => step(name, () => sql.read(name, text, params)),
    write: (name, text, params) => step(name, () => sql.write(name, text, params)),
  });
  return Object.assign(tapped, {
    watch(koa: Koa) {
      const server = koa as unknown as { handleRequest(...args: unknown[]): Promise<unknown> };
      const handle = server.handleRequest.bind(koa);
      server.handleRequest = (...args) => {
        const request = { answered: false };
        // Timers that a request has set still carry its context when it has long been answered.
        return requests.run(request, () =>
          handle(...args).finally(() => {
            request.answered = true;
          }),
        );
      };
    },
    wrap: (database: Database): Database => ({
      ...database,
      sql: over(database.sql),
      async transaction<T>(work: (tx: Parameters<Parameters<Database['transaction']>[0]>[0]) => Promise<T>) {
        await tell('before', 'begin');
        const result = await database.transaction(async (tx) => {
          await tell('after', 'begin');
          const value = await work({ ...tx, ...over(tx) });
          await tell('before', 'commit');
          return value;
        });
        await tell('after', 'commit');
        return result;
      },
      prisma: database.prisma.$extends({
        query: {
          $allOperations: ({ model, operation, args, query }) =>
            step(`prisma ${model ?? ''}.${operation}`, () => query(args) as Promise<unknown>),
        },
      }) as unknown as Database['prisma'],
    }),
    async steps(work: () => Promise<unknown>) {
      const seen: string[] = [];
      const before = tapped.tap;
      tapped.tap = { before: (name) => void seen.push(name) };
      try {
        await work();
      } finally {
        tapped.tap = before;
      }
      return seen;
    },
  });
}
