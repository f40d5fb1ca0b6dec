/** The engine's configuration, a pure function of its dependencies. */
import { errors, type Client, type Configuration, type KoaContextWithOIDC } from 'oidc-provider';
import { OIDC_SCOPES } from '../clients/apis.ts';
import { INTROSPECTION_ALGORITHMS } from '../clients/client-schema.ts';
import { createOutbound } from '../delivery/outbound.ts';
import { toSeconds } from '../lib/clock.ts';
import { SCOPE_CLAIMS } from '../users/claims.ts';
import { createFindAccount } from './accounts.ts';
import { ACR_VALUES } from './acr.ts';
import { createAdapterFactory } from './adapter.ts';
import { optionsOf, recordOf } from './client-adapter.ts';
import { assertAssertion, CLIENT_AUTH_METHODS, CLOCK_TOLERANCE } from './client-authentication.ts';
import type { ProviderDependencies } from './dependencies.ts';
import { createGrantLoader } from './grants.ts';
import { checkClaims } from './requested-claims.ts';
import { createFirstKeyCheck } from './first-keys.ts';
import { createInteractionPolicy } from './interaction-policy.ts';
import { createRenderers } from './renderers.ts';
import { API_CLAIM, GENERATION_CLAIM, GRANT_CLAIM } from './jwt-access-tokens.ts';
import { stateOf } from './request-state.ts';
import { createResources, scopeList } from './resources.ts';
import { createVisibility } from './visibility.ts';

/** Seconds. RFC 9700, 2.1.1 and OAuth 2.1: a code lives a minute at most. */
const CODE_TTL = 60;
const ID_TOKEN_TTL = 3600;
const DEVICE_CODE_TTL = 600;
const INTERACTION_TTL = 3600;

/** Routes; the engine's own defaults differ from what is public. */
const ROUTES = {
  authorization: '/authorize',
  token: '/token',
  revocation: '/revoke',
  introspection: '/introspect',
  jwks: '/jwks',
  userinfo: '/userinfo',
  pushed_authorization_request: '/par',
  device_authorization: '/device_authorization',
  code_verification: '/device',
  end_session: '/logout',
  registration: '/register',
};

/** Bytes of a client's key set. */
const JWKS_LIMIT = 64 * 1024;

const ASSERTION_ALGORITHMS = ['RS256', 'PS256', 'ES256', 'EdDSA', 'Ed25519'] as const;

/** A client that may go without PKCE protects its redirect by `state` (RFC 9700, 4.7.1). */
function requireState(ctx: KoaContextWithOIDC, state: unknown, client: Client): void {
  if (ctx.oidc.route === 'device_authorization') return;
  if (state === undefined && recordOf(client).metadata.require_state) {
    throw new errors.InvalidRequest('state must be sent by this client');
  }
}

/** A client whose refresh tokens end with the session is not granted `offline_access`: it is left out, silently. */
function dropOfflineAccess({ oidc }: KoaContextWithOIDC, client: Client): void {
  const { params, route } = oidc;
  if (!params || route === 'device_authorization') return; // a device has no session that could end
  if (!recordOf(client).metadata.refresh_tokens_end_with_session) return;
  const kept = scopeList(params['scope']).filter((name) => name !== 'offline_access');
  params['scope'] = kept.length > 0 ? kept.join(' ') : undefined;
}

/** Trap (`request_parameters.js`): the engine forgets what a device sends as `prompt`, which may ask to sign in anew. */
function keepPrompt({ oidc }: KoaContextWithOIDC): void {
  const { params, route, body } = oidc;
  if (!params || route !== 'device_authorization') return;
  if ([body?.['prompt']].flat().some((prompt) => scopeList(prompt).includes('login')))
    params['prompt'] = 'login';
}

function checkRequest(ctx: KoaContextWithOIDC, state: unknown, client: Client): void {
  keepPrompt(ctx);
  requireState(ctx, state, client);
  dropOfflineAccess(ctx, client);
}

const atLeastOne = (seconds: number): number => Math.max(1, Math.floor(seconds));

/** auth_time, acr and amr of the sign-in behind a user's token. */
function signInOf(ctx: KoaContextWithOIDC): Record<string, unknown> {
  const { AuthorizationCode, RefreshToken, DeviceCode } = ctx.oidc.entities;
  const source = (RefreshToken ?? AuthorizationCode ?? DeviceCode) as
    { authTime?: number; acr?: string; amr?: string[] } | undefined;
  return { auth_time: source?.authTime, acr: source?.acr, amr: source?.amr };
}

export function createConfiguration(deps: ProviderDependencies): Configuration {
  const { settings, clock, dataKeys, ring } = deps;
  const resources = createResources(deps);
  const visibility = createVisibility(deps);
  const renderers = createRenderers(deps);
  const outbound = createOutbound({ fetchAllow: settings.fetchAllow, maxBytes: JWKS_LIMIT });
  /** Key sets of clients are all that the engine fetches; without what it would put between to guard addresses. */
  const fetchKeySet = (url: string | URL | Request, { method, headers, signal }: RequestInit = {}) =>
    outbound(url instanceof Request ? url.url : url, { method, headers, signal } as RequestInit);
  const secure = settings.issuer.startsWith('https:');
  const prefix = (name: string, host: boolean): string =>
    secure ? `__${host ? 'Host' : 'Secure'}-${name}` : name;

  return {
    adapter: createAdapterFactory(deps),
    jwks: ring.jwks,
    routes: ROUTES,
    scopes: [...OIDC_SCOPES],
    claims: { openid: ['sub', 'auth_time', 'acr', 'amr'], ...SCOPE_CLAIMS, iss: null, sid: null },
    acrValues: [...ACR_VALUES],
    responseTypes: ['code'],
    subjectTypes: ['public'],
    clientAuthMethods: CLIENT_AUTH_METHODS,
    clockTolerance: CLOCK_TOLERANCE,
    conformIdTokenClaims: false,
    enableHttpPostMethods: false, // a POST to /authorize becomes a 303 to the GET: cookies stay SameSite=Lax
    discovery: {
      // Ours, see `logout-tokens.ts` (Back-Channel Logout 1.0, 2.1).
      backchannel_logout_supported: true,
      backchannel_logout_session_supported: true,
      // Members of RFC 8414 and RFC 9701 that the engine leaves out.
      introspection_endpoint_auth_methods_supported: CLIENT_AUTH_METHODS.filter(
        (method) => method !== 'none',
      ),
      introspection_endpoint_auth_signing_alg_values_supported: [...ASSERTION_ALGORITHMS],
      introspection_signing_alg_values_supported: [...INTROSPECTION_ALGORITHMS],
      revocation_endpoint_auth_methods_supported: [...CLIENT_AUTH_METHODS],
      revocation_endpoint_auth_signing_alg_values_supported: [...ASSERTION_ALGORITHMS],
    },
    enabledJWA: {
      clientAuthSigningAlgValues: [...ASSERTION_ALGORITHMS],
      // A client that asked for the first key of an algorithm fetches /jwks anew (OIDC Core, 10.1.1).
      idTokenSigningAlgValues: ring.announced as never,
      requestObjectSigningAlgValues: [...ASSERTION_ALGORITHMS],
      userinfoSigningAlgValues: ring.algorithms as never,
      authorizationSigningAlgValues: ring.algorithms as never,
      dPoPSigningAlgValues: ['ES256', 'EdDSA', 'Ed25519', 'PS256', 'RS256'] as never,
    },
    cookies: {
      keys: [...dataKeys.cookieKeys],
      names: {
        session: prefix('portcullis_session', true),
        interaction: prefix('portcullis_interaction', false),
        resume: prefix('portcullis_resume', false),
      },
      long: { httpOnly: true, sameSite: 'lax', path: '/' },
      short: { httpOnly: true, sameSite: 'lax' },
    },
    pkce: { required: (_ctx, client) => recordOf(client).metadata.require_pkce },
    extraParams: { state: checkRequest, claims: checkClaims }, // parameters that are known already: this only adds the checks
    clientBasedCORS: (_ctx, origin, client) => recordOf(client).metadata.allowed_origins.includes(origin),
    fetch: fetchKeySet,
    findAccount: createFindAccount(deps),
    loadExistingGrant: createGrantLoader(deps),
    interactions: {
      policy: createInteractionPolicy(
        (userId) => deps.storage.secondFactors.has(userId),
        createFirstKeyCheck(deps),
      ),
      url: (_ctx, interaction) =>
        new URL(settings.issuer).pathname.replace(/\/$/, '') + deps.pages.interactionPath(interaction.uid),
    },
    assertJwtClientAuthClaimsAndHeader: async (ctx, claims, _header, client) =>
      assertAssertion(ctx, claims, client, toSeconds(clock.now())),
    rotateRefreshToken: true,
    issueRefreshToken: async (_ctx, client) => client.grantTypeAllowed('refresh_token'),
    // Families are bound to their session by their own row. Trap (`checkSessionBinding`): the engine's binding
    // wants the session's newest grant, so a second sign-in would kill the first family.
    expiresWithSession: async () => false,
    formats: {
      bitsOfOpaqueRandomness: 256,
      customizers: {
        jwt: async (ctx, token, parts) => {
          const { grantId, aud } = token as { grantId?: string; aud?: string };
          // Zero is the default API's, which is never another one.
          const generation = stateOf(ctx).apiGenerations.get(String(aud)) ?? 0;
          if (generation !== 0) parts.payload[API_CLAIM] = generation;
          if (grantId === undefined) {
            const record = stateOf(ctx).clients.get(token.clientId ?? '');
            parts.payload[GENERATION_CLAIM] = record?.generation;
            return;
          }
          parts.payload[GRANT_CLAIM] = grantId;
          const family = await stateOf(ctx).families.get(grantId);
          const { sid } = token as { sid?: string };
          Object.assign(parts.payload, family?.sessionUid !== undefined && sid !== undefined ? { sid } : {});
        },
      },
    },
    extraTokenClaims: async (ctx, token) => ('grantId' in token && token.grantId ? signInOf(ctx) : undefined),
    ttl: {
      AccessToken: (_ctx, token) => token.resourceServer?.accessTokenTTL ?? settings.accessTokenTtl,
      ClientCredentials: (_ctx, token) => token.resourceServer?.accessTokenTTL ?? settings.accessTokenTtl,
      AuthorizationCode: () => CODE_TTL,
      DeviceCode: () => DEVICE_CODE_TTL,
      IdToken: () => ID_TOKEN_TTL,
      Interaction: () => INTERACTION_TTL,
      Grant: () => settings.refreshMaxTtl,
      RefreshToken: (ctx, _token, client) => refreshTokenTtl(ctx, client),
      Session: (_ctx, session) => {
        const signedIn = (session as { loginTs?: number }).loginTs;
        if (signedIn === undefined) return INTERACTION_TTL; // nobody's: it holds the field of a form at most
        const left = signedIn + settings.sessionMaxTtl - toSeconds(clock.now());
        return atLeastOne(Math.min(settings.sessionIdleTtl, left));
      },
    },
    renderError: renderers.error,
    features: {
      devInteractions: { enabled: false },
      claimsParameter: { enabled: true },
      clientCredentials: { enabled: true },
      deviceFlow: { enabled: true },
      dPoP: {
        enabled: true,
        // Derived from a data key: each node takes the nonces of every other.
        nonceSecret: settings.dpopNonces === 'off' ? undefined : dataKeys.derived('dpop nonce'),
        requireNonce: () => settings.dpopNonces === 'required',
      },
      introspection: { enabled: true, allowedPolicy: visibility.introspection },
      revocation: { enabled: true, allowedPolicy: visibility.revocation },
      pushedAuthorizationRequests: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: resources.defaultResource as never,
        getResourceServerInfo: resources.getResourceServerInfo,
        useGrantedResource: async () => true,
      },
      rpInitiatedLogout: {
        enabled: true,
        logoutSource: renderers.logout,
        postLogoutSuccessSource: renderers.signedOut,
      },
      userinfo: { enabled: true },
    },
  };

  /** Idle life, but never past the family's absolute end: rotation does not extend it. */
  function refreshTokenTtl(ctx: KoaContextWithOIDC, client: Client): number {
    const options = optionsOf(recordOf(client), settings);
    const rotated = ctx.oidc.entities['RotatedRefreshToken'] !== undefined;
    const endsAt = rotated ? stateOf(ctx).endsAt : undefined;
    const left = endsAt === undefined ? options.refreshMaxTtl : toSeconds(endsAt) - toSeconds(clock.now());
    return atLeastOne(Math.min(options.refreshIdleTtl, left));
  }
}
