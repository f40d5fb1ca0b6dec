import { statSync, readdirSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { PortcullisError } from '../../../src/lib/errors.ts';
import type { Seen } from '../../support/browser.ts';
import { databaseKinds } from '../../support/databases.ts';
import { PASSWORD, startWorld, type World } from '../../support/fixtures.ts';
import { delivered, mailTo, received } from '../support/mail.ts';
import { withApp, withPassword } from '../support/second-factor.ts';
import { strangersOf } from '../support/strangers.ts';
import { pass, stopTime } from '../support/time.ts';

const NEXT = 'quiet-meadow-lamp-42';

describe.each(databaseKinds)('a forgotten password on %s', (kind) => {
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
  const emailOf = (username: string): string => `${username}@mail.example`;
  const user = (username: string, more: Record<string, unknown> = {}): Promise<string> =>
    world.user(username, { email: emailOf(username), email_verified: true, ...more });
  const ask = async (typed: string, browser = stranger()): Promise<Seen> => {
    const form = await browser.go(`${world.url}/account/recover`);
    expect(form.page).toBe('recover');
    return browser.submit(form, { username: typed }, '/account/recover');
  };
  const set = async (link: string, fields = { new_password: NEXT, repeat_password: NEXT }) => {
    const browser = stranger();
    return browser.submit(await browser.go(link), fields, '/account/recover');
  };
  const signsIn = async (username: string, password: string): Promise<boolean> => {
    const browser = stranger();
    const form = await browser.go(`${world.url}/account`);
    return (await browser.submit(form, { username, password }, '/account/login')).page === 'account';
  };

  it('is offered on the sign-in page', async () => {
    const page = await stranger().go(`${world.url}/account`);
    expect(page.text).toContain('href="/account/recover"');
    expect(page.text).not.toContain('/account/register');
  });

  it('gets a link by mail, with which a new one is chosen: everything of before ends', async () => {
    await user('ada');
    const tokens = await world.tokens(world.web, { username: 'ada' });
    const sent = await ask('ada');
    expect([sent.status, sent.page]).toEqual([200, 'message']);
    const { link, subject, text } = await mailTo(world, emailOf('ada'));
    expect(subject).toContain('Choose a new password');
    expect(text).toContain('account ada at');
    const done = await set(link);
    expect([done.status, done.page]).toEqual([200, 'message']);
    expect(await signsIn('ada', PASSWORD)).toBe(false);
    expect(await signsIn('ada', NEXT)).toBe(true);
    expect(await world.introspect(tokens.access_token)).toEqual({ active: false });
    expect((await world.refresh(world.web, tokens.refresh_token ?? '')).status).toBe(400);
  });

  it('gets the same answer for every name and address, and a mail only where there is a confirmed one', async () => {
    await user('bea');
    await user('bob', { email_verified: false });
    await world.user('ben');
    const neutral = ({ status, text }: Seen): string => `${status} ${text.replace(/[\w-]{16}(?=<\/)/g, '')}`;
    const answers = [];
    for (const typed of [
      'bea',
      emailOf('bea'),
      emailOf('bob'),
      'bob',
      'ben',
      'nobody',
      'nobody@mail.example',
    ])
      answers.push(neutral(await ask(typed)));
    expect(new Set(answers).size).toBe(1);
    await delivered(world);
    expect(received(world, emailOf('bea'))).toHaveLength(2);
    expect(received(world, emailOf('bob'))).toHaveLength(0);
    expect(received(world, 'nobody@mail.example')).toHaveLength(0);
  });

  it('a disabled user gets none', async () => {
    const id = await user('cid');
    await world.app.domain.accounts.setEnabled(id, false, { actor: 'test' });
    await ask('cid');
    await delivered(world);
    expect(received(world, emailOf('cid'))).toHaveLength(0);
  });

  it('the link works once, for half an hour, and not after another change', async () => {
    const id = await user('dan');
    await ask('dan');
    const first = await mailTo(world, emailOf('dan'));
    await ask('dan');
    const second = await mailTo(world, emailOf('dan'));
    expect(second.link).not.toBe(first.link);
    const weak = await set(first.link, { new_password: 'short', repeat_password: 'other' });
    expect(weak.status).toBe(422);
    expect(weak.text).toContain('<title>Error: ');
    expect((await set(first.link)).status).toBe(200);
    for (const link of [first.link, second.link]) {
      const late = await stranger().go(link);
      if (late.page === 'message') expect(late.status).toBe(400);
      else expect((await set(link)).status).toBe(400); // made before the change
    }
    expect(await signsIn('dan', NEXT)).toBe(true);
    await world.app.domain.accounts.setPassword(id, PASSWORD, { actor: 'test' });
    await ask('dan');
    const third = await mailTo(world, emailOf('dan'));
    pass(1801);
    expect((await stranger().go(third.link)).status).toBe(400);
  });

  it('the link is worth nothing once the address was changed, or is no longer confirmed', async () => {
    for (const [username, change] of [
      ['lea', { email: 'lea@elsewhere.example', email_verified: true }],
      ['leo', { email_verified: false }],
    ] as const) {
      const id = await user(username);
      await ask(username);
      const { link } = await mailTo(world, emailOf(username));
      await world.app.domain.accounts.change(id, change, { actor: 'test' });
      expect((await set(link)).status).toBe(400);
      expect(await signsIn(username, NEXT)).toBe(false);
    }
  });

  it('the link is good still when the server failed', async () => {
    await user('mia');
    await ask('mia');
    const { link } = await mailTo(world, emailOf('mia'));
    const failing = vi.spyOn(world.app.domain.storage.users, 'setPassword');
    failing.mockRejectedValueOnce(new PortcullisError('database_unavailable', 503, 'Try again.'));
    expect((await set(link)).status).toBe(503);
    failing.mockRestore();
    expect((await set(link)).status).toBe(200);
    expect((await stranger().go(link)).status).toBe(400);
  });

  it('of parallel uses of a link one wins', async () => {
    await user('eve');
    await ask('eve');
    const { link } = await mailTo(world, emailOf('eve'));
    const pages = await Promise.all(
      Array.from({ length: 4 }, async () => {
        const browser = stranger();
        return { browser, page: await browser.go(link) };
      }),
    );
    const answers = await Promise.all(
      pages.map(({ browser, page }, index) => {
        const next = `${NEXT}-${index}`;
        return browser.submit(page, { new_password: next, repeat_password: next }, '/account/recover');
      }),
    );
    expect(answers.map(({ status }) => status).sort((a, b) => a - b)).toEqual([200, 400, 400, 400]);
  });

  it('a made-up link is no longer good, and neither is one for something else', async () => {
    for (const token of ['x', '__proto__', 'A'.repeat(43), '%00', '%ff']) {
      const page = await stranger().go(`${world.url}/account/recover?token=${token}`);
      expect(page.status).toBeGreaterThanOrEqual(400);
      expect(page.status).toBeLessThan(500);
    }
    await user('fay', { email_verified: false });
    const browser = stranger();
    await withPassword(world, 'fay', browser);
    await browser.submit(await browser.go(`${world.url}/account`), {}, '/account/profile');
    const { link } = await mailTo(world, emailOf('fay'));
    expect((await stranger().go(link.replace('/verify', '/recover'))).status).toBe(400);
  });

  it('does not get around the second factor', async () => {
    await user('gus');
    await withApp(world, 'gus');
    await ask('gus');
    const { link } = await mailTo(world, emailOf('gus'));
    expect((await set(link)).status).toBe(200);
    const browser = stranger();
    const form = await browser.go(`${world.url}/account`);
    const page = await browser.submit(form, { username: 'gus', password: NEXT }, '/account/login');
    expect(page.page).toBe('mfa');
  });

  it('asking is throttled by address; and one mailbox gets a few mails only, whoever asks', async () => {
    await user('hal');
    const browser = stranger();
    const statuses = [];
    for (let times = 0; times < 7; times++) statuses.push((await ask(`nobody-${times}`, browser)).status);
    expect(statuses.at(-1)).toBe(429);
    const seen = await ask('nobody-8', browser);
    expect(seen.text).toContain('value="nobody-8"');
    expect(seen.headers.get('retry-after')).toBeTruthy();
    const spellings = ['hal', 'HAL', '\uff48al', 'h\uff41l', '\uff48\uff41l', emailOf('hal'), emailOf('Hal')];
    for (const typed of [...spellings, ...spellings]) expect((await ask(typed)).status).toBe(200);
    await delivered(world);
    expect(received(world, emailOf('hal')).length).toBeLessThanOrEqual(6);
  });

  it('an empty form says so, and a form without its CSRF field is refused', async () => {
    const browser = stranger();
    const form = await browser.go(`${world.url}/account/recover`);
    const empty = await browser.submit(form, {}, '/account/recover');
    expect([empty.status, empty.page]).toEqual([422, 'recover']);
    const refused = await browser.submit(form, { csrf: 'x', username: 'ada' }, '/account/recover');
    expect(refused.status).toBe(403);
  });

  it('mails speak the language of who asked; only their owner reads the files; the log names no address', async () => {
    await user('ida');
    const browser = stranger();
    browser.headers['accept-language'] = 'de';
    await ask('ida', browser);
    const { subject, text } = await mailTo(world, emailOf('ida'));
    expect(subject).toContain('Neues Passwort');
    expect(text).not.toMatch(/[{}]/);
    for (const name of readdirSync(`${world.dataDir}/mail`))
      expect(statSync(`${world.dataDir}/mail/${name}`).mode & 0o077).toBe(0);
    const log = world.log.join('\n');
    expect(log).toContain('mail.written');
    expect(log).not.toContain('@mail.example');
    expect(log).not.toContain('token=');
  });

  describe('an address', () => {
    it('is confirmed by a click behind the link, not by opening it', async () => {
      await user('jan', { email_verified: false });
      const browser = stranger();
      await withPassword(world, 'jan', browser);
      const profile = await browser.go(`${world.url}/account`);
      expect(profile.text).toContain('not confirmed');
      const asked = await browser.submit(profile, {}, '/account/profile');
      expect(asked.text).toContain('A message is on its way');
      const { link } = await mailTo(world, emailOf('jan'));
      const other = stranger();
      const page = await other.go(link);
      expect((await browser.go(`${world.url}/account`)).text).toContain('not confirmed');
      const done = await other.submit(page, {}, '/account/verify');
      expect([done.status, done.page]).toEqual([200, 'message']);
      expect((await browser.go(`${world.url}/account`)).text).not.toContain('not confirmed');
      expect((await other.submit(page, {}, '/account/verify')).status).toBe(400);
    });

    it('that was changed meanwhile is not confirmed', async () => {
      const id = await user('kim', { email_verified: false });
      const browser = stranger();
      await withPassword(world, 'kim', browser);
      await browser.submit(await browser.go(`${world.url}/account`), {}, '/account/profile');
      const { link } = await mailTo(world, emailOf('kim'));
      await world.app.domain.accounts.change(id, { email: 'other@mail.example' }, { actor: 'test' });
      const page = await browser.go(link);
      expect((await browser.submit(page, {}, '/account/verify')).status).toBe(400);
      expect((await world.app.domain.accounts.get(id)).emailVerified).toBe(false);
    });
  });
});

describe('where there is no mail', () => {
  let world: World;
  beforeAll(async () => {
    const key = Buffer.from(Array.from({ length: 32 }, (_, index) => index));
    world = await startWorld({
      env: { NODE_ENV: 'production', PORTCULLIS_ISSUER: 'https://id.example', HOST: '127.0.0.1' },
      secretKeys: key.toString('base64url'),
    });
  });
  afterAll(() => world.close());

  it('nothing is offered that needs it', async () => {
    const browser = world.browser();
    expect((await browser.go(`${world.url}/account`)).text).not.toContain('/account/recover');
    for (const name of ['recover', 'register', 'verify', 'email'])
      expect((await browser.go(`${world.url}/account/${name}`)).page).toBe('login');
  });
});
