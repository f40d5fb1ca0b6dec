import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Browser } from '../../support/browser.ts';
import { databaseKinds } from '../../support/databases.ts';
import { startWorld, type World } from '../../support/fixtures.ts';
import { ask, authorizationQuery, replyOf } from '../support/authorization.ts';

const OUT = 'https://shop.example/out';

describe.each(databaseKinds)('logout on %s', (kind) => {
  let world: World;
  beforeAll(async () => {
    world = await startWorld({ kind });
  });
  afterAll(() => world.close());

  const logoutAt = (browser: Browser, params: Record<string, string | undefined> = {}) => {
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(params)) if (value !== undefined) query.set(name, value);
    return browser.go(`${world.url}/logout?${query.toString()}`);
  };
  const isSignedIn = async (browser: Browser): Promise<boolean> =>
    (await ask(world, world.web, { prompt: 'none' }, browser)).error === null;

  it('asks first, names the client and the account, and then leads back with state', async () => {
    const tokens = await world.tokens(world.web);
    const page = await logoutAt(tokens.browser, {
      id_token_hint: tokens.id_token,
      post_logout_redirect_uri: OUT,
      state: 'a b&c',
    });
    expect(page.page).toBe('logout');
    expect(page.text).toContain('Web shop');
    expect(page.text).toContain('alice');
    const done = replyOf(await tokens.browser.submit(page, { decision: 'logout' }));
    expect(done.target).toBe(OUT);
    expect(done.result.get('state')).toBe('a b&c');
    expect([...done.result.keys()]).toEqual(['state']);
    expect(await isSignedIn(tokens.browser)).toBe(false);
  });

  it('works by POST, which becomes a GET, and with client_id in place of the hint', async () => {
    const { browser } = await world.authorize(world.web);
    const answer = await browser.request(`${world.url}/logout`, {
      method: 'POST',
      body: new URLSearchParams({ client_id: 'web', post_logout_redirect_uri: OUT }),
    });
    expect(answer.status).toBe(303);
    const page = await browser.go(answer.headers.get('location') ?? '');
    expect(page.page).toBe('logout');
    expect(replyOf(await browser.submit(page, { decision: 'logout' })).target).toBe(OUT);
  });

  it('shows its own page where no address was given', async () => {
    const { browser } = await world.authorize(world.web);
    const page = await browser.submit(await logoutAt(browser), { decision: 'logout' });
    expect(page).toMatchObject({ status: 200, page: 'signed-out' });
  });

  it('ends the families of the session and leaves those that were to outlive it', async () => {
    const bound = await world.tokens(world.web);
    const { browser } = bound;
    const second = await world.tokens(world.spa, { browser });
    const offline = await world.tokens(world.web, {
      browser,
      params: { prompt: 'consent', scope: 'openid offline_access orders:read' },
    });
    const elsewhere = await world.tokens(world.web);
    const page = await logoutAt(browser);
    // Asking alone ends nothing.
    expect(await world.introspect(bound.access_token)).toMatchObject({ active: true });
    await browser.submit(page, { decision: 'logout' });
    for (const { access_token: token } of [bound, second]) {
      expect(await world.introspect(token)).toEqual({ active: false });
      expect((await world.userinfo(token)).status).toBe(401);
    }
    expect((await world.refresh(world.web, bound.refresh_token ?? '')).status).toBe(400);
    expect((await world.refresh(world.spa, second.refresh_token ?? '')).status).toBe(400);
    for (const tokens of [offline, elsewhere]) {
      expect(await world.introspect(tokens.access_token)).toMatchObject({ active: true });
      expect((await world.refresh(world.web, tokens.refresh_token ?? '')).status).toBe(200);
    }
  });

  it('ends every family of a client whose refresh tokens end with the session, offline_access or not', async () => {
    const bound = await world.client({
      client_id: 'bound',
      redirect_uris: ['https://bound.example/cb'],
      grant_types: ['authorization_code', 'refresh_token'],
      scope: 'openid offline_access orders:read',
      refresh_tokens_end_with_session: true,
    });
    const params = { prompt: 'consent', scope: 'openid offline_access orders:read' };
    const { browser } = await world.authorize(world.web);
    const page = await ask(world, bound, params, browser);
    expect(page.page).toBe('consent');
    expect(page.seen.text).not.toContain('data-scope="offline_access"');
    const tokens = await world.tokens(bound, { browser, params });
    expect(tokens.scope).toBe('openid orders:read');
    const pushed = await world.post<{ request_uri: string }>(
      '/par',
      Object.fromEntries(new URLSearchParams(authorizationQuery(bound, params))),
      bound,
    );
    const query = new URLSearchParams({ client_id: 'bound', request_uri: pushed.body.request_uri });
    const asked = await browser.go(`${world.url}/authorize?${query.toString()}`);
    expect(asked.page).toBe('consent');
    expect(asked.text).not.toContain('data-scope="offline_access"');
    const renewed = await world.refresh(bound, tokens.refresh_token ?? '');
    expect(renewed.status).toBe(200);
    await browser.submit(await logoutAt(browser), { decision: 'logout' });
    expect(await world.introspect(renewed.body.access_token)).toEqual({ active: false });
    expect((await world.refresh(bound, renewed.body.refresh_token ?? '')).status).toBe(400);
    // Alone, it leaves nothing to ask for.
    const nothing = await ask(world, bound, { ...params, scope: 'offline_access' }, world.browser());
    expect(nothing.status).toBeLessThan(500);
  });

  it('stays: nothing ends, and the page says so', async () => {
    const tokens = await world.tokens(world.web);
    const page = await logoutAt(tokens.browser, { id_token_hint: tokens.id_token });
    const after = await tokens.browser.submit(page, { decision: 'stay' });
    expect(after).toMatchObject({ status: 200, page: 'message' });
    expect(after.text).toContain('still signed in');
    expect(after.text).toContain('href="/account"'); // no dead end
    expect(await isSignedIn(tokens.browser)).toBe(true);
    expect(await world.introspect(tokens.access_token)).toMatchObject({ active: true });
    expect((await world.refresh(world.web, tokens.refresh_token ?? '')).status).toBe(200);
  });

  it('stays, and leads back to a client that asked for it', async () => {
    const tokens = await world.tokens(world.web);
    const params = { id_token_hint: tokens.id_token, post_logout_redirect_uri: OUT, state: 's' };
    const page = await logoutAt(tokens.browser, params);
    const done = replyOf(await tokens.browser.submit(page, { decision: 'stay' }));
    expect(done.target).toBe(OUT);
    expect(await isSignedIn(tokens.browser)).toBe(true);
  });

  describe('with nobody signed in', () => {
    it('needs no JavaScript and no answer: it shows that nobody is signed in', async () => {
      const browser = world.browser();
      const page = await logoutAt(browser);
      expect(page).toMatchObject({ status: 200, page: 'signed-out' });
      expect(browser.cookies).toEqual({});
    });

    it('leads straight to a registered address, with state', async () => {
      const { id_token: hint, browser } = await world.tokens(world.web);
      await browser.submit(await logoutAt(browser), { decision: 'logout' });
      const reply = replyOf(
        await logoutAt(browser, { id_token_hint: hint, post_logout_redirect_uri: OUT, state: 'x y' }),
      );
      expect(reply.status).toBe(303);
      expect(reply.target).toBe(OUT);
      expect(reply.result.get('state')).toBe('x y');
    });

    it('leaves no session behind in the database', async () => {
      const count = async (): Promise<number> => {
        const token = await world.adminToken();
        const response = await fetch(`${world.url}/admin/v1/sessions?limit=200`, {
          headers: { authorization: `Bearer ${token}` },
        });
        return ((await response.json()) as { data: unknown[] }).data.length;
      };
      const before = await count();
      for (let visits = 0; visits < 3; visits++) await logoutAt(world.browser());
      expect(await count()).toBe(before);
    });
  });

  it.each([
    ['another address', { post_logout_redirect_uri: 'https://evil.example/' }],
    ['a longer path', { post_logout_redirect_uri: `${OUT}/more` }],
    ['a redirect URI for sign-ins', { post_logout_redirect_uri: 'https://shop.example/cb' }],
  ])('is never led to %s', async (_name, params) => {
    for (const browser of [(await world.authorize(world.web)).browser, world.browser()]) {
      const page = await logoutAt(browser, { client_id: 'web', ...params });
      expect(page).toMatchObject({ status: 400, page: 'error' });
      // Without a client there is nothing to judge the address by: it is not followed.
      const nameless = await logoutAt(browser, params);
      expect(nameless.headers.get('location')).toBeNull();
    }
  });

  it('refuses hints that are forged, foreign or of an unknown client', async () => {
    const { browser, id_token: hint = '' } = await world.tokens(world.web);
    for (const params of [
      { id_token_hint: `${hint}x` },
      { id_token_hint: 'nonsense' },
      { id_token_hint: hint, client_id: 'spa' },
      { client_id: 'nobody' },
    ]) {
      expect(await logoutAt(browser, params)).toMatchObject({ status: 400, page: 'error' });
    }
    expect(await isSignedIn(browser)).toBe(true);
  });

  it('refuses a form without its CSRF field, with a made-up one, and one that comes twice', async () => {
    const { browser } = await world.authorize(world.web);
    await logoutAt(browser);
    for (const csrf of [undefined, 'x']) {
      const body = new URLSearchParams({ decision: 'logout', ...(csrf === undefined ? {} : { csrf }) });
      const answer = await browser.request(`${world.url}/logout/confirm`, { method: 'POST', body });
      expect(answer).toMatchObject({ status: 403, page: 'error' });
      expect(answer.text).toContain('invalid_csrf');
    }
    expect(await isSignedIn(browser)).toBe(true);
    const stranger = world.browser();
    const answer = await stranger.request(`${world.url}/logout/confirm`, {
      method: 'POST',
      body: new URLSearchParams({ decision: 'logout', csrf: 'x' }),
    });
    expect(answer).toMatchObject({ status: 403, page: 'error' });
  });

  it('speaks of what it did in the audit log', async () => {
    await world.user('leaver');
    const tokens = await world.tokens(world.web, { username: 'leaver' });
    await tokens.browser.submit(await logoutAt(tokens.browser), { decision: 'logout' });
    const token = await world.adminToken();
    const response = await fetch(`${world.url}/admin/v1/audit-events?limit=50`, {
      headers: { authorization: `Bearer ${token}` },
    });
    const { data } = (await response.json()) as { data: { type: string; user_id: string | null }[] };
    const types = data.map(({ type }) => type);
    expect(types).toContain('logout.completed');
    expect(types).not.toContain('code.reuse_detected');
  });
});
