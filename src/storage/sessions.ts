/** Browser sessions: found by the keyed hash of the cookie's id, kept under a uid that outlives the id. */
import type { Clock } from '../lib/clock.ts';
import type { AuditEvent } from '../telemetry/events.ts';
import type { Changes } from './changes.ts';
import type { DataKeys } from './data-keys.ts';
import type { Database } from './database.ts';
import { sealContext } from './sealed-columns.ts';
import { ENDED, type EndedSession, type SessionEnds } from './session-ends.ts';

/** A session that is alive: not expired, its user (if any) enabled and of the same generation. */
export interface SessionRecord {
  readonly uid: string;
  readonly payload: Record<string, unknown>;
  readonly userId: string | undefined;
  readonly userGeneration: string | undefined;
}

/** What a save needs beside the payload. */
export interface SessionSave {
  readonly id: string;
  readonly uid: string;
  readonly payload: Record<string, unknown>;
  readonly userId: string | undefined;
  /** The user's generation when the password was checked; needed when the user is new to the session. */
  readonly userGeneration: string | undefined;
  /** Epoch milliseconds. */
  readonly expiresAt: number;
  readonly ip: string | undefined;
  readonly userAgent: string | undefined;
  /** The session was there when the request began: it is not made anew if it has ended meanwhile. */
  readonly existed: boolean;
}

export interface Sessions {
  /** By the cookie's id. */
  find(id: string): Promise<SessionRecord | undefined>;
  findByUid(uid: string): Promise<SessionRecord | undefined>;
  /** Saves and merges `authorizations`, so that parallel sign-ons lose none. Atomic. False: it has ended. */
  save(session: SessionSave): Promise<boolean>;
  /** The browser was here, from there; written down once a minute at most while that stays the same. */
  seen(uid: string, from: Pick<SessionSave, 'ip' | 'userAgent'>): Promise<void>;
  /** Ends a session by the cookie's id; families bound to it die with it. Idempotent. */
  destroy(id: string): Promise<void>;
  /**
   * Ends a session by uid with its audit row. Atomic.
   * @returns ids of the clients that are told, for the one who ended it; undefined for everybody else
   */
  end(uid: string, event: AuditEvent): Promise<readonly string[] | undefined>;
  /** Ends every session of a user but one, each with its audit row. Atomic. */
  endOthers(userId: string, keepUid: string, event: (uid: string) => AuditEvent): Promise<void>;
  /** Takes away so many expired ones at most. Atomic: returns how many. */
  sweep(limit: number): Promise<number>;
}

/** Milliseconds between two times that a browser was seen. */
const SEEN = 60_000;

interface Row {
  readonly uid: string;
  readonly payload: Uint8Array;
  readonly userId: string | null;
  readonly userGeneration: string | null;
}

const SELECT = `SELECT s.uid, s.payload, s.user_id AS "userId", s.user_generation AS "userGeneration"
  FROM sessions s LEFT JOIN users u ON u.id = s.user_id`;
const LIVE = `s.expires_at > $2 AND (s.user_id IS NULL OR (u.enabled AND u.generation = s.user_generation))`;

type Payload = Record<string, unknown> & { authorizations?: Record<string, unknown> };

export function createSessions(
  database: Database,
  keys: DataKeys,
  clock: Clock,
  changes: Changes,
  ends: SessionEnds,
): Sessions {
  const { sql, kind } = database;
  const KIND = 'Session';
  const context = sealContext.session;
  const record = async (row: Row): Promise<SessionRecord> => ({
    uid: row.uid,
    payload: JSON.parse((await keys.open(row.payload, context(row.uid))).toString('utf8')) as Record<
      string,
      unknown
    >,
    userId: row.userId ?? undefined,
    userGeneration: row.userGeneration ?? undefined,
  });
  // SQLite has one writer at a time; PostgreSQL locks the row.
  const LOCK = kind === 'postgresql' ? ' FOR UPDATE OF s' : '';
  return {
    async find(id) {
      for (const hash of keys.hashes(KIND, id)) {
        const [row] = await sql.read<Row>('sessions.find', `${SELECT} WHERE s.hash = $1 AND ${LIVE}`, [
          hash,
          clock.now(),
        ]);
        if (row) return record(row);
      }
      return undefined;
    },
    async findByUid(uid) {
      const [row] = await sql.read<Row>('sessions.find-by-uid', `${SELECT} WHERE s.uid = $1 AND ${LIVE}`, [
        uid,
        clock.now(),
      ]);
      return row && record(row);
    },
    save: (session) =>
      database.transaction(async (tx) => {
        const { uid, userId } = session;
        const [row] = await tx.read<Row>('sessions.lock', `${SELECT} WHERE s.uid = $1${LOCK}`, [uid]);
        if (!row && session.existed) return false;
        const before = row && ((await record(row)).payload as Payload);
        const same = before !== undefined && before['accountId'] === session.payload['accountId'];
        const payload: Payload = same
          ? {
              ...session.payload,
              authorizations: { ...before.authorizations, ...(session.payload as Payload).authorizations },
            }
          : session.payload;
        if (row && before && !same) await ends.tell(tx, [row]); // the one before it has ended
        const generation = session.userGeneration ?? (same ? row?.userGeneration : undefined) ?? null;
        await tx.write(
          'sessions.save',
          `INSERT INTO sessions
             (uid, hash, user_id, user_generation, payload, ip, user_agent, created_at, seen_at, expires_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9)
           ON CONFLICT (uid) DO UPDATE SET hash = excluded.hash, user_id = excluded.user_id,
             user_generation = excluded.user_generation, payload = excluded.payload, ip = excluded.ip,
             user_agent = excluded.user_agent, seen_at = excluded.seen_at, expires_at = excluded.expires_at`,
          [
            uid,
            keys.hash(KIND, session.id),
            userId ?? null,
            userId === undefined ? null : generation,
            keys.seal(JSON.stringify(payload), context(uid)),
            session.ip ?? null,
            session.userAgent ?? null,
            clock.now(),
            session.expiresAt,
          ],
        );
        return true;
      }),
    async seen(uid, { ip = null, userAgent = null }) {
      const now = clock.now();
      await sql.write(
        'sessions.seen',
        `UPDATE sessions SET seen_at = $2, ip = $3, user_agent = $4
         WHERE uid = $1 AND (seen_at <= $5 OR ip IS DISTINCT FROM $3)`,
        [uid, now, ip, userAgent, now - SEEN],
      );
    },
    async destroy(id) {
      for (const hash of keys.hashes(KIND, id)) {
        await database.transaction(async (tx) => {
          const { rows } = await tx.write<EndedSession>(
            'sessions.destroy',
            `DELETE FROM sessions WHERE hash = $1 RETURNING ${ENDED}`,
            [hash],
          );
          await ends.tell(tx, rows);
        });
      }
    },
    end: (uid, event) =>
      changes.raw(async (change) => {
        const { rows } = await change.tx.write<EndedSession>(
          'sessions.end',
          `DELETE FROM sessions WHERE uid = $1 RETURNING ${ENDED}`,
          [uid],
        );
        if (rows.length === 0) return undefined;
        await change.record(event);
        return ends.tell(change.tx, rows);
      }),
    endOthers: (userId, keepUid, event) =>
      changes.raw(async (change) => {
        const { rows } = await change.tx.write<EndedSession>(
          'sessions.end-others',
          `DELETE FROM sessions WHERE user_id = $1 AND uid <> $2 RETURNING ${ENDED}`,
          [userId, keepUid],
        );
        for (const { uid } of rows) await change.record(event(uid));
        await ends.tell(change.tx, rows);
      }),
    sweep: (limit) =>
      database.transaction(async (tx) => {
        const due = `SELECT uid FROM sessions WHERE expires_at <= $2 ORDER BY expires_at LIMIT $1`;
        // With IN, PostgreSQL may read the whole table.
        const among = kind === 'postgresql' ? `= ANY (ARRAY (${due} FOR UPDATE SKIP LOCKED))` : `IN (${due})`;
        const { rows, count } = await tx.write<EndedSession>(
          'sweep.sessions',
          `DELETE FROM sessions WHERE uid ${among} RETURNING ${ENDED}`,
          [limit, clock.now()],
        );
        await ends.tell(tx, rows);
        return count;
      }),
  };
}
