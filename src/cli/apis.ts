/** `portcullis apis`: the table of its verbs. */
import { InvalidArgumentError } from 'commander';
import { choice, type Field, list, number, option } from './fields.ts';
import type { Group } from './verbs.ts';

const scope = (text: string): { name: string; description: string } => {
  const [, name, description] = /^([^=\s]+)=(.+)$/.exec(text) ?? [];
  if (name === undefined || description === undefined) {
    throw new InvalidArgumentError(
      'It must be NAME=DESCRIPTION; people read the description when they are asked.',
    );
  }
  return { name, description };
};

const fields: readonly Field[] = [
  option('--name <text>', 'name', 'what people see'),
  list('--scope <name=description>', 'scopes', 'a scope, and what it allows in words', scope),
  choice('--access-token-format <format>', 'access_token_format', 'jwt, or opaque for phantom tokens', [
    'jwt',
    'opaque',
  ]),
  option('--access-token-ttl <seconds>', 'access_token_ttl', 'life of its access tokens', number),
  option('--signing-alg <alg>', 'signing_alg', 'how its tokens are signed'),
];

/** Resource servers. */
export const apis: Group = {
  name: 'apis',
  summary: 'the APIs that tokens are made for, and their scopes',
  examples: [
    'apis create https://orders.example/api --name Orders --scope "orders:read=See your orders"',
    'apis get https://orders.example/api',
    'apis update https://orders.example/api --access-token-ttl 300',
  ],
  verbs: [
    {
      name: 'list',
      summary: 'list APIs',
      scope: 'apis:read',
      method: 'GET',
      path: '/apis',
      columns: ['identifier', 'name', 'access_token_format', 'signing_alg', 'access_token_ttl'],
    },
    { name: 'get', summary: 'show an API', scope: 'apis:read', method: 'GET', path: '/apis/{identifier}' },
    {
      name: 'create',
      makes: true,
      summary: 'register an API',
      scope: 'apis:write',
      method: 'POST',
      path: '/apis',
      takes: [{ member: 'identifier', help: 'an absolute URI: the audience of its tokens' }],
      body: fields,
    },
    {
      name: 'update',
      summary: 'change an API; scopes that are given replace all that were there',
      scope: 'apis:write',
      method: 'PATCH',
      path: '/apis/{identifier}',
      body: fields,
    },
    {
      name: 'delete',
      summary: 'remove an API: its tokens become inactive',
      scope: 'apis:write',
      method: 'DELETE',
      path: '/apis/{identifier}',
      question: 'Delete the API {identifier}? Its tokens become inactive.',
      done: 'API {identifier} is deleted',
    },
  ],
};
