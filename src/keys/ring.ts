/** A key ring: which keys sign, which are published, which verify. `current.ts` keeps the one that is in use. */
import { calculateJwkThumbprint, exportJWK, generateKeyPair, type JWK } from 'jose';
import { SIGNING_ALGORITHMS } from '../lib/signing-algorithms.ts';
import type { KeyStatus, SigningKey, SigningKeyRecord } from '../storage/signing-keys.ts';
import { verifierOf, type Verifier } from './jws.ts';
import type { NewKey } from './life-cycle.ts';

/** Algorithms that every server has a key for: access tokens, and ID tokens of clients that name no other. */
export const STANDARD_ALGORITHMS = SIGNING_ALGORITHMS.slice(0, 2);

/** An immutable set of keys. */
export interface KeyRing {
  /** Private JWKs, each with kid, alg and use; for every algorithm the signing key comes first. */
  readonly jwks: { readonly keys: readonly JWK[] };
  /** What /jwks publishes. */
  readonly publicJwks: { readonly keys: readonly JWK[] };
  /** What is known of these keys. */
  readonly keys: readonly SigningKey[];
  /** The public key that verifies `kid`, while it is published. */
  verifier(kid: string): Verifier | undefined;
  /** Algorithms with an active key. */
  readonly algorithms: readonly string[];
  /** And those whose first key waits for its turn. */
  readonly announced: readonly string[];
}

const PRIVATE = new Set(['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k']);

const publicOf = (jwk: Readonly<Record<string, unknown>>): JWK =>
  Object.fromEntries(Object.entries(jwk).filter(([name]) => !PRIVATE.has(name)));

/**
 * Makes a new key pair: a private JWK with `kid` (RFC 7638 thumbprint), `alg` and `use`.
 * @param longestTtl see `SigningKey`; nodes with a longer one note theirs
 */
export async function newSigningKey(alg: string, longestTtl: number): Promise<NewKey> {
  const { privateKey } = await generateKeyPair(alg, { extractable: true, modulusLength: 2048 });
  const jwk = await exportJWK(privateKey);
  const kid = await calculateJwkThumbprint(jwk);
  return { kid, alg, privateJwk: { ...jwk, kid, alg, use: 'sig' }, longestTtl };
}

/** Builds a ring from key records; retired ones are left out. */
export function createKeyRing(records: readonly SigningKeyRecord[]): KeyRing {
  const order = { active: 0, pending: 1, retiring: 2, retired: 3 } as const;
  const shown = records
    .filter(({ status }) => status !== 'retired')
    .toSorted((a, b) => order[a.status] - order[b.status] || b.createdAt - a.createdAt);
  const verifiers = new Map(
    shown.map(({ kid, alg, privateJwk }) => [kid, verifierOf(alg, publicOf(privateJwk))]),
  );
  const algorithmsOf = (...statuses: KeyStatus[]): string[] => [
    ...new Set(shown.filter(({ status }) => statuses.includes(status)).map(({ alg }) => alg)),
  ];
  return {
    jwks: { keys: shown.map(({ privateJwk }) => privateJwk as JWK) },
    publicJwks: { keys: shown.map(({ privateJwk }) => publicOf(privateJwk)) },
    keys: shown.map(({ privateJwk: _private, ...key }) => key),
    verifier: (kid) => verifiers.get(kid),
    algorithms: algorithmsOf('active'),
    announced: algorithmsOf('active', 'pending'),
  };
}
