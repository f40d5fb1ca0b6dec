/** Takes away what has expired, a small batch at a time: safe on several nodes at once, and never a long lock. */
import type { Clock } from '../lib/clock.ts';
import { ALIVE, ALIVE_JOINS, aliveParam } from './alive.ts';
import { leastId } from './audit.ts';
import type { Database } from './database.ts';
import type { Sessions } from './sessions.ts';
import type { SqlValue } from './sql.ts';

/** Rows that one batch took away; `looked`: families that live on and are looked at again when they end. */
export interface SweepCounts {
  readonly families: number;
  readonly looked: number;
  readonly artifacts: number;
  readonly deniedTokens: number;
  readonly sessions: number;
  readonly throttles: number;
  readonly outbox: number;
  readonly logoutNotices: number;
  readonly auditEvents: number;
}

/** Rows of one kind in a batch at most. */
export const SWEEP_BATCH = 200;

const DAY = 86_400_000;

/**
 * Milliseconds that a row is kept beyond its time where its absence says yes: a denied token, a used id, a throttle.
 * Each node judges times by its own clock; one that is ahead must not take away what others still go by.
 */
export const SWEEP_LAG = 5 * 60_000;

/** Where expired rows lie, and their key. */
const TABLES = {
  artifacts: 'hash',
  denied_tokens: 'jti',
  throttles: 'key',
  outbox: 'id',
  logout_notices: 'id',
} as const;

const end = (row: string): string =>
  `CASE WHEN ${row}.idle_ends_at < ${row}.ends_at THEN ${row}.idle_ends_at ELSE ${row}.ends_at END`;

/** When to look again: at a living family's end, but not before its last access token's. */
const NEXT_LOOK = `CASE WHEN dead_at IS NOT NULL OR COALESCE(access_ends_at, 0) > ${end('families')}
    THEN access_ends_at ELSE ${end('families')} END`;

/** What is taken away: nothing of it is alive any more, and no access token of it is within its time. */
const OVER = `(COALESCE(f.access_ends_at, 0) <= $2 AND (NOT COALESCE(${ALIVE}, FALSE) OR ${end('f')} <= $2))`;

/**
 * Runs one batch.
 * @param sessions their end is told to clients
 * @param auditDays how long audit events are kept; 0 = for ever
 */
export async function sweepBatch(
  { sql, kind }: Database,
  clock: Clock,
  sessions: Pick<Sessions, 'sweep'>,
  auditDays = 0,
): Promise<SweepCounts> {
  const postgresql = kind === 'postgresql';
  // With IN, PostgreSQL may read the whole table.
  const among = (key: string, rows: string): string =>
    postgresql ? `${key} = ANY (ARRAY (${rows}))` : `${key} IN (${rows})`;
  const lock = postgresql ? ' FOR UPDATE SKIP LOCKED' : '';
  const write = async (name: string, text: string, params: readonly SqlValue[]): Promise<number> =>
    (await sql.write(`sweep.${name}`, text, params)).count;
  const due = (condition: string): string =>
    among(
      'families.id',
      `SELECT f.id FROM (SELECT * FROM families WHERE check_at <= $2 ORDER BY check_at LIMIT $1${lock}) f
       ${ALIVE_JOINS} WHERE ${condition}`,
    );
  const now = aliveParam(clock);
  const families = await write('families', `DELETE FROM families WHERE ${due(OVER)}`, [SWEEP_BATCH, now]);
  const looked = await write(
    'families-looked',
    `UPDATE families SET check_at = ${NEXT_LOOK} WHERE ${due(`NOT ${OVER}`)}`,
    [SWEEP_BATCH, now],
  );
  const expired = (table: keyof typeof TABLES, before = now): Promise<number> => {
    const rows = `SELECT ${TABLES[table]} FROM ${table} WHERE expires_at <= $2 ORDER BY expires_at LIMIT $1${lock}`;
    return write(table, `DELETE FROM ${table} WHERE ${among(TABLES[table], rows)}`, [SWEEP_BATCH, before]);
  };
  const oldEvents = (): Promise<number> => {
    const rows = `SELECT id FROM audit_events WHERE id < $2 ORDER BY id LIMIT $1${lock}`;
    const params = [SWEEP_BATCH, leastId(now - auditDays * DAY)];
    return write('audit', `DELETE FROM audit_events WHERE ${among('id', rows)}`, params);
  };
  return {
    families,
    looked,
    artifacts: await expired('artifacts', now - SWEEP_LAG),
    deniedTokens: await expired('denied_tokens', now - SWEEP_LAG),
    sessions: await sessions.sweep(SWEEP_BATCH),
    throttles: await expired('throttles', now - SWEEP_LAG),
    outbox: await expired('outbox'),
    logoutNotices: await expired('logout_notices'),
    auditEvents: auditDays === 0 ? 0 : await oldEvents(),
  };
}
