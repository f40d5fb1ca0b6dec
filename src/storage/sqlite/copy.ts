/** A SQLite file as a whole: copied while servers write to it, looked at, and put in another's place. */
import { closeSync, copyFileSync, existsSync, fsyncSync, linkSync, openSync, renameSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { StartError } from '../../lib/errors.ts';
import { sealedUnder } from '../../lib/crypto.ts';

/** What stands in a file. */
export interface FileFacts {
  /** Names of its migrations, in order. */
  readonly migrations: readonly string[];
  /** Fingerprints of the secret keys that wrap its data keys. */
  readonly secretKeys: readonly string[];
}

const MODE = 0o600;

/** Writes what the system still keeps of a file or folder to the disk. */
function persist(path: string): void {
  const file = openSync(path, 'r');
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/** Puts a file in the place of `to`, durably. */
export function moveTo(from: string, to: string): void {
  persist(from);
  renameSync(from, to);
  persist(dirname(to));
}

/**
 * Copies a database that others write to: `VACUUM INTO` reads one snapshot, so it neither waits for them nor begins
 * anew when they write, as SQLite's backup interface does, and deleted rows stay behind.
 * @param copy a new file, for the owner alone; it is not yet synced to the disk
 */
export function copyFile(source: string, copy: string): void {
  closeSync(openSync(copy, 'wx', MODE));
  const db = new DatabaseSync(source, { readOnly: true });
  try {
    db.prepare('VACUUM INTO ?').run(copy);
  } finally {
    db.close();
  }
}

/**
 * Looks at a file that nobody has open.
 * @throws StartError when it is no database, damaged, or not one of Portcullis
 */
export function inspectFile(path: string): FileFacts {
  const db = new DatabaseSync(path, { readOnly: true });
  try {
    const faults = db.prepare('PRAGMA integrity_check(1)').all();
    const fault = faults[0]?.['integrity_check'];
    if (fault !== 'ok') throw new Error(String(fault));
    const migrations = db
      .prepare(
        `SELECT migration_name AS name FROM _prisma_migrations
         WHERE rolled_back_at IS NULL AND finished_at IS NOT NULL ORDER BY migration_name`,
      )
      .all();
    const keys = db.prepare('SELECT wrapped FROM data_keys').all();
    return {
      migrations: migrations.map(({ name }) => String(name)),
      secretKeys: [...new Set(keys.map(({ wrapped }) => sealedUnder(wrapped as Uint8Array)))].sort(),
    };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new StartError(`${path} is no sound database of Portcullis: ${reason}`, { cause: error });
  } finally {
    db.close();
  }
}

/**
 * Folds the write-ahead log into the file and takes its side files away, which only the last one who has it open can.
 * @throws StartError when another process has the file open
 */
export function settleFile(path: string): void {
  const db = new DatabaseSync(path);
  try {
    db.exec('PRAGMA journal_mode = DELETE');
  } catch (error) {
    throw new StartError(`${path} is in use: stop every server first`, { cause: error });
  } finally {
    db.close();
  }
}

/**
 * Puts `file` in the place of a settled database. At every instant there is one under its name.
 * @param kept the name that the old one gets
 */
export function replaceFile(path: string, file: string, kept: string): void {
  if (existsSync(path)) {
    try {
      linkSync(path, kept);
    } catch {
      copyFileSync(path, kept); // a file system without links
    }
  }
  moveTo(file, path);
}
