import { createHmac, randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { keyedHash } from '../../src/lib/crypto.ts';
import { randomId } from '../../src/lib/ids.ts';

describe('a keyed hash', () => {
  it.each([1, 31, 32, 63, 64])('is HMAC-SHA-256 with a key of %i bytes', (length) => {
    const key = randomBytes(length);
    for (const size of [0, 1, 54, 55, 56, 63, 64, 65, 1000]) {
      const value = randomBytes(size);
      const expected = createHmac('sha256', key).update('kind\0').update(value).digest();
      expect(keyedHash(key, 'kind', value)).toEqual(expected);
    }
    const text = 'Grüße, 世界 \u{1F511}';
    expect(keyedHash(key, 'kind', text)).toEqual(createHmac('sha256', key).update(`kind\0${text}`).digest());
  });

  it('takes no key that HMAC would hash first', () => {
    expect(() => keyedHash(randomBytes(65), 'kind', 'value')).toThrow(RangeError);
  });

  it('gives every caller bytes of its own', () => {
    const key = randomBytes(32);
    const [first, second] = [keyedHash(key, 'kind', 'a'), keyedHash(key, 'kind', 'b')];
    expect(first).not.toEqual(second);
    expect(keyedHash(key, 'kind', 'a')).toEqual(first);
  });
});

describe('a random id', () => {
  it('never repeats bytes of another, over many fillings of the pool and all lengths', () => {
    const seen = new Set<string>();
    let bytes = 0;
    for (let i = 0; bytes < 300_000; i++) {
      const length = 12 + (i % 60);
      const id = randomId(length);
      expect(Buffer.from(id, 'base64url')).toHaveLength(length);
      // Eight bytes at every place: two ids that share any part of the pool would meet here.
      const raw = Buffer.from(id, 'base64url');
      for (let at = 0; at + 8 <= raw.length; at++) {
        const part = raw.toString('hex', at, at + 8);
        if (seen.has(part)) throw new Error(`bytes were used twice: ${part}`);
        seen.add(part);
      }
      bytes += length;
    }
  });
});
