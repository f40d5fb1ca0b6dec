/**
 * The refresh token's format: `pcr_` + base64url(family id 16 bytes, random 32, tag 16).
 * The tag is an HMAC over the first 48 bytes: a token with a good tag that is not its family's current one is a
 * spent one, however old, and needs no row of its own to be recognised.
 */
import { equalBytes, keyedHash } from '../lib/crypto.ts';
import { freshBytes } from '../lib/ids.ts';

const PREFIX = 'pcr_';
const FORM = /^pcr_[\w-]{86}$/;
const [ID, BODY, TOTAL] = [16, 48, 64];

const tag = (key: Buffer, body: Buffer): Buffer =>
  keyedHash(key, 'refresh token', body).subarray(0, TOTAL - BODY);

/**
 * Makes a new token of a family.
 * @param familyId base64url of 16 bytes
 */
export function mintRefreshToken(tagKey: Buffer, familyId: string): string {
  const id = Buffer.from(familyId, 'base64url');
  if (id.length !== ID) throw new TypeError('a family id is 16 bytes');
  const body = Buffer.concat([id, freshBytes(BODY - ID)]);
  return PREFIX + Buffer.concat([body, tag(tagKey, body)]).toString('base64url');
}

/** The family that made `token`, or undefined when this server never made it. Costs no query. */
export function familyOfRefreshToken(tagKeys: readonly Buffer[], token: string): string | undefined {
  if (!FORM.test(token)) return undefined;
  const bytes = Buffer.from(token.slice(PREFIX.length), 'base64url');
  // A non-canonical last character would decode to the same bytes: one token has one spelling.
  if (bytes.length !== TOTAL || PREFIX + bytes.toString('base64url') !== token) return undefined;
  const body = bytes.subarray(0, BODY);
  const genuine = tagKeys.some((key) => equalBytes(tag(key, body), bytes.subarray(BODY)));
  return genuine ? bytes.subarray(0, ID).toString('base64url') : undefined;
}

/** Whether a value has the form of a refresh token. */
export const looksLikeRefreshToken = (value: string): boolean => value.startsWith(PREFIX);
