/** What else may lie where a backup is written or put back: links, stale side files, damaged databases, other owners. */
import {
  chownSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makeBackup, putBack, verifyBackup, type Manifest } from '../../src/storage/backup.ts';
import { openFresh, type OpenFresh } from '../support/databases.ts';
import { present } from '../support/present.ts';

const NOW = Date.UTC(2026, 0, 2);
const KEPT = 'db.before-2026-01-02T00-00-00-000Z';

let live: OpenFresh;
let folder: string;
let file: string;
beforeEach(async () => {
  live = await openFresh('sqlite');
  folder = mkdtempSync(join(tmpdir(), 'portcullis-backup-'));
  file = join(folder, 'copy');
});
afterEach(async () => {
  await live.close();
  rmSync(folder, { recursive: true, force: true });
});

const backup = (force = false, to = file) => makeBackup(live.url, to, { force, now: NOW });
const note = (jti: string) =>
  live.database.sql.write('test', `INSERT INTO denied_tokens (jti, expires_at) VALUES ('${jti}', 1)`);

describe('a backup', () => {
  it('is never written over the live database, whatever name leads there', async () => {
    const path = live.url.slice('file:'.length);
    const [soft, hard, around] = ['soft', 'hard', 'around'].map((name) => join(folder, name));
    symlinkSync(path, present(soft));
    linkSync(path, present(hard));
    symlinkSync(join(path, '..'), present(around));
    const names = [path, `${path}-wal`, `${path}-shm`, `${path}-journal`, present(soft), present(hard)];
    for (const name of [
      ...names,
      join(present(around), 'test.db'),
      join(present(around), 'test.db-journal'),
    ]) {
      await expect(backup(true, name)).rejects.toThrow('is the database itself');
    }
    linkSync(path, `${file}.json`);
    await expect(backup(true)).rejects.toThrow('copy.json is the database itself');
    await expect(note('alive')).resolves.toBeDefined();
  });

  it('writes through no link, and over no other file beside it', async () => {
    const victim = join(folder, 'victim');
    writeFileSync(victim, 'mine');
    symlinkSync(victim, `${file}.json.part`);
    await backup();
    expect(readFileSync(victim, 'utf8')).toBe('mine');
    expect(readdirSync(folder).sort()).toEqual(['copy', 'copy.json', 'copy.json.part', 'victim']);
    writeFileSync(join(folder, 'config.json'), '{}');
    await expect(backup(false, join(folder, 'config'))).rejects.toThrow('config.json exists');
    symlinkSync(join(folder, 'nowhere'), join(folder, 'dangling'));
    await expect(backup(false, join(folder, 'dangling'))).rejects.toThrow('EEXIST');
    expect(readdirSync(folder)).not.toContain('dangling.json');
  });

  it('that replaces another leaves one that verifies, wherever it breaks off', async () => {
    const first = await backup();
    await note('later');
    // The file cannot be replaced any more once its manifest is: a folder with something in it is in the way.
    const bytes = readFileSync(file);
    rmSync(file);
    mkdirSync(join(file, 'in the way'), { recursive: true });
    await expect(backup(true)).rejects.toThrow('cannot be made');
    rmSync(file, { recursive: true });
    writeFileSync(file, bytes);
    await expect(verifyBackup(file)).rejects.toThrow('is not what was backed up'); // nothing was described there
    writeFileSync(`${file}.json`, JSON.stringify({ ...first, sha256: 'new', replaces: first }));
    expect(await verifyBackup(file)).toMatchObject({ sha256: first.sha256 });
    const second = await backup(true);
    expect(second.sha256).not.toBe(first.sha256);
    expect(JSON.parse(readFileSync(`${file}.json`, 'utf8')) as Manifest).toEqual(second);
    expect(await verifyBackup(file)).toMatchObject({ sha256: second.sha256 });
  });
});

describe('a restore', () => {
  let target: string;
  let path: string;
  beforeEach(async () => {
    target = join(folder, 'target');
    mkdirSync(target);
    path = join(target, 'db');
    await backup();
  });
  const restore = () => putBack(`file:${path}`, file, { before: () => Promise.resolve(), now: NOW });
  const denied = (): unknown[] => {
    const db = new DatabaseSync(path);
    try {
      return db.prepare('SELECT jti FROM denied_tokens').all();
    } finally {
      db.close();
    }
  };
  /** The log of what was written since the backup, as a server that was killed leaves it. */
  const staleLog = async (): Promise<void> => {
    await note('later');
    for (const side of ['-wal', '-shm'])
      writeFileSync(path + side, readFileSync(live.url.slice('file:'.length) + side));
    writeFileSync(`${path}-journal`, 'old');
  };

  it('is not undone by a stale log beside a file that is missing', async () => {
    await staleLog();
    expect(await restore()).toBe(join(target, KEPT));
    expect(readdirSync(target).sort()).toEqual([
      'db',
      ...['-journal', '-shm', '-wal'].map((side) => KEPT + side),
    ]);
    expect(denied()).toEqual([]);
  });

  it('takes the place of a damaged database, which is kept with its side files', async () => {
    writeFileSync(path, 'no database '.repeat(1000));
    for (const side of ['-wal', '-shm']) writeFileSync(path + side, 'old');
    const damaged = readFileSync(path);
    expect(await restore()).toBe(join(target, KEPT));
    expect(denied()).toEqual([]);
    expect(readFileSync(join(target, KEPT))).toEqual(damaged);
    expect(readdirSync(target)).not.toContain('db-wal');
    expect(readFileSync(path)).toEqual(readFileSync(file));
  });

  it('says that a server runs only when one does', async () => {
    mkdirSync(path);
    await expect(restore()).rejects.toThrow('cannot be opened');
    const held = putBack(live.url, file, { before: () => Promise.resolve(), now: NOW });
    await expect(held).rejects.toThrow('is in use: stop every server first');
  });

  it('writes through no link that waits for it', async () => {
    const victim = join(folder, 'victim');
    writeFileSync(victim, 'mine');
    symlinkSync(victim, `${path}.restoring`);
    await restore();
    expect(readFileSync(victim, 'utf8')).toBe('mine');
    expect(readdirSync(target).sort()).toEqual(['db', 'db.restoring']);
  });

  it.runIf(process.getuid?.() === 0)(
    'by root leaves the file to whom it belonged, or to the owner of the folder',
    async () => {
      chownSync(target, 1234, 1235);
      await restore();
      expect(statSync(path)).toMatchObject({ uid: 1234, gid: 1235 });
      chownSync(path, 2345, 2346);
      await restore();
      expect(statSync(path)).toMatchObject({ uid: 2345, gid: 2346 });
      expect(statSync(path).mode & 0o777).toBe(0o600);
    },
  );
});
