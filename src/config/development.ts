/** What a development server makes for itself in the data folder, so that one command starts it. */
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { randomBytes } from 'node:crypto';
import { StartError } from '../lib/errors.ts';
import { randomId } from '../lib/ids.ts';
import type { Settings } from './schema.ts';

/** Credentials of the first admin client, as `data/admin.json` holds them. */
export interface AdminCredentials {
  readonly client_id: string;
  readonly client_secret: string;
}

const PRIVATE = 0o600;

function code(error: unknown): string | undefined {
  return (error as { code?: string } | undefined)?.code;
}

/** @throws StartError in one line when the folder cannot be used */
function ensureDataDir(dataDir: string): void {
  try {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new StartError(`the data folder ${dataDir} cannot be made: ${code(error) ?? String(error)}`);
  }
}

/** Reads a file of the data folder, or makes it with `content` for the owner alone. Of several processes one makes it. */
function readOrMake(path: string, content: () => string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (code(error) !== 'ENOENT')
      throw new StartError(`${path} cannot be read: ${code(error) ?? String(error)}`);
  }
  try {
    writeFileSync(path, content(), { mode: PRIVATE, flag: 'wx' });
    chmodSync(path, PRIVATE);
  } catch (error) {
    if (code(error) !== 'EEXIST')
      throw new StartError(`${path} cannot be written: ${code(error) ?? String(error)}`);
  }
  return readFileSync(path, 'utf8');
}

/**
 * The development server's secret keys, made once.
 * @throws StartError when they are gone while the database that they opened is still there
 */
function developmentSecretKeys(dataDir: string): Buffer[] {
  const path = join(dataDir, 'secret-keys');
  if (!existsSync(path) && existsSync(join(dataDir, 'portcullis.db'))) {
    throw new StartError(
      `${path} is gone, and the database needs it: put it back, or delete ${dataDir} to begin anew`,
    );
  }
  const keys = readOrMake(path, () => `${randomBytes(32).toString('base64url')}\n`)
    .split(/[\s,]+/)
    .filter(Boolean)
    .map((text) => Buffer.from(text, 'base64url'));
  if (keys.length === 0 || keys.some((key) => key.length !== 32)) {
    throw new StartError(`${path} does not hold base64url keys of 32 bytes each`);
  }
  return keys;
}

/**
 * The secret keys of a server with these settings; in development they are made when there are none. Makes the data
 * folder.
 * @throws StartError as `developmentSecretKeys` does, or when the folder cannot be made
 */
export function secretKeysOf({
  secretKeys,
  dataDir,
}: Pick<Settings, 'secretKeys' | 'dataDir'>): readonly Buffer[] {
  ensureDataDir(dataDir);
  return secretKeys.length > 0 ? secretKeys : developmentSecretKeys(dataDir);
}

/** Where the development server keeps its admin credentials. */
export const adminFile = (dataDir: string): string => join(dataDir, 'admin.json');

/** The development server's admin credentials, made once. Where the server answers is added when it does. */
export function developmentAdmin(dataDir: string): AdminCredentials {
  const path = adminFile(dataDir);
  const text = readOrMake(path, () => {
    const made = { client_id: 'portcullis-admin', client_secret: `pcs_${randomId(32)}` };
    return `${JSON.stringify(made, null, 2)}\n`;
  });
  try {
    const { client_id, client_secret } = JSON.parse(text) as Partial<AdminCredentials>;
    if (typeof client_id === 'string' && typeof client_secret === 'string')
      return { client_id, client_secret };
  } catch {
    // told below
  }
  throw new StartError(`${path} does not hold admin credentials: delete it, or run \`portcullis bootstrap\``);
}

/**
 * Notes where the server answers beside its admin credentials, for the command line. To be called once the port is
 * the server's own: the credentials must not lead to whatever else listens there.
 */
export function noteAdminUrl(dataDir: string, url: string): void {
  const path = adminFile(dataDir);
  const { client_id, client_secret } = developmentAdmin(dataDir);
  const text = `${JSON.stringify({ url, client_id, client_secret }, null, 2)}\n`;
  if (readFileSync(path, 'utf8') === text) return;
  writeFileSync(`${path}.new`, text, { mode: PRIVATE });
  renameSync(`${path}.new`, path);
}
