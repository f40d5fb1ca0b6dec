/**
 * The one connection that writes, behind a queue. Statements that wait together share a commit (one fsync) and are
 * acknowledged after it; a transaction has the connection to itself until it ends.
 */
import type { Connection } from './connection.ts';

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
}

/** INSERT, UPDATE, DELETE (also behind WITH); anything else may be refused inside a transaction (VACUUM, PRAGMA). */
const SHAREABLE = /^\s*(insert|update|delete|replace|with)\b/i;

/** Owns the writing connection. */
export class Writer {
  readonly #connection: Connection;
  #queue: Turn[] = [];
  #held = false;
  #scheduled = false;
  #closed = false;

  constructor(connection: Connection) {
    this.#connection = connection;
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
    if (this.#scheduled || this.#held || this.#queue.length === 0) return;
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
    } catch (error) {
      turn.reject(error);
    }
  }

  #runTogether(turns: readonly Turn[]): void {
    const answers: (() => void)[] = [];
    try {
      this.#connection.exec('BEGIN IMMEDIATE');
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
