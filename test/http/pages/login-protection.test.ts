/** Guessing passwords is slow, and costs those who are guessed at nothing. */
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { systemClock } from '../../../src/lib/clock.ts';
import { createThrottle } from '../../../src/users/throttle.ts';
import { Browser, type Seen } from '../../support/browser.ts';
import { databaseKinds } from '../../support/databases.ts';
import { PASSWORD, startWorld, type World } from '../../support/fixtures.ts';
import { startTestServer, type TestServer } from '../../support/server.ts';
import { ask } from '../support/authorization.ts';
import { pass, stopTime } from '../support/time.ts';

const WRONG = 'not the password';
const DEVICE = 'portcullis_device';

describe.each(databaseKinds)('guessing on %s', (kind) => {
  let world: World;
  let other: TestServer;
  let people = 0;
  let hosts = 0;
  beforeAll(async () => {
    world = await startWorld({ kind, env: { PORTCULLIS_TRUST_PROXY: '1' } });
    const { databaseUrl, secretKeys } = world;
    other = await startTestServer({ databaseUrl, secretKeys, env: { PORTCULLIS_TRUST_PROXY: '1' } });
    stopTime();
  });
  afterAll(async () => {
    vi.useRealTimers();
    await other.close();
    await world.close();
  });

  const throttle = () => {
    const { throttles, dataKeys } = world.app.domain.storage;
    return createThrottle(throttles, dataKeys, systemClock);
  };
  /** Failures of strangers, each at another address, after a wait. */
  const fail = async (username: string, count: number, seconds = 0): Promise<void> => {
    pass(seconds);
    for (let i = 0; i < count; i++) {
      const ip = `198.18.${++hosts >> 8}.${hosts & 255}`;
      expect(await throttle().fail(throttle().forLogin({ username, ip }))).toBeUndefined();
    }
  };
  /** A user whom nobody has guessed at yet. */
  const newUser = async (): Promise<string> => {
    const username = `person-${people++}`;
    await world.user(username);
    return username;
  };
  /** A browser at an address that nobody has used yet, or at this one. */
  const browserAt = (ip = `198.51.${Math.floor(++hosts / 250)}.${hosts % 250}`, url = world.url): Browser =>
    new Browser(url, { 'x-forwarded-for': ip });
  const account = { ends: '/account/login', start: (browser: Browser) => browser.go('/account') };
  const client = {
    ends: '/login',
    start: async (browser: Browser) => (await ask(world, world.web, { prompt: 'login' }, browser)).seen,
  };
  const signIn = async (
    browser: Browser,
    username: string,
    password = PASSWORD,
    { start, ends } = client,
  ): Promise<Seen> => browser.submit(await start(browser), { username, password }, ends);
  /** What a sign-in came to: in, or the status of its page and Retry-After. */
  const outcome = ({ page, status, headers }: Seen): string =>
    page === 'login' ? [status, headers.get('retry-after')].filter(Boolean).join(' ') : 'in';
  const times = async (count: number, work: () => Promise<Seen>): Promise<string[]> => {
    const outcomes: string[] = [];
    for (let i = 0; i < count; i++) outcomes.push(outcome(await work()));
    return outcomes;
  };
  /** A browser with this cookie of a known one, and nothing else of it. */
  const withDevice = (value: string): Browser => {
    const browser = browserAt();
    const { request } = browser;
    browser.request = (url, init) => {
      const own = Object.entries(browser.cookies).map(([name, each]) => `${name}=${each}`);
      const cookie = [...own.filter((each) => !each.startsWith(DEVICE)), `${DEVICE}=${value}`].join('; ');
      return request.call(browser, url, { ...init, headers: { ...(init?.headers as object), cookie } });
    };
    return browser;
  };
  /** Uses up an account's budget, each time from another address. */
  const lockOut = async (username: string): Promise<void> => {
    await fail(username, 6);
    expect(outcome(await signIn(browserAt(), username))).toBe('429 1');
  };

  describe.each([
    ['for a client', client],
    ['for the account pages', account],
  ])('%s', (_where, by) => {
    it('by a stranger does not hinder the browser in which the user has signed in before', async () => {
      const username = await newUser();
      const laptop = browserAt();
      expect(outcome(await signIn(laptop, username, PASSWORD, by))).toBe('in');
      const guess = () => signIn(browserAt(), username, WRONG, by);
      expect(await times(7, guess)).toEqual([...Array<string>(6).fill('401'), '429 1']);
      expect(outcome(await signIn(browserAt(), username, PASSWORD, by))).toBe('429 1');
      expect(outcome(await signIn(laptop, username))).toBe('in');
      // Signed out it is known all the same, at whatever address.
      const later = withDevice(laptop.cookies[DEVICE] ?? '');
      expect(outcome(await signIn(later, username, PASSWORD, by))).toBe('in');
    });
  });

  it('at an address that is used up does not hinder a known browser there', async () => {
    const shared = '192.0.2.77';
    const [username, neighbour] = [await newUser(), await newUser()];
    const known = browserAt(shared);
    expect(outcome(await signIn(known, username))).toBe('in');
    for (let i = 0; i < 51; i++) {
      await throttle().fail(throttle().forLogin({ username: `nobody-${i}`, ip: shared }));
    }
    expect(outcome(await signIn(browserAt(shared), neighbour))).toBe('429 1');
    expect(outcome(await signIn(known, username))).toBe('in');
  });

  it('in a known browser uses up that browser’s budget alone', async () => {
    const username = await newUser();
    const [laptop, phone] = [browserAt(), browserAt()];
    for (const each of [laptop, phone]) expect(outcome(await signIn(each, username))).toBe('in');
    expect(await times(7, () => signIn(laptop, username, WRONG))).toEqual([
      ...Array<string>(6).fill('401'),
      '429 1',
    ]);
    expect(outcome(await signIn(laptop, username))).toBe('429 1');
    expect(outcome(await signIn(phone, username))).toBe('in');
    expect(outcome(await signIn(browserAt(), username))).toBe('in');
    pass(1);
    expect(outcome(await signIn(laptop, username))).toBe('in');
  });

  it('takes longer after each failure, and says how long', async () => {
    const username = await newUser();
    const guess = () => signIn(browserAt(), username, WRONG);
    await fail(username, 6);
    for (const seconds of [1, 2, 4]) {
      expect(await times(2, guess)).toEqual([`429 ${seconds}`, `429 ${seconds}`]);
      pass(seconds - 1);
      expect(outcome(await guess())).toBe('429 1');
      pass(1);
      expect(outcome(await guess())).toBe('401');
    }
    await fail(username, 1, 8);
    expect(outcome(await guess())).toBe('429 16');
  });

  it('at once, on two nodes, gets no more tries than one after the other; the right one comes too late', async () => {
    const username = await newUser();
    const form = async (url: string) => {
      const browser = browserAt(undefined, url);
      return { browser, seen: await browser.go('/account') };
    };
    const forms = await Promise.all(
      Array.from({ length: 24 }, (_, i) => form(i % 2 === 0 ? world.url : other.url)),
    );
    const outcomes = await Promise.all(
      forms.map(async ({ browser, seen }) =>
        outcome(await browser.submit(seen, { username, password: WRONG }, account.ends)),
      ),
    );
    expect(outcomes.filter((each) => each === '401')).toHaveLength(6);
    expect(outcomes.filter((each) => each === '429 1')).toHaveLength(18);
    expect(outcome(await signIn(browserAt(), username))).toBe('429 1');
  });

  it('from one address does not take up the whole queue: others get in', async () => {
    const username = await newUser();
    const { accounts } = world.app.domain;
    const checked = vi.spyOn(accounts, 'authenticate');
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    checked.mockImplementation(async () => {
      await held;
      return { ok: false, userId: undefined };
    });
    const crowd = browserAt();
    const form = await crowd.go('/account');
    const guess = (i: number) =>
      crowd.submit(form, { username: `nobody-${i}`, password: WRONG }, account.ends).then(outcome);
    const waiting = Array.from({ length: 21 }, (_, i) => guess(i));
    expect(await Promise.race(waiting)).toBe('429 1');
    await vi.waitFor(() => expect(checked).toHaveBeenCalledTimes(20));
    checked.mockRestore();
    expect(outcome(await signIn(browserAt(), username))).toBe('in');
    release();
    expect((await Promise.all(waiting)).filter((each) => each === '401')).toHaveLength(20);
    expect(await guess(21)).toBe('401');
  });

  it('is written down once for each block that refuses it; the metric counts all', async () => {
    const username = await newUser();
    const rows = () =>
      world.app.domain.storage.database.prisma.auditEvent.count({ where: { type: 'login.throttled' } });
    const counted = async (): Promise<number> =>
      Number(/logins_total\{outcome="throttled"\} (\d+)/.exec(await world.app.metrics.render())?.[1] ?? 0);
    const browser = browserAt();
    const guess = () => signIn(browser, username, WRONG, account);
    await fail(username, 6);
    const [before, metric] = [await rows(), await counted()];
    expect(await times(8, guess)).toEqual(Array(8).fill('429 1'));
    expect([(await rows()) - before, (await counted()) - metric]).toEqual([1, 8]);
    await fail(username, 1, 1);
    expect(await times(3, guess)).toEqual(Array(3).fill('429 2'));
    expect([(await rows()) - before, (await counted()) - metric]).toEqual([2, 11]);
  });

  it('is what is counted: signing in is not, however often', async () => {
    const username = await newUser();
    const browser = browserAt();
    const counters = () =>
      world.app.domain.storage.database.sql.read(
        'throttles',
        'SELECT failures FROM throttles ORDER BY failures',
      );
    const before = await counters();
    expect(await times(3, () => signIn(browserAt(), username))).toEqual(['in', 'in', 'in']);
    expect(await times(4, () => signIn(browser, username))).toEqual(['in', 'in', 'in', 'in']);
    expect(await counters()).toEqual(before);
    for (let i = 0; i < 2; i++) {
      await fail(username, 5);
      expect(outcome(await signIn(browserAt(), username))).toBe('in'); // and forgets the failures
    }
  });

  it('tells nothing of whether a user exists, is disabled, or has signed in here', async () => {
    const [known, disabled, here] = [await newUser(), await newUser(), await newUser()];
    const { accounts } = world.app.domain;
    const { data } = await accounts.list({}, { limit: 200 });
    await accounts.setEnabled(data.find((user) => user.username === disabled)?.id ?? '', false, {
      actor: 'test',
    });
    const ofHere = browserAt();
    await signIn(ofHere, here);
    const seenOf = async (username: string, browser: () => Browser): Promise<unknown[][]> => {
      const seen: unknown[][] = [];
      for (let i = 0; i < 3; i++) {
        const used = browser();
        const { status, headers, text } = await signIn(used, username, WRONG);
        const plain = text
          .replaceAll(username, 'NAME')
          .replaceAll(/interaction\/[\w-]+/g, 'PATH')
          .replace(/name="csrf" value="[^"]*"/, 'CSRF');
        seen.push([status, headers.get('retry-after'), headers.getSetCookie().length, plain]);
      }
      return seen;
    };
    for (const username of [known, disabled, 'no-such-user']) await fail(username, 4);
    for (let i = 0; i < 4; i++) await signIn(ofHere, here, WRONG);
    const expected = await seenOf(known, browserAt);
    expect(expected.map((each) => each[0])).toEqual([401, 401, 429]);
    for (const username of ['no-such-user', disabled])
      expect(await seenOf(username, browserAt)).toEqual(expected);
    expect(await seenOf(here, () => ofHere)).toEqual(expected);
  });

  describe('is not helped by the cookie of a known browser', () => {
    it('which lets nobody in, names nobody, and is kept from scripts and other sites', async () => {
      const username = await newUser();
      const laptop = browserAt();
      const begun = await client.start(laptop);
      const done = await laptop.request(`${begun.url}/login`, {
        method: 'POST',
        body: new URLSearchParams({
          username,
          password: PASSWORD,
          csrf: /name="csrf" value="([^"]*)"/.exec(begun.text)?.[1] ?? '',
        }),
      });
      const cookie = done.headers.getSetCookie().find((each) => each.startsWith(`${DEVICE}=`)) ?? '';
      expect(cookie).toMatch(
        /^portcullis_device=[\w-]{22}\.[\w-]{43}; path=\/; expires=[^;]+; samesite=lax; httponly$/i,
      );
      expect(cookie).not.toContain(username);
      const thief = withDevice(laptop.cookies[DEVICE] ?? '');
      expect((await thief.go('/account')).page).toBe('login');
    });

    it('unless it was made for this very user by this server', async () => {
      const [victim, attacker] = [await newUser(), await newUser()];
      const [hers, his] = [browserAt(), browserAt()];
      await signIn(hers, victim);
      await signIn(his, attacker);
      await lockOut(victim);
      const [device = '', mark = ''] = (hers.cookies[DEVICE] ?? '').split('.');
      const [ownDevice = '', ownMark = ''] = (his.cookies[DEVICE] ?? '').split('.');
      for (const forged of [
        `${ownDevice}.${ownMark}`,
        `${ownDevice}.${mark}`,
        `${device}.${ownMark}`,
        `${device}.${'A'.repeat(43)}`,
        device,
        '',
        `${device}.${mark}.`,
        'x'.repeat(3000),
      ]) {
        expect(outcome(await signIn(withDevice(forged), victim)), forged).toMatch(/^429/);
      }
      expect(outcome(await signIn(withDevice(`${device}.${mark}`), victim))).toBe('in');
    });

    it('which knows the last five users of a browser', async () => {
      const shared = browserAt();
      const users = await Promise.all(Array.from({ length: 6 }, newUser));
      for (const username of users) expect(outcome(await signIn(shared, username))).toBe('in');
      const device = shared.cookies[DEVICE] ?? '';
      expect(device.split('.')).toHaveLength(6);
      for (const username of users) await lockOut(username);
      const outcomes: string[] = [];
      for (const username of users) outcomes.push(outcome(await signIn(withDevice(device), username)));
      expect(outcomes).toEqual(['429 1', ...Array<string>(5).fill('in')]);
    });
  });
});
