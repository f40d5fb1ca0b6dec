/** Messages on their way to webhooks: who may try one, and what became of it. `changes.ts` puts them here. */
import type { Clock } from '../lib/clock.ts';
import type { Database } from './database.ts';
import { MESSAGE_TTL } from './outbox-messages.ts';
import { afterText, toPage, type Page, type PageRequest } from './pages.ts';

/** A message that the caller may try now. */
export interface ClaimedMessage {
  readonly id: string;
  readonly type: string;
  /** JSON, as it is sent. */
  readonly body: string;
  /** This one included. */
  readonly attempts: number;
}

/** A message that was not delivered yet; instants are epoch milliseconds. */
export interface MessageRecord {
  readonly id: string;
  readonly type: string;
  readonly attempts: number;
  /** When it is tried next; undefined: it was given up. */
  readonly dueAt: number | undefined;
  /** Why the last attempt failed. */
  readonly error: string | undefined;
  readonly createdAt: number;
}

export interface Outbox {
  /** Ids of the enabled webhooks that a message is due for. */
  due(): Promise<string[]>;
  /**
   * Claims messages of an enabled webhook that are due, the oldest first. Atomic: nobody else gets one of them within
   * `CLAIM` milliseconds.
   */
  claim(webhookId: string, limit: number): Promise<ClaimedMessage[]>;
  delivered(id: string): Promise<void>;
  /** @param dueAt epoch milliseconds; undefined: it is given up */
  failed(id: string, dueAt: number | undefined, error: string): Promise<void>;
  /** Newest first. */
  list(webhookId: string, page: PageRequest): Promise<Page<MessageRecord>>;
  /** Makes a message due now, as if it had never been tried. Atomic: false when it is gone. */
  retry(webhookId: string, id: string): Promise<boolean>;
}

/** Milliseconds that an attempt has before another node may try: longer than any attempt takes. */
export const CLAIM = 60_000;

export function createOutbox({ prisma, sql, kind }: Database, clock: Clock): Outbox {
  const DUE = `SELECT id FROM outbox WHERE webhook_id = $3 AND due_at <= $2
    AND EXISTS (SELECT 1 FROM webhooks w WHERE w.id = $3 AND w.enabled) ORDER BY due_at, id LIMIT $4`;
  // With IN, PostgreSQL may run the inner query, and its LIMIT, more than once.
  const among = kind === 'postgresql' ? `= ANY (ARRAY (${DUE} FOR UPDATE SKIP LOCKED))` : `IN (${DUE})`;
  const CLAIM_DUE = `UPDATE outbox SET due_at = $1, attempts = attempts + 1
    WHERE due_at <= $2 AND id ${among} RETURNING id, type, body, attempts`;
  return {
    async due() {
      const rows = await sql.read<{ id: string }>(
        'outbox.due',
        `SELECT w.id FROM webhooks w WHERE w.enabled
         AND EXISTS (SELECT 1 FROM outbox o WHERE o.webhook_id = w.id AND o.due_at <= $1)`,
        [clock.now()],
      );
      return rows.map(({ id }) => id);
    },
    async claim(webhookId, limit) {
      const now = clock.now();
      const params = [now + CLAIM, now, webhookId, limit];
      const { rows } = await sql.write<ClaimedMessage>('outbox.claim', CLAIM_DUE, params);
      return rows.toSorted((a, b) => (a.id < b.id ? -1 : 1));
    },
    async delivered(id) {
      await sql.write('outbox.delivered', 'DELETE FROM outbox WHERE id = $1', [id]);
    },
    async failed(id, dueAt, error) {
      await sql.write('outbox.failed', 'UPDATE outbox SET due_at = $2, error = $3 WHERE id = $1', [
        id,
        dueAt ?? null,
        error,
      ]);
    },
    async list(webhookId, page) {
      const before = afterText(page);
      const rows = await prisma.outboxMessage.findMany({
        where: { webhookId, ...(before !== undefined && { id: { lt: before } }) },
        omit: { body: true },
        orderBy: { id: 'desc' },
        take: page.limit + 1,
      });
      const records = rows.map((row): MessageRecord => ({
        id: row.id,
        type: row.type,
        attempts: row.attempts,
        dueAt: row.dueAt === null ? undefined : Number(row.dueAt),
        error: row.error ?? undefined,
        createdAt: Number(row.expiresAt) - MESSAGE_TTL,
      }));
      return toPage(records, page.limit, ({ id }) => [id]);
    },
    async retry(webhookId, id) {
      if (id.includes('\0')) return false; // PostgreSQL refuses such a text
      const { count } = await sql.write(
        'outbox.retry',
        'UPDATE outbox SET due_at = $1, attempts = 0 WHERE webhook_id = $2 AND id = $3',
        [clock.now(), webhookId, id],
      );
      return count === 1;
    },
  };
}
