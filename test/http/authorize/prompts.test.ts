import { decodeJwt } from 'jose';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { databaseKinds } from '../../support/databases.ts';
import { passPages, startWorld, type TestClient, type World } from '../../support/fixtures.ts';
import { ask, replyOf, signedIn } from '../support/authorization.ts';
import { pass, stopTime } from '../support/time.ts';

describe.each(databaseKinds)('prompts on %s', (kind) => {
  let world: World;
  let firstParty: TestClient;
  beforeAll(async () => {
    world = await startWorld({ kind });
    stopTime();
    firstParty = await world.client({
      client_id: 'first-party',
      first_party: true,
      redirect_uris: ['https://own.example/cb'],
      grant_types: ['authorization_code', 'refresh_token'],
      scope: 'openid profile offline_access orders:read',
    });
  });
  afterAll(async () => {
    vi.useRealTimers();
    await world.close();
  });

  const claimsOf = (idToken: string | undefined) => decodeJwt(idToken ?? '');

  describe('prompt=none', () => {
    it('answers login_required where nobody is signed in', async () => {
      const reply = await ask(world, world.web, { prompt: 'none' });
      expect(reply.error).toBe('login_required');
      expect(reply.target).toBe(world.web.redirect);
      expect(reply.result.get('state')).toBe('st ate');
      expect(reply.result.get('iss')).toBe(world.url);
    });

    it('answers consent_required for what was not allowed yet', async () => {
      const browser = await signedIn(world);
      expect((await ask(world, world.web, { prompt: 'none', scope: 'openid email' }, browser)).error).toBe(
        'consent_required',
      );
    });

    it('answers interaction_required for an app that cannot be identified', async () => {
      const native = await world.client({
        client_id: 'none-native',
        application_type: 'native',
        redirect_uris: ['http://127.0.0.1/cb'],
        scope: 'openid',
      });
      const { browser } = await world.authorize(native, { params: { scope: 'openid' } });
      expect((await ask(world, native, { prompt: 'none', scope: 'openid' }, browser)).error).toBe(
        'interaction_required',
      );
    });

    it('answers with a code for what was allowed', async () => {
      const browser = await signedIn(world);
      expect((await ask(world, world.web, { prompt: 'none' }, browser)).result.get('code')).toBeTruthy();
    });

    it('is refused beside another prompt', async () => {
      expect((await ask(world, world.web, { prompt: 'none login' })).error).toBe('invalid_request');
    });
  });

  describe('prompt=login', () => {
    it('asks again, and the new sign-in is the new auth_time and session id', async () => {
      const first = await world.tokens(world.web);
      const cookie = first.browser.cookies['portcullis_session'];
      pass(100);
      const second = await world.tokens(world.web, { browser: first.browser, params: { prompt: 'login' } });
      const [before, after] = [claimsOf(first.id_token), claimsOf(second.id_token)];
      expect(Number(after['auth_time']) - Number(before['auth_time'])).toBeGreaterThanOrEqual(100);
      expect(after['auth_time']).toBe(decodeJwt(second.access_token)['auth_time']);
      expect(second.browser.cookies['portcullis_session']).not.toBe(cookie);
      // The same session goes on: what it has issued lives.
      expect(await world.introspect(first.access_token)).toMatchObject({ active: true });
    });

    it('shows the login page, and nothing is remembered of it when nobody signs in', async () => {
      const browser = await signedIn(world);
      expect((await ask(world, world.web, { prompt: 'login' }, browser)).page).toBe('login');
      expect((await ask(world, world.web, { prompt: 'none' }, browser)).result.get('code')).toBeTruthy();
    });
  });

  it('auth_time is when the password was checked, however long the consent took', async () => {
    const browser = world.browser();
    const login = await ask(world, world.spa, { scope: 'openid', prompt: 'login consent' }, browser);
    const signInAt = Math.floor(Date.now() / 1000);
    const consent = await browser.submit(
      login.seen,
      { username: 'alice', password: 'lantern-orbit-velvet-7' },
      '/login',
    );
    expect(consent.page).toBe('consent');
    pass(50);
    await browser.submit(consent, { decision: 'allow' }, '/consent');
    const { access_token: token } = await world.tokens(world.spa, { browser, params: { scope: 'openid' } });
    expect(decodeJwt(token)['auth_time']).toBe(signInAt);
  });

  describe('prompt=select_account', () => {
    it('asks who it is, although somebody is signed in', async () => {
      const browser = await signedIn(world);
      const reply = await ask(world, world.web, { prompt: 'select_account' }, browser);
      expect(reply.page).toBe('login');
      const login = await browser.submit(reply.seen, { account: '' }, '/select');
      const last = replyOf(await passPages(browser, login));
      expect(last.result.get('code')).toBeTruthy();
    });
  });

  it('refuses a prompt that does not exist', async () => {
    expect((await ask(world, world.web, { prompt: 'dance' })).error).toBe('invalid_request');
  });

  describe('prompt=consent', () => {
    it('asks although everything was allowed before, of first-party clients too', async () => {
      for (const client of [world.web, firstParty]) {
        const { browser } = await world.authorize(client, { params: { scope: 'openid' } });
        expect((await ask(world, client, { prompt: 'consent', scope: 'openid' }, browser)).page).toBe(
          'consent',
        );
      }
    });

    it('with offline_access says that the access outlives the session, and so it does', async () => {
      const browser = world.browser();
      const params = { prompt: 'consent', scope: 'openid offline_access orders:read' };
      const login = await ask(world, world.web, params, browser);
      const consent = await browser.submit(
        login.seen,
        { username: 'alice', password: 'lantern-orbit-velvet-7' },
        '/login',
      );
      expect(consent.text).toContain('data-scope="offline_access"');
      const tokens = await world.tokens(world.web, { browser, params });
      expect(tokens.scope).toBe('openid offline_access orders:read');
      const logout = await browser.go(`${world.url}/logout`);
      expect((await browser.submit(logout, { decision: 'logout' })).page).toBe('signed-out');
      expect(await world.introspect(tokens.access_token)).toMatchObject({ active: true });
      expect((await world.refresh(world.web, tokens.refresh_token ?? '')).status).toBe(200);
    });
  });

  it('drops offline_access without prompt=consent: the access ends with the session', async () => {
    const tokens = await world.tokens(world.web, { params: { scope: 'openid offline_access orders:read' } });
    expect(tokens.scope).toBe('openid orders:read');
    const logout = await tokens.browser.go(`${world.url}/logout`);
    await tokens.browser.submit(logout, { decision: 'logout' });
    expect(await world.introspect(tokens.access_token)).toEqual({ active: false });
    expect((await world.refresh(world.web, tokens.refresh_token ?? '')).status).toBe(400);
  });

  describe('max_age', () => {
    it('asks again once the sign-in is older, and the ID token says when it was', async () => {
      const browser = await signedIn(world, { username: 'alice' });
      expect((await ask(world, world.web, { max_age: '1000' }, browser)).result.get('code')).toBeTruthy();
      expect((await ask(world, world.web, { max_age: '0' }, browser)).page).toBe('login');
      expect((await ask(world, world.web, { max_age: '0', prompt: 'none' }, browser)).error).toBe(
        'login_required',
      );
      const tokens = await world.tokens(world.web, { browser, params: { max_age: '0' } });
      expect(claimsOf(tokens.id_token)['auth_time']).toBeTypeOf('number');
    });

    it.each(['-1', 'soon', '1.5', '1e99'])('is refused as %s', async (value) => {
      expect((await ask(world, world.web, { max_age: value })).error).toBe('invalid_request');
    });

    it('has a default that a client registers', async () => {
      const bank = await world.client({
        client_id: 'bank',
        default_max_age: 0,
        first_party: true,
        redirect_uris: ['https://bank.example/cb'],
        scope: 'openid',
      });
      const { browser } = await world.authorize(bank, { params: { scope: 'openid' } });
      expect((await ask(world, bank, { scope: 'openid' }, browser)).page).toBe('login');
    });
  });

  describe('id_token_hint', () => {
    it('of the one who is signed in goes through, of another asks for a sign-in', async () => {
      await world.user('hinted');
      const alice = await world.tokens(world.web);
      const other = await world.tokens(world.web, { username: 'hinted' });
      const silent = { id_token_hint: alice.id_token, prompt: 'none' };
      expect((await ask(world, world.web, silent, alice.browser)).result.get('code')).toBeTruthy();
      expect((await ask(world, world.web, silent, other.browser)).error).toBe('login_required');
      expect((await ask(world, world.web, { id_token_hint: alice.id_token }, other.browser)).page).toBe(
        'login',
      );
    });

    it('is taken when it has expired, and refused when it is forged or another client’s', async () => {
      const { id_token: hint = '', browser } = await world.tokens(world.web);
      expect((await ask(world, world.web, { id_token_hint: `${hint}x` }, browser)).error).toBe(
        'invalid_request',
      );
      expect((await ask(world, world.spa, { id_token_hint: hint }, browser)).error).toBe('invalid_request');
      expect((await ask(world, world.web, { id_token_hint: 'nonsense' }, browser)).error).toBe(
        'invalid_request',
      );
    });
  });

  it('puts the name of who is signed in into the form, unless somebody else is meant', async () => {
    const browser = await signedIn(world);
    const again = async (params: Record<string, string>) =>
      (await ask(world, world.web, { prompt: 'login', ...params }, browser)).seen.text;
    expect(await again({})).toContain('value="alice"');
    expect(await again({ login_hint: 'bob' })).toContain('value="bob"');
  });

  it('puts login_hint into the form', async () => {
    const { seen } = await ask(world, world.web, { login_hint: 'ali"ce<' });
    expect(seen.text).toContain('value="ali&quot;ce&lt;"');
  });

  it('speaks the language of ui_locales on both pages', async () => {
    const browser = world.browser();
    await world.user('deutsch');
    const login = await ask(world, world.web, { ui_locales: 'fr de' }, browser);
    expect(login.seen.text).toContain('<html lang="de"');
    const consent = await browser.submit(
      login.seen,
      { username: 'deutsch', password: 'lantern-orbit-velvet-7' },
      '/login',
    );
    expect(consent.page).toBe('consent');
    expect(consent.text).toContain('<html lang="de"');
  });
});
