/** Each finding of the doctor: what brings it about, and what it says to do. */
import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import {
  checkClock,
  checkDatabase,
  checkSecretKeys,
  checkSigningKeys,
} from '../../src/cli/doctor/database.ts';
import { checkFiles } from '../../src/cli/doctor/files.ts';
import { checkIssuer, checkProxy, judgeProxy } from '../../src/cli/doctor/network.ts';
import { parseSettings, type Settings } from '../../src/config/schema.ts';
import { fingerprint } from '../../src/lib/crypto.ts';
import { databaseKinds, freshDatabase, openFresh } from '../support/databases.ts';
import { hostEnv, runHost } from '../support/host.ts';
import { freePort, startTestServer, type TestServer } from '../support/server.ts';

const DAY = 86_400_000;

const settingsOf = (env: Record<string, string>): Settings =>
  parseSettings(env, { readFile: () => '', cores: () => 1 });

async function listening(answer: RequestListener): Promise<string> {
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

describe.each(databaseKinds)('a server on %s', (kind) => {
  let server: TestServer;
  let env: Record<string, string>;
  beforeAll(async () => {
    const managementPort = String(await freePort());
    server = await startTestServer({ kind, env: { PORTCULLIS_MANAGEMENT_PORT: managementPort } });
    chmodSync(server.dataDir, 0o700);
    env = { ...hostEnv(server), PORTCULLIS_MANAGEMENT_PORT: managementPort };
  });
  afterAll(() => server.close());

  it('that is well has nothing but good findings, and exit code 0', async () => {
    const { code, stdout, stderr } = await runHost(env, 'doctor', '--json');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const { findings } = JSON.parse(stdout) as { findings: { check: string; status: string }[] };
    expect(findings.map(({ check, status }) => `${check} ${status}`)).toEqual(
      [
        'settings',
        'database',
        'migrations',
        'secret_keys',
        'signing_keys',
        'clock',
        'issuer',
        'proxy',
        'files',
      ].map((check) => `${check} ok`),
    );
  });

  it('that is ill is told what to do, with exit code 1 and no secret', async () => {
    const keys = randomBytes(32).toString('base64url');
    const { code, stdout, stderr } = await runHost({ ...env, PORTCULLIS_SECRET_KEYS: keys }, 'doctor');
    expect(code).toBe(1);
    expect(stderr).toBe('error: 1 of 9 checks failed\n');
    expect(stdout).toContain(
      `FAIL  secret_keys: the database needs the secret key with fingerprint ${fingerprint(Buffer.from(server.secretKeys, 'base64url'))}`,
    );
    expect(stdout).toContain('→ Add it to PORTCULLIS_SECRET_KEYS');
    expect(stdout).not.toContain(keys);
  });

  it('is told that X-Forwarded-For arrives and is ignored', async () => {
    await fetch(`${server.url}/jwks`, { headers: { 'x-forwarded-for': '192.0.2.1, 192.0.2.2' } });
    expect(await checkProxy(settingsOf(env))).toMatchObject({
      status: 'warn',
      message: expect.stringMatching(/^X-Forwarded-For came with 1 of \d+ requests/) as string,
    });
  });

  it('is told of a database that is older or newer, and of one that is empty', async () => {
    const { url, database, close } = await openFresh(kind);
    onTestFinished(close);
    const settings = settingsOf({ ...env, DATABASE_URL: url });
    await database.sql.write(
      'older',
      'DELETE FROM _prisma_migrations WHERE migration_name = (SELECT MAX(migration_name) FROM _prisma_migrations)',
    );
    expect((await checkDatabase(settings, () => 0))[1]).toMatchObject({
      status: 'warn',
      message: expect.stringMatching(/^pending: \d{14}_/) as string,
    });
    await database.sql.write(
      'newer',
      `INSERT INTO _prisma_migrations (id, checksum, migration_name) VALUES ('x', 'x', '99990101000000_next')`,
    );
    expect(await checkDatabase(settings, () => 0)).toMatchObject([
      { check: 'database', status: 'fail', advice: expect.stringContaining('Run the release') as string },
    ]);
    const empty = await freshDatabase(kind);
    onTestFinished(() => empty.drop());
    expect(
      (await checkDatabase(settingsOf({ ...env, DATABASE_URL: empty.url }), () => 0)).at(-1),
    ).toMatchObject({
      status: 'warn',
      advice: expect.stringContaining('portcullis migrate') as string,
    });
  });
});

it('settings that cannot be used are the only finding', async () => {
  const { code, stdout } = await runHost({ PORT: 'x', PORTCULLIS_WORKERS: 'y' }, 'doctor', '--json');
  expect(code).toBe(1);
  expect(JSON.parse(stdout)).toMatchObject({ findings: [{ check: 'settings', status: 'fail' }] });
  expect(stdout).toContain('PORTCULLIS_WORKERS');
});

it.each([
  ['a development server with an https issuer', {}, 'NODE_ENV=production'],
  [
    'a management port that others reach',
    {
      NODE_ENV: 'production',
      DATABASE_URL: 'file:/nowhere/portcullis.db',
      PORTCULLIS_SECRET_KEYS: randomBytes(32).toString('base64url'),
      PORTCULLIS_MANAGEMENT_HOST: '0.0.0.0',
    },
    'no authentication',
  ],
])('%s is a warning; no database yet is one, and none is made', async (_, more, advice) => {
  const dataDir = join(tmpdir(), `portcullis-doctor-${randomBytes(6).toString('hex')}`);
  const env = { PORTCULLIS_DATA_DIR: dataDir, PORTCULLIS_ISSUER: 'https://127.0.0.1:1', ...more };
  const { stdout } = await runHost(env, 'doctor', '--json');
  expect(JSON.parse(stdout)).toMatchObject({
    findings: [
      { check: 'settings', status: 'warn', advice: expect.stringContaining(advice) as string },
      { check: 'database', status: 'warn', message: 'there is no database yet' },
      { check: 'issuer', status: 'fail' },
      { check: 'proxy', status: 'warn' },
      { check: 'files', status: 'ok' },
    ],
  });
  expect(existsSync(dataDir)).toBe(false);
});

it('a database that cannot be reached is a failure, without its password', async () => {
  const url = `postgresql://ada:s3cret@127.0.0.1:${await freePort()}/auth`;
  const findings = await checkDatabase(settingsOf({ DATABASE_URL: url }), () => 0);
  expect(findings).toMatchObject([
    { check: 'database', status: 'fail', message: expect.stringContaining('ECONNREFUSED') as string },
  ]);
  expect(JSON.stringify(findings)).not.toContain('s3cret');
});

describe('secret keys', () => {
  const [one, two] = [randomBytes(32), randomBytes(32)];
  const settings = settingsOf({
    PORTCULLIS_SECRET_KEYS: [one, two].map((key) => key.toString('base64url')).join(),
  });

  it.each([
    [
      'the first of which wraps nothing ask for reseal',
      [fingerprint(two)],
      fingerprint(one),
      'portcullis reseal',
    ],
    ['that nothing needs can go', [fingerprint(one)], fingerprint(two), 'Take it out'],
  ])('%s', (_, needed, named, advice) => {
    const [finding] = checkSecretKeys(settings, needed);
    expect(finding).toMatchObject({ status: 'warn' });
    expect(finding?.message).toContain(named);
    expect(finding?.advice).toContain(advice);
  });
});

describe('signing keys', () => {
  const key = (alg: string, days: number) => ({
    kid: `of-${alg}`,
    alg,
    status: 'active' as const,
    createdAt: -days * DAY,
  });

  it('one of which is overdue', () => {
    expect(checkSigningKeys([key('ES256', 92), key('RS256', 91)], 90, 0)).toMatchObject([
      { status: 'warn', message: expect.stringContaining('of-ES256 is 92 days old') as string },
    ]);
  });

  it('of which one algorithm has none that signs', () => {
    const waiting = { ...key('RS256', 1), status: 'pending' as const };
    expect(checkSigningKeys([key('ES256', 1), waiting], 90, 0)).toMatchObject([
      { status: 'fail', advice: 'portcullis keys rotate --alg RS256' },
    ]);
  });
});

it.each([
  ['is ahead', 7_000, '7 s ahead of'],
  ['is behind', -7_000, '7 s behind'],
])('a clock that %s of the database’s is told; the time of the answer does not count', (_, apart, said) => {
  const clock = { now: 1_000_000, took: 3_000 };
  expect(checkClock({ kind: 'postgresql', clock }, clock.now + apart)).toMatchObject({
    status: 'warn',
    message: expect.stringContaining(said) as string,
  });
  expect(checkClock({ kind: 'postgresql', clock }, clock.now + 3_500)).toMatchObject({ status: 'ok' });
});

describe('the issuer', () => {
  const discovery =
    (issuer: string): RequestListener =>
    (_, res) =>
      res.end(JSON.stringify({ issuer }));

  it.each<[string, string, RequestListener, RegExp]>([
    ['of another name', 'http', discovery('https://other.example'), /another issuer/],
    ['that is something else', 'http', (_, res) => res.end('hello'), /something else/],
    ['that redirects', 'http', (_, res) => res.writeHead(302, { location: '/' }).end(), /answers 302/],
    ['without TLS behind an https name', 'https', discovery(''), /TLS fails/],
  ])('%s is a failure', async (_, scheme, answer, said) => {
    const finding = await checkIssuer(
      settingsOf({ PORTCULLIS_ISSUER: `${scheme}://${await listening(answer)}` }),
    );
    expect(finding).toMatchObject({ status: 'fail', message: expect.stringMatching(said) as string });
    expect(finding.advice).toBeDefined();
  });

  it('that nobody answers is a failure', async () => {
    const issuer = `http://127.0.0.1:${await freePort()}`;
    expect(await checkIssuer(settingsOf({ PORTCULLIS_ISSUER: issuer }))).toMatchObject({
      status: 'fail',
      message: expect.stringContaining('ECONNREFUSED') as string,
    });
  });
});

describe('proxy headers', () => {
  const seen = (trusted: boolean, addresses: number, requests = 5) => ({ trusted, addresses, requests });

  it.each<[string, Settings['trustProxy'], ReturnType<typeof seen>[], string, RegExp]>([
    ['none, and none trusted', 0, [seen(false, 0)], 'ok', /none was seen/],
    ['from a proxy outside the trusted blocks', ['10.0.0.0/8'], [seen(false, 1)], 'warn', /was ignored/],
    ['as trusted', 1, [seen(true, 1)], 'ok', /1 trusted proxy/],
    [
      'more than trusted, because callers add some',
      1,
      [seen(true, 1), seen(true, 4)],
      'ok',
      /1 trusted proxy/,
    ],
    [
      'less than trusted',
      2,
      [seen(true, 2), seen(true, 1, 3)],
      'warn',
      /^3 of 8 requests came with fewer than 2/,
    ],
    ['always more than trusted', 1, [seen(true, 2)], 'warn', /every request came with more than 1/],
    ['of no request', 1, [], 'warn', /no request has arrived/],
  ])('%s', (_, trusted, arrived, status, said) => {
    expect(judgeProxy(trusted, arrived)).toMatchObject({
      status,
      message: expect.stringMatching(said) as string,
    });
  });

  it('cannot be told without the running server', async () => {
    const settings = settingsOf({ PORTCULLIS_MANAGEMENT_PORT: String(await freePort()) });
    expect(await checkProxy(settings)).toMatchObject({
      status: 'warn',
      message: expect.stringContaining('ECONNREFUSED') as string,
    });
  });
});

describe('files', () => {
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-doctor-'));
  const settings = settingsOf({ PORTCULLIS_DATA_DIR: folder });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it.each(['portcullis.db', 'portcullis.db-wal', 'secret-keys', 'admin.json'])(
    '%s open to others, or its group',
    (name) => {
      const path = join(folder, name);
      writeFileSync(path, '');
      onTestFinished(() => rmSync(path));
      for (const [mode, status] of [
        [0o604, 'fail'],
        [0o640, 'warn'],
        [0o600, 'ok'],
      ] as const) {
        chmodSync(path, mode);
        const [finding] = checkFiles(settings, {});
        expect(finding).toMatchObject({ status });
        if (status !== 'ok') expect(finding?.advice).toBe(`chmod 600 ${path}`);
      }
    },
  );

  it('the data folder open to others; a secret handed over in a file may belong to a group', () => {
    chmodSync(folder, 0o755);
    expect(checkFiles(settings, {})).toMatchObject([{ status: 'fail', advice: `chmod 700 ${folder}` }]);
    chmodSync(folder, 0o700);
    const path = join(folder, 'handed');
    for (const [mode, status] of [
      [0o644, 'fail'],
      [0o440, 'ok'],
    ] as const) {
      writeFileSync(path, '');
      chmodSync(path, mode);
      expect(checkFiles(settings, { PORTCULLIS_SECRET_KEYS_FILE: path })).toMatchObject([{ status }]);
    }
  });
});
