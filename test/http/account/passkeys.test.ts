import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { Authenticator } from '../../support/authenticator.ts';
import type { Browser, Seen } from '../../support/browser.ts';
import { databaseKinds } from '../../support/databases.ts';
import { PASSWORD, startWorld, type World } from '../../support/fixtures.ts';
import { scan, withPassword } from '../support/second-factor.ts';
import { pass, stopTime } from '../support/time.ts';

const unescaped = (text: string): string => text.replaceAll('&quot;', '"').replaceAll('&amp;', '&');
/** What the script of the page asks the browser for. */
const options = (page: Seen): string => unescaped(/data-options="([^"]*)"/.exec(page.text)?.[1] ?? '');
/** The page without the form that only the script shows. */
const without = (page: Seen): string => page.text.replace(/<form[^>]*data-passkey[^]*?<\/form>/, '');

describe.each(databaseKinds)('passkeys on %s', (kind) => {
  let world: World;
  beforeAll(async () => {
    world = await startWorld({ kind, host: 'localhost' });
    stopTime();
  });
  afterAll(async () => {
    vi.useRealTimers();
    await world.close();
  });

  const factors = (browser: Browser): Promise<Seen> => browser.go(`${world.url}/account/factors`);
  /** Signs in, and adds a passkey. */
  const withPasskey = async (username: string, browser = world.browser()) => {
    await world.user(username);
    await withPassword(world, username, browser);
    const page = await factors(browser);
    const key = new Authenticator(world.url);
    // The form of the script is the first on the page.
    const done = await browser.submit(page, { credential: key.create(options(page)), name: 'My key' });
    return { key, done, browser };
  };

  it('come with recovery codes, and are asked for after the password', async () => {
    const { key, done } = await withPasskey('ada');
    expect(done.text.match(/[0-9A-Z]{5}-[0-9A-Z]{5}/g)).toHaveLength(10);
    const browser = world.browser();
    const mfa = await withPassword(world, 'ada', browser);
    expect(mfa.page).toBe('mfa');
    expect((await browser.go(`${world.url}/account`)).page).toBe('login');
    const last = await browser.submit(mfa, { credential: key.get(options(mfa)) }, '/login');
    expect(last.page).toBe('account');
    expect((await factors(browser)).text).toContain('Passkey: <bdi>My key</bdi>');
  });

  it('without a script, the page asks for a recovery code', async () => {
    const { done } = await withPasskey('bea');
    const [code = ''] = done.text.match(/[0-9A-Z]{5}-[0-9A-Z]{5}/g) ?? [];
    const browser = world.browser();
    const mfa = await withPassword(world, 'bea', browser);
    expect(without(mfa)).toContain('One of your recovery codes.');
    expect((await browser.submit({ ...mfa, text: without(mfa) }, { code })).page).toBe('account');
  });

  it('their pages alone have a script, and it is ours', async () => {
    const { browser } = await withPasskey('cleo');
    const page = await factors(browser);
    expect(page.headers.get('content-security-policy')).toContain("script-src 'self';");
    const path = /<script src="([^"]*)" type="module">/.exec(page.text)?.[1] ?? '';
    const script = await fetch(new URL(path, world.url));
    expect([script.status, script.headers.get('content-type')]).toEqual([
      200,
      'text/javascript; charset=utf-8',
    ]);
    const other = await browser.go(`${world.url}/account/apps`);
    expect(other.headers.get('content-security-policy')).toContain("script-src 'none'");
  });

  it('an answer is good once, for the sign-in that asked, and guesses are throttled', async () => {
    const { key } = await withPasskey('dana');
    const [browser, second] = [world.browser(), world.browser()];
    const mfa = await withPassword(world, 'dana', browser);
    const other = await withPassword(world, 'dana', second);
    const credential = key.get(options(mfa));
    const stolen = await second.submit(other, { credential }, '/login');
    expect([stolen.status, stolen.page]).toEqual([401, 'mfa']);
    expect(stolen.text).toContain('Your passkey was not accepted.');
    expect((await browser.submit(mfa, { credential }, '/login')).page).toBe('account');
    expect((await browser.submit(mfa, { credential }, '/login')).status).toBe(401);
    const statuses = [];
    for (let guess = 0; guess < 7; guess++)
      statuses.push((await second.submit(other, { credential: '{}' }, '/login')).status);
    expect(statuses.at(-1)).toBe(429);
  });

  it('a wrong, an old or a foreign answer adds nothing, and the page says so', async () => {
    await world.user('eve');
    const browser = world.browser();
    await withPassword(world, 'eve', browser);
    const page = await factors(browser);
    const key = new Authenticator(world.url);
    for (const credential of [
      '',
      '{}',
      'x',
      new Authenticator('https://evil.example').create(options(page)),
    ]) {
      const refused = await browser.submit(page, { credential });
      expect(refused.status).toBe(422);
      expect(refused.text).toContain('<title>Error: ');
    }
    const credential = key.create(options(page));
    for (const challenge of ['', '!!!', '====', 'A', 'AAAA'])
      expect((await browser.submit(page, { credential, challenge })).status, challenge).toBe(422);
    pass(901);
    expect((await browser.submit(page, { credential })).page).toBe('login');
    expect((await withPassword(world, 'eve', world.browser())).page).toBe('account');
  });

  it('a page that has stood open for more than five minutes adds none before somebody signs in anew', async () => {
    await world.user('finn');
    const browser = world.browser();
    await withPassword(world, 'finn', browser);
    const page = await factors(browser);
    const credential = new Authenticator(world.url).create(options(page));
    pass(301);
    const asked = await browser.submit(page, { credential, name: 'Late' });
    expect(asked.page).toBe('login');
    const back = await browser.submit(asked, { password: PASSWORD }, '/confirm');
    expect(back.text).not.toContain('Late');
    const again = new Authenticator(world.url).create(options(back));
    expect((await browser.submit(back, { credential: again, name: 'In time' })).text).toMatch(
      /[0-9A-Z]{5}-[0-9A-Z]{5}/,
    );
  });

  it('a field from before there was a second factor adds none without it', async () => {
    await world.user('olga');
    const thief = world.browser();
    await withPassword(world, 'olga', thief);
    const page = await factors(thief);
    const setUp = await thief.go(`${world.url}/account/authenticator`);
    const owner = world.browser();
    await withPassword(world, 'olga', owner);
    const own = await factors(owner);
    const key = new Authenticator(world.url);
    await owner.submit(own, { credential: key.create(options(own)), name: 'Own' });
    const stolen = new Authenticator(world.url);
    const refused = await thief.submit(page, { credential: stolen.create(options(page)), name: 'Stolen' });
    expect(refused.page).toBe('login');
    const app = scan(setUp);
    const asked = await thief.submit(setUp, { code: app.code() }, '/account/authenticator');
    expect(asked.page).toBe('login');
    const seen = await factors(owner);
    expect(seen.text).toContain('Passkey: <bdi>Own</bdi>');
    expect(seen.text).not.toContain('Stolen');
    expect(seen.text).not.toContain('remove-app');
  });

  it('one is removed by somebody who has just signed in with it; the password is not enough', async () => {
    const { key, browser } = await withPasskey('fern');
    pass(301);
    const confirm = await factors(browser);
    expect(confirm.page).toBe('login');
    const mfa = await browser.submit(confirm, { password: PASSWORD }, '/account/confirm');
    expect(mfa.page).toBe('mfa');
    const page = await browser.submit(mfa, { credential: key.get(options(mfa)) }, '/account/confirm');
    const form = without(page);
    const removed = await browser.submit(
      { ...page, text: form },
      { decision: 'remove-passkey', passkey_id: key.id },
      '/account/factors',
    );
    expect(removed.text).toContain('Your second factor is removed.');
    expect((await withPassword(world, 'fern', world.browser())).page).toBe('account');
  });

  it('say so in the tokens', async () => {
    const { browser } = await withPasskey('gwen');
    const { access_token: token } = await world.tokens(world.web, { browser, username: 'gwen' });
    const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as object;
    expect(claims).toMatchObject({ acr: 'urn:portcullis:acr:mfa', amr: ['pwd', 'pop', 'mfa'] });
  });

  describe('alone, at sign-in', () => {
    const AMR = ['pop', 'user', 'mfa'];
    /** The form that the script shows, and no other. */
    const alone = (page: Seen): Seen => ({
      ...page,
      text: /<form[^>]*data-passkey="get"[^]*?<\/form>/.exec(page.text)?.[0] ?? '',
    });
    const signInPage = (browser: Browser): Promise<Seen> => browser.go(`${world.url}/account`);
    const send = (browser: Browser, page: Seen, credential: string): Promise<Seen> =>
      browser.submit(alone(page), { credential }, '/account/login');
    const audited = async (userId: string | undefined, type: 'login.failed' | 'login.succeeded') => {
      const where = { type, userId: userId ?? null };
      const rows = await world.app.domain.storage.database.prisma.auditEvent.findMany({ where });
      return rows.map(({ detail }) => JSON.parse(detail) as unknown);
    };
    const idOf = async (username: string): Promise<string> =>
      (await world.app.domain.storage.users.findByUsername(username))?.id ?? '';

    it('are both factors, in the session, the tokens and the audit', async () => {
      const { key } = await withPasskey('hal');
      const browser = world.browser();
      const page = await signInPage(browser);
      expect(JSON.parse(options(page))).toMatchObject({ allowCredentials: [], userVerification: 'required' });
      expect(page.text).toMatch(/name="username"[^>]*autocomplete="username"/);
      const account = await send(browser, page, key.get(options(page)));
      expect(account.page).toBe('account');
      expect(await audited(await idOf('hal'), 'login.succeeded')).toContainEqual({ amr: AMR });
      // Good for what needs the second factor, without another question.
      expect((await factors(browser)).text).toContain('<bdi>My key</bdi>');
      const { access_token: token } = await world.tokens(world.web, { browser, username: 'nobody' });
      const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as object;
      expect(claims).toMatchObject({ acr: 'urn:portcullis:acr:mfa', amr: AMR });
    });

    it('lead on to the app that one came from', async () => {
      const { key } = await withPasskey('ivy');
      const browser = world.browser();
      const query = new URLSearchParams({
        client_id: world.web.id,
        redirect_uri: world.web.redirect,
        response_type: 'code',
        scope: 'openid',
        code_challenge: 'x'.repeat(43),
        code_challenge_method: 'S256',
      });
      const page = await browser.go(`${world.url}/authorize?${query.toString()}`);
      const next = await browser.submit(alone(page), { credential: key.get(options(page)) }, '/login');
      expect(next.page).toBe('consent');
    });

    it('are refused when they have not verified their user, and when they name another one', async () => {
      const { key } = await withPasskey('jon');
      const browser = world.browser();
      const page = await signInPage(browser);
      const userHandle = Buffer.from(world.userId).toString('base64url');
      for (const credential of [
        key.get(options(page), { verified: false }),
        key.get(options(page), { userHandle }),
      ]) {
        const refused = await send(browser, page, credential);
        expect([refused.status, refused.page]).toEqual([401, 'login']);
        expect(refused.text).toContain('This passkey is not accepted here.');
      }
      expect(await audited(await idOf('jon'), 'login.failed')).toContainEqual({ reason: 'wrong passkey' });
      expect((await browser.go(`${world.url}/account`)).page).toBe('login');
    });

    it('answer once, to the page that asked, in the browser that has it, within half an hour', async () => {
      const { key } = await withPasskey('kim');
      const [browser, other] = [world.browser(), world.browser()];
      const page = await signInPage(browser);
      const foreign = await signInPage(other);
      const credential = key.get(options(page));
      expect((await send(other, foreign, credential)).status).toBe(401);
      const asked = /name="asked" value="([^"]*)"/.exec(page.text)?.[1] ?? '';
      const moved = await other.submit(alone(foreign), { credential, asked }, '/account/login');
      expect([moved.status, moved.text.includes('That took too long.')]).toEqual([400, true]);
      expect((await send(browser, page, credential)).page).toBe('account');
      await browser.request(`${world.url}/logout`);
      expect((await send(browser, page, credential)).status).toBe(401);
      const late = await signInPage(other);
      pass(1801);
      expect((await send(other, late, key.get(options(late)))).status).toBe(400);
    });

    it('a disabled user and a key that was never here get the same answer', async () => {
      const { key } = await withPasskey('lea');
      await world.app.domain.accounts.setEnabled(await idOf('lea'), false, { actor: 'test' });
      const browser = world.browser();
      const page = await signInPage(browser);
      const stranger = new Authenticator(world.url);
      stranger.create(JSON.stringify({ challenge: 'x', user: { id: 'x' } }));
      const said = async (credential: string) => {
        const { status, text } = await send(browser, page, credential);
        return [status, text.replace(/value="[^"]*"|data-options="[^"]*"/g, '').replace(/req[\w-]*/g, '')];
      };
      const disabled = await said(key.get(options(page)));
      expect(disabled[0]).toBe(401);
      expect(await said(stranger.get(options(page)))).toEqual(disabled);
      expect(await said('{}')).toEqual(disabled);
    });

    it('guesses are throttled, and keep nobody from a passkey that is right', async () => {
      const { key } = await withPasskey('max');
      const browser = world.browser();
      const page = await signInPage(browser);
      const statuses = [];
      for (let guess = 0; guess < 7; guess++) statuses.push((await send(browser, page, '{"id":"x"}')).status);
      expect(statuses.at(-1)).toBe(429);
      expect((await send(browser, page, key.get(options(page)))).page).toBe('account');
    });

    it('nobody confirms with one that they are somebody else', async () => {
      const { key } = await withPasskey('ned');
      await world.user('oona');
      const browser = world.browser();
      await withPassword(world, 'oona', browser);
      pass(301);
      const confirm = await factors(browser);
      expect(confirm.text).not.toContain('data-passkey');
      const page = await signInPage(world.browser());
      const asked = /name="asked" value="([^"]*)"/.exec(page.text)?.[1] ?? '';
      const credential = key.get(options(page));
      const refused = await browser.submit(confirm, { asked, credential }, '/account/confirm');
      expect([refused.status, refused.page]).toEqual([400, 'login']);
    });
  });
});
