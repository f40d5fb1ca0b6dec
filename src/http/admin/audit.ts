/** The audit log: a list, or a stream of lines. */
import { z } from 'zod';
import type { AuditFilter, AuditLog, AuditRecord } from '../../storage/audit.ts';
import { eventTypes } from '../../telemetry/events.ts';
import { route, type Route } from './route.ts';
import { answer, idFilter, listQuery, pageAnswer, shown, time, toTime } from './schemas.ts';

const eventAnswer = answer(
  'AuditEvent',
  z.strictObject({
    id: z.string(),
    time,
    type: z.string(),
    actor: z.string().nullable().describe('client:ID, user:ID or system'),
    client_id: z.string().nullable(),
    user_id: z.string().nullable(),
    grant_id: z.string().nullable(),
    ip: z.string().nullable(),
    request_id: z.string().nullable(),
    detail: z.record(z.string(), z.unknown()),
  }),
);

const eventPage = pageAnswer('AuditEventPage', eventAnswer);

const { after, limit } = listQuery.shape;
const auditQuery = z.strictObject({
  limit: limit.unwrap().optional().describe('default 50; as lines: all there are'),
  after,
  type: z.enum(eventTypes, { error: 'is not a type of event' }).optional(),
  client: idFilter,
  user: idFilter,
  since: z.iso
    .datetime({ offset: true, error: 'must be an RFC 3339 time' })
    .optional()
    .describe('this instant and later'),
});

type AuditQuery = z.output<typeof auditQuery>;

const showEvent = (event: AuditRecord) => ({
  id: event.id,
  time: toTime(event.time),
  type: event.type,
  actor: event.actor ?? null,
  client_id: event.clientId ?? null,
  user_id: event.userId ?? null,
  grant_id: event.grantId ?? null,
  ip: event.ip ?? null,
  request_id: event.requestId ?? null,
  detail: event.detail,
});

const filterOf = ({ type, client, user, since }: AuditQuery): AuditFilter => ({
  type,
  clientId: client,
  userId: user,
  since: since === undefined ? undefined : Date.parse(since),
});

const BATCH = 200;

export function auditRoutes(audit: AuditLog): Route[] {
  /** Read batch by batch, as fast as the caller takes them. */
  async function* lines(query: AuditQuery): AsyncGenerator {
    let left = query.limit ?? Infinity;
    let next: string | null | undefined = query.after;
    while (left > 0 && next !== null) {
      const page = await audit.list(filterOf(query), { limit: Math.min(BATCH, left), after: next });
      yield* page.data.map(showEvent);
      left -= page.data.length;
      ({ next } = page);
    }
  }
  return [
    route({
      method: 'GET',
      path: '/audit-events',
      scope: 'audit:read',
      summary: 'List events, newest first; with `Accept: application/x-ndjson` one a line',
      query: auditQuery,
      status: 200,
      answer: eventPage,
      handle: async ({ query }) =>
        shown(await audit.list(filterOf(query), { limit: query.limit ?? 50, after: query.after }), showEvent),
      lines: { schema: eventAnswer, of: lines },
    }),
  ];
}
