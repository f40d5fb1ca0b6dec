/** Routes below `/users`. */
import { z } from 'zod';
import { parseDocument } from '../../clients/documents.ts';
import type { UserRecord } from '../../storage/user-record.ts';
import type { Accounts } from '../../users/accounts.ts';
import { claimsSchema, type StandardClaims } from '../../users/claims.ts';
import type { SecondFactors } from '../../users/second-factors.ts';
import { userSchema } from '../../users/user-document.ts';
import { meantVersion, versionToDelete } from './conditional.ts';
import { route, type Route } from './route.ts';
import { answer, idFilter, input, listQuery, pageAnswer, patchOf, shown, time, toTime } from './schemas.ts';

const userAnswer = answer(
  'User',
  z.strictObject({
    id: z.string().describe('the `sub` of its tokens'),
    username: z.string(),
    email: z.string().nullable(),
    email_verified: z.boolean(),
    name: z.string().nullable(),
    claims: claimsSchema,
    enabled: z.boolean(),
    created_at: time,
    updated_at: time,
  }),
);

const userPage = pageAnswer('UserPage', userAnswer);
const newUser = input('NewUser', userSchema);
const userPatch = input('UserPatch', patchOf(userSchema));
const newPassword = input(
  'NewPassword',
  z.strictObject({ password: z.string({ error: 'must be text' }).meta({ writeOnly: true }) }),
);

const showUser = (user: UserRecord) => ({
  id: user.id,
  username: user.username,
  email: user.email ?? null,
  email_verified: user.emailVerified,
  name: user.name ?? null,
  claims: user.claims as StandardClaims,
  enabled: user.enabled,
  created_at: toTime(user.createdAt),
  updated_at: toTime(user.updatedAt),
});

export function userRoutes(accounts: Accounts, secondFactors: SecondFactors): Route[] {
  const read = { scope: 'users:read', status: 200 } as const;
  const write = { scope: 'users:write', status: 200 } as const;
  const conditional = true;
  const tagged = (user: unknown): unknown => user;
  const meant = (id: string, ifMatch: string | undefined): Promise<number | undefined> =>
    meantVersion(ifMatch, () => accounts.get(id), showUser);
  return [
    route({
      ...read,
      method: 'GET',
      path: '/users',
      summary: 'List users, oldest first',
      query: listQuery.extend({ username: idFilter, email: idFilter }),
      answer: userPage,
      handle: async ({ query: { username, email, ...page } }) =>
        shown(await accounts.list({ username, email }, page), showUser),
    }),
    route({
      ...write,
      method: 'POST',
      path: '/users',
      summary: 'Create a user',
      body: { schema: newUser },
      status: 201,
      answer: userAnswer,
      problems: [409],
      tagged,
      location: ({ id }) => `/users/${encodeURIComponent(id)}`,
      handle: async ({ body, by }) => showUser(await accounts.create(body, by)),
    }),
    route({
      ...read,
      method: 'GET',
      path: '/users/{user_id}',
      summary: 'Get a user',
      answer: userAnswer,
      tagged,
      handle: async ({ params }) => showUser(await accounts.get(params.user_id)),
    }),
    route({
      ...write,
      method: 'PATCH',
      path: '/users/{user_id}',
      summary: 'Change a user by merge patch; a password in it ends every session and grant',
      body: { schema: userPatch },
      answer: userAnswer,
      problems: [409],
      tagged,
      conditional,
      handle: async ({ params: { user_id: id }, body, by, ifMatch }) =>
        showUser(await accounts.change(id, body, by, await meant(id, ifMatch))),
    }),
    route({
      ...write,
      method: 'DELETE',
      path: '/users/{user_id}',
      summary: 'Delete a user, with every session and grant',
      status: 204,
      conditional,
      async handle({ params: { user_id: id }, by, ifMatch }) {
        await accounts.remove(id, by, await versionToDelete(ifMatch, () => accounts.get(id), showUser));
      },
    }),
    route({
      ...write,
      method: 'POST',
      path: '/users/{user_id}/disable',
      summary: 'Disable a user: every session and grant ends, for good',
      answer: userAnswer,
      tagged,
      conditional,
      handle: async ({ params: { user_id: id }, by, ifMatch }) =>
        showUser(await accounts.setEnabled(id, false, by, await meant(id, ifMatch))),
    }),
    route({
      ...write,
      method: 'POST',
      path: '/users/{user_id}/enable',
      summary: 'Enable a user again; what ended stays ended',
      answer: userAnswer,
      tagged,
      conditional,
      handle: async ({ params: { user_id: id }, by, ifMatch }) =>
        showUser(await accounts.setEnabled(id, true, by, await meant(id, ifMatch))),
    }),
    route({
      ...write,
      method: 'POST',
      path: '/users/{user_id}/revoke',
      summary: 'End every session and grant of a user',
      status: 204,
      conditional,
      handle: async ({ params: { user_id: id }, by, ifMatch }) =>
        accounts.revoke(id, by, await meant(id, ifMatch)),
    }),
    route({
      ...write,
      method: 'DELETE',
      path: '/users/{user_id}/second-factors',
      summary: 'Remove the second factor and the recovery codes of a user who has lost them',
      status: 204,
      handle: ({ params, by }) => secondFactors.reset(params.user_id, by),
    }),
    route({
      ...write,
      method: 'PUT',
      path: '/users/{user_id}/password',
      summary: 'Set the password of a user: every session and grant ends',
      body: { schema: newPassword },
      status: 204,
      problems: [409],
      conditional,
      async handle({ params: { user_id: id }, body, by, ifMatch }) {
        const { password } = parseDocument(newPassword, body);
        await accounts.setPassword(id, password, by, await meant(id, ifMatch));
      },
    }),
  ];
}
