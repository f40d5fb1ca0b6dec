/** Leases: of several nodes one holds a name for a while, by the database's clock alone. */
import type { Database } from './database.ts';

export interface Leases {
  /**
   * Takes a free or expired lease, or prolongs the holder's own. Atomic: one statement decides.
   * @param ttl milliseconds from now
   * @returns whether `holder` has it
   */
  take(name: string, holder: string, ttl: number): Promise<boolean>;
  /** Who has it, or had it last without giving it up. */
  holder(name: string): Promise<string | undefined>;
  /** Gives it up, when `holder` has it. */
  release(name: string, holder: string): Promise<void>;
}

export function createLeases({ sql, nowMs }: Database): Leases {
  const TAKE = `INSERT INTO leases (name, holder, expires_at) VALUES ($1, $2, ${nowMs} + $3)
    ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, expires_at = excluded.expires_at
    WHERE leases.holder = excluded.holder OR leases.expires_at <= ${nowMs}`;
  return {
    async take(name, holder, ttl) {
      return (await sql.write('leases.take', TAKE, [name, holder, ttl])).count === 1;
    },
    async holder(name) {
      const rows = await sql.read<{ holder: string }>(
        'leases.holder',
        'SELECT holder FROM leases WHERE name = $1',
        [name],
      );
      return rows[0]?.holder;
    },
    async release(name, holder) {
      await sql.write('leases.release', 'DELETE FROM leases WHERE name = $1 AND holder = $2', [name, holder]);
    },
  };
}
