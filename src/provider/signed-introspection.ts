/**
 * RFC 9701: the answer of /introspect as a JWT, for callers whose `Accept` prefers it.
 * Ours, not the engine's feature (`actions/introspection.js`): there `aud` is the token's, so it is missing where the
 * token is not active, and never names the receiver (RFC 9701, 5).
 */
import { SignJWT } from 'jose';
import type { KoaContextWithOIDC } from 'oidc-provider';
import { toSeconds } from '../lib/clock.ts';
import type { ProviderDependencies } from './dependencies.ts';
import { stateOf } from './request-state.ts';

const TYPE = 'token-introspection+jwt';
const MEDIA_TYPE = `application/${TYPE}`;

/** Signs what the layers below have answered. Errors stay JSON; so does everything for callers that do not ask. */
export function signedIntrospection({ clock, ring, settings }: ProviderDependencies) {
  return async (ctx: KoaContextWithOIDC, next: () => Promise<void>): Promise<void> => {
    await next();
    ctx.vary('Accept');
    const client = stateOf(ctx).clients.get(ctx.oidc.client?.clientId ?? '');
    if (ctx.status !== 200 || !client || ctx.accepts('json', MEDIA_TYPE) !== MEDIA_TYPE) return;
    const alg = client.metadata.introspection_signed_response_alg ?? 'RS256';
    const key = ring.jwks.keys.find((jwk) => jwk.alg === alg); // the signing key comes first
    if (!key) throw new Error(`there is no key for ${alg}`);
    // Without `sub` and `exp`, so that nobody takes it for an access token (RFC 9701, 8.1).
    const jwt = await new SignJWT({ token_introspection: ctx.body })
      .setProtectedHeader({ alg, kid: key.kid as string, typ: TYPE })
      .setIssuer(settings.issuer)
      .setAudience(client.id)
      .setIssuedAt(toSeconds(clock.now()))
      .sign(key);
    ctx.body = jwt;
    ctx.type = MEDIA_TYPE;
  };
}
