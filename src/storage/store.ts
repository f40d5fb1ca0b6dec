/** What opening either database yields; `database.ts` puts the rest around it. */
import type { SqlDriverAdapterFactory } from '@prisma/driver-adapter-utils';
import type { Sql, Transaction } from './sql.ts';

/** Raw SQL, and the adapter through which Prisma uses the same connections. */
export interface Store {
  readonly adapter: SqlDriverAdapterFactory;
  readonly sql: Sql;
  /** See `Database`. */
  readonly lookout: Pick<Sql, 'read'>;
  transaction<T>(work: (tx: Transaction) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}
