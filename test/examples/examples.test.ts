/** Runs each program of `examples/` as its reader would: a process of its own, against a server on a real port. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Browser } from '../support/browser.ts';
import { ORDERS, PASSWORD, passPages, startWorld, type World } from '../support/fixtures.ts';
import { freePort } from '../support/server.ts';

const folder = join(import.meta.dirname, '../../examples');
const DEVICE = 'urn:ietf:params:oauth:grant-type:device_code';

let world: World;
const children: ChildProcess[] = [];

beforeAll(async () => {
  world = await startWorld();
});
afterEach(async () => {
  for (const child of children.splice(0)) {
    if (child.exitCode === null && child.kill()) await once(child, 'close');
  }
});
afterAll(() => world.close());

/** A running example, and its lines as they come. */
function start(name: string, env: Record<string, string>) {
  const child = spawn(process.execPath, [join(folder, name)], {
    env: { PATH: process.env['PATH'], ISSUER: world.url, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.push(child);
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const line = async (): Promise<string> => String((await lines.next()).value);
  return {
    line,
    /** Where it listens, once it does. */
    url: async () => (await line()).replace(/^listening on /, '').replace(/\/$/, ''),
  };
}

const call = async (url: string, token: string) => {
  const response = await fetch(url, { headers: token === '' ? {} : { authorization: `Bearer ${token}` } });
  const challenge = response.headers.get('www-authenticate');
  return { status: response.status, challenge, body: await response.json() };
};

/** A token for the orders API, of a client that may ask for `scope`. */
const machineToken = async (scope: string): Promise<string> => {
  const client = await world.client({ grant_types: ['client_credentials'], redirect_uris: [], scope });
  const form = { grant_type: 'client_credentials', scope };
  return (await world.post<{ access_token: string }>('/token', form, client)).body.access_token;
};

describe('examples', () => {
  it('are all run here, are short, and use no framework', () => {
    const names = readdirSync(folder);
    const here = readFileSync(import.meta.filename, 'utf8');
    for (const name of names) {
      const text = readFileSync(join(folder, name), 'utf8');
      expect(here, name).toContain(`start('${name}'`);
      expect(text.trimEnd().split('\n').length, name).toBeLessThan(80);
      for (const [, from = ''] of text.matchAll(/ from '([^']+)'/g))
        expect(from, name).toMatch(/^(node:.+|jose|openid-client)$/);
    }
  });

  it('api-jose.ts lets in who holds a token for this API and scope, and nobody else', async () => {
    const url = await start('api-jose.ts', { AUDIENCE: ORDERS, PORT: '0' }).url();
    const { access_token: token, id_token: idToken = '' } = await world.tokens(world.web);
    expect(await call(url, token)).toMatchObject({ status: 200, body: { of: world.userId } });
    expect(await call(url, await machineToken('orders:write'))).toMatchObject({
      status: 403,
      challenge: 'Bearer error="insufficient_scope"',
    });
    const other = await world.tokens(world.web, { params: { scope: 'openid' } });
    for (const wrong of [other.access_token, idToken, `${token}x`, 'nonsense', '']) {
      expect(await call(url, wrong)).toMatchObject({
        status: 401,
        challenge: 'Bearer error="invalid_token"',
      });
    }
  });

  it('api-introspection.ts learns of a revocation at once, and lets nobody in when it cannot ask', async () => {
    const secret = { CLIENT_ID: world.gateway.id, CLIENT_SECRET: world.gateway.secret ?? '' };
    const url = await start('api-introspection.ts', { AUDIENCE: ORDERS, PORT: '0', ...secret }).url();
    const { access_token: token } = await world.tokens(world.web);
    expect(await call(url, token)).toMatchObject({ status: 200, body: { of: world.userId } });
    expect(await call(url, await machineToken('orders:write'))).toMatchObject({ status: 403 });
    await world.post('/revoke', { token }, world.web);
    expect(await call(url, token)).toMatchObject({ status: 401 });
    const phones = await world.tokens(world.web, { params: { scope: 'phones:read' } });
    expect(await call(url, phones.access_token)).toMatchObject({ status: 401 });

    const locked = { ...secret, CLIENT_SECRET: 'wrong' };
    const other = await start('api-introspection.ts', { AUDIENCE: ORDERS, PORT: '0', ...locked }).url();
    expect(await call(other, token)).toMatchObject({ status: 503 });
  });

  it('web-app.ts signs in, refreshes once for many requests, and signs out', async () => {
    const PORT = String(await freePort());
    const home = `http://localhost:${PORT}`;
    const client = await world.client({
      client_id: 'shop',
      grant_types: ['authorization_code', 'refresh_token'],
      redirect_uris: [`${home}/callback`],
      post_logout_redirect_uris: [`${home}/`],
      scope: 'openid profile orders:read',
    });
    const env = { CLIENT_ID: client.id, CLIENT_SECRET: client.secret ?? '', PORT };
    expect(await start('web-app.ts', env).url()).toBe(home);
    const [app, person] = [new Browser(home), world.browser()];
    expect((await app.go(`${home}/`)).text).toMatch(/^Nobody/);

    const login = await app.go(`${home}/login`);
    const back = await passPages(person, await person.go(login.url), 'alice', PASSWORD);
    expect((await new Browser(home).go(back.url)).status).toBe(400); // not the browser that asked
    const signedIn = await app.go(back.url);
    expect(signedIn.text).toMatch(/^Signed in as Alice Adams/);

    const refreshed = await Promise.all([1, 2, 3].map(() => app.go(`${home}/refresh`)));
    expect(refreshed.map(({ status }) => status)).toEqual([200, 200, 200]);
    expect((await app.go(`${home}/refresh`)).text).toMatch(/^Signed in as Alice Adams/);

    const logout = await person.go((await app.go(`${home}/logout`)).url);
    expect(logout.page).toBe('logout');
    expect((await person.submit(logout, { decision: 'logout' })).url).toBe(`${home}/`);
    expect((await app.go(`${home}/`)).text).toMatch(/^Nobody/);
  });

  it('cli-device.ts signs in on another device’s browser, and refreshes', async () => {
    const client = await world.client({
      client_id: 'tool',
      token_endpoint_auth_method: 'none',
      grant_types: [DEVICE, 'refresh_token'],
      redirect_uris: [],
      scope: 'openid profile orders:read',
    });
    const tool = start('cli-device.ts', { CLIENT_ID: client.id });
    const [, where = '', code = ''] = /^Open (\S+) and enter (\S+)$/.exec(await tool.line()) ?? [];
    expect(await tool.line()).toMatch(/^or open http/);
    const person = world.browser();
    let page = await person.go(where);
    for (let pages = 0; pages < 4 && !/name="decision"/.test(page.text); pages++) {
      page =
        page.page === 'login'
          ? await person.submit(page, { username: 'alice', password: PASSWORD }, '/account/login')
          : await person.submit(page, { user_code: code }, '/device');
    }
    expect(page.text).toContain('tool');
    await person.submit(page, { decision: 'allow' }, '/device');
    expect(await tool.line()).toBe('Signed in as Alice Adams, for 600 seconds');
    expect(await tool.line()).toBe('Refreshed: a new refresh token');
  });
});
