/** The rules that span members of a client document. Used by `metadata.ts` only. */
import type { Fault } from '../lib/documents.ts';
import { ADMIN_SCOPES, isReservedScope } from './apis.ts';
import { DEVICE_CODE } from './client-schema.ts';
import { verifiesAssertion } from './jwks.ts';
import type { ClientContext, ClientMetadata } from './metadata.ts';
import { redirectTypeFault } from './redirect-uris.ts';

type Member = keyof ClientMetadata;

interface Rule {
  /** The rule is skipped when one of these is faulty by itself: what it would say could be nonsense. */
  readonly reads: readonly Member[];
  /** Faults; `before` is the document that a patch changes: what it holds already needs no new permission. */
  check(client: ClientMetadata, context: ClientContext, before: ClientMetadata | undefined): Fault[];
}

const fault = (pointer: string, detail: string): Fault => ({ pointer, detail });
const when = (condition: boolean, pointer: string, detail: string): Fault[] =>
  condition ? [fault(pointer, detail)] : [];

const FAPI = 'where fapi is';
const FAPI_FLAGS = [
  'require_pkce',
  'require_pushed_authorization_requests',
  'dpop_bound_access_tokens',
] as const;

const isAdminScope = (name: string): boolean => ADMIN_SCOPES.some((scope) => scope.name === name);
/** The names in a scope value (RFC 6749, 3.3). */
const scopeNames = (scope: string): string[] => scope.split(' ').filter(Boolean);
const isPublic = (client: ClientMetadata): boolean => client.token_endpoint_auth_method === 'none';
const signsUsersIn = ({ grant_types: types }: ClientMetadata): boolean =>
  types.includes('authorization_code') || types.includes(DEVICE_CODE);

/** Faults of the document; status 422. */
export const rules: readonly Rule[] = [
  {
    reads: ['grant_types', 'redirect_uris'],
    check: ({ grant_types: types, redirect_uris: uris }) =>
      when(
        types.includes('authorization_code') && uris.length === 0,
        '/redirect_uris',
        'must hold at least one for the authorization_code grant',
      ),
  },
  ...(['redirect_uris', 'post_logout_redirect_uris'] as const).map((member): Rule => ({
    reads: ['application_type', member],
    check: (client) =>
      client[member].flatMap((uri, index) => {
        const detail = redirectTypeFault(uri, client.application_type);
        return detail ? [fault(`/${member}/${index}`, detail)] : [];
      }),
  })),
  {
    reads: ['grant_types'],
    check: (client) =>
      when(
        client.grant_types.includes('refresh_token') && !signsUsersIn(client),
        '/grant_types',
        'refresh_token needs authorization_code or the device code grant beside it',
      ),
  },
  {
    reads: ['grant_types', 'token_endpoint_auth_method'],
    check: (client) =>
      when(
        client.grant_types.includes('client_credentials') && isPublic(client),
        '/grant_types',
        'client_credentials is for confidential clients (RFC 6749, 4.4)',
      ),
  },
  {
    reads: ['grant_types', 'response_types'],
    check: (client) =>
      when(
        client.response_types.join() !== responseTypesOf(client).join(),
        '/response_types',
        'must agree with grant_types: ["code"] with authorization_code, else []',
      ),
  },
  {
    reads: ['application_type', 'token_endpoint_auth_method'],
    check: (client) =>
      when(
        client.application_type === 'native' && client.token_endpoint_auth_method.startsWith('client_secret'),
        '/token_endpoint_auth_method',
        'a native client keeps no secret (RFC 8252, 8.5): use none or private_key_jwt',
      ),
  },
  {
    reads: ['token_endpoint_auth_method', 'jwks', 'jwks_uri'],
    check: ({ token_endpoint_auth_method: method, jwks, jwks_uri: jwksUri }) => [
      ...when(
        method === 'private_key_jwt' && !jwks && jwksUri === undefined,
        '/jwks',
        'private_key_jwt needs jwks or jwks_uri',
      ),
      ...when(jwks !== undefined && jwksUri !== undefined, '/jwks_uri', 'must not be given beside jwks'),
    ],
  },
  {
    reads: ['token_endpoint_auth_method', 'token_endpoint_auth_signing_alg', 'jwks'],
    check: ({ token_endpoint_auth_method: method, token_endpoint_auth_signing_alg: alg, jwks }) => [
      ...when(
        alg !== undefined && method !== 'private_key_jwt',
        '/token_endpoint_auth_signing_alg',
        'is for private_key_jwt only',
      ),
      ...when(
        method === 'private_key_jwt' &&
          jwks !== undefined &&
          !jwks.keys.some((key) => verifiesAssertion(key, alg)),
        '/jwks/keys',
        `hold none that verifies an assertion${alg === undefined ? '' : ` signed with ${alg}`}`,
      ),
    ],
  },
  {
    reads: ['token_endpoint_auth_method', 'require_pkce'],
    check: (client) =>
      when(
        !client.require_pkce && isPublic(client),
        '/require_pkce',
        'may be false for confidential clients only (RFC 9700, 2.1.1)',
      ),
  },
  {
    reads: ['require_pkce', 'require_state'],
    check: (client) =>
      when(
        !client.require_pkce && !client.require_state,
        '/require_state',
        'must be true where require_pkce is false',
      ),
  },
  {
    // A device's family hangs on no browser session.
    reads: ['refresh_tokens_end_with_session', 'grant_types'],
    check: (client) =>
      when(
        client.refresh_tokens_end_with_session && client.grant_types.includes(DEVICE_CODE),
        '/refresh_tokens_end_with_session',
        `must be false where grant_types holds ${DEVICE_CODE}`,
      ),
  },
  {
    // FAPI 2.0 Security Profile, 5.3.2 and 5.4.
    reads: [
      'fapi',
      'token_endpoint_auth_method',
      'token_endpoint_auth_signing_alg',
      'id_token_signed_response_alg',
      'application_type',
      'redirect_uris',
      'grant_types',
      ...FAPI_FLAGS,
    ],
    check: (client) => {
      if (!client.fapi) return [];
      const { token_endpoint_auth_signing_alg: alg } = client;
      const method = client.token_endpoint_auth_method;
      return [
        ...when(
          method !== 'private_key_jwt',
          '/token_endpoint_auth_method',
          `must be private_key_jwt ${FAPI}`,
        ),
        ...when(
          alg === undefined || alg === 'RS256',
          '/token_endpoint_auth_signing_alg',
          `must be PS256, ES256 or EdDSA ${FAPI}`,
        ),
        ...when(
          client.id_token_signed_response_alg === 'RS256',
          '/id_token_signed_response_alg',
          `must not be RS256 ${FAPI}`,
        ),
        ...FAPI_FLAGS.flatMap((flag) => when(!client[flag], `/${flag}`, `must be true ${FAPI}`)),
        ...(client.redirect_uris ?? []).flatMap((uri, index) =>
          when(
            client.application_type !== 'native' && !uri.startsWith('https:'),
            `/redirect_uris/${index}`,
            `must be https ${FAPI}`,
          ),
        ),
        // A flow without pushed request, PKCE and redirect.
        ...when(
          client.grant_types.includes(DEVICE_CODE),
          '/grant_types',
          `must not hold ${DEVICE_CODE} ${FAPI}`,
        ),
      ];
    },
  },
  {
    reads: ['scope'],
    check: (client, context, before) => {
      const had = new Set(before && scopeNames(before.scope));
      return scopeNames(client.scope)
        .filter((name) => !isReservedScope(name) && !had.has(name) && !context.isScope(name))
        .map((name) => fault('/scope', `${name} is not a known scope`));
    },
  },
  {
    // A user's token with one of them would make every user who signs in an admin.
    reads: ['scope', 'grant_types'],
    check: (client) =>
      when(
        scopeNames(client.scope).some(isAdminScope) && client.grant_types.join() !== 'client_credentials',
        '/scope',
        'scopes of the admin API are for clients with the client_credentials grant alone',
      ),
  },
  {
    reads: ['serves'],
    check: (client, context, before) =>
      client.serves.flatMap((identifier, index) =>
        before?.serves.includes(identifier) || context.isApi(identifier)
          ? []
          : [fault(`/serves/${index}`, 'is not a known API')],
      ),
  },
  {
    reads: ['serves', 'token_endpoint_auth_method'],
    check: (client) =>
      when(
        client.serves.length > 0 && isPublic(client),
        '/serves',
        'only confidential clients may introspect for an API (RFC 7662, 2.1)',
      ),
  },
  ...(['jwks_uri', 'backchannel_logout_uri'] as const).map((member): Rule => ({
    reads: [member],
    check: (client, context) => {
      const uri = client[member];
      const url = uri === undefined ? undefined : new URL(uri);
      return when(
        url?.protocol === 'http:' && !context.mayFetchOverHttp(url),
        `/${member}`,
        'must be https, unless the server was told to fetch from this host',
      );
    },
  })),
];

/** What the caller may not do; status 403 when it is all that is wrong. */
export const permissions: readonly Rule[] = [
  {
    reads: ['scope'],
    check: (client, context, before) => {
      const had = new Set(before && scopeNames(before.scope));
      return scopeNames(client.scope)
        .filter((name) => isAdminScope(name) && !had.has(name) && !context.mayGrantScope(name))
        .map((name) => fault('/scope', `${name} can be given by a caller who holds it only`));
    },
  },
  {
    reads: ['first_party'],
    check: (client, context, before) =>
      when(
        client.first_party && !before?.first_party && !context.mayBeFirstParty,
        '/first_party',
        'can be set by an admin only',
      ),
  },
];

/** `code` is the only response type (RFC 9700, 2.1.2). */
export const responseTypesOf = ({ grant_types: types }: Pick<ClientMetadata, 'grant_types'>): string[] =>
  types.includes('authorization_code') ? ['code'] : [];
