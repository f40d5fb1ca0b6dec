import { expect, it } from 'vitest';
import { giveBackMemory } from '../../src/lib/memory.ts';

it('memory is given back without leaving a way to ask for it', () => {
  // Garbage that a young generation does not swallow.
  let garbage: number[][] | undefined = Array.from({ length: 200 }, () =>
    Array.from({ length: 10_000 }, () => 1),
  );
  const before = process.memoryUsage().heapUsed;
  expect(garbage).toHaveLength(200);
  garbage = undefined;
  giveBackMemory();
  expect(process.memoryUsage().heapUsed).toBeLessThan(before);
  expect('gc' in globalThis).toBe(false);
});
