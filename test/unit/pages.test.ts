import { describe, expect, it } from 'vitest';
import { afterText, afterTime, toPage } from '../../src/storage/pages.ts';
import type { PortcullisError } from '../../src/lib/errors.ts';

const cursorOf = (parts: unknown): string => Buffer.from(JSON.stringify(parts)).toString('base64url');

describe('paging', () => {
  it('says where the next page begins, and that there is none', () => {
    const rows = [{ id: 'a' }, { id: 'b' }, { id: 'c' }];
    const page = toPage(rows, 2, ({ id }) => [id]);
    expect(page.data).toEqual([{ id: 'a' }, { id: 'b' }]);
    expect(afterText({ limit: 2, after: page.next! })).toBe('b');
    expect(toPage(rows, 3, ({ id }) => [id]).next).toBeNull();
    expect(toPage([], 3, () => [])).toEqual({ data: [], next: null });
  });

  it('starts at the beginning without a cursor', () => {
    expect([afterText({ limit: 1 }), afterTime({ limit: 1 })]).toEqual([undefined, undefined]);
    expect(afterTime({ limit: 1, after: cursorOf([5, 'x']) })).toEqual({ time: 5, id: 'x' });
  });

  it.each([
    '',
    'junk',
    cursorOf('x'),
    cursorOf([]),
    cursorOf(['x']),
    cursorOf(['5', 'x']),
    cursorOf([1.5, 'x']),
  ])('refuses a cursor that no page ended with: %j', (after) => {
    let refused: unknown;
    try {
      afterTime({ limit: 1, after });
    } catch (error) {
      refused = error;
    }
    expect(refused).toMatchObject({ code: 'invalid_cursor', status: 422 });
    expect((refused as PortcullisError).details.errors?.[0]?.pointer).toBe('/after');
  });

  it('refuses what a database could not compare', () => {
    expect(() => afterText({ limit: 1, after: cursorOf(['a\0b']) })).toThrow('cursor');
    expect(() => afterTime({ limit: 1, after: cursorOf([2 ** 60, 'x']) })).toThrow('cursor');
  });
});
