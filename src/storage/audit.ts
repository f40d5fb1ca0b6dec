/** The audit log, read. Its rows are written by `changes.ts` only. */
import { sortableId } from '../lib/ids.ts';
import type { EventSubject, EventType, Json } from '../telemetry/events.ts';
import type { Database } from './database.ts';
import { afterText, toPage, type Page, type PageRequest } from './pages.ts';

/** An event as it was recorded. */
export interface AuditRecord extends EventSubject {
  /** Sorts by time. */
  readonly id: string;
  /** Epoch milliseconds. */
  readonly time: number;
  readonly type: string;
  readonly detail: Readonly<Record<string, Json>>;
}

export interface AuditFilter {
  readonly type?: EventType | undefined;
  readonly clientId?: string | undefined;
  readonly userId?: string | undefined;
  /** Epoch milliseconds: this instant and later. */
  readonly since?: number | undefined;
}

export interface AuditLog {
  /** Newest first. */
  list(filter: AuditFilter, page: PageRequest): Promise<Page<AuditRecord>>;
}

/** The least id of an instant: ten characters of time, then nothing. */
export const leastId = (time: number): string => sortableId(Math.max(0, time)).slice(0, 10);

export function createAuditLog({ prisma }: Database): AuditLog {
  return {
    async list({ type, clientId, userId, since }, page) {
      const before = afterText(page);
      const rows = await prisma.auditEvent.findMany({
        where: {
          ...(type !== undefined && { type }),
          ...(clientId !== undefined && { clientId }),
          ...(userId !== undefined && { userId }),
          id: {
            ...(since !== undefined && { gte: leastId(since) }),
            ...(before !== undefined && { lt: before }),
          },
        },
        orderBy: { id: 'desc' },
        take: page.limit + 1,
      });
      const records = rows.map((row): AuditRecord => ({
        id: row.id,
        time: Number(row.time),
        type: row.type,
        actor: row.actor ?? undefined,
        clientId: row.clientId ?? undefined,
        userId: row.userId ?? undefined,
        grantId: row.grantId ?? undefined,
        ip: row.ip ?? undefined,
        requestId: row.requestId ?? undefined,
        detail: JSON.parse(row.detail) as Record<string, Json>,
      }));
      return toPage(records, page.limit, ({ id }) => [id]);
    },
  };
}
