/** What clients sign: assertions (RFC 7523) and proofs of possession (RFC 9449). */
import { randomUUID } from 'node:crypto';
import { exportJWK, generateKeyPair, SignJWT, type JWK } from 'jose';

export interface Signer {
  /** Public, with kid and alg. */
  readonly jwk: JWK;
  /** A client assertion; `jti` is new unless given. */
  assertion(clientId: string, audience: string, more?: Record<string, unknown>): Promise<string>;
  /** A proof for one POST; `jti` is new unless given. */
  proof(url: string, more?: Record<string, unknown>): Promise<string>;
}

export async function newSigner(): Promise<Signer> {
  const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true });
  const jwk = { ...(await exportJWK(publicKey)), kid: 'k1', alg: 'ES256', use: 'sig' };
  const { kty = '', crv = '', x = '', y = '' } = jwk as JWK;
  const now = (): number => Math.floor(Date.now() / 1000);
  return {
    jwk,
    assertion: (clientId, audience, more = {}) =>
      new SignJWT({
        iss: clientId,
        sub: clientId,
        aud: audience,
        jti: randomUUID(),
        iat: now(),
        exp: now() + 60,
        ...more,
      })
        .setProtectedHeader({ alg: 'ES256', kid: 'k1' })
        .sign(privateKey),
    proof: (url, more = {}) =>
      new SignJWT({ htm: 'POST', htu: url, jti: randomUUID(), iat: now(), ...more })
        .setProtectedHeader({
          alg: 'ES256',
          typ: 'dpop+jwt',
          jwk: { kty, crv, x, y },
        })
        .sign(privateKey),
  };
}
