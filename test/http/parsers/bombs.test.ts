/** What is small to send and dear to open: it is refused before anything is derived, inflated or decrypted. */
import { createHook } from 'node:async_hooks';
import { webcrypto } from 'node:crypto';
import { deflateRaw, deflateRawSync } from 'node:zlib';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startWorld, type World } from '../../support/fixtures.ts';
import { basicAuth } from '../../support/server.ts';
import { authorizationQuery } from '../support/authorization.ts';

const encode = (value: unknown): string =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
const nested = (depth: number): string => `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`;
const jwe = (header: object, text = 'A'.repeat(400)): string =>
  [encode(header), 'A'.repeat(86), 'A'.repeat(16), text, 'A'.repeat(22)].join('.');
const bytes = (length: number): string => Buffer.alloc(length, 0xff).toString('base64url');

/** At most 6 KiB each, so that a header takes it; those for forms alone are larger. */
const bombs: Record<string, string> = {
  'a JWE': jwe({ alg: 'RSA-OAEP', enc: 'A256GCM' }, 'A'.repeat(5000)),
  'a JWE with two billion iterations': jwe({
    alg: 'PBES2-HS512+A256KW',
    enc: 'A256GCM',
    p2c: 2 ** 31 - 1,
    p2s: 'AAAAAAAAAAAAAAAAAAAAAA',
  }),
  'a JWE that inflates to four megabytes': jwe(
    { alg: 'dir', enc: 'A256GCM', zip: 'DEF' },
    deflateRawSync(Buffer.alloc(4 * 2 ** 20)).toString('base64url'),
  ),
  'an unsigned JWT': `${encode({ alg: 'none', typ: 'at+jwt' })}.${encode({ iss: 'x', sub: 'web', aud: 'x' })}.`,
  'a JWT whose payload is nested deeply': `${encode({ alg: 'ES256', kid: 'x' })}.${encode(nested(700))}.${bytes(64)}`,
  'a JWT whose header is nested deeply': `${encode(`{"alg":"ES256","x":${nested(700)}}`)}.e30.${bytes(64)}`,
  'a JWT with a critical extension': `${encode({ alg: 'ES256', crit: ['b64'], b64: false })}.e30.${bytes(64)}`,
  'a proof with a key of 20,000 bits': [
    encode({ typ: 'dpop+jwt', alg: 'RS256', jwk: { kty: 'RSA', n: bytes(2500), e: bytes(900) } }),
    encode({ htm: 'POST', htu: 'x', jti: 'x', iat: 1 }),
    bytes(600),
  ].join('.'),
};
const large: Record<string, string> = {
  'a JWE of 60,000 characters': jwe({ alg: 'RSA-OAEP', enc: 'A256GCM' }, 'A'.repeat(59_000)),
  'a JWT whose payload is nested 8,000 deep': `${encode({ alg: 'ES256', kid: 'x' })}.${encode(nested(5500))}.${bytes(64)}`,
};

/** Tasks that derive keys or inflate, as the runtime names them. */
const DEAR = /^(?:PBKDF2|SCRYPT|HKDF|DERIVEBITS|KEYPAIRGEN|.*CIPHER).*REQUEST$|^(?:ZLIB|BROTLI)/;

async function dearTasks(work: () => Promise<unknown>): Promise<string[]> {
  const seen: string[] = [];
  const hook = createHook({
    init(_id, type) {
      if (DEAR.test(type)) seen.push(type);
    },
  }).enable();
  try {
    await work();
  } finally {
    hook.disable();
  }
  return seen;
}

describe('a bomb', () => {
  let world: World;
  beforeAll(async () => {
    world = await startWorld();
  });
  afterAll(() => world.close());

  it('would be seen to go off', async () => {
    const { subtle } = webcrypto;
    const key = await subtle.importKey('raw', Buffer.from('x'), 'PBKDF2', false, ['deriveBits']);
    const derive = { name: 'PBKDF2', hash: 'SHA-512', salt: Buffer.alloc(16), iterations: 1 };
    expect(await dearTasks(() => subtle.deriveBits(derive, key, 256))).toHaveLength(1);
    expect(await dearTasks(() => promisify(deflateRaw)(Buffer.alloc(9)))).not.toEqual([]);
  });

  const form = (more: Record<string, string>): RequestInit => ({
    method: 'POST',
    headers: { authorization: basicAuth('web', world.web.secret ?? '') },
    body: new URLSearchParams(more),
  });
  const page = { redirect: 'manual', headers: { accept: 'text/html' } } as const;
  const ASSERTION = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';
  const asked = (more: Record<string, string>): string => authorizationQuery(world.web, more);
  type Sent = readonly [path: string, init: RequestInit, ...statuses: number[]];
  const inForms: Record<string, (bomb: string) => Sent> = {
    'as an assertion': (bomb) => [
      '/token',
      {
        method: 'POST',
        body: new URLSearchParams({
          grant_type: 'client_credentials',
          client_assertion_type: ASSERTION,
          client_assertion: bomb,
        }),
      },
      400,
      401,
    ],
    'as a request object': (bomb) => ['/par', form({ response_type: 'code', request: bomb }), 400],
    'as a hint that is pushed': (bomb) => [
      '/par',
      form({ ...Object.fromEntries(new URLSearchParams(asked({ prompt: 'none' }))), id_token_hint: bomb }),
      400,
    ],
    'as a token to look at': (bomb) => ['/introspect', form({ token: bomb }), 200],
    'as a token to revoke': (bomb) => ['/revoke', form({ token: bomb }), 200],
    'as a refresh token': (bomb) => [
      '/token',
      form({ grant_type: 'refresh_token', refresh_token: bomb }),
      400,
    ],
    'as a code': (bomb) => ['/token', form({ grant_type: 'authorization_code', code: bomb }), 400],
    'as a token in a form': (bomb) => [
      '/userinfo',
      { method: 'POST', body: new URLSearchParams({ access_token: bomb }) },
      401,
    ],
  };
  const inHeaders: Record<string, (bomb: string) => Sent> = {
    'as a proof': (bomb) => [
      '/token',
      { ...form({ grant_type: 'client_credentials' }), headers: { dpop: bomb, authorization: machine() } },
      400,
    ],
    'as a token': (bomb) => ['/userinfo', { headers: { authorization: `Bearer ${bomb}` } }, 401],
    'as an admin’s token': (bomb) => [
      '/admin/v1/clients',
      { headers: { authorization: `Bearer ${bomb}` } },
      401,
    ],
    'as a hint at sign-in': (bomb) => [`/authorize?${asked({ id_token_hint: bomb })}`, page, 303, 400],
    'as a request object of a browser': (bomb) => [`/authorize?${asked({ request: bomb })}`, page, 303, 400],
    'as a hint at sign-out': (bomb) => [`/logout?id_token_hint=${bomb}`, page, 400],
  };
  const machine = (): string => basicAuth('machine', world.machine.secret ?? '');

  const refused = async ([path, init, ...statuses]: Sent): Promise<void> => {
    const tasks = await dearTasks(async () => {
      const response = await fetch(world.url + path, init);
      expect(statuses).toContain(response.status);
      const text = await response.text();
      if (path === '/introspect') expect(JSON.parse(text)).toEqual({ active: false });
      const away = response.headers.get('location');
      if (away !== null) expect(away).toMatch(/[?&]error=/);
    });
    expect(tasks).toEqual([]);
  };

  describe.each(Object.entries({ ...inForms, ...inHeaders }))('%s', (_, place) => {
    it.each(Object.entries(bombs))('is refused unopened: %s', async (_name, bomb) => {
      await refused(place(bomb));
    });
  });
  describe.each(Object.entries(inForms))('%s', (_, place) => {
    it.each(Object.entries(large))('is refused unopened: %s', async (_name, bomb) => {
      await refused(place(bomb));
    });
  });

  it.each([20, 1000, 2500])('of claims that are nested %i deep is refused', async (depth) => {
    const claims = `{"id_token":{"sub":${nested(depth)}}}`;
    const all = { ...Object.fromEntries(new URLSearchParams(asked({}))), claims };
    const { status, body } = await world.post('/par', all, world.web);
    expect([status, body]).toMatchObject([400, { error: 'invalid_request' }]);
  });

  it.each<[string, string, (depth: number) => string]>([
    ['POST', '/clients', (depth) => `{"client_id":"deep","jwks":{"keys":[${nested(depth)}]}}`],
    ['PATCH', '/clients/web', (depth) => `{"jwks":${nested(depth)}}`],
    ['POST', '/users', (depth) => `{"username":"deep","claims":${nested(depth)}}`],
    ['POST', '/tokens/introspect', (depth) => `{"token":${nested(depth)}}`],
    ['POST', '/keys/rotate', (depth) => '['.repeat(depth) + ']'.repeat(depth)],
  ])('of JSON is refused at %s %s', async (method, path, body) => {
    const authorization = `Bearer ${await world.adminToken()}`;
    for (const depth of [40, 9000]) {
      const headers = { authorization, 'content-type': 'application/json' };
      const response = await fetch(`${world.url}/admin/v1${path}`, { method, headers, body: body(depth) });
      expect([response.status, await response.json()]).toMatchObject([400, { code: 'invalid_request' }]);
    }
  });
});
