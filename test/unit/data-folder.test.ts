import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { openMode } from '../../src/config/data-folder.ts';

it.skipIf(process.platform === 'win32')('a data folder that is open to everybody is noticed', () => {
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-folder-'));
  for (const [mode, seen] of [
    [0o700, undefined],
    [0o750, undefined],
    [0o755, '755'],
    [0o701, '701'],
    [0o777, '777'],
  ] as const) {
    chmodSync(folder, mode);
    expect(openMode(folder)).toBe(seen);
  }
  rmSync(folder, { recursive: true });
  expect(openMode(folder)).toBeUndefined();
});
