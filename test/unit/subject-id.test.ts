import { expect, it } from 'vitest';
import { subjectId } from '../../src/lib/subject-id.ts';

it('makes ids of 128 bits that never begin with a dash or underscore', () => {
  const ids = Array.from({ length: 1_000 }, subjectId);
  expect(ids.filter((id) => !/^[A-Za-z0-9][\w-]{21}$/.test(id))).toEqual([]);
  expect(new Set(ids).size).toBe(1_000);
});
