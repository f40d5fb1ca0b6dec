import { describe, expect, it } from 'vitest';
import { createCache } from '../../src/clients/cache.ts';

/** A cache over loads that the test answers by hand. */
function setUp(max = 3) {
  const time = { now: 0 };
  const loads: { key: string; answer: (value: string | undefined) => void; fail: (error: Error) => void }[] =
    [];
  const cache = createCache<string>(
    (key) =>
      new Promise((resolve, reject) => {
        loads.push({ key, answer: resolve, fail: reject });
      }),
    { now: () => time.now, ttlMs: 100, missTtlMs: 10, max },
  );
  /** Asks, and answers the load that the question causes, if any. */
  const ask = async (key: string, value?: string): Promise<[value: string | undefined, loaded: boolean]> => {
    const before = loads.length;
    const asked = cache.get(key);
    const loaded = loads.length > before;
    if (loaded) loads.at(-1)?.answer(value);
    return [await asked, loaded];
  };
  return { time, loads, cache, ask };
}

describe('the cache of a registry', () => {
  it('keeps what it found for its time, and that there is none for a shorter one', async () => {
    const { time, ask } = setUp();
    expect(await ask('a', 'A')).toEqual(['A', true]);
    expect(await ask('none')).toEqual([undefined, true]);
    time.now = 9;
    expect(await ask('none')).toEqual([undefined, false]);
    time.now = 10;
    expect(await ask('none', 'now there')).toEqual(['now there', true]);
    time.now = 99;
    expect(await ask('a')).toEqual(['A', false]);
    time.now = 100;
    expect(await ask('a', 'B')).toEqual(['B', true]);
  });

  it('loads once for all who ask at the same time', async () => {
    const { cache, loads } = setUp();
    const asked = [cache.get('a'), cache.get('a'), cache.get('b')];
    expect(loads.map(({ key }) => key)).toEqual(['a', 'b']);
    for (const load of loads) load.answer(load.key);
    expect(await Promise.all(asked)).toEqual(['a', 'a', 'b']);
  });

  it('does not keep a load that began before it was told to forget', async () => {
    const { cache, loads, ask } = setUp();
    const early = cache.get('a');
    cache.forget();
    const late = cache.get('a'); // must not be told the old value either
    expect(loads).toHaveLength(2);
    loads[1]?.answer('new');
    loads[0]?.answer('old');
    expect(await Promise.all([early, late])).toEqual(['old', 'new']);
    expect(await ask('a')).toEqual(['new', false]);
    cache.forget();
    expect(await ask('a', 'newer')).toEqual(['newer', true]);
  });

  it('does not keep a failed load', async () => {
    const { cache, loads, ask } = setUp();
    const asked = cache.get('a');
    loads[0]?.fail(new Error('gone'));
    await expect(asked).rejects.toThrow('gone');
    expect(await ask('a', 'A')).toEqual(['A', true]);
  });

  it('is bounded, and made-up keys push nothing out', async () => {
    const { ask } = setUp(2);
    for (const key of ['a', 'b']) await ask(key, key);
    for (const key of ['x', 'y', 'z']) await ask(key);
    expect(await ask('a')).toEqual(['a', false]);
    expect(await ask('x')).toEqual([undefined, true]); // the oldest miss went
    await ask('c', 'c');
    expect(await ask('a', 'a')).toEqual(['a', true]); // the oldest value went
  });
});
