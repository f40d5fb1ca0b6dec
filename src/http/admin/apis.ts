/** Routes below `/apis`. */
import { z } from 'zod';
import type { ApiAdministration } from '../../clients/api-administration.ts';
import { apiSchema } from '../../clients/api-schema.ts';
import type { ApiRecord } from '../../storage/apis.ts';
import { meantVersion, versionToDelete } from './conditional.ts';
import { route, type Route } from './route.ts';
import { answer, input, listQuery, pageAnswer, patchOf, shown, time, toTime } from './schemas.ts';

const apiAnswer = answer(
  'Api',
  z.strictObject({
    identifier: z.string(),
    name: z.string(),
    scopes: z.array(z.strictObject({ name: z.string(), description: z.string() })),
    access_token_format: z.enum(['jwt', 'opaque']),
    access_token_ttl: z.int().nullable().describe("seconds; null: the server's own"),
    signing_alg: z.string(),
    created_at: time.nullable().describe('null: it is built in'),
    updated_at: time.nullable(),
  }),
);

const apiPage = pageAnswer('ApiPage', apiAnswer);
const newApi = input('NewApi', apiSchema);
const apiPatch = input('ApiPatch', patchOf(apiSchema));

const showApi = (api: ApiRecord) => ({
  identifier: api.identifier,
  name: api.name,
  scopes: api.scopes.map(({ name, description }) => ({ name, description })),
  access_token_format: api.accessTokenFormat,
  access_token_ttl: api.accessTokenTtl ?? null,
  signing_alg: api.signingAlg,
  created_at: api.version === 0 ? null : toTime(api.createdAt),
  updated_at: api.version === 0 ? null : toTime(api.updatedAt),
});

export function apiRoutes(apis: ApiAdministration): Route[] {
  const read = { scope: 'apis:read', status: 200 } as const;
  const write = { scope: 'apis:write', status: 200 } as const;
  const tagged = (api: unknown): unknown => api;
  return [
    route({
      ...read,
      method: 'GET',
      path: '/apis',
      summary: 'List the APIs that were created, oldest first',
      query: listQuery,
      answer: apiPage,
      handle: async ({ query }) => shown(await apis.list(query), showApi),
    }),
    route({
      ...write,
      method: 'POST',
      path: '/apis',
      summary: 'Create an API',
      body: { schema: newApi },
      status: 201,
      answer: apiAnswer,
      problems: [409],
      tagged,
      location: ({ identifier }) => `/apis/${encodeURIComponent(identifier)}`,
      handle: async ({ body, by }) => showApi(await apis.create(body, by)),
    }),
    route({
      ...read,
      method: 'GET',
      path: '/apis/{identifier}',
      summary: 'Get an API',
      answer: apiAnswer,
      tagged,
      handle: async ({ params }) => showApi(await apis.get(params.identifier)),
    }),
    route({
      ...write,
      method: 'PATCH',
      path: '/apis/{identifier}',
      summary: 'Change an API by merge patch; `scopes` are replaced as a whole',
      body: { schema: apiPatch },
      answer: apiAnswer,
      problems: [409],
      tagged,
      conditional: true,
      async handle({ params: { identifier }, body, by, ifMatch }) {
        const version = await meantVersion(ifMatch, () => apis.get(identifier), showApi);
        return showApi(await apis.change(identifier, body, by, version));
      },
    }),
    route({
      ...write,
      method: 'DELETE',
      path: '/apis/{identifier}',
      summary: 'Delete an API: its tokens are inactive, and are not refreshed',
      status: 204,
      conditional: true,
      async handle({ params: { identifier }, by, ifMatch }) {
        const version = await versionToDelete(ifMatch, () => apis.get(identifier), showApi);
        await apis.remove(identifier, by, version);
      },
    }),
  ];
}
