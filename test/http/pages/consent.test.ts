import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { databaseKinds } from '../../support/databases.ts';
import type { Browser, Seen } from '../../support/browser.ts';
import { PASSWORD, startWorld, type TestClient, type World } from '../../support/fixtures.ts';
import { ask, replyOf, signedIn, type Params } from '../support/authorization.ts';

describe.each(databaseKinds)('the consent page on %s', (kind) => {
  let world: World;
  let users = 0;
  beforeAll(async () => {
    world = await startWorld({ kind });
  });
  afterAll(() => world.close());

  /** Signs a new user in, up to the consent page. */
  const consentOf = async (
    params: Params = {},
    client: TestClient = world.web,
  ): Promise<{ browser: Browser; seen: Seen; username: string }> => {
    const username = `person-${users++}`;
    await world.user(username, { name: 'Some Body' });
    const browser = world.browser();
    const { seen: login } = await ask(world, client, params, browser);
    const seen = await browser.submit(login, { username, password: PASSWORD }, '/login');
    expect(seen.page).toBe('consent');
    return { browser, seen, username };
  };

  it('says who asks, for what in words, of which API, for which account, and where it leads', async () => {
    const { seen, username } = await consentOf({ scope: 'openid email orders:read' });
    for (const text of ['Web shop', username, 'May orders:read', 'API of orders.example', 'shop.example'])
      expect(seen.text).toContain(text);
    expect(seen.text).toContain('See your email address');
    expect(seen.text).not.toMatch(/<script/i);
    expect(seen.text).not.toContain('data-scope="offline_access"');
  });

  it('shows what a client calls itself as text only', async () => {
    const hostile = await world.client({
      client_id: 'hostile',
      client_name: '<img src=x onerror=alert(1)>"\'&',
      redirect_uris: ['https://hostile.example/cb'],
      scope: 'openid',
    });
    const { seen } = await consentOf({ scope: 'openid' }, hostile);
    expect(seen.text).not.toContain('<img src=x');
    expect(seen.text).toContain('&lt;img src=x');
  });

  it('allows: the answer is a code, and the same is not asked again', async () => {
    const { browser, seen } = await consentOf({ scope: 'openid orders:read' });
    const allowed = replyOf(await browser.submit(seen, { decision: 'allow' }, '/consent'));
    expect(allowed.result.get('code')).toBeTruthy();
    for (const scope of ['openid orders:read', 'openid', 'orders:read']) {
      expect((await ask(world, world.web, { scope, prompt: 'none' }, browser)).error).toBeNull();
    }
  });

  it('denies: the answer is access_denied with state and iss, and nothing is remembered', async () => {
    const { browser, seen } = await consentOf({ state: 's 1' });
    const denied = replyOf(await browser.submit(seen, { decision: 'deny' }, '/consent'));
    expect(denied.error).toBe('access_denied');
    expect(denied.target).toBe(world.web.redirect);
    expect(denied.result.get('state')).toBe('s 1');
    expect(denied.result.get('iss')).toBe(world.url);
    expect((await ask(world, world.web, {}, browser)).page).toBe('consent');
  });

  it('asks only for what is new, and says what was allowed before', async () => {
    const { browser, seen } = await consentOf({ scope: 'openid orders:read' });
    await browser.submit(seen, { decision: 'allow' }, '/consent');
    const more = await ask(world, world.web, { scope: 'openid orders:read orders:write' }, browser);
    expect(more.page).toBe('consent');
    const [fresh = '', already = ''] = more.seen.text.split('<details>');
    expect(fresh).toContain('May orders:write');
    expect(fresh).not.toContain('May orders:read');
    expect(already).toContain('May orders:read');
    await browser.submit(more.seen, { decision: 'allow' }, '/consent');
    const all = { scope: 'openid orders:read orders:write', prompt: 'none' };
    expect((await ask(world, world.web, all, browser)).error).toBeNull();
  });

  it('is each client’s own', async () => {
    const { browser, seen } = await consentOf({ scope: 'openid' });
    await browser.submit(seen, { decision: 'allow' }, '/consent');
    expect((await ask(world, world.spa, { scope: 'openid' }, browser)).page).toBe('consent');
  });

  it('is skipped for first-party clients', async () => {
    const own = await world.client({
      client_id: 'own',
      first_party: true,
      redirect_uris: ['https://own.example/cb'],
      scope: 'openid orders:read',
    });
    const browser = world.browser();
    const { seen } = await ask(world, own, {}, browser);
    const done = replyOf(await browser.submit(seen, { username: 'alice', password: PASSWORD }, '/login'));
    expect(done.result.get('code')).toBeTruthy();
  });

  it.each([
    ['a loopback redirect', { application_type: 'native', redirect_uris: ['http://127.0.0.1/cb'] }],
    ['a private-use scheme', { application_type: 'native', redirect_uris: ['com.example.app:/cb'] }],
    [
      'a loopback redirect in capitals',
      { application_type: 'native', redirect_uris: ['http://LOCALHOST:4000/cb'] },
    ],
    ['a loopback redirect of a web client', { redirect_uris: ['http://localhost:5173/cb'] }],
  ])('is asked each time by a public client on %s', async (_name, document) => {
    const app = await world.client({ ...document, token_endpoint_auth_method: 'none', scope: 'openid' });
    const { browser, seen } = await consentOf({ scope: 'openid' }, app);
    const done = await browser.submit(seen, { decision: 'allow' }, '/consent');
    expect(done.headers.get('location')).toContain('code=');
    expect((await ask(world, app, { scope: 'openid' }, browser)).page).toBe('consent');
  });

  it('is remembered for a public client on an https redirect', async () => {
    const { browser, seen } = await consentOf({ scope: 'openid' }, world.spa);
    await browser.submit(seen, { decision: 'allow' }, '/consent');
    expect((await ask(world, world.spa, { scope: 'openid', prompt: 'none' }, browser)).error).toBeNull();
  });

  it('refuses a forged or missing CSRF field, and any other decision', async () => {
    const { browser, seen } = await consentOf();
    const forged = new URLSearchParams({ decision: 'allow', csrf: 'x' });
    const answer = await browser.request(`${seen.url}/consent`, { method: 'POST', body: forged });
    expect(answer).toMatchObject({ status: 403, page: 'error' });
    for (const decision of ['', 'maybe', 'ALLOW']) {
      const refused = await browser.submit(seen, { decision }, '/consent');
      expect(refused).toMatchObject({ status: 400, page: 'error' });
    }
    expect((await ask(world, world.web, { prompt: 'none' }, browser)).error).toBe('consent_required');
  });

  it('counts for nothing once somebody else is signed in, or nobody', async () => {
    for (const next of ['another', 'nobody']) {
      const { browser, seen } = await consentOf();
      if (next === 'another') {
        await ask(world, world.spa, { prompt: 'login', scope: 'openid' }, browser).then(({ seen: login }) =>
          browser.submit(login, { username: 'alice', password: PASSWORD }, '/login'),
        );
      } else {
        const logout = await browser.go(`${world.url}/logout`);
        await browser.submit(logout, { decision: 'logout' });
      }
      const late = await browser.submit(seen, { decision: 'allow' }, '/consent');
      expect(late).toMatchObject({ status: 400, page: 'error' });
      // The page itself has ended with its session, and leads back to the client.
      const again = await browser.go(seen.url);
      expect(again).toMatchObject({ status: 400, page: 'error' });
      expect(again.text).toMatch(/<a [^>]*href="https:\/\/shop\.example\/?"/);
    }
  });

  it('is neither shown to nor taken from a browser that does not hold the session', async () => {
    const { browser, seen } = await consentOf();
    const csrf = /name="csrf" value="([^"]*)"/.exec(seen.text)?.[1] ?? '';
    const cookie = ['portcullis_interaction', 'portcullis_interaction.sig']
      .map((name) => `${name}=${browser.cookies[name] ?? ''}`)
      .join('; ');
    const stranger = world.browser();
    const taken = await stranger.request(`${seen.url}/consent`, {
      method: 'POST',
      body: new URLSearchParams({ csrf, decision: 'allow' }),
      headers: { cookie },
    });
    expect(taken).toMatchObject({ status: 400, page: 'error' });
    expect((await stranger.request(seen.url, { headers: { cookie } })).page).toBe('login');
  });

  it('does not leak into a sign-in page: consent cannot be posted before somebody is signed in', async () => {
    const browser = world.browser();
    const { seen } = await ask(world, world.web, {}, browser);
    const csrf = /name="csrf" value="([^"]*)"/.exec(seen.text)?.[1] ?? '';
    const answer = await browser.request(`${seen.url}/consent`, {
      method: 'POST',
      body: new URLSearchParams({ csrf, decision: 'allow' }),
    });
    expect(answer).toMatchObject({ status: 400, page: 'error' });
  });

  it('stays what was asked, whatever the user’s other grants: two tabs are two families', async () => {
    const browser = await signedIn(world);
    const [first, second] = await Promise.all([
      world.tokens(world.web, { browser }),
      world.tokens(world.web, { browser }),
    ]);
    await world.post('/revoke', { token: first.refresh_token ?? '' }, world.web);
    expect(await world.introspect(first.access_token)).toEqual({ active: false });
    expect(await world.introspect(second.access_token)).toMatchObject({ active: true });
  });

  it('says in words what is asked for claim by claim, here and among the connected apps', async () => {
    const names = ['phone_number', 'email_verified', 'profile'];
    const claims = JSON.stringify({ userinfo: Object.fromEntries(names.map((name) => [name, null])) });
    const browser = await signedIn(world);
    const { seen } = await ask(world, world.web, { claims, prompt: 'consent' }, browser);
    const words = ['See your phone number', 'See whether your email address is confirmed'];
    for (const each of [...words, 'See the address of your profile page']) expect(seen.text).toContain(each);
    for (const name of names) expect(seen.text).not.toContain(`>${name}<`);
    await browser.submit(seen, { decision: 'allow' }, '/consent');
    const { text } = await browser.go(`${world.url}/account/apps`);
    for (const each of words) expect(text).toContain(each);
    for (const name of [...names, 'openid']) expect(text).not.toContain(`>${name}<`);
  });
});
