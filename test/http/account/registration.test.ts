import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { PortcullisError } from '../../../src/lib/errors.ts';
import type { Browser, Seen } from '../../support/browser.ts';
import { databaseKinds } from '../../support/databases.ts';
import { PASSWORD, startWorld, type World } from '../../support/fixtures.ts';
import { delivered, mailTo, received } from '../support/mail.ts';
import { strangersOf } from '../support/strangers.ts';
import { pass, stopTime } from '../support/time.ts';

describe.each(databaseKinds)('an account of one’s own on %s', (kind) => {
  let world: World;
  beforeAll(async () => {
    world = await startWorld({
      kind,
      env: { PORTCULLIS_REGISTRATION: 'open', PORTCULLIS_TRUST_PROXY: '1' },
    });
    stopTime();
  });
  afterAll(async () => {
    vi.useRealTimers();
    await world.close();
  });

  const stranger = strangersOf(() => world);
  const ask = async (email: string, browser = stranger()): Promise<Seen> => {
    const form = await browser.go(`${world.url}/account/register`);
    return browser.submit(form, { email }, '/account/register');
  };
  const create = (browser: Browser, page: Seen, fields: Record<string, string>): Promise<Seen> =>
    browser.submit(
      page,
      { new_password: PASSWORD, repeat_password: PASSWORD, ...fields },
      '/account/register',
    );

  it('is offered on the sign-in page, made after the address is confirmed, and signs in', async () => {
    const page = await stranger().go(`${world.url}/account`);
    expect(page.text).toContain('href="/account/register"');
    expect((await ask('ada@new.example')).page).toBe('message');
    const { link } = await mailTo(world, 'ada@new.example');
    const browser = stranger();
    const form = await browser.go(link);
    expect(form.text).toContain('value="ada@new.example"');
    const done = await create(browser, form, { username: 'ada', name: 'Ada Lovelace' });
    expect([done.status, done.page]).toEqual([200, 'message']);
    const login = await browser.go(`${world.url}/account`);
    const profile = await browser.submit(login, { username: 'ada', password: PASSWORD }, '/account/login');
    expect(profile.text).toContain('Ada Lovelace');
    expect(profile.text).toContain('ada@new.example</bdi> <span class="label">confirmed');
    expect((await stranger().go(link)).status).toBe(400);
  });

  it('says the same for an address that is known, which gets another mail', async () => {
    await world.user('bea', { email: 'bea@new.example', email_verified: true });
    const neutral = ({ status, text }: Seen): string => `${status} ${text.replace(/[\w-]{16}(?=<\/)/g, '')}`;
    const known = neutral(await ask('bea@new.example'));
    expect(known).toBe(neutral(await ask('cid@new.example')));
    await delivered(world);
    const [mail] = received(world, 'bea@new.example');
    expect(mail?.text).toContain('You have one already; its username is bea.');
    expect(mail?.link).toBe(`${world.url}/account`);
  });

  it('errors are said beside their fields; what was typed stays, but for passwords; the link is good still', async () => {
    await world.user('taken');
    await ask('dan@new.example');
    const { link } = await mailTo(world, 'dan@new.example');
    const browser = stranger();
    let page = await browser.go(link);
    for (const [fields, said] of [
      [{ username: 'dan', new_password: 'short' }, 'password-error'],
      [{ username: 'dan', repeat_password: 'different' }, 'repeat_password-error'],
      [{ username: '' }, 'username-error'],
      [{ username: 'Taken', name: 'Dan' }, 'username-error'],
      [{ username: 'da\u200bn', name: 'Dan' }, 'username-error'],
      [{ username: 'dan', name: 'x'.repeat(300) }, 'name-error'],
      [
        { username: 'dan', new_password: 'dan@new.example', repeat_password: 'dan@new.example' },
        'password-error',
      ],
    ] as const) {
      page = await create(browser, page, fields);
      expect([page.status, page.page], JSON.stringify(fields)).toEqual([422, 'register']);
      expect(page.text).toContain(said);
      expect(page.text).not.toContain(PASSWORD);
      if ('name' in fields) expect(page.text).toContain(`value="${fields.name}"`);
    }
    expect((await create(browser, page, { username: 'dan' })).status).toBe(200);
  });

  it('a name may be one’s own address, and nobody else’s', async () => {
    await ask('dora@new.example');
    const { link } = await mailTo(world, 'dora@new.example');
    const browser = stranger();
    const form = await browser.go(link);
    const other = await create(browser, form, { username: 'bob@new.example' });
    expect([other.status, other.page]).toEqual([422, 'register']);
    expect((await create(browser, form, { username: 'dora@new.example' })).page).toBe('message');
  });

  it('a link is of no use once its address is confirmed for somebody', async () => {
    await ask('emil@new.example');
    const { link } = await mailTo(world, 'emil@new.example');
    const browser = stranger();
    const form = await browser.go(link);
    await world.user('emil', { email: 'emil@new.example', email_verified: true });
    expect((await create(browser, form, { username: 'second-emil' })).status).toBe(400);
    expect((await world.app.domain.storage.users.findByUsername('second-emil'))?.id).toBeUndefined();
  });

  it('whether a name is taken can be asked a few times, by one link and from one address', async () => {
    await world.user('victim');
    await ask('guy@new.example');
    const { link } = await mailTo(world, 'guy@new.example');
    const guess = async (browser: Browser, path: string, username = 'victim'): Promise<Seen> =>
      create(browser, await browser.go(path), { username });
    const browser = stranger();
    const statuses = [];
    for (let times = 0; times < 7; times++) statuses.push((await guess(browser, link)).status);
    expect(statuses).toEqual([422, 422, 422, 422, 422, 422, 429]);
    const elsewhere = await guess(stranger(), link, 'free-name');
    expect([elsewhere.status, elsewhere.headers.get('retry-after')]).toEqual([429, '1']);
    expect(elsewhere.text).toContain('username-error');
    await ask('gil@new.example');
    const other = await mailTo(world, 'gil@new.example');
    expect((await guess(browser, other.link)).status).toBe(429);
    pass(61);
    expect((await guess(stranger(), link, 'free-name')).status).toBe(200);
  });

  it('a name that is taken costs no hash', async () => {
    await ask('hua@new.example');
    const { link } = await mailTo(world, 'hua@new.example');
    const created = vi.spyOn(world.app.domain.storage.users, 'create');
    const browser = stranger();
    expect((await create(browser, await browser.go(link), { username: 'taken' })).status).toBe(422);
    expect(created).not.toHaveBeenCalled(); // it comes after the hash
    created.mockRestore();
  });

  it('a taken name does not make the link last longer', async () => {
    await ask('iva@new.example');
    const { link } = await mailTo(world, 'iva@new.example');
    pass(1700);
    const browser = stranger();
    const again = await create(browser, await browser.go(link), { username: 'taken' });
    expect(again.status).toBe(422);
    pass(101);
    expect((await create(browser, again, { username: 'iva' })).status).toBe(400);
  });

  it('the link is good still when the server failed', async () => {
    await ask('joy@new.example');
    const { link } = await mailTo(world, 'joy@new.example');
    const failing = vi.spyOn(world.app.domain.storage.users, 'create');
    failing.mockRejectedValueOnce(new PortcullisError('database_unavailable', 503, 'Try again.'));
    const browser = stranger();
    const page = await browser.go(link);
    expect((await create(browser, page, { username: 'joy' })).status).toBe(503);
    failing.mockRestore();
    expect((await create(browser, page, { username: 'joy' })).status).toBe(200);
  });

  it('of parallel uses of a link one wins', async () => {
    await ask('eve@new.example');
    const { link } = await mailTo(world, 'eve@new.example');
    const answers = await Promise.all(
      Array.from({ length: 4 }, async (_, index) => {
        const browser = stranger();
        return create(browser, await browser.go(link), { username: `eve-${index}` });
      }),
    );
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
  });

  it('a link is good for half an hour', async () => {
    await ask('fay@new.example');
    const { link } = await mailTo(world, 'fay@new.example');
    pass(1801);
    expect((await stranger().go(link)).status).toBe(400);
  });

  it.each([
    '',
    'nobody',
    'a@b',
    'a b@c.example',
    `${'x'.repeat(250)}@c.example`,
    'a@c.example\r\nBcc: d@c.example',
  ])('%j is no address', async (email) => {
    const seen = await ask(email);
    expect([seen.status, seen.page]).toEqual([422, 'register']);
  });
});

describe('registration that is closed', () => {
  it('is not there', async () => {
    const world = await startWorld();
    const browser = world.browser();
    for (const query of ['', '?token=x'])
      expect((await browser.go(`${world.url}/account/register${query}`)).status).toBe(404);
    await world.close();
  });
});
