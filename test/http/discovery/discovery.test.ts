import { request } from 'node:http';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startWorld, type World } from '../../support/fixtures.ts';

type Metadata = Record<string, unknown>;

/** Fetches with whatever Host header, which `fetch` would not send. */
const get = (url: string, headers: Record<string, string> = {}, method = 'GET') =>
  new Promise<{ status: number; headers: NodeJS.Dict<string | string[]>; text: string }>(
    (resolve, reject) => {
      const call = request(url, { headers, method }, (response) => {
        let text = '';
        response.on('data', (chunk) => (text += String(chunk)));
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, headers: response.headers, text }),
        );
      });
      call.on('error', reject).end();
    },
  );

describe.each([
  { name: 'an issuer at the root', path: '' },
  { name: 'an issuer with a path', path: '/auth/main' },
])('discovery of $name', ({ path }) => {
  let world: World;
  let origin: string;
  let documents: string[];
  beforeAll(async () => {
    world = await startWorld({ path });
    ({ origin } = new URL(world.url));
    documents = [
      `${origin}/.well-known/oauth-authorization-server${path}`,
      `${origin}/.well-known/openid-configuration${path}`,
      `${world.url}/.well-known/openid-configuration`,
      `${world.url}/.well-known/oauth-authorization-server`,
    ];
  });
  afterAll(() => world.close());

  it('leads password managers to the change of password, from the root too', async () => {
    for (const base of [origin, world.url]) {
      const answer = await get(`${base}/.well-known/change-password`);
      expect([answer.status, answer.headers['location']]).toEqual([302, `${path}/account/password`]);
    }
  });

  it('answers HEAD before anybody has asked by GET', async () => {
    const { status, headers, text } = await get(documents[0] ?? '', {}, 'HEAD');
    expect(status).toBe(200);
    expect(headers['etag']).toBeTruthy();
    expect(text).toBe('');
  });

  it('is one document in every place, with every URL from the issuer', async () => {
    const texts = await Promise.all(documents.map(async (url) => (await get(url)).text));
    expect(new Set(texts).size).toBe(1);
    const metadata = JSON.parse(texts[0] ?? '') as Metadata;
    expect(metadata['issuer']).toBe(world.url);
    const urls = Object.entries(metadata).filter(([name]) => /_endpoint$|_uri$/.test(name));
    expect(urls.length).toBeGreaterThanOrEqual(9);
    for (const [, url] of urls) expect(String(url).replace(world.url, '')).toMatch(/^\/[a-z_]+$/);
  });

  it('says what the server can do', async () => {
    const metadata = JSON.parse((await get(documents[2] ?? '')).text) as Metadata;
    expect(metadata).toMatchObject({
      authorization_endpoint: `${world.url}/authorize`,
      token_endpoint: `${world.url}/token`,
      revocation_endpoint: `${world.url}/revoke`,
      introspection_endpoint: `${world.url}/introspect`,
      userinfo_endpoint: `${world.url}/userinfo`,
      jwks_uri: `${world.url}/jwks`,
      end_session_endpoint: `${world.url}/logout`,
      pushed_authorization_request_endpoint: `${world.url}/par`,
      response_types_supported: ['code'],
      code_challenge_methods_supported: ['S256'],
      authorization_response_iss_parameter_supported: true,
      claims_parameter_supported: true,
      request_uri_parameter_supported: false,
      subject_types_supported: ['public'],
      id_token_signing_alg_values_supported: expect.arrayContaining(['RS256', 'ES256']),
      token_endpoint_auth_methods_supported: [
        'none',
        'client_secret_basic',
        'client_secret_post',
        'private_key_jwt',
      ],
      token_endpoint_auth_signing_alg_values_supported: expect.arrayContaining([
        'RS256',
        'PS256',
        'ES256',
        'EdDSA',
      ]),
      scopes_supported: ['openid', 'profile', 'email', 'address', 'phone', 'offline_access'],
      claims_supported: expect.arrayContaining(['sub', 'name', 'email', 'address', 'phone_number', 'acr']),
      dpop_signing_alg_values_supported: expect.arrayContaining(['ES256']),
    });
    const grants = metadata['grant_types_supported'] as string[];
    expect(grants).toEqual(
      expect.arrayContaining(['authorization_code', 'refresh_token', 'client_credentials']),
    );
    expect(grants).not.toContain('implicit');
    expect(grants).not.toContain('password');
  });

  it('never reflects Host or X-Forwarded-*', async () => {
    const lies = {
      host: 'evil.example',
      'x-forwarded-host': 'evil.example',
      'x-forwarded-proto': 'https',
      'x-forwarded-for': '1.2.3.4',
      'x-forwarded-prefix': '/evil',
      'x-original-host': 'evil.example',
      forwarded: 'host=evil.example;proto=https',
    };
    const fresh = await startWorld({ path }); // nobody has asked this one before
    try {
      const local = `${fresh.url}/.well-known/openid-configuration`;
      const { status, text } = await get(local, lies);
      expect(status).toBe(200);
      expect(text).not.toContain('evil');
      expect((JSON.parse(text) as Metadata)['token_endpoint']).toBe(`${fresh.url}/token`);
      const login = await get(
        `${fresh.url}/authorize?client_id=web&response_type=code&scope=openid&state=s&code_challenge=${'x'.repeat(43)}&code_challenge_method=S256`,
        lies,
      );
      expect(login.status).toBe(303);
      expect(login.headers['location']).toMatch(new RegExp(`^${path}/interaction/`));
      expect(JSON.stringify(login.headers)).not.toContain('evil');
    } finally {
      await fresh.close();
    }
  });

  it('never reflects a request target in absolute form (RFC 9112, 3.2.2)', async () => {
    const fresh = await startWorld({ path });
    const { hostname, port } = new URL(fresh.url);
    const answer = await new Promise<string>((resolve) => {
      const socket = connect(Number(port), hostname, () =>
        socket.write(
          `GET http://evil.example${path}/.well-known/openid-configuration HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n`,
        ),
      );
      let text = '';
      socket.on('data', (chunk) => (text += String(chunk)));
      socket.on('close', () => resolve(text));
    });
    await fresh.close();
    expect(answer).toMatch(/^HTTP\/1\.1 200 /);
    expect(answer).toContain(`"token_endpoint":"${fresh.url}/token"`);
    expect(answer).not.toContain('evil');
  });

  it('may be cached, and costs nothing when it has not changed', async () => {
    for (const url of [...documents, `${world.url}/jwks`]) {
      const first = await get(url);
      expect(first.status).toBe(200);
      expect(first.headers['content-type']).toMatch(/^application\/json/);
      expect(first.headers['cache-control']).toBe('public, max-age=300');
      const second = await get(url, { 'if-none-match': String(first.headers['etag']) });
      expect(second.status).toBe(304);
      expect(second.text).toBe('');
      expect(second.headers['etag']).toBe(first.headers['etag']);
      expect(second.headers['cache-control']).toBe('public, max-age=300');
    }
  });

  it('publishes public keys only', async () => {
    const { keys } = JSON.parse((await get(`${world.url}/jwks`)).text) as { keys: Record<string, string>[] };
    expect(new Set(keys.map(({ alg }) => alg))).toEqual(new Set(['ES256', 'RS256']));
    for (const key of keys) {
      expect(key).toMatchObject({ use: 'sig', kid: expect.any(String) });
      for (const secret of ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k', 'priv'])
        expect(key).not.toHaveProperty(secret);
    }
  });

  it('signs in below its own path, cookies and all', async () => {
    const tokens = await world.tokens(world.web);
    expect((await world.userinfo(tokens.access_token)).status).toBe(200);
    const logout = await tokens.browser.go(`${world.url}/logout`);
    expect((await tokens.browser.submit(logout, { decision: 'logout' })).page).toBe('signed-out');
  });

  // An issuer without a path has nothing outside of it.
  it.skipIf(path === '')('answers nothing outside its path but health', async () => {
    expect((await get(`${origin}/authorize`)).status).toBe(404);
    expect((await get(`${origin}/health/live`)).status).toBe(200);
  });
});
