import { decodeJwt } from 'jose';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import type { Browser, Seen } from '../../support/browser.ts';
import { databaseKinds } from '../../support/databases.ts';
import { PASSWORD, passPages, startWorld, type World } from '../../support/fixtures.ts';
import { ask, replyOf, signedIn } from '../support/authorization.ts';
import { pass, stopTime } from '../support/time.ts';

const choose = { prompt: 'select_account' };
const isPicker = ({ page, text }: Seen): boolean => page === 'login' && text.includes('data-step="choose"');
/** Ids on the picker, the first one first. */
const listed = ({ text }: Seen): string[] =>
  [...text.matchAll(/name="account" value="([^"]+)"/g)].map(([, id = '']) => id);

/** OpenID Connect Core 3.1.2.1, `prompt=select_account`, in a browser without JavaScript. */
describe.each(databaseKinds)('choosing an account on %s', (kind) => {
  let world: World;
  let bob: string;
  beforeAll(async () => {
    world = await startWorld({ kind });
    bob = await world.user('bob', { name: 'Bob B.' });
  });
  afterAll(() => world.close());
  afterEach(() => void vi.useRealTimers());

  const pick = async (browser: Browser, params: Record<string, string> = choose): Promise<Seen> => {
    const { seen } = await ask(world, world.web, params, browser);
    expect(isPicker(seen)).toBe(true);
    return seen;
  };
  const select = (browser: Browser, picker: Seen, account: string) =>
    browser.submit(picker, { account }, '/select');
  /** Who is signed in, without asking anybody anything. */
  const present = async (browser: Browser): Promise<unknown> => {
    const { id_token: token } = await world.tokens(world.web, { browser, params: { prompt: 'none' } });
    return decodeJwt(token ?? '').sub;
  };

  it('is nothing to choose in a new browser: the sign-in page comes, and tells of no account', async () => {
    await signedIn(world);
    const { seen } = await ask(world, world.web, choose);
    expect(seen.page).toBe('login');
    expect(isPicker(seen)).toBe(false);
    expect(seen.text).not.toMatch(/alice|bob/i);
  });

  it('goes on with the one that is signed in, without a password and without a new session', async () => {
    const first = await world.tokens(world.web);
    const picker = await pick(first.browser);
    expect(listed(picker)).toEqual([world.userId]);
    expect(picker.text).toContain('Alice Adams');
    const done = replyOf(await select(first.browser, picker, world.userId));
    expect(done.target).toBe(world.web.redirect);
    expect(done.result.get('code')).toBeTruthy();
    expect(await world.introspect(first.access_token)).toMatchObject({ active: true });
  });

  it('asks for the password of another, whose name stands in the form; then the first is signed out', async () => {
    const { browser } = await world.authorize(world.web, { username: 'bob' });
    const alice = await world.tokens(world.web, { browser: await switched(browser, 'alice') });
    const picker = await pick(browser);
    expect(listed(picker)).toEqual([world.userId, bob]);
    const login = await select(browser, picker, bob);
    expect(login.page).toBe('login');
    expect(login.text).toContain('value="bob"');
    expect(await present(browser)).toBe(world.userId); // choosing alone changes nothing
    const wrong = await browser.submit(login, { username: 'bob', password: 'wrong' }, '/login');
    expect(wrong).toMatchObject({ page: 'login', status: 401 });
    expect(replyOf(await passPages(browser, wrong, 'bob')).result.get('code')).toBeTruthy();
    expect(await present(browser)).toBe(bob);
    expect(await world.introspect(alice.access_token)).toEqual({ active: false });
  });

  it('offers an account that is not listed', async () => {
    const browser = await signedIn(world);
    const login = await select(browser, await pick(browser), '');
    expect(login.page).toBe('login');
    expect(login.text).not.toContain('value="alice"');
    expect(replyOf(await passPages(browser, login, 'bob')).result.get('code')).toBeTruthy();
  });

  it('never goes on as somebody by an id alone: neither a listed one nor one of another browser', async () => {
    const stranger = await world.user(`eve-${kind}`);
    const browser = await signedIn(world);
    for (const id of [stranger, bob, 'x', `${world.userId} `]) {
      const seen = await select(browser, await pick(browser), id);
      expect(seen.page).toBe('login');
      expect(seen.text).not.toMatch(/value="(?:eve|bob)/);
    }
    expect(await present(browser)).toBe(world.userId);
  });

  it('asks the one who is signed in for the password where the session does not cover the request', async () => {
    stopTime();
    const browser = await signedIn(world);
    pass(60);
    for (const more of [{ prompt: 'login select_account' }, { ...choose, max_age: '30' }]) {
      const picker = await pick(browser, more);
      const login = await select(browser, picker, world.userId);
      expect(login.page).toBe('login');
      expect(isPicker(login)).toBe(false);
      expect(replyOf(await passPages(browser, login)).result.get('code')).toBeTruthy();
      pass(60);
    }
  });

  it('lists accounts after signing out, at most five, the last one first; one can be taken off', async () => {
    let browser = await signedIn(world);
    const ids = [world.userId];
    for (let count = 0; count < 5; count++) {
      const username = `many-${kind}-${count}`;
      ids.unshift(await world.user(username));
      browser = await switched(browser, username);
    }
    await browser.submit(await browser.go(`${world.url}/logout`), { decision: 'logout' });
    const picker = await pick(browser);
    expect(listed(picker)).toEqual(ids.slice(0, 5));
    const again = await browser.submit(picker, { forget: ids[1] ?? '' }, '/select');
    expect(isPicker(again)).toBe(true);
    expect(listed(again)).toEqual([ids[0], ids[2], ids[3], ids[4]]);
    const login = await select(browser, again, ids[2] ?? '');
    expect(login.text).toContain(`value="many-${kind}-2"`);
    const by = { actor: 'test', scopes: [] };
    await world.app.domain.accounts.setEnabled(ids[0] ?? '', false, by);
    await world.app.domain.accounts.remove(ids[3] ?? '', by);
    expect(listed(await pick(browser))).toEqual([ids[2], ids[4]]);
  });

  it('believes no cookie that it did not make', async () => {
    const browser = await signedIn(world);
    const { portcullis_accounts: value = '' } = browser.cookies;
    expect(value).toMatch(/^[\w-]{60,}$/);
    const own = Buffer.from(JSON.stringify([bob])).toString('base64url');
    for (const made of [own, `${value.slice(0, -4)}AAAA`, bob, 'x', '']) {
      const other = world.browser();
      other.headers['cookie'] = `portcullis_accounts=${made}`;
      const { seen } = await ask(world, world.web, choose, other);
      expect(seen.page).toBe('login');
      expect(isPicker(seen)).toBe(false);
    }
  });

  it('needs the field of its form, and a request that asks for it', async () => {
    const browser = await signedIn(world);
    const picker = await pick(browser);
    const body = new URLSearchParams({ account: world.userId, csrf: 'x' });
    const forged = await browser.request(`${picker.url}/select`, { method: 'POST', body });
    expect(forged).toMatchObject({ status: 403, page: 'error' });
    const { seen } = await ask(world, world.web, { prompt: 'login' }, browser);
    const csrf = /name="csrf" value="([^"]*)"/.exec(seen.text)?.[1] ?? '';
    const other = await browser.request(`${seen.url}/select`, {
      method: 'POST',
      body: new URLSearchParams({ account: world.userId, csrf }),
    });
    expect(other).toMatchObject({ status: 400, page: 'error' });
  });

  it('is never asked with prompt=none: one session is one account, or login_required', async () => {
    const browser = await switched(await signedIn(world), 'bob');
    expect((await ask(world, world.web, { prompt: 'none' }, browser)).error).toBeNull();
    expect((await ask(world, world.web, { prompt: 'none select_account' }, browser)).error).toBe(
      'invalid_request',
    );
    await browser.submit(await browser.go(`${world.url}/logout`), { decision: 'logout' });
    expect((await ask(world, world.web, { prompt: 'none' }, browser)).error).toBe('login_required');
  });

  /** The same browser with somebody else signed in. */
  async function switched(browser: Browser, username: string): Promise<Browser> {
    const { seen } = await ask(world, world.web, { prompt: 'login' }, browser);
    const next = await browser.submit(seen, { username, password: PASSWORD }, '/login');
    expect(replyOf(await passPages(browser, next, username)).result.get('code')).toBeTruthy();
    return browser;
  }
});
