import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { databaseKinds } from '../../support/databases.ts';
import { PASSWORD, passPages, startWorld, type World } from '../../support/fixtures.ts';
import { ask, replyOf, signedIn } from '../support/authorization.ts';
import { pass, stopTime } from '../support/time.ts';

describe.each(databaseKinds)('the sign-in page on %s', (kind) => {
  let world: World;
  beforeAll(async () => {
    world = await startWorld({ kind });
    stopTime();
  });
  afterAll(async () => {
    vi.useRealTimers();
    await world.close();
  });

  const csrfOf = (text: string): string => /name="csrf" value="([^"]*)"/.exec(text)?.[1] ?? '';

  it('names the client, works without JavaScript and posts what password managers expect', async () => {
    const { seen } = await ask(world, world.web);
    expect(seen.page).toBe('login');
    expect(seen.text).toContain('Web shop');
    expect(seen.text).not.toMatch(/<script/i);
    expect(seen.text).toMatch(/<input[^>]*name="username"[^>]*autocomplete="username"/);
    expect(seen.text).toMatch(/<input[^>]*name="password"[^>]*autocomplete="current-password"/);
  });

  it('audits whose account a wrong password was tried on, and never the name that was typed', async () => {
    const id = await world.user('attacked');
    for (const username of ['ATTACKED', 'no-such-name']) {
      const browser = world.browser();
      const { seen } = await ask(world, world.web, {}, browser);
      await browser.submit(seen, { username, password: 'not the password' }, '/login');
    }
    const data = await world.app.domain.storage.database.prisma.auditEvent.findMany({
      where: { type: 'login.failed' },
      orderBy: { id: 'desc' },
      take: 2,
    });
    expect(new Set(data.map(({ userId }) => userId))).toEqual(new Set([id, null]));
    const text = JSON.stringify(data, (_name, value: unknown) =>
      typeof value === 'bigint' ? `${value}` : value,
    );
    expect(text.toLowerCase()).not.toMatch(/attacked|no-such-name/);
  });

  it('says the same for a wrong password and for an unknown user, but for what was typed', async () => {
    await world.user('somebody');
    const answers = [];
    for (const username of ['somebody', 'nobody-at-all']) {
      const browser = world.browser();
      const { seen } = await ask(world, world.web, {}, browser);
      const answer = await browser.submit(seen, { username, password: 'not the password' }, '/login');
      const same = (text: string): string =>
        text
          .replaceAll(username, 'NAME')
          .replaceAll(csrfOf(answer.text), 'CSRF')
          .replaceAll(new URL(answer.url).pathname, 'PATH');
      answers.push({ status: answer.status, text: same(answer.text), page: answer.page });
    }
    expect(answers[1]).toEqual(answers[0]);
    expect(answers[0]).toMatchObject({ status: 401, page: 'login' });
    expect(answers[0]?.text).not.toContain('not the password');
  });

  it('asks for what is missing', async () => {
    const browser = world.browser();
    const { seen } = await ask(world, world.web, {}, browser);
    for (const form of [{ username: 'alice' }, { password: PASSWORD }, {}]) {
      expect(await browser.submit(seen, form, '/login')).toMatchObject({ status: 400, page: 'login' });
    }
  });

  it('refuses a form without its CSRF field, with a made-up one, or with another sign-in’s', async () => {
    const browser = world.browser();
    const { seen } = await ask(world, world.web, {}, browser);
    const foreign = csrfOf((await ask(world, world.web)).seen.text);
    const action = `${seen.url}/login`;
    for (const csrf of [undefined, '', 'x', foreign, csrfOf(seen.text).slice(1)]) {
      const body = new URLSearchParams({ username: 'alice', password: PASSWORD });
      if (csrf !== undefined) body.set('csrf', csrf);
      const answer = await browser.request(action, { method: 'POST', body });
      expect(answer).toMatchObject({ status: 403, page: 'error' });
      expect(answer.text).toContain('invalid_csrf');
    }
    const twice = new URLSearchParams({ username: 'alice', password: PASSWORD, csrf: csrfOf(seen.text) });
    twice.append('csrf', csrfOf(seen.text));
    expect((await browser.request(action, { method: 'POST', body: twice })).status).toBe(403);
    // None of it has cost the sign-in anything.
    expect(replyOf(await passPages(browser, seen)).result.get('code')).toBeTruthy();
  });

  it('cannot be opened in another browser, which is shown the way back', async () => {
    const browser = world.browser();
    const { seen } = await ask(world, world.web, {}, browser);
    const stranger = world.browser();
    for (const init of [
      {},
      {
        method: 'POST',
        body: new URLSearchParams({ username: 'alice', password: PASSWORD, csrf: csrfOf(seen.text) }),
      },
    ]) {
      const path = 'method' in init ? '/login' : '';
      const answer = await stranger.request(seen.url + path, init);
      expect(answer).toMatchObject({ status: 400, page: 'error' });
      expect(answer.text).toContain('<code>expired</code>');
      expect(answer.text).toMatch(/<a [^>]*href="https:\/\/shop\.example\/?"/);
      expect(Object.keys(stranger.cookies)).toEqual([]);
    }
    expect(replyOf(await passPages(browser, seen)).result.get('code')).toBeTruthy();
  });

  it('has expired after an hour, and then offers the account page', async () => {
    const browser = world.browser();
    const { seen } = await ask(world, world.web, {}, browser);
    pass(3700);
    const answer = await browser.request(seen.url);
    expect(answer).toMatchObject({ status: 400, page: 'error' });
    expect(answer.text).toContain('href="/account"');
  });

  it('is used up by its answer: the way back to it and the answer’s own address are refused', async () => {
    const browser = world.browser();
    const { seen } = await ask(world, world.web, { scope: 'openid' }, browser);
    const form = new URLSearchParams({ username: 'alice', password: PASSWORD, csrf: csrfOf(seen.text) });
    const done = await browser.request(`${seen.url}/login`, { method: 'POST', body: form });
    expect(done.status).toBe(303);
    const resume = done.headers.get('location') ?? '';
    await passPages(browser, await browser.go(resume));
    const again = await browser.go(resume);
    expect(again).toMatchObject({ status: 400, page: 'error' });
    expect(again.text).toContain('<code>expired</code>');
    expect(await world.browser().go(resume)).toMatchObject({ status: 400, page: 'error' });
  });

  it('gives the browser a new session id', async () => {
    const browser = await signedIn(world);
    const before = browser.cookies['portcullis_session'] ?? '';
    const { seen } = await ask(world, world.web, { prompt: 'login' }, browser);
    await passPages(browser, seen);
    const after = browser.cookies['portcullis_session'] ?? '';
    expect(before).not.toBe('');
    expect(after).not.toBe(before);
    // And the old one is nobody's any more.
    const thief = world.browser();
    const stolen = await thief.request(
      `${world.url}/authorize?client_id=web&response_type=code&scope=openid&state=s&prompt=none&code_challenge=${'x'.repeat(43)}&code_challenge_method=S256`,
      {
        headers: { cookie: `portcullis_session=${before}; portcullis_session.sig=x` },
      },
    );
    expect(stolen.headers.get('location')).toContain('login_required');
  });

  it('keeps its cookies from scripts and from other sites', async () => {
    const first = await world
      .browser()
      .request(
        `${world.url}/authorize?client_id=web&response_type=code&scope=openid&state=s&code_challenge=${'x'.repeat(43)}&code_challenge_method=S256`,
      );
    const cookies = first.headers.getSetCookie();
    expect(cookies.length).toBeGreaterThan(0);
    for (const cookie of cookies) {
      expect(cookie).toMatch(/; httponly/i);
      expect(cookie).toMatch(/; samesite=lax/i);
    }
  });

  it('throttles guessing with 429 and Retry-After, the right password included, until the time has passed', async () => {
    await world.user('guessed');
    const browser = world.browser();
    const { seen } = await ask(world, world.web, { scope: 'openid' }, browser);
    const attempt = (password: string) => browser.submit(seen, { username: 'guessed', password }, '/login');
    let last = await attempt('wrong guess');
    for (let tries = 0; tries < 10 && last.status === 401; tries++) last = await attempt('wrong guess');
    last = await attempt('wrong guess');
    expect(last).toMatchObject({ status: 429, page: 'login' });
    const wait = Number(last.headers.get('retry-after'));
    expect(wait).toBeGreaterThanOrEqual(1);
    expect((await attempt(PASSWORD)).status).toBe(429);
    // An unknown name is throttled in the same way.
    let unknown = await browser.submit(seen, { username: 'not-there', password: 'x' }, '/login');
    for (let tries = 0; tries < 10 && unknown.status === 401; tries++)
      unknown = await browser.submit(seen, { username: 'not-there', password: 'x' }, '/login');
    unknown = await browser.submit(seen, { username: 'not-there', password: 'x' }, '/login');
    expect(unknown.status).toBe(429);
    pass(wait + 1);
    expect(replyOf(await passPages(browser, seen, 'guessed')).result.get('code')).toBeTruthy();
  });

  it.each([
    ['a NUL', { username: 'ali\u0000ce', password: 'x' }],
    ['a very long name', { username: 'x'.repeat(30_000), password: 'x' }],
    ['a very long password', { username: 'alice', password: 'x'.repeat(30_000) }],
    ['markup', { username: '"><script>alert(1)</script>', password: 'x' }],
    ['line breaks', { username: 'a\r\nset-cookie: x=y', password: 'x' }],
    ['names of the language', { username: '__proto__', password: 'constructor' }],
    ['unusual letters', { username: '\u202E\uFEFF☃𝕏', password: '☃' }],
    ['noncharacters', { username: '\uFFFE\uFFFF', password: '\uFFFF' }],
  ])('answers %s with a page, never a server error', async (_name, form) => {
    const browser = world.browser();
    const { seen } = await ask(world, world.web, {}, browser);
    const answer = await browser.submit(seen, form, '/login');
    expect([400, 401, 429]).toContain(answer.status);
    expect(['login', 'error']).toContain(answer.page);
    expect(answer.text).not.toContain('<script>alert');
    expect(answer.headers.get('set-cookie') ?? '').not.toContain('x=y');
  });

  it.each([
    '/interaction/nothing',
    '/interaction/x/login',
    '/interaction/__proto__',
    `/interaction/${'x'.repeat(3000)}`,
  ])('is not found at %.40s', async (path) => {
    const init = path.endsWith('/login') ? { method: 'POST', body: new URLSearchParams({ a: 'b' }) } : {};
    expect(await world.browser().request(world.url + path, init)).toMatchObject({
      status: 400,
      page: 'error',
    });
  });

  it.each(['/interaction/x/toString', '/interaction/x/__proto__', '/interaction/x/other'])(
    'has no step at %s',
    async (path) => {
      const answer = await world
        .browser()
        .request(world.url + path, { method: 'POST', body: new URLSearchParams({ a: 'b' }) });
      expect(answer.status).toBe(404);
    },
  );

  it('ends the session that has grown too old, or that was not used for too long', async () => {
    const brief = await startWorld({
      kind,
      env: { PORTCULLIS_SESSION_IDLE_TTL: '100', PORTCULLIS_SESSION_MAX_TTL: '250' },
    });
    try {
      const { browser } = await brief.authorize(brief.web, { params: { scope: 'openid' } });
      const silent = () => ask(brief, brief.web, { prompt: 'none', scope: 'openid' }, browser);
      pass(90);
      expect((await silent()).error).toBeNull();
      pass(90);
      expect((await silent()).error).toBeNull(); // it was used in between
      pass(75);
      expect((await silent()).error).toBe('login_required'); // 255 s since sign-in
      const again = await brief.authorize(brief.web, { browser, params: { scope: 'openid' } });
      pass(101);
      const reply = await ask(brief, brief.web, { prompt: 'none', scope: 'openid' }, again.browser);
      expect(reply.error).toBe('login_required');
    } finally {
      await brief.close();
    }
  });
});
