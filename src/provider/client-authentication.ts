/** How clients prove who they are, where our rules are stricter than the engine's. */
import {
  errors,
  type Client,
  type ClientAuthMethod,
  type KoaContextWithOIDC,
  type Provider,
} from 'oidc-provider';
import { matchSecret } from '../clients/secrets.ts';
import { formOf } from './deviations.ts';
import { recordOf } from './client-adapter.ts';
import type { ProviderDependencies } from './dependencies.ts';

/** `client_secret_jwt` needs the secret's plaintext, which is not kept. */
export const CLIENT_AUTH_METHODS: ClientAuthMethod[] = [
  'none',
  'client_secret_basic',
  'client_secret_post',
  'private_key_jwt',
];

/**
 * Trap (`models/client.js`): the engine compares with the `client_secret` in the client's document. Secrets lie
 * hashed, up to five of them, each with its own end.
 */
export function compareHashedSecrets(provider: Provider, deps: ProviderDependencies): void {
  provider.Client.prototype.compareClientSecret = async function compareClientSecret(actual: string) {
    const { clientId } = this as unknown as { clientId: string };
    const record = await deps.clients.get(clientId);
    const secret = record && matchSecret(record, actual, deps.dataKeys, deps.clock.now());
    if (!secret) return false;
    deps.secretUsed(clientId, secret.id);
    return true;
  };
}

/** Seconds that an assertion may live at most: its `jti` has to be remembered as long (RFC 7523, 3, item 4). */
const ASSERTION_MAX_TTL = 24 * 3600;
/** Tolerance for a peer's clock, in assertions and proofs; seconds. */
export const CLOCK_TOLERANCE = 60;

/**
 * What the engine (`shared/jwt_client_auth.js`) leaves open. Trap: it accepts an assertion of which one audience is
 * right; every value must be the issuer, the token endpoint or the called endpoint, by the issuer's name. Trap: it
 * looks at `iat` only where there is no `exp`, and at `exp` only for being past.
 * FAPI 2.0 (5.3.2.1) wants the issuer alone, as a string.
 * @param now epoch seconds
 */
export function assertAssertion(
  ctx: KoaContextWithOIDC,
  claims: { aud?: unknown; exp?: number; iat?: unknown },
  client: Client,
  now: number,
): void {
  if ((claims.exp ?? 0) > now + ASSERTION_MAX_TTL)
    throw new errors.InvalidClientAuth('the assertion lives too long');
  if (typeof claims.iat === 'number' && claims.iat > now + CLOCK_TOLERANCE)
    throw new errors.InvalidClientAuth('the assertion is from the future');
  if (recordOf(client).metadata.fapi && claims.aud !== ctx.oidc.issuer)
    throw new errors.InvalidClientAuth('the assertion is not for the issuer alone');
  const accepted = new Set([ctx.oidc.issuer, ctx.oidc.urlFor('token'), ctx.oidc.urlFor(ctx.oidc.route)]);
  const audiences: unknown[] = Array.isArray(claims.aud) ? claims.aud : [claims.aud];
  if (audiences.length === 0 || !audiences.every((aud) => typeof aud === 'string' && accepted.has(aud))) {
    throw new errors.InvalidClientAuth('the assertion is meant for somebody else too');
  }
}

/** Which method the request itself is made in, for a client that nobody knows. */
function triedMethod(ctx: KoaContextWithOIDC): string {
  const form = formOf(ctx);
  if (ctx.headers.authorization !== undefined) return 'client_secret_basic';
  if (form?.['client_assertion'] !== undefined) return 'private_key_jwt';
  return form?.['client_secret'] === undefined ? 'none' : 'client_secret_post';
}

/** Counts who proved to be a client and who did not; a request that was refused before that counts as neither. */
export function countAuthentications({ metrics }: Pick<ProviderDependencies, 'metrics'>) {
  return async (ctx: KoaContextWithOIDC, next: () => Promise<void>): Promise<void> => {
    await next();
    const { client } = (ctx.oidc as KoaContextWithOIDC['oidc'] | undefined) ?? {};
    const failed = (ctx.body as { error?: unknown } | undefined)?.error === 'invalid_client';
    if (!client && !failed) return;
    metrics.clientAuth(client?.clientAuthMethod ?? triedMethod(ctx), failed ? 'failed' : 'succeeded');
  };
}
