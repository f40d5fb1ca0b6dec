/**
 * The one connection that writes, behind a queue. Statements that wait together share a commit (one fsync) and are
 * acknowledged after it; a transaction has the connection to itself until it ends.
 */
import { isBusy, type Connection } from './connection.ts';

/** The connection while a transaction is open on it. */
export interface WriterTransaction {
  /** @throws when the transaction has ended, or SQLite has rolled it back */
  use<T>(work: (connection: Connection) => T): T;
  /** Rolls back when it throws. Either way the next in the queue gets its turn. */
  commit(): void;
  /** Does nothing when the transaction has ended. */
  rollback(): void;
}

interface Turn {
  /** May run inside a transaction with others. */
  readonly shareable: boolean;
  /** Undefined: this turn is a transaction. */
  readonly work: ((connection: Connection) => unknown) | undefined;
  resolve(value: unknown): void;
  reject(error: unknown): void;
  /** Until when it waits for another process that writes; milliseconds of a stopwatch. */
  until?: number;
}

/** INSERT, UPDATE, DELETE (also behind WITH); anything else may be refused inside a transaction (VACUUM, PRAGMA). */
const SHAREABLE = /^\s*(insert|update|delete|replace|with)\b/i;

/** Milliseconds between looks whether another process has done writing, as SQLite spaces them itself. */
const LOOKS = [1, 2, 5, 10, 15, 20, 25];

/**
 * Owns the writing connection. Another process that writes is waited for here: SQLite would do it by stopping the
 * whole process, reads and probes included.
 */
export class Writer {
  readonly #connection: Connection;
  readonly #patience: number;
  #looks = 0;
  #waiting: NodeJS.Timeout | undefined;
  #queue: Turn[] = [];
  #held = false;
  #scheduled = false;
  #closed = false;

  /** @param patience milliseconds that a statement waits for another process */
  constructor(connection: Connection, patience: number) {
    this.#connection = connection;
    this.#patience = patience;
    connection.exec('PRAGMA busy_timeout = 0');
  }

  /** Runs one statement, durably committed when the promise resolves. `text` decides whether it may share a commit. */
  run<T>(text: string, work: (connection: Connection) => T): Promise<T> {
    return this.#enqueue(SHAREABLE.test(text), work) as Promise<T>;
  }

  /** Waits for the connection and begins a transaction on it. */
  begin(): Promise<WriterTransaction> {
    return this.#enqueue(false, undefined) as Promise<WriterTransaction>;
  }

  /** Refuses who waits, rolls back what is open, closes the connection. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#waiting);
    for (const turn of this.#queue.splice(0)) turn.reject(new Error('database is closed'));
    this.#connection.close();
  }

  #enqueue(shareable: boolean, work: Turn['work']): Promise<unknown> {
    if (this.#closed) return Promise.reject(new Error('database is closed'));
    return new Promise((resolve, reject) => {
      this.#queue.push({ shareable, work, resolve, reject });
      this.#schedule();
    });
  }

  /** After this round of the event loop, so that requests that arrived together are written together. */
  #schedule(): void {
    if (this.#scheduled || this.#held || this.#waiting || this.#queue.length === 0) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#serve();
      this.#schedule();
    });
  }

  #serve(): void {
    const alone = this.#queue.findIndex((turn) => !turn.shareable);
    const together = this.#queue.splice(0, alone === -1 ? this.#queue.length : Math.max(alone, 1));
    const [first] = together;
    if (!first) return;
    if (together.length > 1) this.#runTogether(together);
    else this.#runAlone(first);
  }

  #runAlone(turn: Turn): void {
    try {
      turn.resolve(turn.work ? turn.work(this.#connection) : this.#transaction());
      this.#looks = 0;
    } catch (error) {
      if (isBusy(error)) this.#again([turn], error);
      else turn.reject(error);
    }
  }

  /** Nothing has happened yet: these are next once the other process is done. */
  #again(turns: readonly Turn[], error: unknown): void {
    const now = performance.now();
    // Whoever stands behind waits for the same process: each is refused in its own time, not after those before it.
    const waiting = [...turns, ...this.#queue];
    for (const turn of waiting) turn.until ??= now + this.#patience;
    this.#queue = waiting.filter(({ until = 0 }) => now < until);
    for (const turn of waiting) if (!this.#queue.includes(turn)) turn.reject(error);
    if (this.#queue.length === 0) return;
    const pause = LOOKS[Math.min(this.#looks++, LOOKS.length - 1)];
    this.#waiting = setTimeout(() => {
      this.#waiting = undefined;
      this.#schedule();
    }, pause);
  }

  #runTogether(turns: readonly Turn[]): void {
    const answers: (() => void)[] = [];
    try {
      this.#connection.exec('BEGIN IMMEDIATE');
    } catch (error) {
      if (isBusy(error)) this.#again(turns, error);
      else for (const turn of turns) turn.reject(error);
      return;
    }
    this.#looks = 0;
    try {
      for (const turn of turns) {
        try {
          const value = turn.work?.(this.#connection);
          answers.push(() => turn.resolve(value));
        } catch (error) {
          // A failed statement undoes itself only; without a transaction SQLite has undone the others as well.
          if (!this.#connection.inTransaction) throw error;
          answers.push(() => turn.reject(error));
        }
      }
      this.#connection.exec('COMMIT');
    } catch (error) {
      this.#undo();
      for (const turn of turns) turn.reject(error);
      return;
    }
    for (const answer of answers) answer();
  }

  #transaction(): WriterTransaction {
    this.#connection.exec('BEGIN IMMEDIATE');
    this.#held = true;
    const end = (): void => {
      this.#held = false;
      this.#schedule();
    };
    let open = true;
    return {
      use: (work) => {
        if (!open || this.#closed) throw new Error('the transaction has ended');
        if (!this.#connection.inTransaction) throw new Error('the database has rolled the transaction back');
        return work(this.#connection);
      },
      commit: () => {
        if (!open || this.#closed) throw new Error('the transaction has ended');
        open = false;
        try {
          this.#connection.exec('COMMIT');
        } catch (error) {
          this.#undo();
          throw error;
        } finally {
          end();
        }
      },
      rollback: () => {
        if (!open || this.#closed) return;
        open = false;
        try {
          this.#connection.rollback();
        } finally {
          end();
        }
      },
    };
  }

  /** Keeps the error that made it necessary. */
  #undo(): void {
    try {
      this.#connection.rollback();
    } catch {
      // the next BEGIN says so
    }
  }
}
