/** A SQLite file as a whole: copied while servers write to it, looked at, and put in another's place. */
import {
  chownSync,
  closeSync,
  constants,
  copyFileSync,
  existsSync,
  fsyncSync,
  linkSync,
  openSync,
  realpathSync,
  renameSync,
  statSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
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

/** Gives a file a name that is free, durably; `from` may stay. @throws with code EEXIST when something has that name */
export function placeNew(from: string, to: string): void {
  persist(from);
  try {
    linkSync(from, to);
  } catch (error) {
    if (codeOf(error) === 'EEXIST' || existsSync(to)) throw error;
    renameSync(from, to); // a file system without links
  }
  persist(dirname(to));
}

const codeOf = (error: unknown): unknown => (error as { readonly code?: unknown } | null)?.code;

/** What SQLite lays beside a file, and plays into whatever has the file's name. */
const SIDES = ['-wal', '-shm', '-journal'];

/** The file's name and those of its side files. */
export const withSides = (path: string): string[] => ['', ...SIDES].map((side) => path + side);

/** Whether two names are, or would be, those of one file: through links of both kinds. */
export function sameFile(one: string, other: string): boolean {
  const canonical = (path: string): string => join(realpathSync(dirname(path)), basename(path));
  const [a, b] = [one, other].map((path) => statSync(path, { bigint: true, throwIfNoEntry: false }));
  if (a && b) return a.dev === b.dev && a.ino === b.ino;
  return existsSync(dirname(one)) && existsSync(dirname(other)) && canonical(one) === canonical(other);
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

/** SQLite's primary result codes. */
const [BUSY, LOCKED, CORRUPT, NOTADB] = [5, 6, 11, 26] as const;

/**
 * Folds the write-ahead log into the file and takes its side files away, which only the last one who has it open can.
 * A damaged file is left as it is: SQLite cannot tell who has that open.
 * @throws StartError when another process has the file open, or it cannot be read
 */
export function settleFile(path: string): void {
  let db: DatabaseSync | undefined;
  try {
    db = new DatabaseSync(path);
    db.exec('PRAGMA journal_mode = DELETE');
  } catch (error) {
    const { errcode = 0, message } = error as Error & { readonly errcode?: number };
    const result = errcode & 0xff; // extended codes keep the primary one in the lowest byte
    if (result === CORRUPT || result === NOTADB) return;
    const inUse = result === BUSY || result === LOCKED;
    const reason = inUse ? 'is in use: stop every server first' : `cannot be opened: ${message}`;
    throw new StartError(`${path} ${reason}`, { cause: error });
  } finally {
    db?.close();
  }
}

/** Gives a new file the owner of the one that it replaces, else of the folder; only root may, and has to. */
function inherit(file: string, path: string): void {
  if (process.getuid?.() !== 0) return;
  const { uid, gid } = statSync(existsSync(path) ? path : dirname(path));
  chownSync(file, uid, gid);
}

/**
 * Puts `file` in the place of a database that nobody has open. At every instant there is one under its name, if there
 * was. Side files that were left go with the old one, for SQLite would play them into the new one.
 * @param kept the name that the old one gets
 * @returns whether there was anything to keep
 */
export function replaceFile(path: string, file: string, kept: string): boolean {
  const there = withSides(path).filter((each) => existsSync(each));
  inherit(file, path);
  for (const side of SIDES) {
    if (there.includes(path + side)) renameSync(path + side, kept + side);
  }
  if (there.includes(path)) {
    try {
      linkSync(path, kept);
    } catch {
      copyFileSync(path, kept, constants.COPYFILE_EXCL); // a file system without links
    }
  }
  persist(dirname(path));
  moveTo(file, path);
  return there.length > 0;
}
