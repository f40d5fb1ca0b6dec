/**
 * Signatures of this server's own tokens: JWS compact serialization (RFC 7515). jose does the same through WebCrypto,
 * which costs twice as much, and introspection does little else. Only what this server signs verifies here: the
 * algorithm is the key's, never the token's.
 */
import { constants, createPublicKey, verify, type KeyObject } from 'node:crypto';
import type { SIGNING_ALGORITHMS } from '../lib/signing-algorithms.ts';

/** A public key and the one algorithm (RFC 7518, 3.1; RFC 8037) that it verifies. */
export interface Verifier {
  readonly alg: string;
  readonly key: KeyObject;
}

type Check = (data: Buffer, key: KeyObject, signature: Buffer) => boolean;

const checks: Readonly<Record<(typeof SIGNING_ALGORITHMS)[number], Check>> = {
  ES256: (data, key, signature) => verify('sha256', data, { key, dsaEncoding: 'ieee-p1363' }, signature),
  RS256: (data, key, signature) => verify('sha256', data, key, signature),
  PS256: (data, key, signature) =>
    verify(
      'sha256',
      data,
      { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST },
      signature,
    ),
  EdDSA: (data, key, signature) => verify(null, data, key, signature),
};

/** @throws when `jwk` is no public key */
export const verifierOf = (alg: string, jwk: Readonly<Record<string, unknown>>): Verifier => ({
  alg,
  key: createPublicKey({ key: jwk, format: 'jwk' }),
});

/** One part of a token; undefined for what is not base64url as RFC 7515 writes it: one spelling for the same bytes. */
function decode(part: string): Buffer | undefined {
  const bytes = Buffer.from(part, 'base64url');
  return bytes.toString('base64url') === part ? bytes : undefined;
}

/** Part of a token that must be a JSON object. */
function parse(part: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(decode(part)?.toString('utf8') ?? '');
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Readonly<Record<string, unknown>>)
      : undefined;
  } catch {
    return undefined;
  }
}

/** The `kid` that a token names; undefined for what is no JWS. */
export function kidOf(token: string): string | undefined {
  const kid = parse(token.slice(0, token.indexOf('.')))?.['kid'];
  return typeof kid === 'string' ? kid : undefined;
}

/**
 * The claims of a token whose signature verifies; what they say, time included, is for the caller to judge.
 * @param typ that its header must carry (RFC 8725, 3.11)
 * @param verifierFor the key of a `kid`
 * @returns undefined for anything else
 */
export function verifyToken(
  token: string,
  typ: string,
  verifierFor: (kid: string) => Verifier | undefined,
): Readonly<Record<string, unknown>> | undefined {
  const [head = '', body = '', tail = '', ...rest] = token.split('.', 4);
  const header = rest.length > 0 ? undefined : parse(head);
  // RFC 7515, 4.1.11: what is critical must be understood; nothing is.
  if (!header || header['typ'] !== typ || 'crit' in header || typeof header['kid'] !== 'string')
    return undefined;
  const found = verifierFor(header['kid']);
  if (!found || found.alg !== header['alg'] || !Object.hasOwn(checks, found.alg)) return undefined;
  const signature = decode(tail);
  const check = checks[found.alg as keyof typeof checks];
  if (!signature || !check(Buffer.from(`${head}.${body}`, 'latin1'), found.key, signature)) return undefined;
  return parse(body);
}
