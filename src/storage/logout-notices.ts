/** Clients that are still to be told that a session of theirs has ended. `session-ends.ts` puts them here. */
import type { Clock } from '../lib/clock.ts';
import type { Database } from './database.ts';
import { afterText, toPage, type Page, type PageRequest } from './pages.ts';

/** A notice that the caller may try to deliver now. */
export interface ClaimedNotice {
  readonly id: string;
  readonly clientId: string;
  readonly userId: string;
  readonly sid: string;
  /** This one included. */
  readonly attempts: number;
}

/** A notice that the client did not take yet; instants are epoch milliseconds. */
export interface NoticeRecord extends ClaimedNotice {
  /** When it is tried next; undefined: it was given up. */
  readonly dueAt: number | undefined;
  /** Why the last attempt failed. */
  readonly error: string | undefined;
  readonly createdAt: number;
}

export interface LogoutNotices {
  /** Ids of the clients that a notice is due for. */
  due(): Promise<string[]>;
  /** Claims a client's notices that are due, the oldest first. Atomic: nobody else gets one of them within `CLAIM`. */
  claim(clientId: string, limit: number): Promise<ClaimedNotice[]>;
  /** The client was told, or is not there to be told. */
  done(id: string): Promise<void>;
  /** @param dueAt epoch milliseconds; undefined: it is given up */
  failed(id: string, dueAt: number | undefined, error: string): Promise<void>;
  /** Newest first. */
  list(clientId: string, page: PageRequest): Promise<Page<NoticeRecord>>;
}

/** Milliseconds that an attempt has before another node may try: longer than any attempt takes. */
const CLAIM = 60_000;
/** Milliseconds that a notice is kept at most: what was given up is swept then. */
export const NOTICE_TTL = 30 * 24 * 3_600_000;

/** Takes the values of a notice, in their order. */
export const ADD_NOTICE = `INSERT INTO logout_notices (id, client_id, user_id, sid, attempts, due_at, expires_at)
  VALUES ($1, $2, $3, $4, $5, $6, $7)`;

export function createLogoutNotices({ prisma, sql, kind }: Database, clock: Clock): LogoutNotices {
  const DUE = `SELECT id FROM logout_notices WHERE client_id = $3 AND due_at <= $2 ORDER BY due_at, id LIMIT $4`;
  // With IN, PostgreSQL may run the inner query, and its LIMIT, more than once.
  const among = kind === 'postgresql' ? `= ANY (ARRAY (${DUE} FOR UPDATE SKIP LOCKED))` : `IN (${DUE})`;
  return {
    async due() {
      const rows = await sql.read<{ id: string }>(
        'logout-notices.due',
        'SELECT DISTINCT client_id AS id FROM logout_notices WHERE due_at <= $1',
        [clock.now()],
      );
      return rows.map(({ id }) => id);
    },
    async claim(clientId, limit) {
      const now = clock.now();
      const { rows } = await sql.write<ClaimedNotice>(
        'logout-notices.claim',
        `UPDATE logout_notices SET due_at = $1, attempts = attempts + 1 WHERE due_at <= $2 AND id ${among}
         RETURNING id, client_id AS "clientId", user_id AS "userId", sid, attempts`,
        [now + CLAIM, now, clientId, limit],
      );
      return rows.toSorted((a, b) => (a.id < b.id ? -1 : 1));
    },
    async done(id) {
      await sql.write('logout-notices.done', 'DELETE FROM logout_notices WHERE id = $1', [id]);
    },
    async failed(id, dueAt, error) {
      const text = 'UPDATE logout_notices SET due_at = $2, error = $3 WHERE id = $1';
      await sql.write('logout-notices.failed', text, [id, dueAt ?? null, error]);
    },
    async list(clientId, page) {
      const before = afterText(page);
      const rows = await prisma.logoutNotice.findMany({
        where: { clientId, ...(before !== undefined && { id: { lt: before } }) },
        orderBy: { id: 'desc' },
        take: page.limit + 1,
      });
      const records = rows.map(({ expiresAt, ...row }): NoticeRecord => ({
        ...row,
        dueAt: row.dueAt === null ? undefined : Number(row.dueAt),
        error: row.error ?? undefined,
        createdAt: Number(expiresAt) - NOTICE_TTL,
      }));
      return toPage(records, page.limit, ({ id }) => [id]);
    },
  };
}
