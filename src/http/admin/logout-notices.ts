/** What a client is still to be told, or could not be told, by back-channel logout. */
import { z } from 'zod';
import type { ClientAdministration } from '../../clients/administration.ts';
import type { LogoutNotices, NoticeRecord } from '../../storage/logout-notices.ts';
import { route, type Route } from './route.ts';
import { answer, listQuery, pageAnswer, shown, time, toTime, toTimeOrNull } from './schemas.ts';

const noticeAnswer = answer(
  'LogoutNotice',
  z.strictObject({
    id: z.string(),
    user_id: z.string(),
    sid: z.string().describe('the session, as the ID token named it'),
    status: z.enum(['pending', 'failed']).describe('failed: it was given up'),
    attempts: z.int(),
    next_attempt_at: time.nullable(),
    error: z.string().nullable().describe('why the last attempt failed'),
    created_at: time,
  }),
);
const noticePage = pageAnswer('LogoutNoticePage', noticeAnswer);

const showNotice = ({ id, userId, sid, attempts, dueAt, error, createdAt }: NoticeRecord) => ({
  id,
  user_id: userId,
  sid,
  status: dueAt === undefined ? ('failed' as const) : ('pending' as const),
  attempts,
  next_attempt_at: toTimeOrNull(dueAt),
  error: error ?? null,
  created_at: toTime(createdAt),
});

export function logoutNoticeRoutes(
  clients: Pick<ClientAdministration, 'get'>,
  notices: Pick<LogoutNotices, 'list'>,
): Route[] {
  return [
    route({
      scope: 'clients:read',
      status: 200,
      method: 'GET',
      path: '/clients/{client_id}/logout-notices',
      summary:
        'List ends of sessions that the client was not told of yet, or that were given up; newest first',
      query: listQuery,
      answer: noticePage,
      handle: async ({ params, query }) => {
        const { id } = await clients.get(params.client_id);
        return shown(await notices.list(id, query), showNotice);
      },
    }),
  ];
}
