import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { tappedDatabase, unavailable } from '../../fault/support/tapped-database.ts';
import type { Browser, Seen } from '../../support/browser.ts';
import { databaseKinds } from '../../support/databases.ts';
import { PASSWORD, startWorld, type TestClient, type Tokens, type World } from '../../support/fixtures.ts';

const GRANT = 'urn:ietf:params:oauth:grant-type:device_code';

interface Device {
  readonly device_code: string;
  readonly user_code: string;
  readonly verification_uri: string;
  readonly verification_uri_complete: string;
}

describe.each(databaseKinds)('device flow (RFC 8628) on %s', (kind) => {
  let world: World;
  let tv: TestClient;
  let now = Date.now();
  const tapped = tappedDatabase();
  beforeAll(async () => {
    world = await startWorld({ kind, clock: { now: () => now }, wrapDatabase: tapped.wrap });
    tapped.watch(world.app.koa);
    tv = await world.client({
      client_id: 'tv',
      client_name: 'Television',
      token_endpoint_auth_method: 'none',
      grant_types: [GRANT, 'refresh_token'],
      redirect_uris: [],
      scope: 'openid offline_access orders:read',
    });
  });
  afterAll(() => world.close());

  const begin = async (): Promise<Device> => {
    const answer = await world.post<Device>('/device_authorization', { scope: 'openid orders:read' }, tv);
    expect(answer.status).toBe(200);
    return answer.body;
  };
  it('refuses a client without the grant as unauthorized_client (RFC 6749, 5.2)', async () => {
    const form = { scope: 'openid' };
    expect(await world.post('/device_authorization', form, world.spa)).toMatchObject({
      status: 400,
      body: { error: 'unauthorized_client' },
    });
  });

  const poll = (device: Device) =>
    world.post<Tokens & { error?: string }>(
      '/token',
      { grant_type: GRANT, device_code: device.device_code },
      tv,
    );
  const later = (): void => {
    now += 6_000;
  };
  const confirmation = async (
    device: Device,
    browser: Browser = world.browser(),
  ): Promise<[Browser, Seen]> => {
    let page = await browser.go(device.verification_uri_complete);
    if (page.page === 'login') {
      page = await browser.submit(page, { username: 'alice', password: PASSWORD }, '/account/login');
    }
    expect(page.page).toBe('device');
    return [browser, await browser.submit(page, { user_code: device.user_code.toLowerCase() }, '/device')];
  };

  it('lets a device in once its person has allowed it', async () => {
    const device = await begin();
    expect((await poll(device)).body.error).toBe('authorization_pending');
    const [browser, page] = await confirmation(device);
    expect(page.text).toContain('Television');
    expect(page.text).toContain('May orders:read');
    const done = await browser.submit(page, { decision: 'allow' }, '/device');
    expect(done.status).toBe(200);
    later();
    const tokens = await poll(device);
    expect(tokens.status).toBe(200);
    expect(await world.introspect(tokens.body.access_token)).toMatchObject({ active: true, client_id: 'tv' });
    expect((await world.userinfo(tokens.body.access_token)).body).toMatchObject({ sub: world.userId });
    expect((await world.refresh(tv, tokens.body.refresh_token ?? '')).status).toBe(200);
  });

  it('a decision is taken from a form of this browser and page alone', async () => {
    const device = await begin();
    const [browser, page] = await confirmation(device);
    for (const csrf of ['', 'x', 'A'.repeat(43)]) {
      const refused = await browser.submit(page, { decision: 'allow', csrf }, '/device');
      expect(refused.status).toBe(403);
    }
    later();
    expect((await poll(device)).body.error).toBe('authorization_pending');
  });

  it.each(['allow', 'deny'])(
    'to %s is one transaction: after a failure the code can be decided on',
    async (decision) => {
      const device = await begin();
      const [browser, page] = await confirmation(device);
      const audited = () =>
        world.app.domain.storage.database.prisma.auditEvent.count({
          where: { type: { in: ['consent.granted', 'consent.denied', 'grant.created'] } },
        });
      const before = await audited();
      // The last thing that is written.
      let left = decision === 'allow' ? 2 : 1;
      tapped.tap = {
        before: (step) => {
          if (step === 'audit.insert' && --left === 0) throw unavailable();
        },
      };
      expect((await browser.submit(page, { decision }, '/device')).status).toBe(503);
      tapped.tap = {};
      expect(await audited()).toBe(before);
      expect((await browser.submit(page, { decision }, '/device')).status).toBe(200);
      expect(await audited()).toBe(before + (decision === 'allow' ? 2 : 1));
      later();
      const answer = await poll(device);
      if (decision === 'allow') expect(answer.status).toBe(200);
      else expect(answer.body.error).toBe('access_denied');
    },
  );

  it('ends the family when a device code is used twice', async () => {
    const device = await begin();
    const [browser, page] = await confirmation(device);
    await browser.submit(page, { decision: 'allow' }, '/device');
    const tokens = await poll(device);
    expect(tokens.status).toBe(200);
    expect((await poll(device)).body.error).toBe('invalid_grant');
    expect(await world.introspect(tokens.body.access_token)).toEqual({ active: false });
  });

  it('outlives the browser session that confirmed it', async () => {
    const device = await begin();
    const [browser, page] = await confirmation(device);
    await browser.submit(page, { decision: 'allow' }, '/device');
    const tokens = await poll(device);
    const logout = await browser.go(`${world.url}/logout`);
    await browser.submit(logout, { decision: 'logout' });
    expect((await browser.go(`${world.url}/account`)).page).toBe('login');
    expect(await world.introspect(tokens.body.access_token)).toMatchObject({ active: true });
  });

  it('tells a device that its person has refused it, and one that polls too often to slow down', async () => {
    const device = await begin();
    expect((await poll(device)).body.error).toBe('authorization_pending');
    expect((await poll(device)).body.error).toBe('slow_down');
    const [browser, page] = await confirmation(device);
    await browser.submit(page, { decision: 'deny' }, '/device');
    expect((await poll(device)).body.error).toBe('access_denied');
  });

  it('takes one decision for each code', async () => {
    const device = await begin();
    const [browser, page] = await confirmation(device);
    await browser.submit(page, { decision: 'allow' }, '/device');
    const again = await browser.submit(page, { decision: 'deny' }, '/device');
    expect(again.status).toBe(422);
    expect((await poll(device)).status).toBe(200);
  });

  it('expires', async () => {
    const device = await begin();
    now += 601_000;
    expect((await poll(device)).status).toBe(400);
    const [, page] = await confirmation(device);
    expect(page.status).toBe(422);
  });

  it('throttles guesses of user codes, with Retry-After', async () => {
    const browser = world.browser();
    let page = await browser.go(`${world.url}/device`);
    page = await browser.submit(page, { username: 'alice', password: PASSWORD }, '/account/login');
    const seen: number[] = [];
    let wait = 0;
    for (let guess = 0; guess < 8; guess++) {
      const answer = await browser.submit(
        page,
        { user_code: `BBBBBBB${'BCDFGHJK'.charAt(guess)}` },
        '/device',
      );
      seen.push(answer.status);
      wait = Number(answer.headers.get('retry-after') ?? 0);
    }
    expect(seen[0]).toBe(422);
    expect(seen.at(-1)).toBe(429);
    expect(wait).toBeGreaterThan(0);
  });
});
