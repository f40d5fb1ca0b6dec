/** The OpenAPI 3.1 document, made of the very table that requests are checked by. */
import { z } from 'zod';
import { ADMIN_SCOPES } from '../../clients/apis.ts';
import { isObject } from '../../lib/documents.ts';
import { VERSION } from '../../lib/version.ts';
import type { Route } from './route.ts';
import { answers, inputs, problem } from './schemas.ts';

type Json = Record<string, unknown>;

/** Where the document itself is, below `/admin/v1`. */
export const OPENAPI_PATH = '/openapi.json';

const componentUri = (id: string): string => `#/components/schemas/${id}`;

/** The JSON Schemas of a registry, as components. */
function components(registry: typeof answers, io: 'input' | 'output'): Json {
  const { schemas } = z.toJSONSchema(registry, { io, uri: componentUri, unrepresentable: 'any' });
  return Object.fromEntries(
    Object.entries(schemas).map(([id, { $schema: _schema, $id: _id, id: _name, ...schema }]) => [id, schema]),
  );
}

const reference = (registry: typeof answers, schema: z.ZodType): Json => {
  const id = registry.get(schema)?.id;
  if (id === undefined) throw new Error('a schema of the admin API has no name');
  return { $ref: componentUri(id) };
};

const json = (schema: Json): Json => ({ 'application/json': { schema } });

const pathParameters = (path: string): Json[] =>
  [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string' },
  }));

function queryParameters(query: z.ZodObject | undefined): Json[] {
  if (!query) return [];
  const { properties = {} } = z.toJSONSchema(query, { io: 'input' });
  return Object.entries(properties).map(([name, schema]) => {
    const { description, ...rest } = isObject(schema) ? schema : {};
    return { name, in: 'query', ...(description === undefined ? {} : { description }), schema: rest };
  });
}

/** If-Match holds for every write, whether anything can match or not (RFC 9110, 13.1.1). */
const ifMatchOf = ({ method, conditional }: Route): Json[] =>
  method === 'GET'
    ? []
    : [
        {
          name: 'If-Match',
          in: 'header',
          description: conditional
            ? 'the ETag that the resource was read with; when it has changed since, nothing is done'
            : 'has no ETag: nothing is done for any value but *',
          schema: { type: 'string' },
        },
      ];

/** Statuses of the problems that a route may answer with, those of the server's own faults apart. */
function problemsOf(route: Route): number[] {
  const { method, path, body, problems = [] } = route;
  return [
    400,
    401,
    403,
    ...problems,
    ...(path.includes('{') ? [404] : []),
    ...(method === 'GET' ? [] : [412]),
    ...(body ? [413, 415] : []),
    422,
  ];
}

const asProblem = (description: string): Json => ({
  description,
  content: { 'application/problem+json': { schema: reference(answers, problem) } },
});

const MEANINGS: Readonly<Record<number, string>> = {
  400: 'Malformed request',
  401: 'No valid access token',
  403: 'The token lacks the scope, or the caller may not do this',
  404: 'There is no such resource',
  409: 'In conflict with what there is',
  412: 'Changed since it was read',
  413: 'Body too large',
  415: 'Body of another type',
  422: 'Not valid; each fault with its pointer',
};

const headers = ({ tagged, location }: Route): Json => ({
  ...(tagged ? { ETag: { schema: { type: 'string' } } } : {}),
  ...(location ? { Location: { schema: { type: 'string', format: 'uri' } } } : {}),
});

function success(route: Route): Json {
  const { status, answer, lines } = route;
  if (!answer) return { [status]: { description: 'Done' } };
  const content = {
    ...json(reference(answers, answer)),
    ...(lines ? { 'application/x-ndjson': { schema: reference(answers, lines.schema) } } : {}),
  };
  const description = status === 201 ? 'Created' : 'The answer';
  return { [status]: { description, headers: headers(route), content } };
}

function operation(route: Route): Json {
  const { method, path, scope, summary, body, query } = route;
  const names = path.split('/').filter((part) => part !== '' && !part.startsWith('{'));
  const schema = body && reference(inputs, body.schema);
  return {
    operationId: [method.toLowerCase(), ...names, ...(path.endsWith('}') ? ['one'] : [])].join('-'),
    summary,
    tags: [names[0]],
    security: [{ oauth2: [scope] }],
    parameters: [...pathParameters(path), ...queryParameters(query), ...ifMatchOf(route)],
    ...(schema && {
      requestBody: {
        required: !body?.optional,
        content: {
          ...json(schema),
          ...(body?.form ? { 'application/x-www-form-urlencoded': { schema } } : {}),
          ...(method === 'PATCH' ? { 'application/merge-patch+json': { schema } } : {}),
        },
      },
    }),
    responses: {
      ...success(route),
      ...Object.fromEntries(problemsOf(route).map((status) => [status, asProblem(MEANINGS[status] ?? '')])),
      '5XX': asProblem("The server's own fault; 503: try again after Retry-After"),
    },
  };
}

/** The document of the routes of one server. */
export function createOpenApi(routes: readonly Route[], issuer: string): Json {
  const paths: Record<string, Json> = {
    [OPENAPI_PATH]: {
      get: {
        operationId: 'get-openapi',
        summary: 'This document',
        security: [],
        responses: { 200: { description: 'The document', content: json({ type: 'object' }) } },
      },
    },
  };
  for (const route of routes) {
    paths[route.path] = { ...paths[route.path], [route.method.toLowerCase()]: operation(route) };
  }
  return {
    openapi: '3.1.0',
    info: { title: 'Portcullis admin API', version: VERSION },
    servers: [{ url: `${issuer}/admin/v1` }],
    paths,
    components: {
      schemas: { ...components(inputs, 'input'), ...components(answers, 'output') },
      securitySchemes: {
        oauth2: {
          type: 'oauth2',
          description: 'Ask /token for the resource urn:portcullis:admin',
          flows: {
            clientCredentials: {
              tokenUrl: `${issuer}/token`,
              scopes: Object.fromEntries(ADMIN_SCOPES.map(({ name, description }) => [name, description])),
            },
          },
        },
      },
    },
  };
}
