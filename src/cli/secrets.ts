/** `portcullis clients secrets`: the table of its verbs. */
import { type Field, fixed, option } from './fields.ts';
import type { Group } from './verbs.ts';

const name = option('--name <text>', 'name', 'what to call it');
const expires = option('--expires-at <instant>', 'expires_at', 'when it stops working (RFC 3339)');
const force: Field = fixed('--force', 'force', true, 'also when it is the last one that works');

/** The secrets of one client. */
export const secrets: Group = {
  name: 'secrets',
  summary: 'the secrets of a client: up to five live ones, so that they can be changed without a gap',
  examples: [
    'clients secrets list web',
    'clients secrets rotate web --expire-old 24h',
    'clients secrets revoke web SECRET_ID --revoke-tokens',
  ],
  verbs: [
    {
      name: 'list',
      summary: 'list the secrets of a client: hint, status, last use; never a value',
      scope: 'clients:read',
      method: 'GET',
      path: '/clients/{client}/secrets',
      columns: ['id', 'name', 'hint', 'status', 'created_at', 'expires_at', 'last_used_at'],
    },
    {
      name: 'add',
      makes: true,
      summary: 'add a secret; the others go on working',
      scope: 'secrets:write',
      method: 'POST',
      path: '/clients/{client}/secrets',
      body: [name, expires],
    },
    {
      name: 'rotate',
      makes: true,
      summary: 'make a new secret, and let all others run out',
      scope: 'secrets:write',
      method: 'POST',
      path: '/clients/{client}/secrets/rotate',
      body: [
        option(
          '--expire-old <when>',
          'expire_old',
          'now, or how long the old ones still work: 30m, 24h, 7d, RFC 3339',
        ),
        name,
      ],
    },
    {
      name: 'update',
      summary: 'rename a secret, or set when it stops working',
      scope: 'secrets:write',
      method: 'PATCH',
      path: '/clients/{client}/secrets/{secret}',
      body: [name, expires],
    },
    {
      name: 'revoke',
      summary: 'make a secret stop working at once',
      scope: 'secrets:write',
      method: 'DELETE',
      path: '/clients/{client}/secrets/{secret}',
      query: [
        force,
        fixed('--revoke-tokens', 'revoke_tokens', true, 'also end everything that the client holds'),
      ],
      question: 'Revoke the secret {secret} of the client {client}? Whoever uses it is locked out.',
      done: 'secret {secret} is revoked',
    },
  ],
};
