/** Backups of a SQLite database: made while it serves, verified, and put back. The host's commands call it. */
import { createHash } from 'node:crypto';
import {
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
import { copyFile, inspectFile, moveTo, replaceFile, settleFile } from './sqlite/copy.ts';
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

/**
 * Copies the database while it serves. The file appears whole, checked and synced, or not at all.
 * @param url `file:…`
 * @param now epoch milliseconds
 * @throws StartError when the file exists and may not be replaced, or the copy is not sound
 */
export async function makeBackup(
  url: string,
  file: string,
  { force, now }: { readonly force: boolean; readonly now: number },
): Promise<Manifest> {
  const source = pathOf(url);
  if (!existsSync(source)) throw new StartError(`there is no database at ${source}`);
  if (existsSync(file) && !force)
    throw new StartError(`${file} exists, and is not overwritten (--force does)`);
  const [copy, note] = [`${file}.${randomId(6)}.part`, `${manifestOf(file)}.part`];
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
    writeFileSync(note, `${JSON.stringify(manifest, null, 2)}\n`, { mode: 0o600 });
    moveTo(copy, file);
    moveTo(note, manifestOf(file));
    return manifest;
  } catch (error) {
    throw asStartError(`the backup ${file} cannot be made`, error);
  } finally {
    for (const part of [copy, note]) rmSync(part, { force: true });
  }
}

/**
 * Compares a backup with its manifest, and looks whether it is sound and of this release or an older one.
 * @throws StartError in one line
 */
export async function verifyBackup(file: string): Promise<Verified> {
  let manifest: Manifest;
  try {
    manifest = JSON.parse(readFileSync(manifestOf(file), 'utf8')) as Manifest;
  } catch (error) {
    throw asStartError(`${manifestOf(file)} cannot be read`, error);
  }
  if (!existsSync(file)) throw new StartError(`there is no file ${file}`);
  if ((await checksum(file)) !== manifest.sha256) {
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
 * @returns where the database that was there is kept
 * @throws StartError when a server runs
 */
export async function putBack(
  url: string,
  file: string,
  { before, now }: { readonly before: (copyUrl: string) => Promise<void>; readonly now: number },
): Promise<string | undefined> {
  const path = pathOf(url);
  const there = existsSync(path);
  const copy = `${path}.restoring`;
  const kept = `${path}.before-${new Date(now).toISOString().replaceAll(/[:.]/g, '-')}`;
  if (there) settleFile(path);
  for (const side of ['', '-wal', '-shm']) rmSync(copy + side, { force: true });
  try {
    copyFileSync(file, copy);
    await chmod(copy, 0o600);
    await before(`file:${copy}`);
    settleFile(copy);
    if (there) settleFile(path); // a server may have been started meanwhile
    replaceFile(path, copy, kept);
  } catch (error) {
    throw asStartError(`${file} cannot be put back`, error);
  } finally {
    rmSync(copy, { force: true });
  }
  return there ? kept : undefined;
}

/** What the file system or SQLite said, in one line. */
function asStartError(what: string, error: unknown): StartError {
  if (error instanceof StartError) return error;
  const reason = error instanceof Error ? error.message : String(error);
  return new StartError(`${what}: ${reason}`, { cause: error });
}
