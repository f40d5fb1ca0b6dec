import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { Authenticator } from '../../support/authenticator.ts';
import type { Browser, Seen } from '../../support/browser.ts';
import { databaseKinds } from '../../support/databases.ts';
import { PASSWORD, startWorld, type World } from '../../support/fixtures.ts';
import { withPassword } from '../support/second-factor.ts';
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
    const forged = await browser.submit(page, { credential, challenge: 'AAAA' });
    expect(forged.status).toBe(422);
    pass(901);
    expect((await browser.submit(page, { credential })).page).toBe('login');
    expect((await withPassword(world, 'eve', world.browser())).page).toBe('account');
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
});
