/** What an event becomes for the webhooks that want it; `changes.ts` writes it in the event's transaction. */
import { createSortableIds } from '../lib/ids.ts';
import type { Subscriptions } from './subscriptions.ts';

/** An audit row as it is inserted. */
export interface EventRow {
  readonly id: string;
  /** Epoch milliseconds. */
  readonly time: bigint;
  readonly type: string;
  readonly actor: string | null;
  readonly clientId: string | null;
  readonly userId: string | null;
  readonly grantId: string | null;
  readonly ip: string | null;
  readonly requestId: string | null;
  /** JSON. */
  readonly detail: string;
}

/** Milliseconds that a message is kept at most: what was given up is swept then. */
export const MESSAGE_TTL = 30 * 24 * 3_600_000;

/** Takes the values of a message, in their order. */
export const ADD_MESSAGE = `INSERT INTO outbox (id, webhook_id, type, body, attempts, due_at, expires_at)
  VALUES ($1, $2, $3, $4, $5, $6, $7)`;

/** The payload, in the form of Standard Webhooks: type, timestamp, data. */
const bodyOf = (event: EventRow): string =>
  JSON.stringify({
    type: event.type,
    timestamp: new Date(Number(event.time)).toISOString(),
    data: {
      id: event.id,
      actor: event.actor,
      client_id: event.clientId,
      user_id: event.userId,
      grant_id: event.grantId,
      ip: event.ip,
      request_id: event.requestId,
      detail: JSON.parse(event.detail) as unknown,
    },
  });

/** Makes one message for each webhook that wants an event, due at once. */
export function createMessages(subscriptions: Pick<Subscriptions, 'of'>) {
  const nextId = createSortableIds();
  return (event: EventRow) => {
    const ids = subscriptions.of(event.type);
    if (ids.length === 0) return [];
    const body = bodyOf(event);
    return ids.map((webhookId) => ({
      id: `msg_${nextId(Number(event.time))}`,
      webhookId,
      type: event.type,
      body,
      attempts: 0,
      dueAt: event.time,
      expiresAt: event.time + BigInt(MESSAGE_TTL),
    }));
  };
}
