/** Takes away what has expired, a small batch at a time: safe on several nodes at once, and never a long lock. */
import type { Clock } from '../lib/clock.ts';
import { ALIVE, ALIVE_JOINS, aliveParam } from './alive.ts';
import type { Database } from './database.ts';
import type { SqlValue } from './sql.ts';

/** Rows that one batch took away; `looked`: families that live on and are looked at again when they end. */
export interface SweepCounts {
  readonly families: number;
  readonly looked: number;
  readonly artifacts: number;
  readonly deniedTokens: number;
  readonly sessions: number;
  readonly throttles: number;
}

/** Rows of one kind in a batch at most. */
export const SWEEP_BATCH = 500;

/** Where expired rows lie, and their key. */
const TABLES = {
  artifacts: 'hash',
  denied_tokens: 'jti',
  sessions: 'uid',
  throttles: 'key',
} as const;

const END = `CASE WHEN f.idle_ends_at < f.ends_at THEN f.idle_ends_at ELSE f.ends_at END`;

/** When to look again: at a living family's end, but not before its last access token's. */
const NEXT_LOOK = `CASE WHEN f.dead_at IS NOT NULL OR COALESCE(f.access_ends_at, 0) > ${END}
    THEN f.access_ends_at ELSE ${END} END`;

/** What is taken away: nothing of it is alive any more, and no access token of it is within its time. */
const OVER = `(COALESCE(f.access_ends_at, 0) <= $2 AND (NOT COALESCE(${ALIVE}, FALSE)
    OR ${END} <= $2))`;

/** Runs one batch. */
export async function sweepBatch({ sql, kind }: Database, clock: Clock): Promise<SweepCounts> {
  const lock = (of = ''): string => (kind === 'postgresql' ? ` FOR UPDATE${of} SKIP LOCKED` : '');
  const now = clock.now();
  const write = async (name: string, text: string, params: readonly SqlValue[]): Promise<number> =>
    (await sql.write(`sweep.${name}`, text, params)).count;
  const due = (columns: string, condition: string): string =>
    `SELECT ${columns} FROM families f ${ALIVE_JOINS} WHERE f.check_at <= $2 AND ${condition}
     ORDER BY f.check_at LIMIT $1${lock(' OF f')}`;
  const families = await write('families', `DELETE FROM families WHERE id IN (${due('f.id', OVER)})`, [
    SWEEP_BATCH,
    aliveParam(clock),
  ]);
  const looked = await write(
    'families-looked',
    `UPDATE families AS f SET check_at = ${NEXT_LOOK} WHERE f.id IN (${due('f.id', `NOT ${OVER}`)})`,
    [SWEEP_BATCH, aliveParam(clock)],
  );
  const expired = (table: keyof typeof TABLES): Promise<number> =>
    write(
      table,
      `DELETE FROM ${table} WHERE ${TABLES[table]} IN (SELECT ${TABLES[table]} FROM ${table}
       WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2${lock()})`,
      [now, SWEEP_BATCH],
    );
  return {
    families,
    looked,
    artifacts: await expired('artifacts'),
    deniedTokens: await expired('denied_tokens'),
    sessions: await expired('sessions'),
    throttles: await expired('throttles'),
  };
}
