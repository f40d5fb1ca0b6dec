/** Routes below `/grants` and `/sessions`. */
import { z } from 'zod';
import type { GrantAdministration } from '../../grants/administration.ts';
import type { GrantRecord, SessionSummary } from '../../storage/grant-lists.ts';
import { route, type Route } from './route.ts';
import { answer, idFilter, listQuery, pageAnswer, shown, time, toTime } from './schemas.ts';

const grantPage = pageAnswer(
  'GrantPage',
  answer(
    'Grant',
    z.strictObject({
      id: z.string(),
      user_id: z.string(),
      client_id: z.string(),
      scope: z.string(),
      session_id: z.string().nullable().describe('the session that it ends with'),
      created_at: time,
      last_used_at: time,
      expires_at: time.describe('when it ends by itself if it is not used'),
    }),
  ),
);

const sessionPage = pageAnswer(
  'SessionPage',
  answer(
    'Session',
    z.strictObject({
      id: z.string(),
      user_id: z.string(),
      ip: z.string().nullable(),
      user_agent: z.string().nullable(),
      created_at: time,
      last_seen_at: time,
      expires_at: time,
    }),
  ),
);

const showGrant = (grant: GrantRecord) => ({
  id: grant.id,
  user_id: grant.userId,
  client_id: grant.clientId,
  scope: [...new Set(Object.values(grant.scopes).flat())].join(' '),
  session_id: grant.sessionUid ?? null,
  created_at: toTime(grant.createdAt),
  last_used_at: toTime(grant.lastUsedAt),
  expires_at: toTime(grant.expiresAt),
});

const showSession = (session: SessionSummary) => ({
  id: session.uid,
  user_id: session.userId,
  ip: session.ip ?? null,
  user_agent: session.userAgent ?? null,
  created_at: toTime(session.createdAt),
  last_seen_at: toTime(session.seenAt),
  expires_at: toTime(session.expiresAt),
});

export function grantRoutes(grants: GrantAdministration): Route[] {
  const [read, write] = ['grants:read', 'grants:write'];
  return [
    route({
      method: 'GET',
      path: '/grants',
      scope: read,
      summary: 'List living grants: one for each authorization',
      query: listQuery.extend({ user: idFilter, client: idFilter }),
      status: 200,
      answer: grantPage,
      handle: async ({ query: { user: userId, client: clientId, ...page } }) =>
        shown(await grants.grants({ userId, clientId }, page), showGrant),
    }),
    route({
      method: 'DELETE',
      path: '/grants/{grant_id}',
      scope: write,
      summary: 'End a grant: its tokens are dead, and the consent is forgotten',
      status: 204,
      handle: ({ params, by }) => grants.endGrant(params.grant_id, by),
    }),
    route({
      method: 'GET',
      path: '/sessions',
      scope: read,
      summary: 'List living browser sessions',
      query: listQuery.extend({ user: idFilter }),
      status: 200,
      answer: sessionPage,
      handle: async ({ query: { user: userId, ...page } }) =>
        shown(await grants.sessions({ userId }, page), showSession),
    }),
    route({
      method: 'DELETE',
      path: '/sessions/{session_id}',
      scope: write,
      summary: 'End a browser session, and the grants that hang on it',
      status: 204,
      handle: ({ params, by }) => grants.endSession(params.session_id, by),
    }),
  ];
}
