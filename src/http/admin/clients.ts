/** Routes below `/clients`, but for secrets. */
import { z } from 'zod';
import type { ClientAdministration } from '../../clients/administration.ts';
import { clientSchema } from '../../clients/client-schema.ts';
import type { Client } from '../../clients/registry.ts';
import type { Caller } from './caller.ts';
import type { ClientGuard } from './client-guard.ts';
import { meantVersion, versionToDelete } from './conditional.ts';
import { route, type Route } from './route.ts';
import { answer, input, listQuery, pageAnswer, patchOf, shown, time, toTime } from './schemas.ts';
import { secretAnswer, showSecret } from './secrets.ts';

const { shape } = clientSchema;

const clientAnswer = answer(
  'Client',
  z.strictObject({
    ...shape,
    client_id: z.string(),
    response_types: shape.response_types.unwrap(),
    scope: shape.scope.unwrap(),
    token_endpoint_auth_method: shape.token_endpoint_auth_method.unwrap(),
    require_state: z.boolean(),
    created_at: time,
    updated_at: time,
  }),
);

const createdAnswer = answer(
  'CreatedClient',
  clientAnswer.extend({
    client_secret: z.string().optional().describe('shown this once'),
    secret: secretAnswer.optional(),
  }),
);

const clientPage = pageAnswer('ClientPage', clientAnswer);
const newClient = input('NewClient', clientSchema);
const clientPatch = input('ClientPatch', patchOf(clientSchema));

/** A client as the API shows it: its metadata, and when it was made and changed. */
const showClient = (client: Client) => ({
  ...client.metadata,
  client_id: client.id,
  enabled: client.enabled,
  created_at: toTime(client.createdAt),
  updated_at: toTime(client.updatedAt),
});

export function clientRoutes(clients: ClientAdministration, guard: ClientGuard): Route[] {
  const read = { scope: 'clients:read', status: 200 } as const;
  const write = { scope: 'clients:write', status: 200 } as const;
  const conditional = true;
  const tagged = (client: unknown): unknown => client;
  const find = (id: string) => () => clients.get(id);
  /** The version of the client that a request is meant for, once the caller may change it. */
  const meant = async (id: string, by: Caller, ifMatch: string | undefined): Promise<number | undefined> => {
    await guard(id, by);
    return meantVersion(ifMatch, find(id), showClient);
  };
  return [
    route({
      ...read,
      method: 'GET',
      path: '/clients',
      summary: 'List clients, oldest first',
      query: listQuery,
      answer: clientPage,
      handle: async ({ query }) => shown(await clients.list(query), showClient),
    }),
    route({
      ...write,
      method: 'POST',
      path: '/clients',
      summary: 'Create a client; with a secret-based method its first secret is shown this once',
      body: { schema: newClient },
      status: 201,
      answer: createdAnswer,
      problems: [409],
      location: ({ client_id: id }) => `/clients/${encodeURIComponent(id)}`,
      tagged: ({ client_secret: _value, secret: _secret, ...client }) => client,
      async handle({ body, by }) {
        const { client, secret } = await clients.create(body, by);
        if (!secret) return showClient(client);
        const made = showSecret({ ...secret.record, status: 'active' });
        return { ...showClient(client), client_secret: secret.value, secret: made };
      },
    }),
    route({
      ...read,
      method: 'GET',
      path: '/clients/{client_id}',
      summary: 'Get a client',
      answer: clientAnswer,
      tagged,
      handle: async ({ params }) => showClient(await clients.get(params.client_id)),
    }),
    route({
      ...write,
      method: 'PATCH',
      path: '/clients/{client_id}',
      summary: 'Change a client by merge patch: null puts a member back to its default',
      body: { schema: clientPatch },
      answer: clientAnswer,
      tagged,
      conditional,
      handle: async ({ params: { client_id: id }, body, by, ifMatch }) =>
        showClient(await clients.change(id, body, by, await meant(id, by, ifMatch))),
    }),
    route({
      ...write,
      method: 'DELETE',
      path: '/clients/{client_id}',
      summary: 'Delete a client: everything that it holds is dead',
      status: 204,
      conditional,
      async handle({ params: { client_id: id }, by, ifMatch }) {
        await guard(id, by);
        await clients.remove(id, by, await versionToDelete(ifMatch, find(id), showClient));
      },
    }),
    route({
      ...write,
      method: 'POST',
      path: '/clients/{client_id}/disable',
      summary: 'Disable a client: everything that it holds is dead, for good',
      answer: clientAnswer,
      tagged,
      conditional,
      handle: async ({ params: { client_id: id }, by, ifMatch }) =>
        showClient(await clients.setEnabled(id, false, by, await meant(id, by, ifMatch))),
    }),
    route({
      ...write,
      method: 'POST',
      path: '/clients/{client_id}/enable',
      summary: 'Enable a client again; what died with it stays dead',
      answer: clientAnswer,
      tagged,
      conditional,
      handle: async ({ params: { client_id: id }, by, ifMatch }) =>
        showClient(await clients.setEnabled(id, true, by, await meant(id, by, ifMatch))),
    }),
    route({
      ...write,
      method: 'POST',
      path: '/clients/{client_id}/revoke',
      summary: 'End everything that a client holds, its own tokens included',
      status: 204,
      conditional,
      handle: async ({ params: { client_id: id }, by, ifMatch }) =>
        clients.revoke(id, by, await meant(id, by, ifMatch)),
    }),
  ];
}
