/** Hand-written SQL for the hot paths: one text for both databases, with PostgreSQL's placeholders. */

/** What a parameter may be. SQLite stores a boolean as 0 or 1. */
export type SqlValue = string | number | bigint | boolean | null | Uint8Array;

/**
 * Runs statements, each on its own or all inside one transaction.
 *
 * `name` is stable and unique for a text: it names the prepared statement on PostgreSQL, and the `op` of the metric.
 * Rows: integers are JavaScript numbers (one beyond 2^53 throws), bytes are `Uint8Array`, a boolean column is a
 * boolean; a computed condition is 0 or 1 on SQLite, so select `case when … then 1 else 0 end`.
 * @throws PortcullisError `database_unavailable` when the database cannot be reached or does not answer in time
 */
export interface Sql {
  /** Rows of one read-only statement. */
  read<Row>(name: string, text: string, params?: readonly SqlValue[]): Promise<Row[]>;
  /** One writing statement (may have RETURNING); count = rows changed. */
  write<Row = never>(
    name: string,
    text: string,
    params?: readonly SqlValue[],
  ): Promise<{ rows: Row[]; count: number }>;
}

/** Statements of one transaction. On PostgreSQL a failed one dooms the rest: prefer ON CONFLICT to catching. */
export interface Transaction extends Sql {
  /** Several statements separated by semicolons, without parameters. */
  script(name: string, text: string): Promise<void>;
}

/** A text with `?` in place of `$n`, and which parameter (from 0) each `?` takes. */
export interface PositionalText {
  readonly text: string;
  readonly order: readonly number[];
}

/** Translates PostgreSQL's placeholders: `node:sqlite` of Node 22 cannot bind `?n` by position. */
export function toPositional(text: string): PositionalText {
  const order: number[] = [];
  const positional = text.replace(/\$(\d+)/g, (_, n: string) => {
    order.push(Number(n) - 1);
    return '?';
  });
  return { text: positional, order };
}

/** `sql` with the duration of each call reported; `seconds` includes the wait for a connection. */
export function timed(sql: Sql, onQuery: (op: string, seconds: number) => void): Sql {
  const measure = async <T>(name: string, call: () => Promise<T>): Promise<T> => {
    const start = performance.now();
    try {
      return await call();
    } finally {
      onQuery(name, (performance.now() - start) / 1000);
    }
  };
  return {
    read: (name, text, params) => measure(name, () => sql.read(name, text, params)),
    write: (name, text, params) => measure(name, () => sql.write(name, text, params)),
  };
}
