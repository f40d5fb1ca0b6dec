/** Where the engine answers otherwise than the contract and the RFCs say, each put right around it in one function. */
import { errors, Provider, type KoaContextWithOIDC } from 'oidc-provider';

type Next = () => Promise<void>;
type Form = Readonly<Record<string, unknown>>;

export const formOf = (ctx: KoaContextWithOIDC): Form => (ctx.req as { body?: Form }).body ?? {};

/** One protection space, by the name that the engine gives it too (RFC 7617, 2). */
const challenge = (issuer: string): string => `Basic realm="${issuer}"`;

/** RFC 7662, 2.1 and RFC 6749, 5.2: a caller of /introspect that does not authenticate is refused with 401. */
export const introspectionNeedsClient =
  (issuer: string) =>
  async (ctx: KoaContextWithOIDC, next: Next): Promise<void> => {
    const form = formOf(ctx);
    if (ctx.get('authorization') || form['client_secret'] || form['client_assertion']) {
      await next();
      return;
    }
    ctx.status = 401;
    ctx.set('cache-control', 'no-store');
    ctx.set('www-authenticate', challenge(issuer));
    ctx.body = { error: 'invalid_client', error_description: 'client authentication failed' };
  };

/** What the engine says where client authentication is missing or cannot be read. */
const NO_CLIENT = new Set([
  'no client authentication mechanism provided',
  'invalid authorization header value format',
  'client_secret must be provided in the Authorization header',
  'client_id and client_secret in the authorization header are not properly encoded',
]);

/** Trap (`shared/client_auth.js`): that is `invalid_client` (RFC 6749, 5.2), not a malformed request. */
export const missingClientAuthentication =
  (issuer: string) =>
  async (ctx: KoaContextWithOIDC, next: Next): Promise<void> => {
    await next();
    const body = ctx.body as { error?: string; error_description?: string } | undefined;
    if (ctx.status !== 400 || !NO_CLIENT.has(body?.error_description ?? '')) return;
    ctx.status = 401;
    if (ctx.get('authorization')) ctx.set('www-authenticate', challenge(issuer));
    ctx.body = { ...body, error: 'invalid_client' };
  };

/**
 * Trap (`actions/token.js`, `actions/authorization/client.js`): a grant type that the client may not use is
 * `unauthorized_client` (RFC 6749, 5.2; RFC 8628, 3.1).
 */
export async function unauthorizedGrantType(ctx: KoaContextWithOIDC, next: Next): Promise<void> {
  await next();
  const body = ctx.body as { error?: string; error_description?: string } | undefined;
  if (
    ctx.status === 400 &&
    /^(requested grant type|urn:\S+:device_code) is not allowed for this client$/.test(
      body?.error_description ?? '',
    )
  ) {
    ctx.body = { ...body, error: 'unauthorized_client' };
  }
}

/**
 * Trap (`helpers/sender_constraints.js`, `actions/grants/refresh_token.js`): where a proof is missing the engine calls
 * the code or refresh token invalid, and the client would throw it away (RFC 9449, 5). Called with what it refused.
 */
export function missingProof(ctx: KoaContextWithOIDC, error: Error & { error_detail?: string }): void {
  if (ctx.get('dpop') || !/DPoP proof JWT|jkt/.test(error.error_detail ?? '')) return;
  ctx.body = { error: 'invalid_dpop_proof', error_description: 'a DPoP proof is needed' };
}

/**
 * Trap (`actions/authorization/response_parameters.js`): so is a response type that the client may not use
 * (RFC 6749, 4.1.2.1).
 */
export function refuseUnauthorizedResponseType({ Client }: Provider): void {
  Client.prototype.responseTypeAllowed = function responseTypeAllowed(type) {
    if (this.responseTypes?.includes(type)) return true;
    throw new errors.UnauthorizedClient('requested response_type is not allowed for this client');
  };
}

/**
 * Trap (`actions/grants/authorization_code.js`): a client that leaves `redirect_uri` out is held to the registered
 * one, which lacks the port that a native client listened on. What the code was issued to is what counts (OAuth 2.1).
 */
export function acceptOmittedRedirectUri({ AuthorizationCode }: Provider): void {
  const find = AuthorizationCode.find.bind(AuthorizationCode);
  AuthorizationCode.find = (async (value: string, options?: { ignoreExpiration?: boolean }) => {
    const code = await find(value, options);
    const ctx = Provider.ctx;
    if (code && ctx?.oidc.route === 'token' && !formOf(ctx)['redirect_uri']) {
      const { params, client } = ctx.oidc;
      if (params && client?.redirectUris?.length === 1)
        params['redirect_uri'] = (code as { redirectUri?: string }).redirectUri;
    }
    return code;
  }) as typeof AuthorizationCode.find;
}

/**
 * Trap (`shared/authorization_error_handler.js`): a `redirect_uri` that is sent twice counts as left out, and the error
 * goes to the only one that the client has registered. Parameters must not be repeated (RFC 6749, 3.1): our own page.
 */
export function showRepeatedRedirectUri(provider: Provider): void {
  provider.on('authorization.error', (ctx, error) => {
    if (Array.isArray(ctx.query['redirect_uri'])) error.allow_redirect = false;
  });
}

/**
 * Trap (`actions/end_session.js`): where nobody is signed in the engine answers with a form that submits itself by
 * JavaScript. There is nothing to ask: the browser goes on at once, to a registered address or to our own page.
 */
export async function logoutOfNobody(ctx: KoaContextWithOIDC, next: Next): Promise<void> {
  await next();
  const { session, params } = ctx.oidc;
  if (ctx.status !== 200 || !session || session.accountId !== undefined) return;
  const { post_logout_redirect_uri: registered, state } = params ?? {};
  const target = new URL(
    typeof registered === 'string' ? registered : ctx.oidc.urlFor('end_session_success'),
  );
  if (typeof registered === 'string' && typeof state === 'string') target.searchParams.set('state', state);
  ctx.remove('set-cookie'); // the session was made for that form only
  await session.destroy();
  ctx.body = null;
  ctx.redirect(target.href);
  ctx.status = 303;
}
