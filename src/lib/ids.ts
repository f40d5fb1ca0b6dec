/** Random identifiers: the one place that asks for randomness. */
import { randomBytes } from 'node:crypto';

/** A random base64url string of `bytes` random bytes (16 = 128 bits, 22 characters). */
export const randomId = (bytes = 16): string => randomBytes(bytes).toString('base64url');

const SORTABLE = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'; // Crockford's base 32: its order is ASCII's

/**
 * An id that sorts by time: 10 characters of epoch milliseconds, then 80 random bits.
 * @param now epoch milliseconds
 */
export function sortableId(now: number): string {
  let rest = now;
  let time = '';
  for (let i = 0; i < 10; i++) {
    time = SORTABLE.charAt(rest % 32) + time;
    rest = Math.floor(rest / 32);
  }
  return time + [...randomBytes(16)].map((byte) => SORTABLE.charAt(byte % 32)).join('');
}
