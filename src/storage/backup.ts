/** Backups of a SQLite database: made while it serves, verified, and put back. The host's commands call it. */
import { createHash } from 'node:crypto';
import {
  constants,
  copyFileSync,
  createReadStream,
  existsSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { chmod } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { StartError } from '../lib/errors.ts';
import { randomId } from '../lib/ids.ts';
import { VERSION } from '../lib/version.ts';
import { migrationNames, onlyExpands } from './migrate.ts';
import {
  copyFile,
  inspectFile,
  moveTo,
  placeNew,
  replaceFile,
  sameFile,
  settleFile,
  withSides,
} from './sqlite/copy.ts';
import { pathOf } from './sqlite/open.ts';

/** What lies beside a backup as `FILE.json`, so that it can be verified. */
export interface Manifest {
  /** Version of the release that made it. */
  readonly version: string;
  /** RFC 3339. */
  readonly made_at: string;
  readonly sha256: string;
  /** Size of the file. */
  readonly bytes: number;
  /** The newest migration in it. */
  readonly schema: string;
  /** Fingerprints of the secret keys that it needs; the keys are never in it. */
  readonly secret_keys: readonly string[];
  /** The backup that this one is about to replace: after a crash in between, the file is still that. */
  readonly replaces?: Manifest;
}

/** A backup as it was found. */
export interface Verified extends Manifest {
  /** Migrations that a start of this release would apply to it. */
  readonly pending: readonly string[];
}

export const manifestOf = (file: string): string => `${file}.json`;

async function checksum(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return hash.digest('hex');
}

/** What the manifest says of the file as it is; undefined when the file is another. @throws when either is unreadable */
async function described(file: string): Promise<Manifest | undefined> {
  const { replaces, ...manifest } = JSON.parse(readFileSync(manifestOf(file), 'utf8')) as Manifest;
  const sum = await checksum(file);
  return [manifest, replaces].find((each) => each?.sha256 === sum);
}

/**
 * Copies the database while it serves. The file appears whole, checked and synced, or not at all.
 * @param url `file:…`
 * @param now epoch milliseconds
 * @throws StartError when the file exists and may not be replaced, is the database itself, or the copy is not sound
 */
export async function makeBackup(
  url: string,
  file: string,
  { force, now }: { readonly force: boolean; readonly now: number },
): Promise<Manifest> {
  const source = pathOf(url);
  const targets = [file, manifestOf(file)];
  if (!existsSync(source)) throw new StartError(`there is no database at ${source}`);
  for (const target of targets) {
    if (withSides(source).some((live) => sameFile(target, live)))
      throw new StartError(`${target} is the database itself, and is not overwritten`);
    if (existsSync(target) && !force)
      throw new StartError(`${target} exists, and is not overwritten (--force does)`);
  }
  const copy = `${file}.${randomId(6)}.part`;
  try {
    copyFile(source, copy);
    const { migrations, secretKeys } = inspectFile(copy);
    const manifest = {
      version: VERSION,
      made_at: new Date(now).toISOString(),
      sha256: await checksum(copy),
      bytes: statSync(copy).size,
      schema: migrations.at(-1) ?? '',
      secret_keys: secretKeys,
    };
    await (force ? replaceBackup(file, copy, manifest) : placeBackup(file, copy, manifest));
    return manifest;
  } catch (error) {
    throw asStartError(`the backup ${file} cannot be made`, error);
  } finally {
    rmSync(copy, { force: true });
  }
}

/** Writes a manifest under a name that nobody knows, and hands it to `place`. */
function writeManifest(file: string, manifest: Manifest, place: typeof moveTo): void {
  const note = `${manifestOf(file)}.${randomId(6)}.part`;
  try {
    writeFileSync(note, `${JSON.stringify(manifest, null, 2)}\n`, { mode: 0o600, flag: 'wx' });
    place(note, manifestOf(file));
  } finally {
    rmSync(note, { force: true });
  }
}

/** Puts a copy where nothing was. @throws when something is there meanwhile */
function placeBackup(file: string, copy: string, manifest: Manifest): void {
  writeManifest(file, manifest, placeNew);
  try {
    placeNew(copy, file);
  } catch (error) {
    rmSync(manifestOf(file));
    throw error;
  }
}

/** Puts a copy where another may be. Between any two steps, the manifest describes the file that is there. */
async function replaceBackup(file: string, copy: string, manifest: Manifest): Promise<void> {
  const replaces = await described(file).catch(() => undefined); // whatever else was there may go
  writeManifest(file, { ...manifest, ...(replaces && { replaces }) }, moveTo);
  moveTo(copy, file);
  if (replaces) writeManifest(file, manifest, moveTo);
}

/**
 * Compares a backup with its manifest, and looks whether it is sound and of this release or an older one.
 * @throws StartError in one line
 */
export async function verifyBackup(file: string): Promise<Verified> {
  if (!existsSync(file)) throw new StartError(`there is no file ${file}`);
  const manifest = await described(file).catch((error: unknown) => {
    throw asStartError(`${manifestOf(file)} cannot be read`, error);
  });
  if (manifest === undefined) {
    throw new StartError(
      `${file} is not what was backed up: its checksum is another than ${manifestOf(file)} says`,
    );
  }
  const { migrations, secretKeys } = inspectFile(file);
  const known = await migrationNames('sqlite');
  const unknown = migrations.find((name) => !known.includes(name) && !onlyExpands(name));
  if (unknown !== undefined) {
    throw new StartError(`${file} is newer than this release: it has the migration ${unknown}`);
  }
  return {
    ...manifest,
    schema: migrations.at(-1) ?? '',
    secret_keys: secretKeys,
    pending: known.filter((name) => !migrations.includes(name)),
  };
}

/**
 * Puts a verified backup in the place of the database.
 * @param url `file:…`; no server may have it open
 * @param before what is done to the copy at this URL before it takes the place
 * @param now epoch milliseconds
 * @returns where what was there is kept: the database, damaged or not, and side files that were left
 * @throws StartError when a server runs
 */
export async function putBack(
  url: string,
  file: string,
  { before, now }: { readonly before: (copyUrl: string) => Promise<void>; readonly now: number },
): Promise<string | undefined> {
  const path = pathOf(url);
  const copy = `${path}.${randomId(6)}.restoring`;
  const kept = `${path}.before-${new Date(now).toISOString().replaceAll(/[:.]/g, '-')}`;
  const settle = (): void => {
    if (existsSync(path)) settleFile(path);
  };
  settle();
  try {
    copyFileSync(file, copy, constants.COPYFILE_EXCL);
    await chmod(copy, 0o600);
    await before(`file:${copy}`);
    settleFile(copy);
    settle(); // a server may have been started meanwhile
    return replaceFile(path, copy, kept) ? kept : undefined;
  } catch (error) {
    throw asStartError(`${file} cannot be put back`, error);
  } finally {
    for (const each of withSides(copy)) rmSync(each, { force: true });
  }
}

/** What the file system or SQLite said, in one line. */
function asStartError(what: string, error: unknown): StartError {
  if (error instanceof StartError) return error;
  const reason = error instanceof Error ? error.message : String(error);
  return new StartError(`${what}: ${reason}`, { cause: error });
}
