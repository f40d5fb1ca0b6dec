import { decodeJwt } from 'jose';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Browser, Seen } from '../../support/browser.ts';
import { databaseKinds } from '../../support/databases.ts';
import { PASSWORD, startWorld, type TestClient, type Tokens, type World } from '../../support/fixtures.ts';
import { withApp, withPassword, type App } from '../support/second-factor.ts';
import { pass, stopTime } from '../support/time.ts';

const GRANT = 'urn:ietf:params:oauth:grant-type:device_code';
const MFA = 'urn:portcullis:acr:mfa';
const PWD = 'urn:portcullis:acr:password';

interface Device {
  readonly device_code: string;
  readonly user_code: string;
}

/** As an essential claim (OIDC Core 5.5.1.1). */
const acr = (value: unknown): { claims: string } => ({
  claims: JSON.stringify({ id_token: { acr: { essential: true, ...(value as object) } } }),
});

describe.each(databaseKinds)('a device that asks for a certain sign-in, on %s', (kind) => {
  let world: World;
  let tv: TestClient;
  let hurried: TestClient;
  let strong: App;
  beforeAll(async () => {
    stopTime();
    world = await startWorld({ kind });
    const document = {
      token_endpoint_auth_method: 'none',
      grant_types: [GRANT],
      redirect_uris: [],
      scope: 'openid orders:read',
    };
    tv = await world.client({ ...document, client_id: 'tv' });
    hurried = await world.client({ ...document, client_id: 'hurried', default_max_age: 30 });
    await world.user('strong');
    strong = await withApp(world, 'strong');
  });
  afterAll(async () => {
    vi.useRealTimers();
    await world.close();
  });
  beforeEach(() => pass(60)); // an app's code is good once

  const begin = async (more: Record<string, string> = {}, client = tv): Promise<Device> => {
    const form = { scope: 'openid orders:read', ...more };
    const answer = await world.post<Device>('/device_authorization', form, client);
    expect(answer.status).toBe(200);
    return answer.body;
  };
  /** Enters the code in a browser where somebody is signed in. */
  const enter = async (browser: Browser, { user_code }: Device): Promise<Seen> =>
    browser.submit(await browser.go(`${world.url}/device`), { user_code }, '/device');
  const allow = (browser: Browser, page: Seen): Promise<Seen> =>
    browser.submit(page, { decision: 'allow' }, '/device');
  const signIn = (browser: Browser, page: Seen, username = 'alice'): Promise<Seen> =>
    browser.submit(page, { username, password: PASSWORD }, '/account/login');
  const idToken = async ({ device_code }: Device, client = tv) => {
    pass(6);
    const answer = await world.post<Tokens>('/token', { grant_type: GRANT, device_code }, client);
    expect(answer.status).toBe(200);
    return decodeJwt(answer.body.id_token ?? '');
  };
  const waits = async ({ device_code }: Device, client = tv): Promise<void> => {
    pass(6);
    const answer = await world.post('/token', { grant_type: GRANT, device_code }, client);
    expect(answer.body).toMatchObject({ error: 'authorization_pending' });
  };
  const signedIn = async (username = 'alice'): Promise<Browser> => {
    const browser = world.browser();
    await withPassword(world, username, browser);
    return browser;
  };

  it.each([
    ['max_age', { max_age: '60' }, 'tv'],
    ['max_age=0', { max_age: '0' }, 'tv'],
    ['prompt=login', { prompt: 'login' }, 'tv'],
    ['the default_max_age of its client', {}, 'hurried'],
  ] as const)('%s: is let in by a newer sign-in alone', async (_name, more, id) => {
    const client = id === 'tv' ? tv : hurried;
    const browser = await signedIn();
    pass(3600);
    const device = await begin(more, client);
    const asked = await enter(browser, device);
    expect(asked.page).toBe('login');
    await waits(device, client);
    const again = await signIn(browser, asked);
    expect(again.page).toBe('device');
    const done = await allow(browser, await enter(browser, device));
    expect(done.status).toBe(200);
    const now = Math.floor(Date.now() / 1000);
    expect(now - Number((await idToken(device, client))['auth_time'])).toBeLessThanOrEqual(30);
  });

  it('max_age: is let in by a session that is young enough, and judged again when it is allowed', async () => {
    const browser = await signedIn();
    pass(50);
    const device = await begin({ max_age: '60' });
    const page = await enter(browser, device);
    pass(11);
    expect((await allow(browser, page)).page).toBe('login');
    await waits(device);
    const other = await begin({ max_age: '70' });
    expect((await allow(browser, await enter(browser, other))).status).toBe(200);
    expect(await idToken(other)).toHaveProperty('auth_time');
  });

  it('can be refused without signing in again', async () => {
    const browser = await signedIn();
    pass(50);
    const device = await begin({ max_age: '60' });
    const page = await enter(browser, device);
    pass(11);
    await browser.submit(page, { decision: 'deny' }, '/device');
    pass(6);
    const form = { grant_type: GRANT, device_code: device.device_code };
    expect((await world.post('/token', form, tv)).body).toMatchObject({ error: 'access_denied' });
  });

  it('signing in again for it ends nothing that hangs on the session', async () => {
    const { access_token: token, browser } = await world.tokens(world.web);
    pass(60);
    const device = await begin({ prompt: 'login' });
    await signIn(browser, await enter(browser, device));
    expect(await world.introspect(token)).toMatchObject({ active: true });
  });

  it('an essential acr: refuses who has no second factor', async () => {
    const browser = await signedIn();
    for (const wanted of [{ value: MFA }, { values: [MFA, 'other'] }, { value: 'other' }, { values: 'x' }]) {
      const device = await begin(acr(wanted));
      const page = await enter(browser, device);
      expect(page.status).toBe(422);
      expect(page.text).toContain('a way of signing in that your account does not have');
      await waits(device);
    }
  });

  it('an essential acr: asks for the second factor of who has one', async () => {
    const browser = world.browser();
    let page = await withPassword(world, 'strong', browser);
    await browser.submit(page, { code: strong.code() }, '/account/login');
    const device = await begin(acr({ value: MFA }));
    page = await enter(browser, device);
    expect((await allow(browser, page)).status).toBe(200);
    expect(await idToken(device)).toMatchObject({ acr: MFA });
    // Who did more than was asked for did that as well.
    const modest = await begin(acr({ value: PWD }));
    expect((await allow(browser, await enter(browser, modest))).status).toBe(200);
    expect(await idToken(modest)).toMatchObject({ acr: PWD });
  });

  it('an essential acr: a session from before the second factor signs in again', async () => {
    await world.user('later');
    const before = await signedIn('later');
    const app = await withApp(world, 'later');
    const device = await begin(acr({ value: MFA }));
    let page = await enter(before, device);
    expect(page.page).toBe('login');
    await waits(device);
    pass(60);
    page = await signIn(before, page, 'later');
    await before.submit(page, { code: app.code() }, '/account/login');
    expect((await allow(before, await enter(before, device))).status).toBe(200);
    expect(await idToken(device)).toMatchObject({ acr: MFA });
  });
});
