/** Webhooks: endpoints that are told of events. Their secrets lie sealed, for they sign. */
import type { Clock } from '../lib/clock.ts';
import type { AuditEvent } from '../telemetry/events.ts';
import type { Changes } from './changes.ts';
import type { DataKeys } from './data-keys.ts';
import type { Database } from './database.ts';
import type { Webhook as Row } from './generated/postgresql/client.ts';
import { oldestFirst, toPage, type Page, type PageRequest } from './pages.ts';
import { sealContext } from './sealed-columns.ts';
import type { Subscriptions } from './subscriptions.ts';
import { holdVersion } from './versions.ts';

/** What can be set about a webhook. */
export interface WebhookDocument {
  readonly url: string;
  /** Types of events, or `EVERY_TYPE`. */
  readonly events: readonly string[];
  readonly enabled: boolean;
}

/** A webhook; instants are epoch milliseconds. */
export interface WebhookRecord extends WebhookDocument {
  readonly id: string;
  /** Counts changes. */
  readonly version: number;
  readonly createdAt: number;
  readonly updatedAt: number;
}

/** Where messages go, and the secret that signs them. */
export interface Endpoint {
  readonly id: string;
  readonly url: string;
  readonly secret: string;
}

/** Every mutation is one transaction with its audit row; this node knows it at once, the others soon. */
export interface WebhookStore {
  find(id: string): Promise<WebhookRecord | undefined>;
  /** Oldest first. */
  list(page: PageRequest): Promise<Page<WebhookRecord>>;
  create(id: string, webhook: WebhookDocument, secret: string, event: AuditEvent): Promise<WebhookRecord>;
  /** Atomic: false when the version is another by now, or the webhook is gone. */
  update(id: string, webhook: WebhookDocument, version: number, event: AuditEvent): Promise<boolean>;
  /**
   * With the messages that wait for it. Idempotent; true for the one who deleted it.
   * @throws PortcullisError `version_mismatch` (412) when it is meant for another version
   */
  delete(id: string, event: AuditEvent, version?: number): Promise<boolean>;
  endpoint(id: string): Promise<Endpoint | undefined>;
}

const toRecord = (row: Row): WebhookRecord => ({
  id: row.id,
  url: row.url,
  events: JSON.parse(row.events) as string[],
  enabled: row.enabled,
  version: row.version,
  createdAt: Number(row.createdAt),
  updatedAt: Number(row.updatedAt),
});

const toRow = ({ url, events, enabled }: WebhookDocument) => ({
  url,
  events: JSON.stringify(events),
  enabled,
});

export function createWebhookStore(
  { prisma }: Database,
  keys: DataKeys,
  clock: Clock,
  changes: Changes,
  subscriptions: Subscriptions,
): WebhookStore {
  const findRow = (id: string): Promise<Row | null> =>
    // PostgreSQL refuses a text with a NUL.
    id.includes('\0') ? Promise.resolve(null) : prisma.webhook.findUnique({ where: { id } });
  /** What an admin has set holds for the next event on this node. */
  const known = async <T>(work: Promise<T>): Promise<T> => {
    const result = await work;
    await subscriptions.reload();
    return result;
  };
  return {
    async find(id) {
      const row = await findRow(id);
      return row ? toRecord(row) : undefined;
    },
    async list(page) {
      const rows = await prisma.webhook.findMany(oldestFirst(page));
      return toPage(rows.map(toRecord), page.limit, ({ createdAt, id }) => [createdAt, id]);
    },
    create: (id, webhook, secret, event) =>
      known(
        changes.typed(async ({ tx, record, bump }) => {
          const now = BigInt(clock.now());
          const sealed = new Uint8Array(keys.seal(secret, sealContext.webhook(id)));
          const data = { id, ...toRow(webhook), secret: sealed, version: 1, createdAt: now, updatedAt: now };
          const row = await tx.webhook.create({ data });
          await record(event);
          await bump('webhooks');
          return toRecord(row);
        }),
      ),
    update: (id, webhook, version, event) =>
      known(
        changes.typed(async ({ tx, record, bump }) => {
          const { count } = await tx.webhook.updateMany({
            where: { id, version },
            data: { ...toRow(webhook), version: { increment: 1 }, updatedAt: BigInt(clock.now()) },
          });
          if (count === 0) return false;
          await record(event);
          await bump('webhooks');
          return true;
        }),
      ),
    delete: (id, event, version) =>
      known(
        changes.typed(async ({ tx, record, bump }) => {
          await holdVersion(version, (meant) =>
            tx.webhook.updateMany({ where: { id, version: meant }, data: { version: meant } }),
          );
          const { count } = await tx.webhook.deleteMany({ where: { id } });
          if (count === 0) return false;
          await tx.outboxMessage.deleteMany({ where: { webhookId: id } });
          await record(event);
          await bump('webhooks');
          return true;
        }),
      ),
    async endpoint(id) {
      const row = await findRow(id);
      if (!row) return undefined;
      const secret = (await keys.open(row.secret, sealContext.webhook(id))).toString('utf8');
      return { id, url: row.url, secret };
    },
  };
}
