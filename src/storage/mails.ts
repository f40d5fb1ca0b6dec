/** Mails that are still to be sent. What each is about is sealed; addresses and links come to be when it is sent. */
import type { Clock } from '../lib/clock.ts';
import { createSortableIds } from '../lib/ids.ts';
import type { DataKeys } from './data-keys.ts';
import type { Database } from './database.ts';
import type { Prisma } from './generated/postgresql/client.ts';
import { sealContext } from './sealed-columns.ts';

/** A mail that the caller may try to send now. */
export interface ClaimedMail {
  readonly id: string;
  /** What `add` was given. */
  readonly request: unknown;
  /** This one included. */
  readonly attempts: number;
  /** Epoch milliseconds: it is given up. */
  readonly expiresAt: number;
}

export interface Mails {
  /** Adds a mail, due at once. */
  add(request: object): Promise<void>;
  /** The same in a typed change. */
  addIn(tx: Prisma.TransactionClient, request: object): Promise<void>;
  /** Claims mails that are due, the oldest first. Atomic: nobody else gets one of them within `CLAIM` milliseconds. */
  claim(limit: number): Promise<ClaimedMail[]>;
  /** Sent, or given up. */
  done(id: string): Promise<void>;
  /** @param dueAt epoch milliseconds */
  failed(id: string, dueAt: number): Promise<void>;
}

/** Milliseconds that an attempt has before another node may try. */
const CLAIM = 120_000;
/** Milliseconds after which a mail is given up. */
const LIFE = 24 * 3_600_000;

interface Row {
  readonly id: string;
  readonly sealed: Uint8Array;
  readonly attempts: number;
  readonly expiresAt: number;
}

export function createMails({ sql, kind }: Database, keys: DataKeys, clock: Clock): Mails {
  const nextId = createSortableIds();
  const DUE = `SELECT id FROM mails WHERE due_at <= $2 ORDER BY due_at, id LIMIT $3`;
  // With IN, PostgreSQL may run the inner query, and its LIMIT, more than once.
  const among = kind === 'postgresql' ? `= ANY (ARRAY (${DUE} FOR UPDATE SKIP LOCKED))` : `IN (${DUE})`;
  const made = (request: object) => {
    const now = clock.now();
    const id = nextId(now);
    const sealed = keys.seal(JSON.stringify(request), sealContext.mail(id));
    return { id, sealed, attempts: 0, dueAt: now, expiresAt: now + LIFE };
  };
  return {
    async add(request) {
      await sql.write(
        'mails.add',
        'INSERT INTO mails (id, sealed, attempts, due_at, expires_at) VALUES ($1, $2, $3, $4, $5)',
        Object.values(made(request)),
      );
    },
    async addIn(tx, request) {
      const { sealed, dueAt, expiresAt, ...row } = made(request);
      const data = {
        ...row,
        sealed: new Uint8Array(sealed),
        dueAt: BigInt(dueAt),
        expiresAt: BigInt(expiresAt),
      };
      await tx.mail.create({ data, select: { id: true } });
    },
    async claim(limit) {
      const now = clock.now();
      const due = await sql.read('mails.due', 'SELECT id FROM mails WHERE due_at <= $1 LIMIT 1', [now]);
      if (due.length === 0) return [];
      const { rows } = await sql.write<Row>(
        'mails.claim',
        `UPDATE mails SET due_at = $1, attempts = attempts + 1 WHERE due_at <= $2 AND id ${among}
         RETURNING id, sealed, attempts, expires_at AS "expiresAt"`,
        [now + CLAIM, now, limit],
      );
      const opened = rows.map(async ({ id, sealed, ...row }): Promise<ClaimedMail> => ({
        id,
        ...row,
        request: JSON.parse((await keys.open(sealed, sealContext.mail(id))).toString('utf8')) as unknown,
      }));
      return Promise.all(opened);
    },
    async done(id) {
      await sql.write('mails.done', 'DELETE FROM mails WHERE id = $1', [id]);
    },
    async failed(id, dueAt) {
      await sql.write('mails.failed', 'UPDATE mails SET due_at = $2 WHERE id = $1', [id, dueAt]);
    },
  };
}
