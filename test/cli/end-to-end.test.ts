import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { createServer, request as httpRequest, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { createUserAgent } from '../../src/cli/try/user-agent.ts';
import { freePort, startTestServer, type TestServer } from '../support/server.ts';
import { portcullis, type Surroundings } from './run.ts';

const parse = <T = Record<string, unknown>>(text: string): T => JSON.parse(text) as T;
const lines = (text: string) =>
  text
    .trimEnd()
    .split('\n')
    .map((line) => parse(line));

describe('the command against a server', () => {
  let server: TestServer;
  let env: Record<string, string>;
  const run = (argv: readonly string[], given: Surroundings = {}) => portcullis(argv, { env, ...given });
  /** Runs a verb that must succeed, and parses what it prints. */
  const json = async <T = Record<string, unknown>>(
    argv: readonly string[],
    given?: Surroundings,
  ): Promise<T> => {
    const { code, stdout, stderr } = await run([...argv, '--json'], given);
    expect({ code, stderr }).toMatchObject({ code: 0 });
    return parse<T>(stdout);
  };

  beforeAll(async () => {
    server = await startTestServer();
    env = {
      PORTCULLIS_URL: server.url,
      PORTCULLIS_CLIENT_ID: server.admin.id,
      PORTCULLIS_CLIENT_SECRET: server.admin.secret,
    };
  });
  afterAll(() => server.close());

  it('tries the whole flow, every step as promised, and leaves nothing behind', async () => {
    const { code, stdout, stderr } = await run(['try', '--json']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(lines(stdout).map(({ step, ok }) => [step, ok])).toEqual(
      [
        'admin',
        'setup',
        'authorize',
        'sign-in',
        'tokens',
        'verify',
        'introspect',
        'refresh',
        'replay',
        'family',
        'audit',
        'clean-up',
      ].map((step) => [step, true]),
    );
    expect(stdout).not.toMatch(/eyJ|pcr_|pcs_/);
    const { data } = await json<{ data: { client_id: string }[] }>(['clients', 'list']);
    expect(data.map(({ client_id }) => client_id)).toEqual([server.admin.id]);
    expect(await json(['users', 'list'])).toMatchObject({ data: [] });
  });

  it('tells the story in words, and keeps the cast with --keep', async () => {
    const { code, stdout, stderr } = await run(['try', '--keep']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: expect.stringMatching(/^Kept: /) as string });
    expect(stdout).toContain('9. A thief replays the old refresh token');
    expect(stdout).toContain('Every step behaved as promised.');
    const [user, api, app, gateway] = stderr
      .slice('Kept: '.length)
      .trim()
      .split(' ')
      .map((path) => decodeURIComponent(path.split('/').slice(2).join('/')));
    for (const [group, id] of [
      ['clients', app],
      ['clients', gateway],
      ['apis', api],
      ['users', user],
    ]) {
      expect(await run([group!, 'delete', id!, '--yes'])).toMatchObject({ code: 0 });
    }
  });

  it('waits for a browser with --browser', async () => {
    const visit = async (invitation: string): Promise<void> => {
      const [, at = '', username = '', password = ''] =
        /(http\S+)\s+Sign in as (\S+) with the password (\S+)/.exec(invitation) ?? [];
      const redirectUri = new URL(at).searchParams.get('redirect_uri')!;
      const browser = createUserAgent(new URL(server.url).origin, server.url, redirectUri);
      let arrival = await browser.visit(at);
      for (const fields of [{ username, password }, { decision: 'allow' }]) {
        if ('page' in arrival) arrival = await browser.submit(arrival.page, fields);
      }
      if ('redirect' in arrival) await fetch(arrival.redirect);
    };
    let visited: Promise<void> | undefined;
    const { code, stdout } = await run(['try', '--browser'], {
      onMessage(text) {
        visited ??= visit(text);
      },
    });
    await visited;
    expect(code).toBe(0);
    expect(stdout).toContain('Every step behaved as promised.');
  });

  it('removes what it has made when it is interrupted', async () => {
    const interruption = new AbortController();
    const { code, stderr } = await run(['try', '--browser'], {
      signal: interruption.signal,
      onMessage: () => interruption.abort(),
    });
    expect(code).toBe(1);
    expect(stderr).toContain('error: no browser came back');
    expect(await json(['users', 'list'])).toMatchObject({ data: [] });
  });

  describe('when a promise is not kept', () => {
    let proxy: Server;
    let url: string;
    /** A server that forgets that it has ended tokens. */
    beforeAll(async () => {
      const target = new URL(server.url);
      proxy = createServer((incoming, outgoing) => {
        if (incoming.url === `${target.pathname}/introspect`.replace('//', '/')) {
          outgoing.setHeader('content-type', 'application/json');
          outgoing.end('{"active":true}');
          return;
        }
        const passed = httpRequest(
          {
            host: target.hostname,
            port: target.port,
            path: incoming.url,
            method: incoming.method,
            headers: incoming.headers,
          },
          (response) => {
            outgoing.writeHead(response.statusCode ?? 502, response.headers);
            response.pipe(outgoing);
          },
        );
        incoming.pipe(passed);
      });
      await new Promise<void>((resolve) => {
        proxy.listen(0, '127.0.0.1', resolve);
      });
      url = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}${target.pathname}`;
    });
    afterAll(() => {
      proxy.closeAllConnections();
      proxy.close();
    });

    it('ends with 1, says which, and still leaves nothing behind', async () => {
      const { code, stdout, stderr } = await run(['try', '--json', '--url', url]);
      expect(code).toBe(1);
      expect(stderr).toContain('the first access token is inactive');
      expect(lines(stdout).slice(-2)).toMatchObject([
        { step: 'family', ok: false },
        { step: 'clean-up', ok: true },
      ]);
      expect(await json(['users', 'list'])).toMatchObject({ data: [] });
    });
  });

  it('leads a client through its life', async () => {
    const made = await json([
      'clients',
      'create',
      '--id',
      'shop',
      '--name',
      'Shop',
      '--redirect-uri',
      'https://shop.example/cb',
    ]);
    expect(made).toMatchObject({
      client_id: 'shop',
      client_name: 'Shop',
      client_secret: expect.stringMatching(/^pcs_/) as string,
    });
    expect(await json(['clients', 'update', 'shop', '--access-token-ttl', '60'])).toMatchObject({
      access_token_ttl: 60,
    });
    expect(await json(['clients', 'update', 'shop', '--unset', 'access_token_ttl'])).not.toMatchObject({
      access_token_ttl: 60,
    });
    const { stdout: secret } = await run([
      'clients',
      'secrets',
      'rotate',
      'shop',
      '--expire-old',
      '1h',
      '--quiet',
    ]);
    expect(secret).toMatch(/^pcs_[\w-]+\n$/);
    const { data } = await json<{ data: { id: string; status: string }[] }>([
      'clients',
      'secrets',
      'list',
      'shop',
    ]);
    expect(data.map(({ status }) => status)).toEqual(['retiring', 'active']);
    expect(
      await run(['clients', 'secrets', 'revoke', 'shop', data[1]!.id, '--yes', '--revoke-tokens']),
    ).toMatchObject({ code: 0 });
    expect(await run(['clients', 'secrets', 'revoke', 'shop', data[0]!.id, '--yes'])).toMatchObject({
      code: 1,
    });
    for (const verb of ['disable', 'enable', 'revoke', 'delete']) {
      expect(await run(['clients', verb, 'shop', ...(verb === 'enable' ? [] : ['--yes'])])).toMatchObject({
        code: 0,
      });
    }
    expect(await run(['clients', 'get', 'shop'])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('request id') as string,
    });
  });

  it('points at what is wrong with a document', async () => {
    const { code, stderr } = await run(['clients', 'create', '--redirect-uri', 'http://shop.example/cb']);
    expect(code).toBe(1);
    expect(stderr).toContain('/redirect_uris/0');
  });

  it('leads a user and an API through their lives', async () => {
    const { id } = await json<{ id: string }>(
      ['users', 'create', '--username', 'ada', '--claim', 'given_name=Ada', '--password-stdin'],
      {
        input: 'lantern-orbit-velvet-7',
      },
    );
    expect(await json(['users', 'get', id])).toMatchObject({
      username: 'ada',
      claims: { given_name: 'Ada' },
    });
    expect(await json(['users', 'update', id, '--email', 'ada@example.com'])).toMatchObject({
      email: 'ada@example.com',
    });
    expect(
      await run(['users', 'set-password', id, '--password-stdin'], { input: 'velvet-orbit-lantern-8' }),
    ).toMatchObject({ code: 0 });
    for (const verb of ['disable', 'enable', 'revoke', 'delete']) {
      expect(await run(['users', verb, id, ...(verb === 'enable' ? [] : ['--yes'])])).toMatchObject({
        code: 0,
      });
    }
    const api = 'https://orders.example/api';
    await json(['apis', 'create', api, '--name', 'Orders', '--scope', 'orders:read=See orders']);
    expect(await json(['apis', 'update', api, '--access-token-ttl', '60'])).toMatchObject({
      access_token_ttl: 60,
    });
    expect(await run(['apis', 'delete', api, '--yes'])).toMatchObject({ code: 0 });
    for (const list of ['grants', 'sessions', 'keys'])
      expect(await json([list, 'list'])).toMatchObject({ next: null });
  });

  it('looks into a token, and revokes it', async () => {
    const input = await server.adminToken('keys:read');
    expect(await json(['tokens', 'introspect'], { input })).toMatchObject({
      active: true,
      client_id: server.admin.id,
    });
    expect(await run(['tokens', 'revoke'], { input })).toMatchObject({ code: 0 });
    expect(await json(['tokens', 'introspect'], { input })).toMatchObject({ active: false });
  });

  it('applies a file once, exports it, and shows everything in the audit log', async () => {
    const input = `
apis: [{ identifier: 'https://stock.example', name: Stock, scopes: [{ name: 'stock:read', description: See stock }] }]
clients: [{ client_id: stock-web, client_name: Stock, redirect_uris: ['https://stock.example/cb'], scope: openid stock:read }]
users: [{ username: grace, email: grace@example.com, claims: { given_name: Grace } }]
`;
    const { actions } = await json<{ actions: { action: string; client_secret?: string }[] }>(
      ['apply', '-'],
      { input },
    );
    expect(actions.map(({ action }) => action)).toEqual(['create', 'create', 'create']);
    expect(await json(['apply', '-'], { input })).toEqual({ actions: [] });
    const { stdout } = await run(['export']);
    expect(await json(['apply', '-'], { input: stdout })).toEqual({ actions: [] });
    expect(await json(['apply', '-', '--prune', '--dry-run'], { input: stdout })).toEqual({ actions: [] });
    expect(
      await run(['apply', '-', '--prune', '--yes'], { input: 'clients: []\nusers: []\napis: []' }),
    ).toMatchObject({ code: 0 });
    const { stdout: log } = await run(['audit', 'list', '--ndjson', '--all', '--client', 'stock-web']);
    expect(lines(log).map(({ type }) => type)).toEqual(
      expect.arrayContaining(['client.created', 'client.deleted']),
    );
    expect(log).not.toContain(actions[1]!.client_secret);
  });
});

describe('the command against a server whose issuer has a path', () => {
  it('tries the whole flow', async () => {
    const server = await startTestServer({ path: '/auth' });
    onTestFinished(() => server.close());
    const { id, secret } = server.admin;
    const env = { PORTCULLIS_CLIENT_ID: id, PORTCULLIS_CLIENT_SECRET: secret };
    expect(await portcullis(['try', '--url', server.url], { env })).toMatchObject({ code: 0, stderr: '' });
  });
});

describe('on the host', () => {
  const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-host-'));
  afterAll(() => rmSync(folder, { recursive: true }));

  it('starts a server, finds its credential, replaces a lost one, and stops on a signal', async () => {
    const port = String(await freePort());
    const env = {
      PATH: process.env['PATH'],
      PORT: port,
      PORTCULLIS_DATA_DIR: folder,
      PORTCULLIS_MANAGEMENT_PORT: '0',
    };
    const child = (argv: readonly string[], more = {}) =>
      spawn(process.execPath, [main, ...argv], {
        env: { ...env, ...more },
        cwd: folder,
        stdio: ['ignore', 'pipe', 'pipe'],
      });
    const run = async (argv: readonly string[], more = {}) => {
      const process = child(argv, more);
      let [stdout, stderr] = ['', ''];
      process.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
      process.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
      const [code] = (await once(process, 'close')) as [number];
      return { code, stdout, stderr };
    };
    expect(await run(['config', 'check'])).toMatchObject({ code: 0, stdout: 'The settings are in order.\n' });
    for (const [setting, value, said] of [
      ['PORTCULLIS_BRAND_LOGO', '/nowhere/logo.png', 'cannot be read (ENOENT)'],
      ['PORTCULLIS_BRAND_ACCENT', '#ffff99,#ffff99', 'contrast'],
    ] as const) {
      const { code, stderr } = await run(['config', 'check'], { [setting]: value });
      expect([code, stderr]).toEqual([1, expect.stringContaining(said)]);
    }
    expect(await run(['config', 'check'], { PORTCULLIS_ISUER: 'x' })).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('PORTCULLIS_ISSUER') as string,
    });
    expect(await run(['health'])).toMatchObject({ code: 1 });
    expect(parse((await run(['migrate', '--status', '--json'])).stdout)).toMatchObject({ applied: [] });
    expect(await run(['migrate'])).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('applied') as string,
    });
    expect(parse((await run(['migrate', '--status', '--json'])).stdout)).toMatchObject({ pending: [] });

    const server = child(['start']);
    onTestFinished(() => void server.kill('SIGKILL'));
    server.stderr.resume();
    await once(server.stdout.resume(), 'data');
    while ((await run(['health'])).code !== 0) expect(server.exitCode).toBe(null); // it prints before it listens
    expect(await run(['keys', 'list'])).toMatchObject({ code: 0, stderr: '' });

    const file = join(folder, 'admin.json');
    const before = readFileSync(file, 'utf8');
    expect(await run(['bootstrap'])).toMatchObject({ code: 2 });
    expect(await run(['bootstrap', '--yes'])).toMatchObject({ code: 0, stdout: '' });
    expect(readFileSync(file, 'utf8')).not.toBe(before);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const { client_id, client_secret } = parse<Record<'client_id' | 'client_secret', string>>(before);
    const old = {
      PORTCULLIS_CLIENT_ID: client_id,
      PORTCULLIS_CLIENT_SECRET: client_secret,
      PORTCULLIS_URL: `http://localhost:${port}`,
    };
    await expect.poll(() => run(['keys', 'list'], old).then(({ code }) => code), { timeout: 10_000 }).toBe(1);
    expect(await run(['keys', 'list'])).toMatchObject({ code: 0 });

    server.kill('SIGTERM');
    expect(await once(server, 'exit')).toEqual([0, null]);
  }, 120_000); // a dozen processes
});
