// npm run migrate:check-release -- TAG
// Runs the code of an earlier release (a tag, or any commit) on a database that this checkout has migrated: what every
// node of that release meets during a rolling upgrade, and after a way back. SQLite, and PostgreSQL with
// TEST_DATABASE_URL. Exits 0 when the whole flow of `portcullis try` works; 1 with the reason when it does not.
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { databaseKinds, freshDatabase, type DatabaseKind } from '../test/support/databases.ts';
import { freePort } from '../test/support/server.ts';

const CHECKOUT = fileURLToPath(new URL('..', import.meta.url));
const GENERATED = ['src/storage/generated', 'prisma/generated'];
const READY_SECONDS = 60;

const git = (...args: string[]): string =>
  execFileSync('git', args, { cwd: CHECKOUT, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim();

/** Puts the release beside the checkout, ready to run, with the checkout's dependencies. */
function lay(release: string, folder: string): void {
  git('worktree', 'add', '--detach', folder, release);
  symlinkSync(join(CHECKOUT, 'node_modules'), join(folder, 'node_modules'));
  const same = (file: string): boolean =>
    readFileSync(join(folder, file), 'utf8') === readFileSync(join(CHECKOUT, file), 'utf8');
  if (!same('package-lock.json'))
    console.log('its dependencies were others: it runs with those of this checkout');
  if (same('prisma/schema.prisma') && same('scripts/generate.js')) {
    for (const path of GENERATED) cpSync(join(CHECKOUT, path), join(folder, path), { recursive: true });
  } else execFileSync(process.execPath, ['scripts/generate.js'], { cwd: folder, stdio: 'inherit' });
}

type Environment = Record<string, string | undefined>;

const portcullis = (folder: string, env: Environment, ...args: string[]): ChildProcess =>
  spawn(process.execPath, ['--disable-warning=ExperimentalWarning', 'src/cli/main.ts', ...args], {
    cwd: folder,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });

/** Runs a command to its end. @throws with all that it printed, unless it exits with 0 */
async function finish(what: string, child: ChildProcess): Promise<void> {
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (text) => (output += String(text)));
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`${what} failed:\n${output}`);
}

/** Starts a server. @throws with what it printed when it does not become ready */
async function serve(what: string, folder: string, env: Environment): Promise<() => Promise<void>> {
  const child = portcullis(folder, env, 'start');
  const ended = once(child, 'close');
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (text) => (output += String(text)));
  const stop = async (): Promise<void> => {
    child.kill('SIGTERM');
    await ended;
  };
  for (let tries = 0; tries < READY_SECONDS * 10; tries++) {
    if (child.exitCode !== null) throw new Error(`${what} does not start:\n${output}`);
    const answer = await fetch(`http://127.0.0.1:${env['PORT']}/health/ready`).catch(() => undefined);
    if (answer?.ok) return stop;
    await pause(100);
  }
  await stop();
  throw new Error(`${what} is not ready after ${READY_SECONDS} seconds:\n${output}`);
}

async function check(kind: DatabaseKind, release: string, folder: string): Promise<void> {
  const database = await freshDatabase(kind);
  const data = mkdtempSync(join(tmpdir(), 'portcullis-release-data-'));
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const secret = `pcs_${randomBytes(32).toString('base64url')}`;
  const env: Environment = {
    PATH: process.env['PATH'],
    DATABASE_URL: database.url,
    HOST: '127.0.0.1',
    PORT: String(port),
    PORTCULLIS_ISSUER: url,
    PORTCULLIS_MANAGEMENT_PORT: String(await freePort()),
    PORTCULLIS_DATA_DIR: data,
    PORTCULLIS_SECRET_KEYS: randomBytes(32).toString('base64url'),
    PORTCULLIS_BOOTSTRAP_CLIENT_ID: 'admin',
    PORTCULLIS_BOOTSTRAP_CLIENT_SECRET: secret,
    PORTCULLIS_URL: url,
    PORTCULLIS_CLIENT_ID: 'admin',
    PORTCULLIS_CLIENT_SECRET: secret,
  };
  const flow = async (what: string): Promise<void> => {
    await finish(what, portcullis(folder, env, 'try'));
    console.log(`${kind}: ${what}: the whole flow works`);
  };
  let stop: (() => Promise<void>) | undefined;
  try {
    stop = await serve(release, folder, env);
    await finish('migrate', portcullis(CHECKOUT, env, 'migrate'));
    await flow(`${release}, running while this checkout migrates`);
    await stop();
    stop = await serve(`${release}, started on the database of this checkout,`, folder, env);
    await flow(`${release}, started after that`);
    await stop();
    stop = await serve('this checkout', CHECKOUT, env);
    await flow('this checkout, with what that release wrote');
  } finally {
    await stop?.();
    await database.drop();
    rmSync(data, { recursive: true, force: true });
  }
}

const [release] = process.argv.slice(2);
if (!release || release.startsWith('-')) {
  console.error('usage: npm run migrate:check-release -- TAG');
  process.exit(2);
}
if (!databaseKinds.includes('postgresql')) console.error('PostgreSQL: TEST_DATABASE_URL is not set');
const folder = mkdtempSync(join(tmpdir(), 'portcullis-release-'));
try {
  lay(release, folder);
  for (const kind of databaseKinds) await check(kind, release, folder);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
  git('worktree', 'prune');
}
