import { createRemoteJWKSet, decodeJwt, decodeProtectedHeader, jwtVerify } from 'jose';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Browser } from '../../support/browser.ts';
import { databaseKinds } from '../../support/databases.ts';
import { startWorld, type TestClient, type World } from '../../support/fixtures.ts';
import { present } from '../../support/present.ts';
import { startReceiver, type Received, type Receiver } from '../../support/receiver.ts';

const EVENT = 'http://schemas.openid.net/event/backchannel-logout';

/** Back-Channel Logout 1.0: what a client gets, over a real connection, and when. */
describe.each(databaseKinds)('back-channel logout on %s', (kind) => {
  let receiver: Receiver;
  let world: World;
  let shop: TestClient;
  let desk: TestClient;
  let ahead = 0;
  beforeAll(async () => {
    receiver = await startReceiver();
    world = await startWorld({
      kind,
      env: { PORTCULLIS_FETCH_ALLOW: receiver.host },
      clock: { now: () => Date.now() + ahead },
    });
    const document = {
      grant_types: ['authorization_code', 'refresh_token'],
      scope: 'openid offline_access orders:read',
      backchannel_logout_session_required: true,
      first_party: true,
    };
    const by = { actor: 'test', scopes: ['clients:write'] };
    const make = async (id: string, more: object): Promise<TestClient> => {
      const made = await world.app.domain.clients.create(
        { client_id: id, redirect_uris: [`https://${id}.example/cb`], ...document, ...more },
        by,
      );
      return { id, secret: made.secret?.value, redirect: `https://${id}.example/cb` };
    };
    shop = await make('shop', {
      client_name: 'Flower shop',
      backchannel_logout_uri: `${receiver.url}/shop`,
      post_logout_redirect_uris: ['https://shop.example/out'],
    });
    desk = await make('desk', {
      client_name: '<b>Help</b> desk',
      backchannel_logout_uri: `${receiver.url}/desk`,
      id_token_signed_response_alg: 'ES256',
    });
  });
  afterAll(async () => {
    await world?.close();
    await receiver.close();
  });
  beforeEach(() => {
    receiver.received.length = 0;
  });
  afterEach(() => {
    receiver.answer = (_request, response) => void response.writeHead(200).end();
  });

  /** What has come, once so many have; then no more comes, for nothing waits to be sent. */
  const arrived = async (count: number): Promise<Received[]> => {
    await expect.poll(() => receiver.received.length, { timeout: 20_000, interval: 50 }).toBe(count);
    await expect
      .poll(() => world.app.domain.storage.database.prisma.logoutNotice.count({ where: { attempts: 0 } }))
      .toBe(0);
    expect(receiver.received).toHaveLength(count);
    return receiver.received;
  };
  const waiting = () => world.app.domain.storage.database.prisma.logoutNotice.findMany();
  const tokenOf = ({ body }: Received): string => new URLSearchParams(body).get('logout_token') ?? '';
  /** As a client validates it (2.6). */
  const validated = async (received: Received, audience: string, alg = 'RS256') => {
    expect(received.method).toBe('POST');
    expect(received.headers['content-type']).toBe('application/x-www-form-urlencoded');
    expect([...new URLSearchParams(received.body).keys()]).toEqual(['logout_token']);
    const keys = createRemoteJWKSet(new URL(`${world.url}/jwks`));
    const options = {
      issuer: world.url,
      audience,
      algorithms: [alg],
      typ: 'logout+jwt',
      currentDate: new Date(Date.now() + ahead),
    };
    const { payload } = await jwtVerify(tokenOf(received), keys, options);
    expect(payload['events']).toEqual({ [EVENT]: {} });
    expect(payload).not.toHaveProperty('nonce');
    expect((payload.exp ?? 0) - (payload.iat ?? 0)).toBe(120);
    expect(payload.jti).toMatch(/^[\w-]{22}$/);
    return payload;
  };
  const signOut = async (browser: Browser, params = '') =>
    browser.submit(await browser.go(`${world.url}/logout?${params}`), { decision: 'logout' });

  it('is in discovery', async () => {
    const response = await fetch(`${world.url}/.well-known/openid-configuration`);
    expect(await response.json()).toMatchObject({
      backchannel_logout_supported: true,
      backchannel_logout_session_supported: true,
    });
  });

  it('tells every client of the session once, by a token that it can trust; the page says which', async () => {
    const first = await world.tokens(shop);
    const { browser } = first;
    const second = await world.tokens(desk, { browser });
    await world.tokens(world.web, { browser });
    const elsewhere = await world.tokens(shop);
    const page = await signOut(browser);
    expect(page).toMatchObject({ status: 200, page: 'signed-out' });
    expect(page.text).toContain('We are telling these apps');
    expect(page.text).toMatch(/&lt;b&gt;Help&lt;\/b&gt; desk[^]*Flower shop/);
    expect(page.text).not.toContain('Web shop');
    const received = await arrived(2);
    const to = (path: string) => present(received.find((each) => each.path === `/hook/${path}`));
    const ids = { shop: decodeJwt(first.id_token ?? ''), desk: decodeJwt(second.id_token ?? '') };
    expect(await validated(to('shop'), 'shop')).toMatchObject({ sub: world.userId, sid: ids.shop['sid'] });
    expect(await validated(to('desk'), 'desk', 'ES256')).toMatchObject({
      sub: world.userId,
      sid: ids.desk['sid'],
    });
    expect(decodeProtectedHeader(tokenOf(to('shop'))).typ).toBe('logout+jwt');
    expect(ids.shop['sid']).toBeTruthy();
    expect(ids.shop['sid']).not.toBe(decodeJwt(elsewhere.id_token ?? '')['sid']);
    expect(await waiting()).toEqual([]);
    // The list is said once.
    const again = await browser.go(`${world.url}/logout`);
    expect(again).toMatchObject({ page: 'signed-out' });
    expect(again.text).not.toContain('Flower shop');
    // And the token is of no use to anybody as another kind of token.
    const logoutToken = tokenOf(to('shop'));
    expect(await world.introspect(logoutToken)).toEqual({ active: false });
    expect((await world.userinfo(logoutToken)).status).toBe(401);
  });

  it('tells nobody of sessions that go on: asked only, stayed, signed in again as the same', async () => {
    const { browser } = await world.tokens(shop);
    await world.tokens(shop);
    const asked = await browser.go(`${world.url}/logout`);
    expect((await browser.submit(asked, { decision: 'stay' })).page).toBe('message');
    await world.tokens(shop, { browser, params: { prompt: 'login' } });
    const hint = await world.tokens(desk, { browser });
    const stay = await browser.go(`${world.url}/logout?id_token_hint=${hint.id_token ?? ''}`);
    await browser.submit(stay, { decision: 'stay' });
    expect([await waiting(), receiver.received]).toEqual([[], []]);
  });

  it('goes on where the browser is led back to the client, without a list in its cookies', async () => {
    const { browser } = await world.tokens(shop);
    const done = await signOut(browser, `client_id=shop&post_logout_redirect_uri=https://shop.example/out`);
    expect(done.url).toBe('https://shop.example/out');
    expect(Object.keys(browser.cookies)).not.toContain('portcullis_told');
    await validated(present((await arrived(1))[0]), 'shop');
  });

  it.each([500, 400, 302])('is tried again, with a new token, after an answer of %i', async (status) => {
    const { browser } = await world.tokens(shop);
    receiver.answer = (_request, response) =>
      void response.writeHead(status, { location: `${receiver.url}/desk` }).end('internal detail');
    await signOut(browser);
    await arrived(1);
    await expect.poll(waiting).toMatchObject([{ error: `answered ${status}`, attempts: 1 }]);
    receiver.answer = (_request, response) => void response.writeHead(200).end();
    ahead += 10_000;
    const [before, after] = await arrived(2);
    await expect.poll(waiting).toEqual([]);
    const ids = [before, after].map((each) => decodeJwt(tokenOf(present(each))));
    expect(ids[0]?.['sid']).toBe(ids[1]?.['sid']);
    expect(ids[0]?.jti).not.toBe(ids[1]?.jti);
    expect(world.log.join('')).not.toContain('internal detail');
    expect(world.log.join('')).not.toContain(tokenOf(present(before)));
  });

  it('gives up in the end, says so in the log, and keeps the row', async () => {
    const { browser } = await world.tokens(shop);
    receiver.answer = (_request, response) => void response.writeHead(503).end();
    await signOut(browser);
    await arrived(1);
    await expect.poll(async () => (await waiting())[0]?.error).toBe('answered 503');
    await world.app.domain.storage.database.prisma.logoutNotice.updateMany({ data: { attempts: 9 } });
    ahead += 10_000;
    await arrived(2);
    await expect.poll(waiting).toMatchObject([{ attempts: 10, dueAt: null }]);
    const list = async (client: string) => {
      const headers = { authorization: `Bearer ${await world.adminToken()}` };
      return fetch(`${world.url}/admin/v1/clients/${client}/logout-notices`, { headers });
    };
    expect(await (await list('shop')).json()).toMatchObject({
      data: [{ user_id: world.userId, status: 'failed', attempts: 10, error: 'answered 503' }],
      next: null,
    });
    expect(await (await list('desk')).json()).toEqual({ data: [], next: null });
    expect((await list('nobody')).status).toBe(404);
    expect(world.log.join('')).toContain('logout_notice.given_up');
    await world.app.domain.storage.database.prisma.logoutNotice.deleteMany();
  });

  it('tells a client that was disabled or unregistered its address meanwhile nothing', async () => {
    const { browser } = await world.tokens(shop);
    receiver.answer = (_request, response) => void response.writeHead(500).end();
    await signOut(browser);
    await arrived(1);
    const by = { actor: 'test', scopes: ['clients:write'] };
    await world.app.domain.clients.change('shop', { backchannel_logout_uri: null }, by);
    ahead += 10_000;
    await expect.poll(waiting, { timeout: 10_000 }).toEqual([]);
    expect(receiver.received).toHaveLength(1);
    await world.app.domain.clients.change('shop', { backchannel_logout_uri: `${receiver.url}/shop` }, by);
  });

  it('never asks a private address that was not allowed', async () => {
    const by = { actor: 'test', scopes: ['clients:write'] };
    await world.app.domain.clients.change('shop', { backchannel_logout_uri: 'https://127.0.0.1:9/x' }, by);
    const { browser } = await world.tokens(shop);
    await signOut(browser);
    await expect.poll(async () => (await waiting())[0]?.error, { timeout: 10_000 }).toContain('FETCH_ALLOW');
    await world.app.domain.storage.database.prisma.logoutNotice.deleteMany();
    await world.app.domain.clients.change('shop', { backchannel_logout_uri: `${receiver.url}/shop` }, by);
  });
});
