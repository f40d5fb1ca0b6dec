/** `portcullis clients`: the table of its verbs. */
import { choice, type Field, fixed, json, list, number, option, toggle } from './fields.ts';
import { secrets } from './secrets.ts';
import type { Group } from './verbs.ts';

const METHODS = ['none', 'client_secret_basic', 'client_secret_post', 'private_key_jwt'];

const fields: readonly Field[] = [
  option('--name <text>', 'client_name', 'what people see'),
  list('--redirect-uri <uri>', 'redirect_uris', 'where answers may go, exactly'),
  list('--post-logout-redirect-uri <uri>', 'post_logout_redirect_uris', 'where signing out may lead'),
  list('--grant-type <type>', 'grant_types', 'authorization_code, refresh_token, client_credentials, …'),
  choice('--auth-method <method>', 'token_endpoint_auth_method', 'how it authenticates', METHODS),
  fixed('--public', 'token_endpoint_auth_method', 'none', 'it cannot keep a secret: a browser or native app'),
  fixed(
    '--native',
    'application_type',
    'native',
    'it runs on the user’s machine: any loopback port, private schemes',
  ),
  option('--scope <scopes>', 'scope', 'all that it may ask for, separated by spaces'),
  list('--serves <api>', 'serves', 'an API whose tokens it may introspect'),
  list('--allowed-origin <origin>', 'allowed_origins', 'a web origin that may call the endpoints (CORS)'),
  ...toggle('first-party', 'first_party', 'one of our own: consent is not asked for'),
  ...toggle('require-pkce', 'require_pkce', 'refuse requests without PKCE (the default)'),
  ...toggle('require-state', 'require_state', 'refuse requests without state'),
  ...toggle('claims-in-id-token', 'claims_in_id_token', 'put scope claims into its ID tokens too'),
  option('--jwks <json>', 'jwks', 'its public keys', json),
  option('--jwks-uri <url>', 'jwks_uri', 'where its public keys are'),
  option('--backchannel-logout-uri <url>', 'backchannel_logout_uri', 'is told when a session of its ends'),
  ...toggle(
    'backchannel-logout-session-required',
    'backchannel_logout_session_required',
    'it needs the sid in logout tokens (they always have one)',
  ),
  ...toggle('fapi', 'fapi', 'hold it to what FAPI 2.0 demands of clients'),
  option('--access-token-ttl <seconds>', 'access_token_ttl', 'life of its access tokens', number),
  option(
    '--refresh-token-idle-ttl <seconds>',
    'refresh_token_idle_ttl',
    'life of an unused refresh token',
    number,
  ),
  option('--refresh-token-max-ttl <seconds>', 'refresh_token_max_ttl', 'longest life of a family', number),
  ...toggle(
    'refresh-tokens-end-with-session',
    'refresh_tokens_end_with_session',
    'never grant it offline_access: what it holds ends with the browser session',
  ),
  option(
    '--rotation-grace <seconds>',
    'rotation_grace',
    'how long a spent refresh token may be retried',
    number,
  ),
  option('--max-families-per-user <n>', 'max_families_per_user', 'families that one user may have', number),
];

const write = { scope: 'clients:write', method: 'POST' } as const;

/** Client applications. */
export const clients: Group = {
  name: 'clients',
  summary: 'the applications that may ask for tokens',
  examples: [
    'clients create --id web --name "Web shop" --redirect-uri https://shop.example/callback --scope "openid orders:read"',
    'clients create --id spa --public --redirect-uri https://spa.example/ --allowed-origin https://spa.example',
    'clients create --id robot --grant-type client_credentials --scope orders:read --quiet > robot.secret',
    'clients update web --access-token-ttl 300',
    'clients secrets rotate web --expire-old 24h',
  ],
  verbs: [
    {
      name: 'list',
      summary: 'list clients',
      scope: 'clients:read',
      method: 'GET',
      path: '/clients',
      columns: [
        'client_id',
        'client_name',
        'enabled',
        'token_endpoint_auth_method',
        'grant_types',
        'created_at',
      ],
    },
    {
      name: 'get',
      summary: 'show a client',
      scope: 'clients:read',
      method: 'GET',
      path: '/clients/{client}',
    },
    {
      name: 'create',
      makes: true,
      summary: 'register a client; its secret is shown this once',
      ...write,
      path: '/clients',
      body: [option('--id <id>', 'client_id', 'its client_id (else one is made)'), ...fields],
    },
    {
      name: 'update',
      summary: 'change a client: what is given replaces what was there, the rest stays',
      scope: 'clients:write',
      method: 'PATCH',
      path: '/clients/{client}',
      body: fields,
    },
    {
      name: 'logout-notices',
      summary: 'list ends of sessions that the client was not told of yet, or that were given up',
      scope: 'clients:read',
      method: 'GET',
      path: '/clients/{client}/logout-notices',
      columns: ['id', 'user_id', 'status', 'attempts', 'error', 'created_at'],
    },
    {
      ...write,
      name: 'disable',
      summary: 'stop a client: all that it holds dies at once, and stays dead',
      path: '/clients/{client}/disable',
      question: 'Disable the client {client}? Every token that it holds dies.',
      done: 'client {client} is disabled',
    },
    {
      ...write,
      name: 'enable',
      summary: 'let a disabled client work again',
      path: '/clients/{client}/enable',
      done: 'client {client} is enabled',
    },
    {
      name: 'delete',
      summary: 'remove a client and all that it holds',
      scope: 'clients:write',
      method: 'DELETE',
      path: '/clients/{client}',
      question: 'Delete the client {client}, and every token that it holds?',
      done: 'client {client} is deleted',
    },
    {
      ...write,
      name: 'revoke',
      summary: 'end everything that the client holds; it may go on and ask anew',
      path: '/clients/{client}/revoke',
      question: 'Revoke every token of the client {client}?',
      done: 'everything that the client {client} held is revoked',
    },
  ],
  groups: [secrets],
};
