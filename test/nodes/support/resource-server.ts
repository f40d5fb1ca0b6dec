/** An API that verifies tokens offline, and keeps the JWKS exactly as long as its headers say: never longer, never less. */
import { createLocalJWKSet, jwtVerify, type JSONWebKeySet } from 'jose';

export interface ResourceServer {
  /** The key that signed it. @throws when the token does not verify with the JWKS as it is kept */
  verify(token: string): Promise<string>;
  /** Times that the JWKS was fetched. */
  fetched(): number;
}

export function createResourceServer(issuer: string): ResourceServer {
  let kept: { readonly keys: ReturnType<typeof createLocalJWKSet>; readonly until: number } | undefined;
  let fetched = 0;
  return {
    fetched: () => fetched,
    async verify(token) {
      if (!kept || performance.now() >= kept.until) {
        const asked = performance.now(); // RFC 9111, 4.2.3: an answer ages from the moment it was asked for
        const response = await fetch(`${issuer}/jwks`);
        const [, maxAge] = /max-age=(\d+)/.exec(response.headers.get('cache-control') ?? '') ?? [];
        kept = {
          keys: createLocalJWKSet((await response.json()) as JSONWebKeySet),
          until: asked + Number(maxAge) * 1000,
        };
        fetched++;
      }
      const { protectedHeader } = await jwtVerify(token, kept.keys, { issuer, typ: 'at+jwt' });
      return protectedHeader.kid ?? '';
    },
  };
}
