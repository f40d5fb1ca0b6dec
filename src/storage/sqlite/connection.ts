/** One connection to a SQLite file, and a bounded cache of its prepared statements. */
import { closeSync, existsSync, mkdirSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import { setTimeout } from 'node:timers/promises';
import { toPositional, type SqlValue } from '../sql.ts';

/** A statement of ours: rows are objects, integers are numbers. */
export interface RowStatement {
  readonly statement: StatementSync;
  readonly order: readonly number[];
  readonly returnsRows: boolean;
  readonly booleans: readonly string[];
}

/** A statement of Prisma's: rows are arrays, integers are bigints. */
export interface ArrayStatement {
  readonly statement: StatementSync;
  readonly names: string[];
  /** Declared types in upper case; empty for an expression. */
  readonly types: readonly string[];
}

const CACHED_STATEMENTS = 250;
/** Primary result code: another connection holds the lock. */
const BUSY = 5;
const OPEN_ATTEMPTS = 100;

/** An integral number is bound as an integer: `node:sqlite` would bind a real one, and 7 / 2 would be 3.5. */
export const bindable = (value: SqlValue): SQLInputValue => {
  if (typeof value === 'number') return Number.isSafeInteger(value) ? BigInt(value) : value;
  return typeof value === 'boolean' ? (value ? 1n : 0n) : value;
};

/** Whether SQLite refused since another connection writes; extended codes say more in their upper bytes. */
export const isBusy = (error: unknown): boolean =>
  ((error as { errcode?: number } | undefined)?.errcode ?? 0) % 256 === BUSY;

class StatementCache<T> {
  readonly #prepare: (text: string) => T;
  readonly #cached = new Map<string, T>();

  constructor(prepare: (text: string) => T) {
    this.#prepare = prepare;
  }

  get(text: string): T {
    let found = this.#cached.get(text);
    if (found === undefined) {
      found = this.#prepare(text);
      if (this.#cached.size >= CACHED_STATEMENTS) {
        for (const oldest of this.#cached.keys()) {
          this.#cached.delete(oldest);
          break;
        }
      }
      this.#cached.set(text, found);
    }
    return found;
  }
}

/** `node:sqlite` would silently leave out whatever follows the first statement. */
function prepareOne(db: DatabaseSync, text: string): StatementSync {
  const statement = db.prepare(text);
  if (text.slice(statement.sourceSQL.length).trim() !== '') throw new Error('more than one statement');
  return statement;
}

/** Everything on it is synchronous; whoever holds it decides who may use it when. */
export class Connection {
  readonly #db: DatabaseSync;
  readonly #rows: StatementCache<RowStatement>;
  readonly #arrays: StatementCache<ArrayStatement>;

  constructor(db: DatabaseSync) {
    this.#db = db;
    this.#rows = new StatementCache((text) => {
      const positional = toPositional(text);
      const statement = prepareOne(db, positional.text);
      const columns = statement.columns();
      return {
        statement,
        order: positional.order,
        returnsRows: columns.length > 0,
        booleans: columns.filter(({ type }) => type?.toUpperCase() === 'BOOLEAN').map(({ name }) => name),
      };
    });
    this.#arrays = new StatementCache((text) => {
      const statement = prepareOne(db, text);
      statement.setReturnArrays(true);
      statement.setReadBigInts(true);
      const columns = statement.columns();
      return {
        statement,
        names: columns.map(({ name }) => name),
        types: columns.map(({ type }) => type?.toUpperCase() ?? ''),
      };
    });
  }

  /** Whether a transaction is open: SQLite ends it by itself on a full disk or an I/O error. */
  get inTransaction(): boolean {
    return this.#db.isTransaction;
  }

  /** Prisma's view of a statement. */
  prepared(text: string): ArrayStatement {
    return this.#arrays.get(text);
  }

  /** Several statements without parameters. */
  exec(text: string): void {
    this.#db.exec(text);
  }

  /** One statement of ours, with `$n` placeholders. */
  query<Row>(text: string, params: readonly SqlValue[] = []): { rows: Row[]; count: number } {
    const { statement, order, returnsRows, booleans } = this.#rows.get(text);
    const values = order.map((index) => {
      const value = params[index];
      if (value === undefined) throw new TypeError(`no value for parameter $${index + 1}`);
      return bindable(value);
    });
    if (!returnsRows) return { rows: [], count: Number(statement.run(...values).changes) };
    const rows = statement.all(...values);
    for (const row of rows) {
      for (const name of booleans) {
        if (row[name] !== null) (row as Record<string, unknown>)[name] = row[name] === 1;
      }
    }
    return { rows: rows as Row[], count: rows.length };
  }

  /** Ends the open transaction, if there is one. */
  rollback(): void {
    if (this.inTransaction) this.#db.exec('ROLLBACK');
  }

  close(): void {
    this.#db.close();
  }
}

/** Makes the file, and the folder it is in, for the owner alone; SQLite gives its side files the same mode. */
export function createFile(path: string): void {
  const folder = dirname(path);
  if (!existsSync(folder)) mkdirSync(folder, { mode: 0o700 });
  closeSync(openSync(path, 'a', 0o600));
}

/**
 * Opens a connection in WAL mode that waits up to `busyTimeout` milliseconds for another process.
 * @param role a reader refuses to write
 */
export async function openConnection(
  path: string,
  role: 'writer' | 'reader',
  busyTimeout: number,
): Promise<Connection> {
  const db = new DatabaseSync(path);
  try {
    db.exec(`PRAGMA busy_timeout = ${busyTimeout}`);
    await switchToWal(db);
    db.exec('PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON');
    if (role === 'reader') db.exec('PRAGMA query_only = ON');
    return new Connection(db);
  } catch (error) {
    db.close();
    throw error;
  }
}

/** Two processes that open a new file at once both change its mode; SQLite does not wait for this lock by itself. */
async function switchToWal(db: DatabaseSync): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      db.exec('PRAGMA journal_mode = WAL');
      return;
    } catch (error) {
      if (!isBusy(error) || attempt === OPEN_ATTEMPTS) throw error;
      await setTimeout(20);
    }
  }
}
