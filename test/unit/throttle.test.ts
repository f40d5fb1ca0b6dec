import { describe, expect, it } from 'vitest';
import { createInFlight } from '../../src/users/in-flight.ts';
import { addressKey, blockMs, siteKey } from '../../src/users/throttle.ts';

describe('throttling', () => {
  it('blocks for longer with each step of failures beyond the free ones, up to a limit', () => {
    const policy = { free: 2, step: 2, firstMs: 1_000, longestMs: 5_000, quietMs: 60_000 };
    expect(Array.from({ length: 10 }, (_, i) => blockMs(policy, i))).toEqual([
      0, 0, 0, 1_000, 1_000, 2_000, 2_000, 4_000, 4_000, 5_000,
    ]);
    expect(blockMs(policy, 1e9)).toBe(5_000);
  });

  it.each([
    ['192.0.2.1', '192.0.2.1'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['::1', '0:0:0:0::/64'],
    ['::', '0:0:0:0::/64'],
    ['2001:db8::1', '2001:db8:0:0::/64'],
    ['2001:DB8:0:0:ffff:ffff:ffff:ffff', '2001:db8:0:0::/64'],
    ['2001:0db8:0001:0002::', '2001:db8:1:2::/64'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['1::2:3:4:5:6:7', '1:0:2:3::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['unknown', 'unknown'],
  ])('counts %s under %s', (ip, key) => {
    expect(addressKey(ip)).toBe(key);
  });

  it.each([
    ['192.0.2.1', undefined],
    ['::ffff:192.0.2.1', undefined],
    ['unknown', undefined],
    ['2001:0db8:0001:0002::', '2001:db8:1::/48'],
    ['1::2:3:4:5:6:7', '1:0:2::/48'],
  ])('the site of %s is %s', (ip, key) => {
    expect(siteKey(ip)).toBe(key);
  });

  it('lets as many in at once as there are places under each name, and none under some only', () => {
    const { enter } = createInFlight();
    const first = enter([
      ['a', 1],
      ['b', 2],
    ]);
    expect(first).toBeDefined();
    expect(
      enter([
        ['b', 2],
        ['a', 1],
      ]),
    ).toBeUndefined();
    const second = enter([['b', 2]]); // the one that was turned away took no place here
    expect(second).toBeDefined();
    expect(enter([['b', 2]])).toBeUndefined();
    first?.();
    expect(
      enter([
        ['a', 1],
        ['b', 2],
      ]),
    ).toBeDefined();
  });
});
