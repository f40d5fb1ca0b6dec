/** Failure counters by keyed hash. How long a failure blocks is `users/throttle.ts`'s business. */
import type { Clock } from '../lib/clock.ts';
import type { Database } from './database.ts';

/** One counter and how it grows. */
export interface Counter {
  readonly key: Uint8Array;
  /** Milliseconds that the `failures`-th failure blocks. */
  readonly blockMs: (failures: number) => number;
  /** Milliseconds without a failure after which it starts anew. */
  readonly quietMs: number;
}

/** The counter that refuses, and until when (epoch milliseconds). */
export interface Block {
  readonly key: Uint8Array;
  readonly until: number;
}

export interface Throttles {
  /** Of these blocks the one that ends last; undefined when none is in force. */
  blocked(keys: readonly Uint8Array[]): Promise<Block | undefined>;
  /**
   * Counts one failure on each counter, unless one of them is blocked. Atomic: of parallel failures, those after the
   * one that blocked count nothing.
   * @returns the block that was in force
   */
  fail(counters: readonly Counter[]): Promise<Block | undefined>;
  /** Starts a counter anew, unless one of `keys` is blocked; the same answer as `fail`. */
  clear(key: Uint8Array, keys: readonly Uint8Array[]): Promise<Block | undefined>;
}

const places = (count: number, from: number): string =>
  Array.from({ length: count }, (_, i) => `$${i + from}`).join(', ');

export function createThrottles({ sql, transaction, kind }: Database, clock: Clock): Throttles {
  const blocked = async (
    tx: Pick<typeof sql, 'read'>,
    keys: readonly Uint8Array[],
  ): Promise<Block | undefined> => {
    const rows = await tx.read<Block>(
      `throttles.blocked.${keys.length}`,
      `SELECT key, blocked_until AS until FROM throttles
       WHERE blocked_until > $1 AND key IN (${places(keys.length, 2)})`,
      [clock.now(), ...keys],
    );
    return rows.toSorted((a, b) => b.until - a.until)[0];
  };
  return {
    blocked: (keys) => blocked(sql, keys),
    fail: (counters) =>
      transaction(async (tx) => {
        const now = clock.now();
        // In one order everywhere: two callers never wait for each other.
        const sorted = counters.toSorted((a, b) => Buffer.compare(a.key, b.key));
        for (const { key, quietMs } of sorted) {
          // Makes the row, or starts an old one anew; either way it is locked from here on.
          await tx.write(
            'throttles.ensure',
            `INSERT INTO throttles (key, failures, blocked_until, expires_at) VALUES ($1, 0, 0, $2)
             ON CONFLICT (key) DO UPDATE SET
               failures = CASE WHEN throttles.expires_at <= $3 THEN 0 ELSE throttles.failures END`,
            [key, now + quietMs, now],
          );
        }
        const block = await blocked(
          tx,
          sorted.map(({ key }) => key),
        );
        if (block !== undefined) return block;
        for (const { key, blockMs, quietMs } of sorted) {
          const { rows } = await tx.write<{ failures: number }>(
            'throttles.count',
            `UPDATE throttles SET failures = failures + 1, expires_at = $2 WHERE key = $1 RETURNING failures`,
            [key, now + quietMs],
          );
          const length = blockMs(rows[0]?.failures ?? 0);
          if (length > 0) {
            await tx.write('throttles.block', `UPDATE throttles SET blocked_until = $2 WHERE key = $1`, [
              key,
              now + length,
            ]);
          }
        }
        return undefined;
      }),
    clear: (key, keys) =>
      transaction(async (tx) => {
        const lock = kind === 'postgresql' ? ' FOR UPDATE' : '';
        await tx.read('throttles.lock', `SELECT key FROM throttles WHERE key = $1${lock}`, [key]);
        const block = await blocked(tx, keys);
        if (block === undefined)
          await tx.write('throttles.clear', `DELETE FROM throttles WHERE key = $1`, [key]);
        return block;
      }),
  };
}
