import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Browser } from '../../support/browser.ts';
import { databaseKinds } from '../../support/databases.ts';
import { PASSWORD, startWorld, type World } from '../../support/fixtures.ts';

const FIREFOX = 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0';
const SAFARI =
  'Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1';

describe.each(databaseKinds)('sessions and activity on %s', (kind) => {
  let world: World;
  beforeAll(async () => {
    world = await startWorld({ kind, env: { PORTCULLIS_TRUST_PROXY: '1' } });
  });
  afterAll(() => world.close());

  const signIn = async (username: string, userAgent = FIREFOX): Promise<Browser> => {
    const browser = new Browser(world.url, { 'user-agent': userAgent });
    const form = await browser.go(`${world.url}/account`);
    const page = await browser.submit(form, { username, password: PASSWORD }, '/account/login');
    expect(page.page).toBe('account');
    return browser;
  };
  const sessions = (browser: Browser) => browser.go(`${world.url}/account/sessions`);
  const activity = async (browser: Browser): Promise<string> =>
    (await browser.go(`${world.url}/account/activity`)).text;
  const words = (text: string): string => text.replace(/<[^>]*>/g, '').replace(/\s+/g, ' ');

  it('lists every signed-in browser in words, and marks this one', async () => {
    await world.user('erin');
    const here = await signIn('erin');
    await signIn('erin', SAFARI);
    await signIn('erin', '<script>alert(1)</script>');
    const { text } = await sessions(here);
    const devices = [...text.matchAll(/<h2><bdi>(.*?)<\/bdi><\/h2>([^]*?)<\/article>/g)];
    expect(devices[0]?.[1]).toBe('Firefox on Linux');
    expect(devices[0]?.[2]).toContain('This device');
    expect(devices[0]?.[2]).not.toContain('<form');
    expect(new Set(devices.map(([, name]) => name))).toEqual(
      new Set(['Firefox on Linux', 'Safari on iPhone', 'Unknown device']),
    );
    expect(text).toContain('Address <bdi>127.0.0.1</bdi>');
    expect(text).not.toContain('alert(1)');
  });

  it('shows where each was last, also when it was at these pages only', async () => {
    await world.user('edna');
    const here = await signIn('edna');
    const there = await signIn('edna', SAFARI);
    there.headers['x-forwarded-for'] = '203.0.113.9';
    await there.go(`${world.url}/account`);
    const { text } = await sessions(here);
    expect(text).toContain('Address <bdi>203.0.113.9</bdi>');
    expect(text).toContain('Address <bdi>127.0.0.1</bdi>');
  });

  it('ends one: it is signed out at once, its tokens are dead, all others live on', async () => {
    await world.user('frank');
    const here = await signIn('frank');
    const there = await signIn('frank', SAFARI);
    const elsewhere = await signIn('frank');
    const bound = await world.tokens(world.web, { browser: there, username: 'frank' });
    const other = await world.tokens(world.web, { browser: elsewhere, username: 'frank' });
    const offline = await world.tokens(world.spa, {
      browser: there,
      params: { scope: 'openid offline_access orders:read', prompt: 'consent' },
    });
    const page = await sessions(here);
    const form = /<h2><bdi>Safari on iPhone<[^]*?name="session_id" value="([^"]*)"/.exec(page.text);
    const done = await here.submit(page, { session_id: form?.[1] ?? '' }, '/account/sessions');
    expect(done.status).toBe(200);
    expect(done.text).not.toContain('Safari on iPhone');
    expect((await there.go(`${world.url}/account`)).page).toBe('login');
    expect(await world.introspect(bound.access_token)).toEqual({ active: false });
    expect((await world.refresh(world.web, bound.refresh_token ?? '')).status).toBe(400);
    expect(await world.introspect(other.access_token)).toMatchObject({ active: true });
    expect(await world.introspect(offline.access_token)).toMatchObject({ active: true });
    expect((await elsewhere.go(`${world.url}/account`)).page).toBe('account');
  });

  it('ends all others, and this one stays', async () => {
    await world.user('grace');
    const [here, second, third] = [await signIn('grace'), await signIn('grace'), await signIn('grace')];
    const mine = await world.tokens(world.web, { browser: here, username: 'grace' });
    const theirs = await world.tokens(world.web, { browser: second, username: 'grace' });
    const done = await here.submit(await sessions(here), { others: '1' }, '/account/sessions');
    expect(done.text).toContain('You are not signed in anywhere else.');
    expect((await here.go(`${world.url}/account`)).page).toBe('account');
    for (const browser of [second, third])
      expect((await browser.go(`${world.url}/account`)).page).toBe('login');
    expect(await world.introspect(mine.access_token)).toMatchObject({ active: true });
    expect(await world.introspect(theirs.access_token)).toEqual({ active: false });
  });

  it('cannot end a session of somebody else', async () => {
    await world.user('heidi');
    await world.user('ivan');
    const [heidi, ivan] = [await signIn('heidi'), await signIn('ivan')];
    await signIn('heidi');
    const { text } = await sessions(heidi);
    const id = /name="session_id" value="([^"]*)"/.exec(text)?.[1] ?? '';
    await signIn('ivan');
    const refused = await ivan.submit(await sessions(ivan), { session_id: id }, '/account/sessions');
    expect(refused.status).toBe(404);
    expect((await sessions(heidi)).text).toContain(id);
  });

  it('tells what happened, in words, and only of this user', async () => {
    await world.user('judy');
    const browser = await signIn('judy');
    await world.tokens(world.web, { browser, username: 'judy' });
    const apps = await browser.go(`${world.url}/account/apps`);
    await browser.submit(apps, { client_id: 'web' }, '/account/apps');
    const text = await activity(browser);
    const [, list = ''] = text.split('<ul class="events">');
    const said = [...list.matchAll(/<li>([^]*?)<br>/g)].map(([, sentence]) => words(sentence ?? ''));
    expect(said).toEqual([
      'You removed the access of Web shop.',
      'Web shop was connected to your account.',
      'You gave Web shop access.',
      'You signed in.',
      'Your account was created.',
    ]);
    expect(words(text)).toMatch(/\d{4}.*UTC · Address 127\.0\.0\.1/);
    await world.user('mallory');
    expect(words(await activity(await signIn('mallory')))).not.toContain('Web shop');
  });

  it('keeps an admin’s address to itself', async () => {
    await world.user('niaj');
    const { accounts } = world.app.domain;
    const { id } = (await accounts.list({}, { limit: 200 })).data.find(
      ({ username }) => username === 'niaj',
    ) ?? {
      id: '',
    };
    await accounts.setPassword(id, PASSWORD, { actor: 'client:admin', ip: '198.51.100.9' });
    const text = words(await activity(await signIn('niaj')));
    expect(text).toContain('An administrator changed your password.');
    expect(text).not.toContain('198.51.100.9');
  });

  it('says that an app’s access was ended for a replay, until it is read', async () => {
    await world.user('olivia');
    const browser = await signIn('olivia');
    const tokens = await world.tokens(world.web, { browser, username: 'olivia' });
    expect((await browser.go(`${world.url}/account`)).text).not.toContain('used twice');
    await world.refresh(world.web, tokens.refresh_token ?? '');
    await world.refresh(world.web, tokens.refresh_token ?? '');
    for (const path of ['', '/apps', '/sessions', '/activity', '/password']) {
      const { text } = await browser.go(`${world.url}/account${path}`);
      expect(words(text)).toContain('one of the keys of Web shop to your account was used twice');
    }
    const page = await browser.go(`${world.url}/account`);
    const after = await browser.submit(page, {}, '/account/activity');
    expect(after.status).toBe(200);
    expect(words(after.text)).toContain('We ended the access of Web shop');
    expect((await browser.go(`${world.url}/account`)).text).not.toContain('used twice');
    const again = await world.tokens(world.web, { browser, username: 'olivia' });
    await world.refresh(world.web, again.refresh_token ?? '');
    await world.refresh(world.web, again.refresh_token ?? '');
    expect((await browser.go(`${world.url}/account`)).text).toContain('used twice');
  });
});
