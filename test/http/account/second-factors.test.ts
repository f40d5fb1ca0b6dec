import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { systemClock } from '../../../src/lib/clock.ts';
import { createThrottle } from '../../../src/users/throttle.ts';
import type { Browser, Seen } from '../../support/browser.ts';
import { databaseKinds } from '../../support/databases.ts';
import { PASSWORD, startWorld, type World } from '../../support/fixtures.ts';
import { scan, withApp, withPassword } from '../support/second-factor.ts';
import { pass, stopTime } from '../support/time.ts';

describe.each(databaseKinds)('a second factor on %s', (kind) => {
  let world: World;
  beforeAll(async () => {
    world = await startWorld({ kind });
    stopTime();
  });
  afterAll(async () => {
    vi.useRealTimers();
    await world.close();
  });

  const factors = (browser: Browser): Promise<Seen> => browser.go(`${world.url}/account/factors`);
  const authenticator = (browser: Browser): Promise<Seen> => browser.go(`${world.url}/account/authenticator`);
  const section = (seen: Seen): string | undefined => /data-section="(\w+)"/.exec(seen.text)?.[1];
  const step = (seen: Seen): string | undefined => /data-step="([\w-]+)"/.exec(seen.text)?.[1];
  const decide = async (browser: Browser, decision: string): Promise<Seen> =>
    browser.submit(await factors(browser), { decision }, '/account/factors');

  it('is set up with a code of the app; the page shows a QR code that needs no script', async () => {
    await world.user('ada');
    const browser = world.browser();
    await withPassword(world, 'ada', browser);
    const page = await authenticator(browser);
    expect(page.text).toMatch(/<svg class="qr" viewBox="0 0 (\d+) \1" role="img" aria-label="[^"]+">/);
    expect(page.headers.get('content-security-policy')).toContain("script-src 'none'");
    const app = scan(page);
    for (const [code, status] of [
      ['', 422],
      ['000000', 422],
    ] as const) {
      const again = await browser.submit(page, { code }, '/account/authenticator');
      expect(again.status).toBe(status);
      expect(again.text).toContain('<title>Error: ');
      expect(scan(again).code()).toBe(app.code()); // the same secret: it is in the app already
    }
    const done = await browser.submit(page, { code: app.code() }, '/account/authenticator');
    expect(step(done)).toBe('codes');
    expect(step(await factors(browser))).toBe('list');
  });

  it('is asked for after the password, and nothing is signed in before', async () => {
    await world.user('bob');
    const app = await withApp(world, 'bob');
    pass(60);
    const browser = world.browser();
    const asked = await withPassword(world, 'bob', browser);
    expect(asked.page).toBe('mfa');
    expect(asked.text).toMatch(/name="code" type="text" autocomplete="one-time-code"/);
    expect((await browser.go(`${world.url}/account`)).page).toBe('login');
    const done = await browser.submit(asked, { code: ` ${app.code().replace(/(...)/, '$1 ')}` }, '/login');
    expect(done.page).toBe('account');
  });

  it('takes each code once', async () => {
    await world.user('carl');
    const app = await withApp(world, 'carl');
    pass(60);
    const [first, second] = [world.browser(), world.browser()];
    const [page, other] = [
      await withPassword(world, 'carl', first),
      await withPassword(world, 'carl', second),
    ];
    expect((await first.submit(page, { code: app.code() }, '/login')).page).toBe('account');
    const replayed = await second.submit(other, { code: app.code() }, '/login');
    expect([replayed.status, replayed.page]).toEqual([401, 'mfa']);
  });

  it('throttles guesses over all browsers, and a right code does not get through meanwhile', async () => {
    await world.user('dora');
    const app = await withApp(world, 'dora');
    pass(60);
    const statuses = [];
    for (let guess = 0; guess < 7; guess++) {
      const browser = world.browser();
      const page = await withPassword(world, 'dora', browser);
      statuses.push((await browser.submit(page, { code: '000000' }, '/login')).status);
    }
    expect(statuses).toEqual([401, 401, 401, 401, 401, 401, 429]);
    const browser = world.browser();
    const page = await withPassword(world, 'dora', browser);
    const refused = await browser.submit(page, { code: app.code() }, '/login');
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '1']);
    pass(61);
    expect((await browser.submit(page, { code: app.code() }, '/login')).page).toBe('account');
  });

  it('a right code that comes while others use up the guesses is too late', async () => {
    const id = await world.user('duna');
    const app = await withApp(world, 'duna');
    pass(60);
    const browser = world.browser();
    const page = await withPassword(world, 'duna', browser);
    const { throttles, dataKeys, secondFactors } = world.app.domain.storage;
    const throttle = createThrottle(throttles, dataKeys, systemClock);
    const used = vi.spyOn(secondFactors, 'useStep').mockImplementation(async () => {
      const budgets = throttle.forSecondFactor(id, '203.0.113.200');
      for (let guess = 0; guess < 6; guess++) expect(await throttle.fail(budgets)).toBeUndefined();
      return true;
    });
    const late = await browser.submit(page, { code: app.code() }, '/login');
    used.mockRestore();
    expect([late.status, late.page]).toEqual([429, 'mfa']);
    expect((await browser.go(`${world.url}/account`)).page).toBe('login');
  });

  it('lets a recovery code in once, and tells how many are left', async () => {
    await world.user('emil');
    const { recoveryCodes } = await withApp(world, 'emil');
    const [code = ''] = recoveryCodes;
    const browser = world.browser();
    const page = await withPassword(world, 'emil', browser);
    expect((await browser.submit(page, { code: code.toLowerCase() }, '/login')).page).toBe('account');
    expect((await factors(browser)).text).toContain('Left: 9');
    const again = world.browser();
    const other = await withPassword(world, 'emil', again);
    expect((await again.submit(other, { code }, '/login')).status).toBe(401);
  });

  it('the first step is good for ten minutes, in the browser where it was made, for this sign-in', async () => {
    await world.user('fay');
    const app = await withApp(world, 'fay');
    pass(60);
    const browser = world.browser();
    const page = await withPassword(world, 'fay', browser);
    const pending = /name="pending" value="([^"]*)"/.exec(page.text)?.[1] ?? '';
    const stranger = world.browser();
    const login = await stranger.go(`${world.url}/account`);
    const stolen = await stranger.submit(login, { pending, code: app.code() }, '/account/login');
    expect([stolen.status, stolen.page]).toEqual([400, 'login']);
    for (const wrong of ['', 'x', pending.slice(2), `${pending.slice(0, -4)}AAAA`]) {
      const answer = await browser.submit(page, { pending: wrong, code: app.code() }, '/login');
      expect(answer.page).toBe('login');
    }
    pass(601);
    const late = await browser.submit(page, { code: app.code() }, '/login');
    expect([late.status, late.page]).toEqual([400, 'login']);
    expect(late.text).toContain('That took too long.');
  });

  it('the first step is worth nothing once the password was changed', async () => {
    const id = await world.user('gina');
    const app = await withApp(world, 'gina');
    pass(60);
    const browser = world.browser();
    const page = await withPassword(world, 'gina', browser);
    await world.app.domain.accounts.setPassword(id, 'quiet-meadow-lamp-42', { actor: 'test' });
    expect((await browser.submit(page, { code: app.code() }, '/login')).page).toBe('login');
  });

  it('is changed only by somebody who signed in within five minutes', async () => {
    await world.user('hugo');
    const browser = world.browser();
    const app = await withApp(world, 'hugo', browser);
    pass(301);
    const uid = async (): Promise<string> =>
      (await world.app.domain.storage.sessions.find(browser.cookies['portcullis_session'] ?? ''))?.uid ?? '';
    const session = await uid();
    const confirm = await factors(browser);
    expect(confirm.page).toBe('login');
    expect(confirm.text).toContain('Confirm that it is you');
    const wrong = await browser.submit(confirm, { password: 'not-the-password' }, '/account/confirm');
    expect(wrong.status).toBe(401);
    const mfa = await browser.submit(confirm, { password: PASSWORD }, '/account/confirm');
    expect(mfa.page).toBe('mfa');
    const back = await browser.submit(mfa, { code: app.code() }, '/account/confirm');
    expect(section(back)).toBe('factors');
    expect(step(back)).toBe('list');
    expect(await uid()).toBe(session); // the same session: families that hang on it live on
    expect((await decide(browser, 'remove-app')).text).toContain('Your second factor is removed.');
    const later = world.browser();
    expect((await withPassword(world, 'hugo', later)).page).toBe('account');
  });

  it('a form that was sent after those five minutes asks first', async () => {
    await world.user('ines');
    const browser = world.browser();
    await withApp(world, 'ines', browser);
    const page = await factors(browser);
    pass(301);
    const asked = await browser.submit(page, { decision: 'remove-app' }, '/account/factors');
    expect(asked.page).toBe('login');
    pass(30);
    const later = world.browser();
    expect((await withPassword(world, 'ines', later)).page).toBe('mfa');
  });

  it('a password is enough neither to remove it nor to change the password', async () => {
    await world.user('jack');
    const before = world.browser();
    await withPassword(world, 'jack', before); // before there was a second factor
    await withApp(world, 'jack');
    for (const name of ['factors', 'password']) {
      const asked = await before.go(`${world.url}/account/${name}`);
      expect(asked.page).toBe('login');
      const mfa = await before.submit(asked, { password: PASSWORD }, '/account/confirm');
      expect(mfa.page).toBe('mfa');
    }
  });

  it('gives new recovery codes in place of the old ones, shown once', async () => {
    await world.user('kate');
    const browser = world.browser();
    const { recoveryCodes } = await withApp(world, 'kate', browser);
    const renewed = await decide(browser, 'codes');
    const codes = renewed.text.match(/[0-9A-Z]{5}-[0-9A-Z]{5}/g) ?? [];
    expect(codes).toHaveLength(10);
    expect((await factors(browser)).text).not.toMatch(/[0-9A-Z]{5}-[0-9A-Z]{5}/);
    const other = world.browser();
    const page = await withPassword(world, 'kate', other);
    expect((await other.submit(page, { code: recoveryCodes[0] ?? '' }, '/login')).status).toBe(401);
    expect((await other.submit(page, { code: codes[0] ?? '' }, '/login')).page).toBe('account');
  });

  it('is removed by an admin for somebody who has lost it, who is told', async () => {
    const id = await world.user('rosa');
    await withApp(world, 'rosa');
    const token = await world.adminToken();
    const path = `${world.url}/admin/v1/users/${id}/second-factors`;
    const headers = { authorization: `Bearer ${token}` };
    for (let times = 0; times < 2; times++)
      expect((await fetch(path, { method: 'DELETE', headers })).status).toBe(204);
    const browser = world.browser();
    expect((await withPassword(world, 'rosa', browser)).page).toBe('account');
    const { text } = await browser.go(`${world.url}/account/activity`);
    expect(text).toContain('An administrator removed your second factor.');
  });

  it('tells its owner of somebody who knows the password but not the code', async () => {
    await world.user('liam');
    const browser = world.browser();
    await withApp(world, 'liam', browser);
    const thief = world.browser();
    await thief.submit(await withPassword(world, 'liam', thief), { code: '000000' }, '/login');
    const { text } = await browser.go(`${world.url}/account/activity`);
    expect(text).toContain('Somebody entered your password, and then a wrong code.');
  });

  it('a setup that nobody asked for, or that is old, is not taken', async () => {
    await world.user('mona');
    const browser = world.browser();
    await withPassword(world, 'mona', browser);
    const page = await authenticator(browser);
    const app = scan(page);
    for (const setup of ['', '!!!', '====', 'A', 'AAAA']) {
      const forged = await browser.submit(page, { setup, code: app.code() });
      expect([forged.status, step(forged)], setup).toEqual([422, 'set-up']);
    }
    pass(901);
    const late = await browser.submit(page, { code: app.code() }, '/account/authenticator');
    expect(late.page).toBe('login'); // and the five minutes are over too
    expect((await withPassword(world, 'mona', world.browser())).page).toBe('account');
  });

  it('no secret, code or recovery code is in the log or the audit rows', async () => {
    await world.user('nora');
    const { recoveryCodes, code } = await withApp(world, 'nora');
    const written =
      world.log.join('\n') +
      JSON.stringify(
        await world.app.domain.storage.database.prisma.auditEvent.findMany({ select: { detail: true } }),
      );
    for (const secret of [...recoveryCodes, code()]) expect(written).not.toContain(secret);
  });
});
