import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Browser } from '../../support/browser.ts';
import { databaseKinds } from '../../support/databases.ts';
import { PASSWORD, startWorld, type World } from '../../support/fixtures.ts';

describe.each(databaseKinds)('/account on %s', (kind) => {
  let world: World;
  beforeAll(async () => {
    world = await startWorld({ kind });
  });
  afterAll(() => world.close());

  const signedIn = async (username = 'alice', password = PASSWORD): Promise<Browser> => {
    const browser = world.browser();
    const form = await browser.go(`${world.url}/account`);
    expect(form.page).toBe('login');
    const page = await browser.submit(form, { username, password }, '/account/login');
    expect(page.page).toBe('account');
    return browser;
  };

  it('signs in without a client, and the session serves authorization requests too', async () => {
    const browser = await signedIn();
    const { result } = await world.authorize(world.web, {
      browser,
      params: { prompt: 'none', scope: 'openid' },
    });
    expect(result.get('error')).toBe('consent_required'); // signed in, but nothing allowed yet
  });

  it('leads back to where the sign-in began, and nowhere else', async () => {
    const browser = world.browser();
    const form = await browser.go(`${world.url}/.well-known/change-password`);
    expect(form.page).toBe('login');
    const page = await browser.submit(
      form,
      { username: 'alice', password: PASSWORD, target: '//evil.example' },
      '/account/login',
    );
    expect(page.url).toBe(`${world.url}/account`);
  });

  it('says the same for a wrong password and for an unknown user', async () => {
    const answers = [];
    for (const username of ['alice', 'nobody-of-that-name']) {
      const browser = world.browser();
      const form = await browser.go(`${world.url}/account`);
      answers.push(await browser.submit(form, { username, password: 'wrong-password-1' }, '/account/login'));
    }
    const [known, unknown] = answers;
    const neutral = (text = ''): string =>
      text.replace(/value="[^"]*"/g, '').replace(/[\w-]{16}(?=<\/)/g, '');
    expect(known?.status).toBe(401);
    expect(unknown?.status).toBe(401);
    expect(neutral(unknown?.text)).toBe(neutral(known?.text));
  });

  it('takes an app’s access back: every family of both, and the consent', async () => {
    await world.user('carol');
    const first = await world.tokens(world.web, { username: 'carol' });
    const second = await world.tokens(world.web, { username: 'carol' });
    const other = await world.tokens(world.spa, { username: 'carol' });
    const browser = await signedIn('carol');
    const page = await browser.go(`${world.url}/account/apps`);
    expect(page.text).toContain('Web shop');
    const after = await browser.submit(page, { client_id: 'web' }, '/account/apps');
    expect(after.status).toBe(200);
    for (const { access_token: token, refresh_token: refresh } of [first, second]) {
      expect(await world.introspect(token)).toEqual({ active: false });
      expect((await world.refresh(world.web, refresh ?? '')).status).toBe(400);
    }
    expect(await world.introspect(other.access_token)).toMatchObject({ active: true });
    const { result } = await world.authorize(world.web, { browser, params: { prompt: 'none' } });
    expect(result.get('error')).toBe('consent_required');
  });

  it('changes the password: this session stays, other sessions and every token end', async () => {
    await world.user('dave');
    const tokens = await world.tokens(world.web, { username: 'dave' });
    const here = await signedIn('dave');
    const elsewhere = await signedIn('dave');
    const next = 'quiet-meadow-lamp-42';
    const form = await here.go(`${world.url}/account/password`);
    const wrong = await here.submit(
      form,
      { current_password: 'not-this-one-at-all', new_password: next, repeat_password: next },
      '/account/password',
    );
    expect(wrong.status).toBe(422);
    expect(await world.introspect(tokens.access_token)).toMatchObject({ active: true });
    const done = await here.submit(
      await here.go(`${world.url}/account/password`),
      { current_password: PASSWORD, new_password: next, repeat_password: next },
      '/account/password',
    );
    expect(done.status).toBe(200);
    expect((await here.go(`${world.url}/account`)).page).toBe('account');
    expect((await elsewhere.go(`${world.url}/account`)).page).toBe('login');
    expect(await world.introspect(tokens.access_token)).toEqual({ active: false });
    expect((await world.refresh(world.web, tokens.refresh_token ?? '')).status).toBe(400);
    await signedIn('dave', next);
  });

  it('refuses a form without its CSRF field, or with another browser’s', async () => {
    const browser = await signedIn();
    const stranger = await signedIn();
    const foreign = /name="csrf" value="([^"]*)"/.exec(
      (await stranger.go(`${world.url}/account/apps`)).text,
    )?.[1];
    for (const csrf of ['', foreign ?? '']) {
      const answer = await browser.request(`${world.url}/account/password`, {
        method: 'POST',
        body: new URLSearchParams({ csrf, client_id: 'web' }),
      });
      expect(answer.status).toBe(403);
    }
  });

  it('gives a new session id at sign-in', async () => {
    const browser = await signedIn();
    const before = browser.cookies['portcullis_session'];
    const form = await browser.go(
      `${world.url}/authorize?client_id=web&response_type=code&scope=openid&prompt=login&redirect_uri=${encodeURIComponent(world.web.redirect)}&code_challenge=${'x'.repeat(43)}&code_challenge_method=S256`,
    );
    await browser.submit(form, { username: 'alice', password: PASSWORD }, '/login');
    expect(before).toBeDefined();
    expect(browser.cookies['portcullis_session']).not.toBe(before);
  });
});
