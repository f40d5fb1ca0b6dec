/** How clients prove who they are, where our rules are stricter than the engine's. */
import { errors, type ClientAuthMethod, type KoaContextWithOIDC, type Provider } from 'oidc-provider';
import { matchSecret } from '../clients/secrets.ts';
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

/**
 * Trap (`shared/jwt_client_auth.js`): the engine accepts an assertion of which one audience is right. Every value
 * must be the issuer, the token endpoint or the called endpoint, by the issuer's name.
 */
export function assertAssertionAudience(ctx: KoaContextWithOIDC, claims: { aud?: unknown }): void {
  const accepted = new Set([ctx.oidc.issuer, ctx.oidc.urlFor('token'), ctx.oidc.urlFor(ctx.oidc.route)]);
  const audiences: unknown[] = Array.isArray(claims.aud) ? claims.aud : [claims.aud];
  if (audiences.length === 0 || !audiences.every((aud) => typeof aud === 'string' && accepted.has(aud))) {
    throw new errors.InvalidClientAuth('the assertion is meant for somebody else too');
  }
}
