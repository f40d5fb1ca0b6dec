import { spawnSync } from 'node:child_process';
import { openSync, writeSync, closeSync, mkdtempSync, rmSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const MAIN = join(import.meta.dirname, '../../src/cli/main.ts');

describe('a SQLite file that is damaged', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'portcullis-damaged-'));
    expect(run('migrate').status).toBe(0);
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const run = (...argv: string[]) =>
    spawnSync(process.execPath, [MAIN, ...argv], {
      env: { PATH: process.env['PATH'], PORTCULLIS_DATA_DIR: folder },
      encoding: 'utf8',
      timeout: 20_000,
    });

  /** Where a table begins in the file, and how long a page is. */
  function pageOf(table: string): { at: number; length: number } {
    const database = new DatabaseSync(join(folder, 'portcullis.db'));
    try {
      database.exec('PRAGMA wal_checkpoint(TRUNCATE)');
      const { page_size: length } = database.prepare('PRAGMA page_size').get() as { page_size: number };
      const found = database.prepare('SELECT rootpage FROM sqlite_schema WHERE name = ?').get(table);
      return { at: ((found as { rootpage: number }).rootpage - 1) * length, length };
    } finally {
      database.close();
    }
  }

  it.each(['signing_keys', 'data_keys'])('ends the start in one line: %s', (table) => {
    const { at, length } = pageOf(table);
    const file = openSync(join(folder, 'portcullis.db'), 'r+');
    writeSync(file, Buffer.alloc(length, 0xff), 0, length, at);
    closeSync(file);
    const { status, stderr } = run('start');
    expect(status).toBe(1);
    expect(stderr.trim().split('\n')).toEqual([
      expect.stringMatching(/^error: .*(is damaged|malformed|cannot open)/),
    ]);
  });
});
