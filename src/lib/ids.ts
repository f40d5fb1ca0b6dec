/** Random identifiers: the one place that asks for randomness. */
import { randomBytes, randomFillSync } from 'node:crypto';

/** Asking the system costs some 20 µs, however few bytes: they are fetched ahead, used once, and wiped. */
const pool = Buffer.allocUnsafeSlow(4096);
let used = pool.length;

/** `count` random bytes, which nobody else gets. */
export function freshBytes(count: number): Buffer {
  if (count > 64) return randomBytes(count);
  if (used + count > pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  const bytes = Buffer.from(pool.subarray(used, used + count));
  pool.fill(0, used, used + count);
  used += count;
  return bytes;
}

/** A random base64url string of `bytes` random bytes (16 = 128 bits, 22 characters). */
export const randomId = (bytes = 16): string => freshBytes(bytes).toString('base64url');

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
  return time + randomLetters(16);
}

/**
 * Makes ids that sort by time, and in the order in which they were asked for within a millisecond too: the events of
 * one change keep their order. One for each process and table; between processes the time alone decides.
 */
export function createSortableIds(): (now: number) => string {
  let last = 0;
  let count = 0;
  return (now) => {
    count = now > last ? 0 : count + 1;
    last = Math.max(last, now);
    const order =
      SORTABLE.charAt(Math.floor(count / 1024) % 32) +
      SORTABLE.charAt(Math.floor(count / 32) % 32) +
      SORTABLE.charAt(count % 32);
    return sortableId(last).slice(0, 10) + order + sortableId(last).slice(13);
  };
}

/** Random letters that people can copy by hand: five bits each, without those that look alike. */
export const randomLetters = (count: number): string =>
  [...randomBytes(count)].map((byte) => SORTABLE.charAt(byte % 32)).join('');

/** `bytes` random bytes in lower-case hexadecimal, as trace contexts write their ids. */
export const randomHex = (bytes: number): string => randomBytes(bytes).toString('hex');
