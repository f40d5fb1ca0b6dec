import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { Browser, Seen } from '../../support/browser.ts';
import { databaseKinds } from '../../support/databases.ts';
import { PASSWORD, startWorld, type World } from '../../support/fixtures.ts';
import { delivered, mailTo, received } from '../support/mail.ts';
import { withApp, withPassword } from '../support/second-factor.ts';
import { strangersOf } from '../support/strangers.ts';
import { pass, stopTime } from '../support/time.ts';

const NEXT = 'quiet-meadow-lamp-42';

describe.each(databaseKinds)('another e-mail address on %s', (kind) => {
  let world: World;
  beforeAll(async () => {
    world = await startWorld({ kind, env: { PORTCULLIS_TRUST_PROXY: '1' } });
    stopTime();
  });
  afterAll(async () => {
    vi.useRealTimers();
    await world.close();
  });

  const stranger = strangersOf(() => world);
  const oldOf = (username: string): string => `${username}@mail.example`;
  const newOf = (username: string): string => `${username}@new.example`;
  const user = (username: string, more: Record<string, unknown> = {}): Promise<string> =>
    world.user(username, { email: oldOf(username), email_verified: true, ...more });
  const signedIn = async (username: string): Promise<Browser> => {
    const browser = stranger();
    await withPassword(world, username, browser);
    return browser;
  };
  const ask = async (browser: Browser, email: string): Promise<Seen> =>
    browser.submit(await browser.go(`${world.url}/account/email`), { email }, '/account/email');
  /** Opens a link, and clicks where it is still good. */
  const open = async (browser: Browser, link: string): Promise<Seen> => {
    const page = await browser.go(link);
    return page.status === 200 ? browser.submit(page, {}, '/account/verify') : page;
  };
  const addressOf = async (id: string) => {
    const { email, emailVerified } = await world.app.domain.accounts.get(id);
    return { email, emailVerified };
  };
  const eventsOf = async (userId: string): Promise<string[]> => {
    const rows = await world.app.domain.storage.database.prisma.auditEvent.findMany({ where: { userId } });
    return rows.map(({ type, detail }) => `${type} ${detail}`);
  };

  it('is the account’s once its link was opened there, and not before; the old one is told', async () => {
    const id = await user('ada');
    const browser = await signedIn('ada');
    const profile = await browser.go(`${world.url}/account`);
    expect(profile.text).toContain('href="/account/email"');
    const asked = await ask(browser, ` ${newOf('ada')} `);
    expect(asked.status).toBe(200);
    expect(asked.text).toContain('on its way to the new address');
    const { link, text } = await mailTo(world, newOf('ada'));
    expect(text).toContain('account ada at');
    const warned = received(world, oldOf('ada'));
    expect(warned.map(({ subject }) => subject)).toEqual([expect.stringContaining('is to be changed')]);
    const page = await browser.go(link);
    expect(page.text).toContain(newOf('ada'));
    expect(await addressOf(id)).toEqual({ email: oldOf('ada'), emailVerified: true }); // opening changes nothing
    const done = await browser.submit(page, {}, '/account/verify');
    expect([done.status, done.page]).toEqual([200, 'message']);
    expect(await addressOf(id)).toEqual({ email: newOf('ada'), emailVerified: true });
    await delivered(world);
    const told = received(world, oldOf('ada'));
    expect(told).toHaveLength(2);
    expect(told[1]?.subject).toContain('was changed');
    for (const mail of told) {
      expect(mail.text).not.toMatch(/token=/);
      expect(mail.text).not.toContain(newOf('ada'));
    }
    expect((await open(browser, link)).status).toBe(400); // once
    expect(await eventsOf(id)).toEqual(
      expect.arrayContaining([
        'user.email_change_requested {}',
        'user.updated {"changed":["email","email_verified"]}',
      ]),
    );
    const activity = (await browser.go(`${world.url}/account/activity`)).text;
    expect(activity).toContain('You asked for another email address.');
    expect(activity).toContain('You changed your email address.');
  });

  it('is what apps are told, confirmed', async () => {
    await user('bea', { email_verified: false });
    const { access_token } = await world.tokens(world.web, {
      username: 'bea',
      params: { scope: 'openid email' },
    });
    const claims = async () => {
      const headers = { authorization: `Bearer ${access_token}` };
      return (await (await fetch(`${world.url}/userinfo`, { headers })).json()) as Record<string, unknown>;
    };
    expect(await claims()).toMatchObject({ email: oldOf('bea'), email_verified: false });
    const browser = await signedIn('bea');
    await ask(browser, newOf('bea'));
    await open(browser, (await mailTo(world, newOf('bea'))).link);
    expect(await claims()).toMatchObject({ email: newOf('bea'), email_verified: true });
    expect(received(world, oldOf('bea'))).toEqual([]); // not confirmed: it may be a stranger's
  });

  it('a confirmed address that is typed again is refused, an unconfirmed one is confirmed', async () => {
    const id = await user('ben', { email_verified: false });
    const browser = await signedIn('ben');
    expect((await ask(browser, oldOf('ben'))).status).toBe(200);
    await open(browser, (await mailTo(world, oldOf('ben'))).link);
    expect(await addressOf(id)).toEqual({ email: oldOf('ben'), emailVerified: true });
    const again = await ask(browser, oldOf('ben'));
    expect(again.status).toBe(422);
    expect(again.text).toContain('This is your address already.');
  });

  it('says what is wrong next to the field and in the summary, and keeps what was typed', async () => {
    await user('cid');
    const browser = await signedIn('cid');
    for (const [typed, said] of [
      ['', 'Enter the new email address.'],
      ['cid@', 'This is not an email address.'],
      [`${'a'.repeat(64)}@${'b.'.repeat(100)}example`, 'This is not an email address.'],
    ] as const) {
      const seen = await ask(browser, typed);
      expect(seen.status).toBe(422);
      expect(seen.text).toContain('<title>Error: ');
      expect(seen.text).toContain(`<a href="#email">${said}</a>`);
      expect(seen.text).toContain(`id="email-error">${said}<`);
      expect(seen.text).toContain(`value="${typed}"`);
    }
    await delivered(world);
    expect(received(world, 'cid@')).toEqual([]);
  });

  it('needs a sign-in of the last five minutes, with the second factor of who has one', async () => {
    await user('dan');
    const browser = await signedIn('dan');
    const form = await browser.go(`${world.url}/account/email`);
    pass(301);
    for (const seen of [
      await browser.go(`${world.url}/account/email`),
      await browser.submit(form, { email: newOf('dan') }, '/account/email'),
    ]) {
      expect(seen.page).toBe('login');
      expect(seen.text).toContain('Confirm that it is you');
    }
    const confirm = await browser.go(`${world.url}/account/email`);
    const back = await browser.submit(confirm, { password: PASSWORD }, '/account/confirm');
    expect(back.text).toContain('data-section="email"');

    const id = await user('dot');
    const before = await signedIn('dot');
    const here = stranger();
    const app = await withApp(world, 'dot', here);
    expect((await before.go(`${world.url}/account/email`)).page).toBe('login');
    // The link leads through both steps, too.
    await ask(here, newOf('dot'));
    const { link } = await mailTo(world, newOf('dot'));
    pass(60);
    const other = stranger();
    const second = await other.submit(
      await other.go(link),
      { username: 'dot', password: PASSWORD },
      '/account/login',
    );
    expect(second.page).toBe('mfa');
    const page = await other.submit(second, { code: app.code() }, '/account/login');
    expect((await other.submit(page, {}, '/account/verify')).status).toBe(200);
    expect((await addressOf(id)).email).toBe(newOf('dot'));
    await delivered(world);
    expect(received(world, newOf('dan'))).toEqual([]);
  });

  it('gives the same answer for an address of somebody else, who keeps it and is told', async () => {
    const victim = await user('eve');
    const id = await user('eli');
    const browser = await signedIn('eli');
    const neutral = ({ status, text }: Seen): string =>
      `${status} ${text.replace(/ name="csrf" value="[^"]*"/g, '')}`;
    const free = await ask(browser, newOf('eli'));
    const taken = await ask(browser, oldOf('eve'));
    expect(neutral(taken)).toBe(neutral(free));
    const mail = await mailTo(world, oldOf('eve'));
    expect(mail.text).toContain('account eve already');
    expect(mail.text).not.toContain('token=');
    expect(mail.text).not.toContain('eli');
    expect((await addressOf(id)).email).toBe(oldOf('eli'));
    expect((await addressOf(victim)).email).toBe(oldOf('eve'));
  });

  it('the link is of use to nobody but who is signed in to the account', async () => {
    const id = await user('fay');
    await user('fox');
    const browser = await signedIn('fay');
    await ask(browser, newOf('fay'));
    const { link } = await mailTo(world, newOf('fay'));
    const other = await signedIn('fox');
    expect((await other.go(link)).status).toBe(403);
    const stale = await browser.go(link);
    const token = new URL(link).searchParams.get('token') ?? '';
    const form = await other.go(`${world.url}/account/recover`); // with a CSRF field of that browser
    const forged = { ...form, text: form.text.replaceAll('/account/recover', '/account/verify') };
    expect((await other.submit(forged, { token }, '/account/verify')).status).toBe(403);
    const nobody = stranger();
    const login = await nobody.go(link);
    expect(login.page).toBe('login');
    expect((await addressOf(id)).email).toBe(oldOf('fay'));
    // Whoever signs in there comes back to the link.
    const asked = await nobody.submit(login, { username: 'fay', password: PASSWORD }, '/account/login');
    expect(asked.text).toContain('Change the address');
    expect((await nobody.submit(asked, {}, '/account/verify')).status).toBe(200);
    expect((await addressOf(id)).email).toBe(newOf('fay'));
    expect((await browser.submit(stale, {}, '/account/verify')).status).toBe(400);
  });

  it('the link works for half an hour, and not after a change of password or of address', async () => {
    const id = await user('gus');
    const browser = await signedIn('gus');
    const linked = async (email: string): Promise<string> => {
      expect((await ask(browser, email)).status).toBe(200);
      return (await mailTo(world, email)).link;
    };
    const [first, second] = [await linked('gus1@new.example'), await linked('gus2@new.example')];
    expect((await open(browser, second)).status).toBe(200);
    expect((await open(browser, first)).status).toBe(400);
    const third = await linked('gus3@new.example');
    const form = await browser.go(`${world.url}/account/password`);
    await browser.submit(
      form,
      { current_password: PASSWORD, new_password: NEXT, repeat_password: NEXT },
      '/account/password',
    );
    expect((await open(browser, third)).status).toBe(400);
    const late = await linked('gus4@new.example');
    pass(1801);
    expect((await browser.go(late)).status).toBe(400);
    expect((await addressOf(id)).email).toBe('gus2@new.example');
  });

  it('what was asked for before a change of password comes to nothing, even when the mail is late', async () => {
    const id = await user('gil');
    const browser = await signedIn('gil');
    const { storage } = world.app.domain;
    const { generation } = await world.app.domain.accounts.get(id);
    await world.app.domain.accounts.setPassword(id, NEXT, { actor: 'test' });
    await storage.mails.add({
      kind: 'change',
      locale: 'en',
      userId: id,
      to: newOf('gil'),
      from: oldOf('gil'),
      generation,
    });
    await delivered(world);
    expect(received(world, newOf('gil'))).toEqual([]);
    expect((await browser.go(`${world.url}/account`)).page).toBe('login');
  });

  it('kills the links for a new password that the old address got', async () => {
    await user('hal');
    const reader = stranger();
    const form = await reader.go(`${world.url}/account/recover`);
    await reader.submit(form, { username: 'hal' }, '/account/recover');
    const { link } = await mailTo(world, oldOf('hal'));
    const browser = await signedIn('hal');
    await ask(browser, newOf('hal'));
    await open(browser, (await mailTo(world, newOf('hal'))).link);
    const fields = { new_password: NEXT, repeat_password: NEXT };
    expect((await reader.submit(await reader.go(link), fields, '/account/recover')).status).toBe(400);
  });

  it('of parallel uses of a link one wins', async () => {
    const id = await user('ida');
    const browser = await signedIn('ida');
    await ask(browser, newOf('ida'));
    const { link } = await mailTo(world, newOf('ida'));
    const page = await browser.go(link);
    const answers = await Promise.all(
      Array.from({ length: 4 }, () => browser.submit(page, {}, '/account/verify')),
    );
    expect(answers.map(({ status }) => status).sort((a, b) => a - b)).toEqual([200, 400, 400, 400]);
    expect((await eventsOf(id)).filter((event) => event.startsWith('user.updated'))).toHaveLength(1);
    await delivered(world);
    expect(received(world, oldOf('ida'))).toHaveLength(2);
  });

  it('asking is throttled for the account, whatever the address it is asked from', async () => {
    await user('jan');
    const browser = await signedIn('jan');
    const statuses = [];
    for (let times = 0; times < 7; times++) {
      browser.headers['x-forwarded-for'] = `198.51.100.${times}`;
      const seen = await ask(browser, `jan${times}@new.example`);
      statuses.push(seen.status);
      if (seen.status !== 429) continue;
      expect(Number(seen.headers.get('retry-after'))).toBeGreaterThan(0);
      expect(seen.text).toContain('role="alert"');
      expect(seen.text).toContain(`value="jan${times}@new.example"`);
    }
    expect(statuses).toEqual([200, 200, 200, 200, 200, 200, 429]);
  });

  it('after a change of password, the profile still asks for a mail that confirms the address', async () => {
    await user('kim', { email_verified: false });
    const browser = await signedIn('kim');
    const form = await browser.go(`${world.url}/account/password`);
    const fields = { current_password: PASSWORD, new_password: NEXT, repeat_password: NEXT };
    const profile = await browser.submit(form, fields, '/account/password');
    expect(profile.text).toContain('action="/account/profile"');
  });

  it('speaks German', async () => {
    await user('lea');
    const browser = await signedIn('lea');
    browser.headers['accept-language'] = 'de';
    expect((await ask(browser, newOf('lea'))).text).toContain('auf dem Weg an die neue Adresse');
    const { subject, link } = await mailTo(world, newOf('lea'));
    expect(subject).toContain('Bestätigen Sie Ihre neue Adresse');
    expect((await open(browser, link)).text).toContain('Ihre E-Mail-Adresse ist geändert');
    await delivered(world);
    const told = received(world, oldOf('lea'));
    expect(told.map(({ subject: said }) => said)).toEqual([
      expect.stringContaining('soll geändert werden'),
      expect.stringContaining('wurde geändert'),
    ]);
    for (const { text } of told) expect(text).not.toMatch(/[{}]/);
  });
});
