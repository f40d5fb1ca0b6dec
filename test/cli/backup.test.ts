/** A copy of the database while it serves, and the way back, as an operator goes it. */
import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { dumpCommand, restoreCommand } from '../../src/cli/postgresql-tools.ts';
import { fingerprint } from '../../src/lib/crypto.ts';
import { databaseKinds, freshDatabase, type FreshDatabase } from '../support/databases.ts';
import { startWorld, type Authorized, type Tokens, type World } from '../support/fixtures.ts';
import { hostEnv, runHost, type HostRun } from '../support/host.ts';
import { present } from '../support/present.ts';
import { startTestServer, type TestServer } from '../support/server.ts';

const installed = (tool: string): boolean => {
  try {
    execFileSync(tool, ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
};
const kinds = databaseKinds.filter(
  (kind) => kind === 'sqlite' || ['pg_dump', 'pg_restore', 'psql'].every(installed),
);

describe.each(kinds)('backup and restore on %s', (kind) => {
  let database: FreshDatabase;
  let folder: string;
  let world: World;
  let server: TestServer;
  let host: (...argv: string[]) => Promise<HostRun>;
  let file: string;
  /** Alive when the backup is made; the first is revoked, the second refreshed afterwards. */
  let [revoked, refreshed]: (Tokens & Authorized)[] = [];
  let machine: string;
  let later: string;

  const machineToken = async (): Promise<string> =>
    (
      await world.post<Tokens>(
        '/token',
        { grant_type: 'client_credentials', scope: 'orders:read' },
        world.machine,
      )
    ).body.access_token;
  const start = async (): Promise<void> => {
    const { databaseUrl, secretKeys } = world;
    const env = { PORT: new URL(world.url).port, PORTCULLIS_ISSUER: world.url };
    server = await startTestServer({ databaseUrl, secretKeys, env });
  };
  /** Runs what was printed, if it is for another tool. */
  const follow = (run: HostRun, stderr: 'inherit' | 'ignore' = 'inherit'): void => {
    if (kind !== 'postgresql') return;
    const password = decodeURIComponent(new URL(database.url).password);
    execFileSync('sh', ['-c', run.stdout], {
      stdio: ['ignore', 'pipe', stderr],
      env: { ...process.env, ...(password && { PGPASSWORD: password }) },
    });
  };
  const activeNow = (...tokens: string[]): Promise<unknown[]> =>
    Promise.all(tokens.map(async (token) => (await world.introspect(token))['active']));

  beforeAll(async () => {
    database = await freshDatabase(kind);
    folder = mkdtempSync(join(tmpdir(), 'portcullis-backup-'));
    file = join(folder, 'copy');
    world = await startWorld({ databaseUrl: database.url });
    server = world;
    const env = hostEnv(world);
    host = (...argv) => runHost(env, ...argv);
    revoked = await world.tokens(world.web);
    refreshed = await world.tokens(world.web);
    machine = await machineToken();
    const made = await host('backup', file);
    expect(made).toMatchObject({ code: 0 });
    follow(made);
    const { refresh_token: token = '' } = present(revoked);
    await world.post('/revoke', { token }, world.web);
    await world.refresh(world.web, present(present(refreshed).refresh_token));
    later = await machineToken();
  }, 120_000);
  afterAll(async () => {
    await server.close();
    await database.drop();
    rmSync(folder, { recursive: true, force: true });
  });

  it('a restore revives what was revoked since, and says so', async () => {
    const token = present(revoked).access_token;
    expect(await activeNow(token)).toEqual([false]);
    const { database: live } = server.app.domain.storage;
    // As a later release would leave it: a table, and one that points at it, which the backup does not know.
    await live.sql.write('test.newer', 'CREATE TABLE newer (id INTEGER PRIMARY KEY)');
    await live.sql.write('test.newest', 'CREATE TABLE newest (newer_id INTEGER REFERENCES newer (id))');
    await server.close();
    const restored = await host('restore', file, '--yes');
    expect(restored).toMatchObject({ code: 0 });
    expect(restored.stderr).toContain('revives what was revoked since the backup');
    follow(restored);
    await start();
    expect(await activeNow(token, machine, later)).toEqual([true, true, true]);
    for (const table of ['newer', 'newest']) {
      const { sql } = server.app.domain.storage.database;
      await expect(sql.write(`test.${table}`, `CREATE TABLE ${table} (id INTEGER)`)).resolves.toBeDefined();
    }
  }, 60_000);

  it.runIf(kind === 'postgresql')('a dump that cannot be read to its end leaves all as it was', async () => {
    const cut = join(folder, 'cut');
    const { access_token: token } = await world.tokens(world.web);
    const dump = readFileSync(file);
    writeFileSync(cut, dump.subarray(0, dump.length - 2000));
    const { stdout } = await host('restore', cut);
    expect(() => follow({ stdout, stderr: '', code: 0 }, 'ignore')).toThrow('Command failed');
    expect(await activeNow(token)).toEqual([true]);
  });

  it('--invalidate-sessions ends all that was issued before, without alerts; what is issued afterwards lives', async () => {
    await server.close();
    if (kind === 'postgresql') {
      follow(await host('restore', file));
      expect(await host('restore', '--invalidate-sessions', '--yes', '--json')).toMatchObject({ code: 0 });
    } else {
      const restored = await host('restore', file, '--invalidate-sessions', '--yes', '--json');
      expect(restored).toMatchObject({ code: 0, stderr: '' });
      expect(JSON.parse(restored.stdout)).toMatchObject({
        restored: file,
        ended: { families: 2, sessions: 2 },
      });
    }
    await start();
    const [one, two] = [present(revoked), present(refreshed)];
    expect(await activeNow(one.access_token, two.access_token, machine, later)).toEqual([
      false,
      false,
      false,
      false,
    ]);
    for (const { refresh_token: token } of [one, two]) {
      expect(await world.refresh(world.web, present(token))).toMatchObject({
        status: 400,
        body: { error: 'invalid_grant' },
      });
    }
    // The browser's session is over: it shows the sign-in page again, and goes on from there.
    const fresh = await world.tokens(world.web, { browser: one.browser });
    expect(await activeNow(fresh.access_token, await machineToken())).toEqual([true, true]);
    const { prisma } = server.app.domain.storage.database;
    const events = await prisma.auditEvent.findMany({
      where: { type: { in: ['server.invalidated', 'token.reuse_detected'] } },
    });
    expect(events).toMatchObject([{ type: 'server.invalidated', actor: 'system' }]);
    expect(JSON.parse(present(events[0]).detail)).toEqual({ reason: 'restored', families: 2, sessions: 2 });
  }, 60_000);

  it('--invalidate-sessions without a file holds on servers that run', async () => {
    const token = await machineToken();
    const { access_token: other } = await world.tokens(world.web);
    expect(await host('restore', '--invalidate-sessions', '--yes')).toMatchObject({ code: 0 });
    expect(await activeNow(token, other)).toEqual([false, false]);
    await expect.poll(async () => activeNow(await machineToken())).toEqual([true]);
  }, 60_000);
});

describe('backup of a SQLite file', () => {
  let database: FreshDatabase;
  let folder: string;
  let server: TestServer;
  let host: (...argv: string[]) => Promise<HostRun>;
  beforeAll(async () => {
    database = await freshDatabase('sqlite');
    folder = mkdtempSync(join(tmpdir(), 'portcullis-backup-'));
    server = await startTestServer({ databaseUrl: database.url });
    host = (...argv) => runHost(hostEnv(server), ...argv);
  });
  afterAll(async () => {
    await server.close();
    await database.drop();
    rmSync(folder, { recursive: true, force: true });
  });
  const secretKey = (): string => fingerprint(Buffer.from(server.secretKeys, 'base64url'));

  it('is whole, for the owner alone, and described beside it, while a transaction is open', async () => {
    const file = join(folder, 'one.db');
    const { storage } = server.app.domain;
    const done = await storage.database.transaction(async (tx) => {
      await tx.write('test', `INSERT INTO denied_tokens (jti, expires_at) VALUES ('uncommitted', 1)`);
      return host('backup', file, '--json');
    });
    expect(done).toMatchObject({ code: 0 });
    const made = JSON.parse(done.stdout) as Record<string, unknown>;
    expect(made).toMatchObject({
      file,
      sha256: createHash('sha256').update(readFileSync(file)).digest('hex'),
      bytes: statSync(file).size,
      schema: storage.migrations.at(-1),
      secret_keys: [secretKey()],
    });
    const { file: _, ...manifest } = made;
    expect(JSON.parse(readFileSync(`${file}.json`, 'utf8'))).toEqual(manifest);
    for (const each of [file, `${file}.json`]) expect(statSync(each).mode & 0o777).toBe(0o600);
    expect(readdirSync(folder).sort()).toEqual(['one.db', 'one.db.json']);
    const text = readFileSync(file, 'latin1');
    expect(text).not.toContain(server.secretKeys);
    expect(text).not.toContain('uncommitted');
    expect(await host('backup', '--verify', file)).toMatchObject({ code: 0 });
  });

  it('is not overwritten, but with --force', async () => {
    const file = join(folder, 'two.db');
    writeFileSync(file, 'something else');
    const refused = await host('backup', file);
    expect(refused).toMatchObject({ code: 1, stdout: '' });
    expect(refused.stderr).toContain('exists, and is not overwritten');
    expect(readFileSync(file, 'utf8')).toBe('something else');
    expect(await host('backup', file, '--force')).toMatchObject({ code: 0 });
    expect(await host('backup', '--verify', file, '--json')).toMatchObject({ code: 0 });
  });

  it('is refused by --verify and by restore once a byte of it is another', async () => {
    const file = join(folder, 'three.db');
    await host('backup', file);
    const bytes = readFileSync(file);
    bytes[5000] = (bytes[5000] ?? 0) ^ 1;
    writeFileSync(file, bytes);
    for (const argv of [
      ['backup', '--verify', file],
      ['restore', file, '--yes'],
    ]) {
      const refused = await host(...argv);
      expect(refused).toMatchObject({ code: 1, stdout: '' });
      expect(refused.stderr).toContain('is not what was backed up');
    }
  });

  it('is not put back while a server runs, and not without its secret key', async () => {
    const file = join(folder, 'four.db');
    await host('backup', file);
    const refused = await host('restore', file, '--yes');
    expect(refused).toMatchObject({ code: 1, stdout: '' });
    expect(refused.stderr).toContain('is in use: stop every server first');
    const other = { ...hostEnv(server), PORTCULLIS_SECRET_KEYS: randomBytes(32).toString('base64url') };
    const without = await runHost(other, 'restore', file, '--yes');
    expect(without).toMatchObject({ code: 1, stdout: '' });
    expect(without.stderr).toContain(secretKey());
    const verified = await runHost(other, 'backup', '--verify', file, '--json');
    expect(JSON.parse(verified.stdout)).toMatchObject({ missing_secret_keys: [secretKey()] });
    expect((await fetch(`${server.url}/health/ready`)).status).toBe(200);
  });

  it('keeps the database that it replaces', async () => {
    const target = mkdtempSync(join(tmpdir(), 'portcullis-backup-'));
    onTestFinished(() => rmSync(target, { recursive: true, force: true }));
    const file = join(folder, 'five.db');
    await host('backup', file);
    writeFileSync(join(target, 'db'), '');
    const env = { ...hostEnv(server), DATABASE_URL: `file:${join(target, 'db')}` };
    expect(await runHost(env, 'restore', file, '--yes')).toMatchObject({ code: 0 });
    expect(readdirSync(target).sort()).toEqual(['db', expect.stringMatching(/^db\.before-\d{4}-/)]);
    expect(readFileSync(join(target, 'db'))).toEqual(readFileSync(file));
  });
});

describe('the commands for PostgreSQL', () => {
  const url = `postgresql://ada:s3cret@db.example:5433/auth?sslmode=verify-full&schema=x&password=again&sslpassword=too`;

  it('name the database, and never a password', () => {
    const named = `'postgresql://ada@db.example:5433/auth?sslmode=verify-full'`;
    expect(dumpCommand(url, "it's here.dump")).toBe(
      `pg_dump --format=custom --no-owner --no-privileges --file='it'\\''s here.dump' ${named}`,
    );
    const restore = restoreCommand(url, 'a.dump');
    expect(restore).toContain(`--file=- 'a.dump' && `);
    expect(restore).toMatch(new RegExp(`--dbname=${named.replaceAll(/[.?]/g, String.raw`\$&`)}$`));
    expect(restore).not.toMatch(/s3cret|again|too/);
  });

  it('write a space as libpq reads it, and a file that begins with - as a file', () => {
    const spaced = 'postgresql://ada@db.example/auth?options=-c%20search_path%3Dx&sslrootcert=/a+b%2Bc';
    const named = `'postgresql://ada@db.example/auth?options=-c%20search_path%3Dx&sslrootcert=%2Fa%20b%2Bc'`;
    expect(dumpCommand(spaced, '-x')).toContain(`--file='./-x' ${named}`);
    expect(restoreCommand(spaced, '-x')).toContain(`--file=- './-x' && `);
    expect(restoreCommand(spaced, '-x')).toContain(named);
  });
});
