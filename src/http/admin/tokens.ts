/** Routes below `/tokens`: for the admin with a leaked token in hand. */
import { z } from 'zod';
import { parseDocument } from '../../clients/documents.ts';
import { inactiveReasons, type TokenInspector } from '../../provider/token-inspector.ts';
import { route, type Route } from './route.ts';
import { answer, input } from './schemas.ts';

const tokenInput = input(
  'TokenInHand',
  z.strictObject({
    token: z
      .string({ error: 'must be one text' })
      .min(1, { error: 'must not be empty' })
      .meta({ writeOnly: true }),
    token_type_hint: z.string().optional().describe('not needed: a token tells what it is'),
  }),
);

const inspectionAnswer = answer(
  'TokenInspection',
  z.strictObject({
    active: z.boolean(),
    inactive_reason: z.enum(inactiveReasons).optional(),
    kind: z.enum(['access_token', 'refresh_token']).optional(),
    client_id: z.string().optional(),
    user_id: z.string().optional(),
    grant_id: z.string().optional(),
    scope: z.string().optional(),
    aud: z.string().optional(),
    iss: z.string().optional(),
    sub: z.string().optional(),
    jti: z.string().optional().describe('of a JWT'),
    iat: z.int().optional(),
    exp: z.int().optional(),
  }),
);

export function tokenRoutes(tokens: TokenInspector): Route[] {
  const body = { schema: tokenInput, form: true } as const;
  return [
    route({
      method: 'POST',
      path: '/tokens/introspect',
      scope: 'tokens:read',
      summary: 'Tell whether a token is alive, whose it is, and if not why',
      body,
      status: 200,
      answer: inspectionAnswer,
      handle: async ({ body: sent }) => tokens.inspect(parseDocument(tokenInput, sent).token),
    }),
    route({
      method: 'POST',
      path: '/tokens/revoke',
      scope: 'tokens:write',
      summary: 'Make an access token inactive; with a refresh token its whole family ends',
      body,
      status: 204,
      handle: ({ body: sent, by }) => tokens.revoke(parseDocument(tokenInput, sent).token, by),
    }),
  ];
}
