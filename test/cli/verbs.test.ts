import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type FakeServer, type Handler, startFakeServer } from './fake-server.ts';
import { portcullis, type Surroundings } from './run.ts';

let server: FakeServer;
let handler: Handler;
const folder = mkdtempSync(join(tmpdir(), 'portcullis-cli-'));

beforeEach(async () => {
  handler = () => ({ body: { data: [], next: null } });
  server = await startFakeServer((seen) => handler(seen));
});
afterEach(() => server[Symbol.asyncDispose]());
afterAll(() => rmSync(folder, { recursive: true }));

const admin = (argv: readonly string[], given: Surroundings = {}) =>
  portcullis(argv, {
    ...given,
    env: {
      PORTCULLIS_URL: server.url,
      PORTCULLIS_CLIENT_ID: 'admin',
      PORTCULLIS_CLIENT_SECRET: 's:e%c',
      ...given.env,
    },
  });
const words = (line: string): string[] => line.split(' ');

/** What a verb sends: command, scope, request, and body. */
const VERBS: readonly (readonly [string, string, string, unknown?])[] = [
  ['clients list', 'clients:read', 'GET /clients?limit=50'],
  ['clients get we/b', 'clients:read', 'GET /clients/we%2Fb'],
  ['clients create --id web', 'clients:write', 'POST /clients', { client_id: 'web' }],
  [
    'clients update web --backchannel-logout-uri https://a.example/x --backchannel-logout-session-required',
    'clients:write',
    'PATCH /clients/web',
    { backchannel_logout_uri: 'https://a.example/x', backchannel_logout_session_required: true },
  ],
  [
    'clients update web --refresh-tokens-end-with-session',
    'clients:write',
    'PATCH /clients/web',
    { refresh_tokens_end_with_session: true },
  ],
  [
    'clients create --public --native --redirect-uri a:/b --redirect-uri c:/d --scope x --no-require-pkce --rotation-grace 10',
    'clients:write',
    'POST /clients',
    {
      token_endpoint_auth_method: 'none',
      application_type: 'native',
      redirect_uris: ['a:/b', 'c:/d'],
      scope: 'x',
      require_pkce: false,
      rotation_grace: 10,
    },
  ],
  [
    'clients update web --first-party --unset jwks --unset jwks_uri',
    'clients:write',
    'PATCH /clients/web',
    { first_party: true, jwks: null, jwks_uri: null },
  ],
  ['clients disable web --yes', 'clients:write', 'POST /clients/web/disable'],
  ['clients enable web', 'clients:write', 'POST /clients/web/enable'],
  ['clients delete web --yes', 'clients:write', 'DELETE /clients/web'],
  ['clients revoke web --yes', 'clients:write', 'POST /clients/web/revoke'],
  ['clients secrets list web', 'clients:read', 'GET /clients/web/secrets?limit=50'],
  ['clients secrets add web --name ci', 'secrets:write', 'POST /clients/web/secrets', { name: 'ci' }],
  ['clients secrets add web', 'secrets:write', 'POST /clients/web/secrets', {}],
  [
    'clients secrets rotate web --expire-old 1h',
    'secrets:write',
    'POST /clients/web/secrets/rotate',
    { expire_old: '1h' },
  ],
  ['clients secrets update web s1 --name x', 'secrets:write', 'PATCH /clients/web/secrets/s1', { name: 'x' }],
  [
    'clients secrets revoke web s1 --force --revoke-tokens --yes',
    'secrets:write',
    'DELETE /clients/web/secrets/s1?force=true&revoke_tokens=true',
  ],
  ['apis list', 'apis:read', 'GET /apis?limit=50'],
  ['apis get https://a.example/x', 'apis:read', 'GET /apis/https%3A%2F%2Fa.example%2Fx'],
  [
    'apis create https://a.example --name A --scope a:read=Read --scope a:write=Write=it',
    'apis:write',
    'POST /apis',
    {
      identifier: 'https://a.example',
      name: 'A',
      scopes: [
        { name: 'a:read', description: 'Read' },
        { name: 'a:write', description: 'Write=it' },
      ],
    },
  ],
  [
    'apis update https://a.example --access-token-ttl 60',
    'apis:write',
    'PATCH /apis/https%3A%2F%2Fa.example',
    { access_token_ttl: 60 },
  ],
  ['apis delete https://a.example --yes', 'apis:write', 'DELETE /apis/https%3A%2F%2Fa.example'],
  ['users list --limit 7', 'users:read', 'GET /users?limit=7'],
  ['users list --username ada', 'users:read', 'GET /users?username=ada&limit=50'],
  ['users get u1', 'users:read', 'GET /users/u1'],
  [
    'users create --username ada --email a@b.example --email-verified --claim given_name=Ada --claim phone_number_verified=true',
    'users:write',
    'POST /users',
    {
      username: 'ada',
      email: 'a@b.example',
      email_verified: true,
      claims: { given_name: 'Ada', phone_number_verified: true },
    },
  ],
  ['users update u1 --no-email-verified', 'users:write', 'PATCH /users/u1', { email_verified: false }],
  ['users disable u1 --yes', 'users:write', 'POST /users/u1/disable'],
  ['users enable u1', 'users:write', 'POST /users/u1/enable'],
  ['users revoke u1 --yes', 'users:write', 'POST /users/u1/revoke'],
  ['users delete u1 --yes', 'users:write', 'DELETE /users/u1'],
  ['grants list --user u1 --client web', 'grants:read', 'GET /grants?user=u1&client=web&limit=50'],
  ['grants revoke g1 --yes', 'grants:write', 'DELETE /grants/g1'],
  ['sessions list --user u1', 'grants:read', 'GET /sessions?user=u1&limit=50'],
  ['sessions revoke s1 --yes', 'grants:write', 'DELETE /sessions/s1'],
  ['keys list', 'keys:read', 'GET /keys?limit=50'],
  ['keys rotate', 'keys:write', 'POST /keys/rotate', {}],
  [
    'keys rotate --alg ES256 --immediate --yes',
    'keys:write',
    'POST /keys/rotate',
    { alg: 'ES256', immediate: true },
  ],
  ['keys retire k1 --yes', 'keys:write', 'POST /keys/k1/retire'],
  [
    'audit list --type login.failed --client web',
    'audit:read',
    'GET /audit-events?type=login.failed&client=web&limit=50',
  ],
  ['webhooks list', 'webhooks:read', 'GET /webhooks?limit=50'],
  [
    'webhooks create https://siem.example/ --event a.b --event c.d',
    'webhooks:write',
    'POST /webhooks',
    { url: 'https://siem.example/', events: ['a.b', 'c.d'] },
  ],
  ['webhooks test w1', 'webhooks:write', 'POST /webhooks/w1/test'],
  ['webhooks delete w1 --yes', 'webhooks:write', 'DELETE /webhooks/w1'],
  ['clients logout-notices web', 'clients:read', 'GET /clients/web/logout-notices?limit=50'],
  ['webhooks messages w1', 'webhooks:read', 'GET /webhooks/w1/messages?limit=50'],
  ['webhooks retry w1 m1', 'webhooks:write', 'POST /webhooks/w1/messages/m1/retry'],
];

describe('an admin verb', () => {
  it.each(VERBS.map(([line, scope, request, body]) => ({ line, scope, request, body })))(
    '$line asks for the scope $scope and sends $request',
    async ({ line, scope, request, body }) => {
      const { code, stderr } = await admin(words(line));
      expect({ code, stderr }).toMatchObject({ code: 0 });
      expect(server.tokenRequests.map(({ form }) => Object.fromEntries(form))).toEqual([
        { grant_type: 'client_credentials', resource: 'urn:portcullis:admin', scope },
      ]);
      expect(server.calls.map(({ method, target }) => `${method} ${target}`)).toEqual([request]);
      expect(server.calls[0]!.headers.authorization).toBe('Bearer admin-token');
      expect(server.calls[0]!.text && JSON.parse(server.calls[0]!.text)).toEqual(body ?? '');
    },
  );

  it('asks for the admin scopes that it gives to another client, too', async () => {
    await admin(['clients', 'create', '--scope', 'openid keys:read orders:read']);
    expect(server.tokenRequests[0]!.form.get('scope')).toBe('clients:write keys:read');
  });

  it('authenticates by client_secret_basic, each part form-encoded', async () => {
    await admin(['keys', 'list']);
    expect(server.tokenRequests[0]!.authorization).toBe(`Basic ${btoa('admin:s%3Ae%25c')}`);
  });

  it('takes a whole document from a file or from standard input, and options go over it', async () => {
    const file = join(folder, 'client.json');
    writeFileSync(file, JSON.stringify({ client_name: 'A', scope: 'x' }));
    await admin(['clients', 'create', '--json-file', file, '--name', 'B']);
    await admin(['clients', 'update', 'web', '--json-file', '-'], { input: '{"scope":"y"}' });
    expect(server.calls.map(({ text }) => JSON.parse(text) as unknown)).toEqual([
      { client_name: 'B', scope: 'x' },
      { scope: 'y' },
    ]);
  });

  it.each([
    ['no such verb', ['clients', 'lst']],
    ['no verb', ['clients']],
    ['a missing argument', ['clients', 'get']],
    ['an argument too many', ['clients', 'get', 'a', 'b']],
    ['an unknown option', ['clients', 'list', '--nmae', 'x']],
    ['a number that is none', ['clients', 'list', '--limit', 'x']],
    ['a word that is not among the choices', ['clients', 'create', '--auth-method', 'basic']],
    ['a scope without description', ['apis', 'create', 'x:y', '--scope', 'read']],
    ['an update of nothing', ['clients', 'update', 'web']],
    ['a document that is none', ['clients', 'create', '--json-file', '-']],
    ['JSON that is none', ['clients', 'create', '--jwks', '{']],
    ['an instant that is none', ['audit', 'list', '--since', 'yesterday']],
    ['a limit of nothing', ['clients', 'list', '--limit', '0']],
    ['a URL that is none', ['clients', 'list', '--url', 'localhost:3000']],
  ])('ends with 2 and a reason on stderr for %s, and sends nothing', async (_, argv) => {
    const { code, stdout, stderr } = await admin(argv);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).not.toBe('');
    expect(server.calls).toEqual([]);
  });

  it.each([
    ['clients'],
    ['clients', 'secrets'],
    ['users'],
    ['audit', 'tail'],
    ['try'],
    ['keys-file', 'generate'],
  ])('explains itself by --help: %s %s', async (...argv) => {
    const { code, stdout } = await portcullis([...argv.filter(Boolean), '--help']);
    expect(code).toBe(0);
    expect(stdout).toContain(`Usage: portcullis ${argv.filter(Boolean).join(' ')}`);
  });
});

describe('a destructive verb', () => {
  const argv = ['clients', 'delete', 'web'];

  it('needs --yes where nobody can be asked', async () => {
    const { code, stderr } = await admin(argv);
    expect(code).toBe(2);
    expect(stderr).toContain('--yes');
    expect(server.tokenRequests).toEqual([]);
  });

  it('asks at a terminal, and goes on with yes alone', async () => {
    const no = await admin(argv, { typed: [''] });
    expect(no).toMatchObject({ code: 1, stderr: expect.stringContaining('nothing was changed') as string });
    expect(server.calls).toEqual([]);
    expect(await admin(argv, { typed: ['y'] })).toMatchObject({ code: 0 });
    expect(server.calls).toHaveLength(1);
  });

  it('asks before a rotation only when it is immediate', async () => {
    expect(await admin(['keys', 'rotate', '--immediate'])).toMatchObject({ code: 2 });
    expect(await admin(['keys', 'rotate'])).toMatchObject({ code: 0 });
  });
});

describe('a password', () => {
  it('is typed twice without echo', async () => {
    handler = () => ({ status: 204 });
    const { code, stderr } = await admin(['users', 'set-password', 'u1'], {
      typed: ['pass word', 'pass word'],
    });
    expect(code).toBe(0);
    expect(JSON.parse(server.calls[0]!.text)).toEqual({ password: 'pass word' });
    expect(server.calls[0]).toMatchObject({ method: 'PUT', target: '/users/u1/password' });
    expect(stderr).not.toContain('pass word');
  });

  it('changes nothing when the two entries differ', async () => {
    expect(await admin(['users', 'set-password', 'u1'], { typed: ['a', 'b'] })).toMatchObject({ code: 1 });
    expect(server.calls).toEqual([]);
  });

  it('comes from standard input, without the line end', async () => {
    await admin(['users', 'create', '--username', 'ada', '--password-stdin'], { input: 'pass word\n' });
    expect(JSON.parse(server.calls[0]!.text)).toEqual({ username: 'ada', password: 'pass word' });
  });

  it('is refused as an argument, with the reason', async () => {
    const { code, stderr } = await admin(['users', 'set-password', 'u1', '--password', 'x']);
    expect(code).toBe(2);
    expect(stderr).toContain('history');
    expect(server.calls).toEqual([]);
  });

  it('must be given where nobody can be asked', async () => {
    expect(await admin(['users', 'set-password', 'u1'])).toMatchObject({ code: 2 });
    expect(await admin(['users', 'set-password', 'u1', '--password-stdin'])).toMatchObject({ code: 2 });
    expect(server.calls).toEqual([]);
  });

  it('may be left out of a new user, who is then said to have none', async () => {
    handler = () => ({ status: 201, body: { id: 'u1' } });
    const { stderr } = await admin(['users', 'create', '--username', 'ada', '--no-password'], { typed: [] });
    expect(JSON.parse(server.calls[0]!.text)).toEqual({ username: 'ada' });
    expect(stderr).toContain('users set-password u1');
  });
});

describe('a token', () => {
  it.each(['introspect', 'revoke'])('is read from standard input to %s it', async (verb) => {
    handler = () => ({ body: { active: false, inactive_reason: 'expired' } });
    const { stdout } = await admin(['tokens', verb, '--json'], { input: 'eyJ.a.b\n' });
    expect(server.calls.at(-1)).toMatchObject({
      method: 'POST',
      target: `/tokens/${verb}`,
      text: '{"token":"eyJ.a.b"}',
    });
    expect(JSON.parse(stdout)).toEqual({ active: false, inactive_reason: 'expired' });
  });

  it('is pasted at a terminal without echo', async () => {
    handler = () => ({ body: { active: true } });
    const { stderr } = await admin(['tokens', 'introspect'], { typed: ['eyJ.a.b'] });
    expect(server.calls[0]!.text).toBe('{"token":"eyJ.a.b"}');
    expect(stderr).not.toContain('eyJ');
  });
});
