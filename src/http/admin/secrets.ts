/** Routes below `/clients/{client_id}/secrets`. */
import { z } from 'zod';
import type { CreatedSecret, SecretAdministration, SecretView } from '../../clients/secret-administration.ts';
import { rotationSchema, secretPatchSchema, secretSchema } from '../../clients/secret-schema.ts';
import type { ClientGuard } from './client-guard.ts';
import { route, type Route } from './route.ts';
import {
  answer,
  flag,
  input,
  listQuery,
  pageAnswer,
  pageOf,
  shown,
  time,
  toTime,
  toTimeOrNull,
} from './schemas.ts';

export const secretAnswer = answer(
  'Secret',
  z.strictObject({
    id: z.string(),
    name: z.string().nullable(),
    hint: z.string().describe('its last four characters'),
    status: z.enum(['active', 'retiring', 'expired', 'revoked']),
    created_at: time,
    expires_at: time.nullable(),
    last_used_at: time.nullable().describe('to the minute'),
  }),
);

const secretPage = pageAnswer('SecretPage', secretAnswer);
const createdAnswer = answer(
  'CreatedSecret',
  secretAnswer.extend({ client_secret: z.string().describe('its value, shown this once') }),
);

const newSecret = input('NewSecret', secretSchema);
const rotation = input('SecretRotation', rotationSchema);
const secretPatch = input('SecretPatch', secretPatchSchema);

const revocation = z.strictObject({
  force: flag.describe('even when it is the last live one'),
  revoke_tokens: flag.describe('end everything that the client holds too'),
});

/** A secret as the API shows it. */
export const showSecret = (secret: Omit<SecretView, 'hash'>) => ({
  id: secret.id,
  name: secret.name ?? null,
  hint: secret.hint,
  status: secret.status,
  created_at: toTime(secret.createdAt),
  expires_at: toTimeOrNull(secret.expiresAt),
  last_used_at: toTimeOrNull(secret.lastUsedAt),
});

const showCreated = ({ value, secret }: CreatedSecret) => ({ ...showSecret(secret), client_secret: value });

export function secretRoutes(secrets: SecretAdministration, guard: ClientGuard): Route[] {
  const scope = 'secrets:write';
  return [
    route({
      method: 'GET',
      path: '/clients/{client_id}/secrets',
      scope: 'clients:read',
      summary: 'List the secrets of a client, oldest first; never their values',
      query: listQuery,
      status: 200,
      answer: secretPage,
      handle: async ({ params, query }) =>
        shown(
          pageOf(await secrets.list(params.client_id), query, ({ id }) => id),
          showSecret,
        ),
    }),
    route({
      method: 'POST',
      path: '/clients/{client_id}/secrets',
      scope,
      summary: 'Add a secret; the others go on working. At most five live',
      body: { schema: newSecret, optional: true },
      status: 201,
      answer: createdAnswer,
      problems: [409],
      async handle({ params: { client_id: id }, body = {}, by }) {
        await guard(id, by);
        return showCreated(await secrets.add(id, body, by));
      },
    }),
    route({
      method: 'POST',
      path: '/clients/{client_id}/secrets/rotate',
      scope,
      summary: 'Make a new secret; all others stop working at `expire_old`, or when they would have',
      body: { schema: rotation, optional: true },
      status: 201,
      answer: createdAnswer,
      problems: [409],
      async handle({ params: { client_id: id }, body = {}, by }) {
        await guard(id, by);
        return showCreated(await secrets.rotate(id, body, by));
      },
    }),
    route({
      method: 'PATCH',
      path: '/clients/{client_id}/secrets/{secret_id}',
      scope,
      summary: 'Rename a secret, or change when it stops working',
      body: { schema: secretPatch },
      status: 200,
      answer: secretAnswer,
      problems: [409],
      async handle({ params: { client_id: id, secret_id: secretId }, body, by }) {
        await guard(id, by);
        return showSecret(await secrets.change(id, secretId, body, by));
      },
    }),
    route({
      method: 'DELETE',
      path: '/clients/{client_id}/secrets/{secret_id}',
      scope,
      summary: 'Revoke a secret at once',
      query: revocation,
      status: 204,
      problems: [409],
      async handle({ params: { client_id: id, secret_id: secretId }, query, by }) {
        await guard(id, by);
        const { force, revoke_tokens: revokeTokens } = query;
        await secrets.revoke(id, secretId, { force, revokeTokens }, by);
      },
    }),
  ];
}
