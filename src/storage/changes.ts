/** One change: a transaction that carries its audit rows, and what follows only once it has committed. */
import type { Clock } from '../lib/clock.ts';
import { createSortableIds } from '../lib/ids.ts';
import type { AuditEvent } from '../telemetry/events.ts';
import type { Database } from './database.ts';
import type { Prisma } from './generated/postgresql/client.ts';
import { ADD_MESSAGE, createMessages } from './outbox-messages.ts';
import type { Sql } from './sql.ts';
import type { Subscriptions } from './subscriptions.ts';

/** What nodes keep in memory, and reload when its counter moves. */
export type Cached = 'clients' | 'apis' | 'keys' | 'data-keys' | 'webhooks';

interface Effects {
  /** Writes the event's row, and what webhooks get, in this transaction; log line and metric follow the commit. */
  record(event: AuditEvent): Promise<void>;
  /** Tells every node to forget what it keeps of `what`, once this transaction has committed. */
  bump(what: Cached): Promise<void>;
}

/** A change in raw SQL. */
export interface Change extends Effects {
  readonly tx: Sql;
}

/** A change through Prisma's typed API. */
export interface TypedChange extends Effects {
  readonly tx: Prisma.TransactionClient;
}

/** Runs changes; the one way to write what is audited. */
export interface Changes {
  /** Runs `work` in one transaction: all of it happens, with its audit rows, or none. */
  raw<T>(work: (change: Change) => Promise<T>): Promise<T>;
  /** The same through Prisma's typed API. */
  typed<T>(work: (change: TypedChange) => Promise<T>): Promise<T>;
  /** Writes one event that accompanies no other change. */
  record(event: AuditEvent): Promise<void>;
}

export interface ChangeListeners {
  /** Called for each event after its commit: log and metric. */
  readonly onEvent: (event: AuditEvent) => void;
  /** Called after a commit that bumped a counter: this node forgets at once. */
  readonly onBump: (what: Cached) => void;
  /** Called when an event could not be written: what it tells of was undone with it. */
  readonly onUnrecorded?: () => void;
}

const BUMP = `INSERT INTO change_counters (name, value) VALUES ($1, 1)
  ON CONFLICT (name) DO UPDATE SET value = change_counters.value + 1`;

const INSERT_EVENT = `INSERT INTO audit_events
  (id, time, type, actor, client_id, user_id, grant_id, ip, request_id, detail)
  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`;

/** Composes the two kinds of change over one database. */
export function createChanges(
  database: Database,
  clock: Clock,
  listeners: ChangeListeners,
  subscriptions: Pick<Subscriptions, 'of'>,
): Changes {
  const nextId = createSortableIds();
  const messagesOf = createMessages(subscriptions);
  const row = (event: AuditEvent) => {
    const time = clock.now();
    return {
      id: nextId(time),
      time: BigInt(time),
      type: event.type,
      actor: event.actor ?? null,
      clientId: event.clientId ?? null,
      userId: event.userId ?? null,
      grantId: event.grantId ?? null,
      ip: event.ip ?? null,
      requestId: event.requestId ?? null,
      detail: JSON.stringify(event.detail),
    };
  };
  const noticed = async (write: Promise<unknown>): Promise<void> => {
    try {
      await write;
    } catch (error) {
      listeners.onUnrecorded?.();
      throw error;
    }
  };
  const insertRaw = async (sql: Sql, event: AuditEvent): Promise<void> => {
    const made = row(event);
    await noticed(sql.write('audit.insert', INSERT_EVENT, Object.values(made)));
    for (const message of messagesOf(made)) {
      await sql.write('outbox.add', ADD_MESSAGE, Object.values(message));
    }
  };
  const follow = (events: AuditEvent[], bumps: Set<Cached>): void => {
    for (const what of bumps) listeners.onBump(what);
    for (const event of events) listeners.onEvent(event);
  };
  return {
    async raw(work) {
      const events: AuditEvent[] = [];
      const bumps = new Set<Cached>();
      const result = await database.transaction((tx) =>
        work({
          tx,
          async record(event) {
            await insertRaw(tx, event);
            events.push(event);
          },
          async bump(what) {
            await tx.write('changes.bump', BUMP, [what]);
            bumps.add(what);
          },
        }),
      );
      follow(events, bumps);
      return result;
    },
    async typed(work) {
      const events: AuditEvent[] = [];
      const bumps = new Set<Cached>();
      const result = await database.prisma.$transaction((tx) =>
        work({
          tx,
          async record(event) {
            const data = row(event);
            await noticed(tx.auditEvent.create({ data, select: { id: true } }));
            const messages = messagesOf(data);
            if (messages.length > 0) await tx.outboxMessage.createMany({ data: messages });
            events.push(event);
          },
          async bump(what) {
            await tx.changeCounter.upsert({
              where: { name: what },
              create: { name: what, value: 1n },
              update: { value: { increment: 1n } },
            });
            bumps.add(what);
          },
        }),
      );
      follow(events, bumps);
      return result;
    },
    async record(event) {
      if (subscriptions.of(event.type).length === 0) await insertRaw(database.sql, event);
      else await database.transaction((tx) => insertRaw(tx, event));
      follow([event], new Set());
    },
  };
}

/** The counters that tell a node what to forget. */
export async function readCounters(sql: Pick<Sql, 'read'>): Promise<Map<string, number>> {
  const rows = await sql.read<{ name: string; value: number }>(
    'changes.read',
    `SELECT name, value FROM change_counters`,
  );
  return new Map(rows.map(({ name, value }) => [name, value]));
}
