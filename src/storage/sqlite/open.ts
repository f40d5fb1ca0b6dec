/** Opens a SQLite file: one writer, one reader, and raw SQL over them. */
import { resolve } from 'node:path';
import { StartError } from '../../lib/errors.ts';
import { translate } from '../failures.ts';
import type { Transaction } from '../sql.ts';
import type { Store } from '../store.ts';
import { createFile, openConnection } from './connection.ts';
import { driverAdapter } from './driver-adapter.ts';
import { Writer, type WriterTransaction } from './writer.ts';

/** The path in a `file:` URL; a relative one starts at the working directory. */
export const pathOf = (url: string): string => resolve(url.replace(/^file:(\/\/)?/, ''));

async function guarded<T>(work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw translate(error);
  }
}

const sqlOver = (transaction: WriterTransaction): Transaction => ({
  read: (_, text, params) =>
    guarded(() => transaction.use((connection) => connection.query<never>(text, params).rows)),
  write: (_, text, params) =>
    guarded(() => transaction.use((connection) => connection.query<never>(text, params))),
  script: (_, text) => guarded(() => transaction.use((connection) => connection.exec(text))),
});

/**
 * @param url `file:…`; the file and its folder are made, for the owner alone, when missing
 * @param busyTimeout milliseconds to wait for another process that writes
 * @throws StartError when the file cannot be opened
 */
export async function openSqlite(url: string, busyTimeout: number): Promise<Store> {
  const path = pathOf(url);
  try {
    createFile(path);
    const writer = new Writer(await openConnection(path, 'writer', busyTimeout), busyTimeout);
    const reader = await openConnection(path, 'reader', busyTimeout);
    const read: Store['sql']['read'] = (_, text, params) =>
      guarded(() => reader.query<never>(text, params).rows);
    return {
      adapter: driverAdapter(writer, reader),
      lookout: { read },
      sql: {
        read,
        write: (_, text, params) =>
          guarded(() => writer.run(text, (connection) => connection.query<never>(text, params))),
      },
      transaction: (work) => inTransaction(writer, work),
      close: () => {
        reader.close();
        writer.close();
        return Promise.resolve();
      },
    };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new StartError(`cannot open the database file ${path}: ${reason}`, { cause: error });
  }
}

async function inTransaction<T>(writer: Writer, work: (tx: Transaction) => Promise<T>): Promise<T> {
  const transaction = await guarded(() => writer.begin());
  try {
    const result = await work(sqlOver(transaction));
    await guarded(() => transaction.commit());
    return result;
  } finally {
    transaction.rollback();
  }
}
