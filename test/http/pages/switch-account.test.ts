import { decodeJwt } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { databaseKinds } from '../../support/databases.ts';
import { PASSWORD, passPages, startWorld, type World } from '../../support/fixtures.ts';
import { ask, replyOf } from '../support/authorization.ts';

/** The test's browser knows no JavaScript: a page that submits itself would be the end of the way. */
describe.each(databaseKinds)('another account in the same browser on %s', (kind) => {
  let world: World;
  let bob: string;
  beforeAll(async () => {
    world = await startWorld({ kind });
    bob = await world.user('bob');
  });
  afterAll(() => world.close());

  it('signs in after prompt=login: the old session and what is bound to it end', async () => {
    const alice = await world.tokens(world.web);
    const { seen } = await ask(world, world.web, { prompt: 'login' }, alice.browser);
    const done = replyOf(await passPages(alice.browser, seen, 'bob'));
    expect(done.target).toBe(world.web.redirect);
    expect(done.result.get('code')).toBeTruthy();
    expect(await world.introspect(alice.access_token)).toEqual({ active: false });
    expect((await world.refresh(world.web, alice.refresh_token ?? '')).status).toBe(400);
    const tokens = await world.tokens(world.web, { browser: alice.browser });
    expect(decodeJwt(tokens.access_token).sub).toBe(bob);
  });

  it('leaves what was allowed to outlive the session', async () => {
    const offline = { prompt: 'consent', scope: 'openid offline_access orders:read' };
    const alice = await world.tokens(world.web, { params: offline });
    const { seen } = await ask(world, world.web, { prompt: 'login' }, alice.browser);
    await passPages(alice.browser, seen, 'bob');
    expect(await world.introspect(alice.access_token)).toMatchObject({ active: true });
    expect((await world.refresh(world.web, alice.refresh_token ?? '')).status).toBe(200);
  });

  it('signs in by "not you?" on the consent page', async () => {
    const alice = await world.tokens(world.web);
    const { seen: consent } = await ask(
      world,
      world.spa,
      { prompt: 'consent', scope: 'openid' },
      alice.browser,
    );
    expect(consent.page).toBe('consent');
    const login = await alice.browser.submit(consent, {}, '/switch');
    expect(login.page).toBe('login');
    expect(await world.introspect(alice.access_token)).toEqual({ active: false });
    const next = await alice.browser.submit(login, { username: 'bob', password: PASSWORD }, '/login');
    expect(next.page).toBe('consent'); // bob is asked for himself
    expect(next.text).toContain('bob');
    expect(next.text).not.toContain('Alice');
    const done = replyOf(await alice.browser.submit(next, { decision: 'allow' }, '/consent'));
    expect(done.result.get('code')).toBeTruthy();
    expect(done.target).toBe(world.spa.redirect);
  });

  it('may also be the same one again after "not you?"', async () => {
    const { browser } = await world.authorize(world.web);
    const { seen: consent } = await ask(world, world.web, { prompt: 'consent' }, browser);
    const login = await browser.submit(consent, {}, '/switch');
    expect(replyOf(await passPages(browser, login)).result.get('code')).toBeTruthy();
  });

  it('refuses a forged "not you?"', async () => {
    const { browser } = await world.authorize(world.web);
    const { seen: consent } = await ask(world, world.web, { prompt: 'consent' }, browser);
    const forged = new URLSearchParams({ csrf: 'x' });
    expect((await browser.request(`${consent.url}/switch`, { method: 'POST', body: forged })).status).toBe(
      403,
    );
    expect((await ask(world, world.web, { prompt: 'none' }, browser)).error).toBeNull();
  });

  it('signs in by id_token_hint of the other', async () => {
    const other = await world.tokens(world.web, { username: 'bob' });
    const { browser } = await world.authorize(world.web);
    const { seen } = await ask(world, world.web, { id_token_hint: other.id_token }, browser);
    expect(seen.page).toBe('login');
    expect(replyOf(await passPages(browser, seen, 'bob')).result.get('code')).toBeTruthy();
  });

  it('signs in from a page that was opened before anybody was', async () => {
    const browser = world.browser();
    const { seen: early } = await ask(world, world.web, {}, browser);
    const alice = await world.tokens(world.web, { browser });
    const done = replyOf(await passPages(browser, early, 'bob'));
    expect(done.result.get('code')).toBeTruthy();
    expect(await world.introspect(alice.access_token)).toEqual({ active: false });
  });

  it('begins anew from a page whose session has ended: it leads back to the client', async () => {
    const { browser } = await world.authorize(world.web);
    const { seen: early } = await ask(world, world.web, { prompt: 'login' }, browser);
    const logout = await browser.go(`${world.url}/logout`);
    await browser.submit(logout, { decision: 'logout' });
    const late = await browser.submit(early, { username: 'bob', password: PASSWORD }, '/login');
    expect(late).toMatchObject({ status: 400, page: 'error' });
    expect(late.text).toMatch(/<a [^>]*href="https:\/\/shop\.example\/?"/);
    expect((await ask(world, world.web, { prompt: 'none' }, browser)).error).toBe('login_required');
  });

  it('is no other account: the same one signs in from an early page, and its session goes on', async () => {
    const browser = world.browser();
    const { seen: early } = await ask(world, world.web, {}, browser);
    const alice = await world.tokens(world.web, { browser });
    expect(replyOf(await passPages(browser, early)).result.get('code')).toBeTruthy();
    expect(await world.introspect(alice.access_token)).toMatchObject({ active: true });
  });

  it('shows in the audit log', async () => {
    const token = await world.adminToken();
    const response = await fetch(
      `${world.url}/admin/v1/audit-events?type=logout.completed&user=${world.userId}`,
      {
        headers: { authorization: `Bearer ${token}` },
      },
    );
    const { data } = (await response.json()) as { data: { type: string; user_id: string }[] };
    expect(data.length).toBeGreaterThan(0);
    expect(data.every(({ user_id }) => user_id === world.userId)).toBe(true);
  });
});
