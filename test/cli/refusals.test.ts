import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type FakeServer, type Handler, startFakeServer } from './fake-server.ts';
import { portcullis } from './run.ts';

let server: FakeServer;
let handler: Handler;
const folder = mkdtempSync(join(tmpdir(), 'portcullis-cli-'));

beforeEach(async () => {
  handler = () => ({ body: { data: [], next: null } });
  server = await startFakeServer((seen) => handler(seen));
});
afterEach(() => server[Symbol.asyncDispose]());
afterAll(() => rmSync(folder, { recursive: true }));

const credentials = { PORTCULLIS_CLIENT_ID: 'admin', PORTCULLIS_CLIENT_SECRET: 'hush-hush' };
const admin = (...argv: string[]) =>
  portcullis(argv, { env: { PORTCULLIS_URL: server.url, ...credentials } });

describe('a refusal of the API', () => {
  it('is told with title, detail, every pointer and the request id', async () => {
    handler = () => ({
      status: 422,
      body: {
        title: 'The document is not valid',
        detail: 'Two members are wrong.',
        status: 422,
        request_id: 'r-7',
        errors: [
          { pointer: '/redirect_uris/0', detail: 'must be https' },
          { pointer: '', detail: 'no\u001bgood' },
        ],
      },
    });
    expect(await admin('clients', 'create', '--name', 'x')).toEqual({
      code: 1,
      stdout: '',
      stderr: [
        'error: The document is not valid: Two members are wrong.',
        '  /redirect_uris/0: must be https',
        '  (document): no\ufffdgood',
        '  request id: r-7',
        '',
      ].join('\n'),
    });
  });

  it.each([
    [
      403,
      { 'www-authenticate': 'Bearer error="insufficient_scope", scope="clients:read"' },
      /needs the scope clients:read; the client admin/,
    ],
    [412, {}, /changed by someone else/],
    [429, { 'retry-after': '17' }, /in 17 seconds/],
    [500, {}, /server’s log/],
    [401, {}, /clocks/],
  ])('with status %i says what to do next', async (status, headers, hint) => {
    handler = () => ({ status, headers, body: { title: 'No', status } });
    const { code, stderr } = await admin('clients', 'list');
    expect(code).toBe(1);
    expect(stderr).toMatch(hint);
    expect(stderr).toContain('request id: req-1');
  });

  it('is told even when it is no problem document', async () => {
    handler = () => ({ status: 502 });
    expect((await admin('clients', 'list')).stderr).toContain('error: the server answered 502');
  });
});

describe('signing in', () => {
  it('names the variables when the server does not accept them', async () => {
    server.token = () => ({
      status: 401,
      body: { error: 'invalid_client', error_description: 'client authentication failed' },
    });
    const { code, stderr } = await admin('clients', 'list');
    expect(code).toBe(1);
    expect(stderr).toContain('PORTCULLIS_CLIENT_ID and PORTCULLIS_CLIENT_SECRET');
    expect(stderr).toContain('portcullis bootstrap');
    expect(stderr).not.toContain('hush-hush');
  });

  it('names the scope that the client lacks, refused or silently left out', async () => {
    server.token = () => ({ status: 400, body: { error: 'invalid_scope' } });
    expect((await admin('keys', 'list')).stderr).toContain('the client admin lacks the scope keys:read');
    server.token = () => ({ body: { access_token: 'x', scope: '' } });
    expect((await admin('keys', 'list')).stderr).toContain('the client admin lacks the scope keys:read');
    expect(server.calls).toEqual([]);
  });

  it('speaks to the given URL only, whatever the issuer is called', async () => {
    expect(await admin('keys', 'list')).toMatchObject({ code: 0 }); // the metadata names https://id.example
    expect(await portcullis(['keys', 'list', '--url', `${server.url}/`], { env: credentials })).toMatchObject(
      { code: 0 },
    );
    expect(server.calls).toHaveLength(2);
  });

  it('says that nothing answers, and how to start a server', async () => {
    const { url } = server;
    await server[Symbol.asyncDispose]();
    const { code, stderr } = await portcullis(['keys', 'list'], {
      env: { PORTCULLIS_URL: url, ...credentials },
    });
    expect(code).toBe(1);
    expect(stderr).toContain('ECONNREFUSED');
    expect(stderr).toContain('npm start');
  });

  it('does not carry the secret along a redirect', async () => {
    await using elsewhere = await startFakeServer(() => undefined);
    const redirecting = createServer((_, response) =>
      response.writeHead(307, { location: elsewhere.url }).end(),
    );
    await new Promise<void>((resolve) => {
      redirecting.listen(0, '127.0.0.1', resolve);
    });
    const url = `http://127.0.0.1:${(redirecting.address() as AddressInfo).port}`;
    const { code, stderr } = await portcullis(['keys', 'list'], {
      env: { PORTCULLIS_URL: url, ...credentials },
    });
    redirecting.close();
    expect(code).toBe(1);
    expect(stderr).toContain(elsewhere.url);
    expect(elsewhere.tokenRequests).toEqual([]);
  });

  it('is not tried at a server of another kind', async () => {
    const { url } = server;
    const { code, stderr } = await portcullis(['keys', 'list'], {
      env: { PORTCULLIS_URL: url.replace('/auth', ''), ...credentials },
    });
    expect(code).toBe(1);
    expect(stderr).toContain('path of the issuer');
    expect(server.tokenRequests).toEqual([]);
  });

  it('warns before a secret crosses a network in the clear', async () => {
    const { stderr } = await portcullis(['keys', 'list'], {
      env: { PORTCULLIS_URL: 'http://portcullis.invalid', ...credentials },
    });
    expect(stderr).toContain('unencrypted');
    expect((await admin('keys', 'list')).stderr).toBe('');
  });
});

describe('the credential', () => {
  /** A data folder with that `admin.json`. */
  const data = (content: object): Record<string, string> => {
    const path = mkdtempSync(join(folder, 'data-'));
    writeFileSync(join(path, 'admin.json'), JSON.stringify(content));
    return { PORTCULLIS_DATA_DIR: path };
  };
  const own = { client_id: 'dev', client_secret: 'hush-hush' };

  it('is found with its server in the data folder', async () => {
    expect(await portcullis(['keys', 'list'], { env: data({ url: server.url, ...own }) })).toMatchObject({
      code: 0,
    });
    expect(server.tokenRequests[0]!.authorization).toBe(`Basic ${btoa('dev:hush-hush')}`);
  });

  it('of the data folder gives way to the environment', async () => {
    await portcullis(['keys', 'list'], {
      env: { ...data({ url: server.url, ...own }), PORTCULLIS_URL: server.url, ...credentials },
    });
    expect(server.tokenRequests[0]!.authorization).toBe(`Basic ${btoa('admin:hush-hush')}`);
  });

  it('of the data folder goes to no other machine', async () => {
    const { code, stderr } = await portcullis(['keys', 'list', '--url', 'https://id.example'], {
      env: data({ url: server.url, ...own }),
    });
    expect(code).toBe(1);
    expect(stderr).toContain('not for https://id.example');
  });

  it('may stand in a file', async () => {
    const file = join(folder, 'secret');
    writeFileSync(file, 'from-file\n');
    await portcullis(['keys', 'list'], {
      env: { PORTCULLIS_URL: server.url, PORTCULLIS_CLIENT_ID: 'admin', PORTCULLIS_CLIENT_SECRET_FILE: file },
    });
    expect(server.tokenRequests[0]!.authorization).toBe(`Basic ${btoa('admin:from-file')}`);
  });

  it.each([
    ['one half', { PORTCULLIS_CLIENT_ID: 'admin' }, 2, 'PORTCULLIS_CLIENT_SECRET is not set'],
    ['the other half', { PORTCULLIS_CLIENT_SECRET: 'x' }, 2, 'PORTCULLIS_CLIENT_ID is not set'],
    ['nothing', { PORTCULLIS_DATA_DIR: join(folder, 'nowhere') }, 1, 'PORTCULLIS_CLIENT_SECRET'],
    [
      'an unreadable file',
      { ...credentials, PORTCULLIS_CLIENT_SECRET: '', PORTCULLIS_CLIENT_SECRET_FILE: folder },
      1,
      'EISDIR',
    ],
    ['secret and file', { ...credentials, PORTCULLIS_CLIENT_SECRET_FILE: folder }, 2, 'both set'],
  ])('that is %s is refused with what to set', async (_, env, code, reason) => {
    expect(await portcullis(['keys', 'list'], { env })).toMatchObject({
      code,
      stderr: expect.stringContaining(reason) as string,
    });
  });
});

describe('tokens revoke', () => {
  const revoke = (reason: string | undefined) => {
    handler = ({ target }) =>
      target === '/tokens/introspect'
        ? { body: { active: reason === undefined, inactive_reason: reason } }
        : { status: 204 };
    return portcullis(['tokens', 'revoke'], {
      env: { PORTCULLIS_URL: server.url, ...credentials },
      input: 'garbage',
    });
  };

  it('says that the server does not know the token, and sends nothing more', async () => {
    expect(await revoke('unknown')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('this server does not know the token') as string,
    });
    expect(server.calls.map(({ target }) => target)).toEqual(['/tokens/introspect']);
  });

  it.each([undefined, 'spent', 'expired'])('is done for a token that is known (%s)', async (reason) => {
    expect(await revoke(reason)).toMatchObject({ code: 0 });
    expect(server.calls.map(({ target }) => target)).toEqual(['/tokens/introspect', '/tokens/revoke']);
  });

  it('does without looking first where the client may not look', async () => {
    server.token = (form) =>
      form.get('scope') === 'tokens:read'
        ? { status: 400, body: { error: 'invalid_scope' } }
        : { body: { access_token: 'a', scope: form.get('scope') } };
    expect(await revoke('unknown')).toMatchObject({ code: 0 });
    expect(server.calls.map(({ target }) => target)).toEqual(['/tokens/revoke']);
  });
});

describe('users create', () => {
  it('without a terminal and without --password-stdin says that the user has no password', async () => {
    handler = () => ({ status: 201, body: { id: 'u1', username: 'ada' } });
    const { code, stderr } = await admin('users', 'create', '--username', 'ada', '--json');
    expect(code).toBe(0);
    expect(stderr).toContain('The user has no password yet: portcullis users set-password u1');
  });
});

describe('keys-file generate', () => {
  it('writes 32 random bytes in base64url for the owner alone, and never overwrites', async () => {
    mkdirSync(join(folder, 'keys'));
    const file = join(folder, 'keys', 'secret-keys');
    expect(await portcullis(['keys-file', 'generate', file])).toMatchObject({ code: 0, stdout: '' });
    const key = readFileSync(file, 'utf8');
    expect(key).toMatch(/^[\w-]{43}\n$/);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(await portcullis(['keys-file', 'generate', file])).toMatchObject({ code: 1 });
    expect(readFileSync(file, 'utf8')).toBe(key);
  });

  it('prints a key without a file, another one each time', async () => {
    const [a, b] = await Promise.all([
      portcullis(['keys-file', 'generate']),
      portcullis(['keys-file', 'generate']),
    ]);
    expect(a.stdout).toMatch(/^[\w-]{43}\n$/);
    expect(a.stdout).not.toBe(b.stdout);
  });
});
