/** Client secrets: 256 random bits, shown once, kept as a keyed hash. Everybody who makes or checks one comes here. */
import { equalBytes } from '../lib/crypto.ts';
import { randomId, sortableId } from '../lib/ids.ts';
import { isLive, type NewSecret, type SecretRecord } from '../storage/client-secrets.ts';
import type { DataKeys } from '../storage/data-keys.ts';

const KIND = 'client secret';

/** A secret with its value, which is known this once. */
export interface MadeSecret {
  readonly value: string;
  readonly secret: NewSecret;
}

/** What may be chosen about a new secret. */
export interface SecretChoice {
  readonly name?: string | undefined;
  /** Epoch milliseconds. */
  readonly expiresAt?: number | undefined;
  /** For a secret that the operator chose. */
  readonly value?: string | undefined;
}

/**
 * Makes a secret of a client.
 * @param now epoch milliseconds
 */
export function newSecret(
  clientId: string,
  keys: DataKeys,
  now: number,
  { name, expiresAt, value = `pcs_${randomId(32)}` }: SecretChoice = {},
): MadeSecret {
  return {
    value,
    secret: {
      id: sortableId(now),
      name,
      expiresAt,
      hint: value.slice(-4),
      hash: keys.hash(KIND, `${clientId}:${value}`),
    },
  };
}

const NONE = Buffer.alloc(32);

/**
 * The live secret that `presented` is the value of.
 * Takes the same time whether the client exists, has secrets, or none fits.
 * @param client undefined when there is none of the id that was presented
 * @param now epoch milliseconds
 */
export function matchSecret(
  client: { readonly id: string; readonly secrets: readonly SecretRecord[] } | undefined,
  presented: string,
  keys: DataKeys,
  now: number,
): SecretRecord | undefined {
  const hashes = keys.hashes(KIND, `${client?.id ?? ''}:${presented}`);
  let matched: SecretRecord | undefined;
  for (const hash of hashes) {
    equalBytes(hash, NONE);
    for (const secret of client?.secrets ?? []) {
      if (equalBytes(hash, secret.hash) && isLive(secret, now)) matched = secret;
    }
  }
  return matched;
}

export type SecretStatus = 'active' | 'retiring' | 'expired' | 'revoked';

/**
 * What a secret is at `now` (epoch milliseconds).
 * @param newest it is the client's newest: with an expiry it is active until then, an older one is on its way out
 */
function status(secret: SecretRecord, now: number, newest: boolean): SecretStatus {
  if (secret.revokedAt !== undefined) return 'revoked';
  if (!isLive(secret, now)) return 'expired';
  return secret.expiresAt === undefined || newest ? 'active' : 'retiring';
}

/** Each secret of a client (oldest first) with its status at `now` (epoch milliseconds). */
export function withStatus(
  secrets: readonly SecretRecord[],
  now: number,
): (SecretRecord & { readonly status: SecretStatus })[] {
  const newest = secrets.findLast((secret) => isLive(secret, now));
  return secrets.map((secret) => ({ ...secret, status: status(secret, now, secret === newest) }));
}
