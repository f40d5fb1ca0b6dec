/**
 * ID tokens that nobody could verify yet. A key signs once it has stood in the JWKS for a cache time. Another of its
 * algorithm signs meanwhile; the first one of PS256 or EdDSA has none, and the engine would sign with it at once
 * (`models/id_token.js` takes whatever key is there).
 */
import { errors, type KoaContextWithOIDC } from 'oidc-provider';
import { recordOf } from './client-adapter.ts';
import type { ProviderDependencies } from './dependencies.ts';

/**
 * Refuses a request for an ID token whose algorithm has no key that signs; while developing it is signed all the same.
 * @throws TemporarilyUnavailable (RFC 6749, 4.1.2.1)
 */
export function createFirstKeyCheck({ ring, settings }: Pick<ProviderDependencies, 'ring' | 'settings'>) {
  const strict = settings.environment === 'production';
  return ({ oidc }: KoaContextWithOIDC): void => {
    if (!strict || !oidc.client || ring.algorithms.length === ring.announced.length) return;
    const alg = recordOf(oidc.client).metadata.id_token_signed_response_alg;
    if (ring.algorithms.includes(alg)) return;
    const waiting = ring.keys.filter((key) => key.alg === alg).map(({ activeFrom }) => activeFrom);
    const from = waiting.length > 0 ? ` from ${new Date(Math.min(...waiting)).toISOString()} on` : ' soon';
    throw new errors.TemporarilyUnavailable(`the first ${alg} key of this server signs${from}`);
  };
}
