/** What the server answers to: every endpoint with the parameters that it knows. The admin API's come from its OpenAPI. */
import type { OpenApi } from '../../http/admin/support/admin-client.ts';

export interface Endpoint {
  readonly method: string;
  /** `{name}` stands for a value of that name. */
  readonly path: string;
  /** Names of the parameters; `body` says how they are sent. */
  readonly names: readonly string[];
  readonly body: 'query' | 'form' | 'json';
  /** What is sent to be let in. */
  readonly as: 'client' | 'browser' | 'admin' | 'user';
  /** How often, against the others. What costs the server a hash of a password or a new key comes less often. */
  readonly weight: number;
}

const AUTHORIZATION =
  'client_id redirect_uri response_type response_mode scope state nonce prompt max_age claims resource ui_locales ' +
  'login_hint id_token_hint acr_values request request_uri code_challenge code_challenge_method dpop_jkt ' +
  'registration display claims_locales';
const CLIENT = 'client_id client_secret client_assertion client_assertion_type';
const SIGN_IN = 'csrf username password token target asked credential';
const SECTIONS =
  'profile email apps sessions activity factors authenticator password delete confirm login recover register verify';
const ACCOUNT =
  'csrf name email username password current_password new_password repeat_password session_id client_id others ' +
  'code decision setup pending token credential challenge passkey_id section device';

const list = (names: string): string[] => names.split(' ');

function endpoint(method: string, path: string, names: string, as: Endpoint['as'], weight = 10): Endpoint {
  return { method, path, names: list(names), body: method === 'GET' ? 'query' : 'form', as, weight };
}

const published = ['/jwks', '/.well-known/openid-configuration', '/.well-known/oauth-authorization-server'];
const plain = [
  '/',
  '/account',
  '/.well-known/change-password',
  '/health/live',
  '/health/ready',
  '/logout/success',
];

export const endpoints: readonly Endpoint[] = [
  endpoint('GET', '/authorize', AUTHORIZATION, 'browser', 80),
  endpoint('POST', '/authorize', AUTHORIZATION, 'browser'),
  endpoint('GET', '/authorize/{interaction}', 'x', 'browser'),
  endpoint(
    'POST',
    '/token',
    `grant_type code refresh_token redirect_uri scope resource code_verifier device_code ${CLIENT}`,
    'client',
    80,
  ),
  endpoint('POST', '/introspect', `token token_type_hint ${CLIENT}`, 'client', 40),
  endpoint('POST', '/revoke', `token token_type_hint ${CLIENT}`, 'client', 30),
  endpoint('POST', '/par', `${AUTHORIZATION} ${CLIENT}`, 'client', 40),
  endpoint('POST', '/device_authorization', `scope resource acr_values max_age ${CLIENT}`, 'client', 20),
  endpoint('GET', '/userinfo', 'scope access_token', 'user', 20),
  endpoint('POST', '/userinfo', 'scope access_token', 'user'),
  endpoint(
    'GET',
    '/logout',
    'id_token_hint client_id post_logout_redirect_uri state ui_locales logout_hint',
    'browser',
  ),
  endpoint('POST', '/logout', 'id_token_hint client_id post_logout_redirect_uri state ui_locales', 'browser'),
  endpoint('POST', '/logout/confirm', 'csrf decision xsrf logout', 'browser'),
  endpoint('GET', '/device', 'user_code', 'browser'),
  endpoint('POST', '/device', 'csrf user_code decision', 'browser', 20),
  endpoint('POST', '/device/switch', 'csrf user_code', 'browser'),
  endpoint('GET', '/interaction/{interaction}', 'ui_locales', 'browser'),
  ...['login', 'consent', 'switch'].map((step) =>
    endpoint('POST', `/interaction/{interaction}/${step}`, `${SIGN_IN} decision device`, 'browser'),
  ),
  ...list(SECTIONS).flatMap((section) => [
    endpoint('GET', `/account/${section}`, 'token ui_locales', 'browser', 4),
    endpoint('POST', `/account/${section}`, ACCOUNT, 'browser', 6),
  ]),
  endpoint('POST', '/register', 'redirect_uris client_name', 'client', 4),
  endpoint('GET', '/assets/{name}', 'x', 'browser', 2),
  ...[...published, ...plain].map((path) => endpoint('GET', path, 'x', 'browser', 2)),
  endpoint('GET', '/admin/v1/openapi.json', 'x', 'admin', 2),
];

interface Parameter {
  readonly name: string;
  readonly in: string;
}

/** What may be ended: the run needs the others. */
const expendable = (path: string): string =>
  path.replace('{client_id}', '{victim}').replace('{user_id}', '{victim_user}');

const DEAR = /^POST \/(?:keys|users$)|password$|\/test$/;

/** Every operation of the admin API. */
export function adminEndpoints({ paths, components }: OpenApi): Endpoint[] {
  return Object.entries(paths).flatMap(([path, operations]) =>
    Object.entries(operations).map(([verb, operation]) => {
      const method = verb.toUpperCase();
      const parameters = (operation.parameters ?? []) as readonly Parameter[];
      const schemas = Object.values(operation.requestBody?.content ?? {}).map(({ schema }) => {
        const name = schema.$ref?.split('/').at(-1);
        return (name === undefined ? schema : components.schemas[name]) as { properties?: object };
      });
      const inBody = schemas.flatMap(({ properties = {} }) => Object.keys(properties));
      const inQuery = parameters.filter((each) => each.in === 'query').map(({ name }) => name);
      return {
        method,
        path: `/admin/v1${method === 'GET' ? path : expendable(path)}`,
        names: inBody.length > 0 ? inBody : [...inQuery, 'x'],
        body: inBody.length > 0 ? ('json' as const) : ('query' as const),
        as: 'admin' as const,
        weight: DEAR.test(`${method} ${path}`) ? 1 : 8,
      };
    }),
  );
}
