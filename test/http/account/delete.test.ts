import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { databaseKinds } from '../../support/databases.ts';
import { PASSWORD, startWorld, type World } from '../../support/fixtures.ts';
import { startReceiver, type Receiver } from '../../support/receiver.ts';
import { withApp, withPassword } from '../support/second-factor.ts';
import { pass, stopTime } from '../support/time.ts';

describe.each(databaseKinds)('an account that its owner deletes, on %s', (kind) => {
  let receiver: Receiver;
  let world: World;
  beforeAll(async () => {
    receiver = await startReceiver();
    const env = { PORTCULLIS_ACCOUNT_DELETION: 'true', PORTCULLIS_FETCH_ALLOW: receiver.host };
    world = await startWorld({ kind, env });
  });
  afterAll(async () => {
    vi.useRealTimers();
    await world.close();
    await receiver.close();
  });
  const path = (): string => `${world.url}/account/delete`;
  const exists = async (username: string) =>
    (await world.app.domain.storage.users.findByUsername(username)) !== undefined;

  it('is gone with everything that it had, and its apps are told', async () => {
    const id = await world.user('ada');
    const shop = await world.client({
      client_id: 'shop',
      client_name: 'Flower shop',
      redirect_uris: ['https://shop.example/cb'],
      grant_types: ['authorization_code', 'refresh_token'],
      scope: 'openid orders:read',
      backchannel_logout_uri: `${receiver.url}/shop`,
    });
    const browser = world.browser();
    await withPassword(world, 'ada', browser);
    const tokens = await world.tokens(shop, { browser });
    const elsewhere = await world.tokens(world.web, { username: 'ada' });
    expect((await browser.go(`${world.url}/account`)).text).toContain('href="/account/delete"');
    const page = await browser.go(path());
    const done = await browser.submit(page, { typed_username: ' ADA ' }, '/account/delete');
    expect([done.status, done.page]).toEqual([200, 'signed-out']);
    expect(done.text).toContain('Your account is deleted');
    expect(done.text).toContain('<li><bdi>Flower shop</bdi></li>');
    expect(await exists('ada')).toBe(false);
    for (const { access_token: token } of [tokens, elsewhere])
      expect(await world.introspect(token)).toEqual({ active: false });
    expect((await world.refresh(world.web, elsewhere.refresh_token ?? '')).status).toBe(400);
    expect((await browser.go(`${world.url}/account`)).page).toBe('login');
    expect((await elsewhere.browser.go(`${world.url}/account`)).page).toBe('login');
    expect((await withPassword(world, 'ada', world.browser())).status).toBe(401);
    await expect.poll(() => receiver.received.length, { timeout: 20_000 }).toBe(1);
    const { prisma } = world.app.domain.storage.database;
    const rows = await prisma.auditEvent.findMany({ where: { type: 'user.deleted' } });
    expect(rows).toMatchObject([{ actor: `user:${id}`, userId: id }]);
  });

  it('stays until its name is typed', async () => {
    await world.user('bea');
    const browser = world.browser();
    await withPassword(world, 'bea', browser);
    const page = await browser.go(path());
    for (const form of [{}, { typed_username: '' }, { typed_username: 'ada' }]) {
      const refused = await browser.submit(page, form, '/account/delete');
      expect(refused.status).toBe(422);
      expect(refused.text).toContain('<title>Error: ');
    }
    expect(await exists('bea')).toBe(true);
  });

  it('stays unless they have just signed in, with the second factor that they have', async () => {
    await world.user('cleo');
    stopTime();
    const browser = world.browser();
    const app = await withApp(world, 'cleo', browser);
    const page = await browser.go(path());
    expect(page.page).toBe('account');
    pass(301);
    const confirm = await browser.submit(page, { typed_username: 'cleo' }, '/account/delete');
    expect(confirm.page).toBe('login');
    const mfa = await browser.submit(confirm, { password: PASSWORD }, '/account/confirm');
    expect(mfa.page).toBe('mfa');
    expect((await browser.go(path())).page).toBe('login');
    expect(await exists('cleo')).toBe(true);
    const again = await browser.submit(mfa, { code: app.code() }, '/account/confirm');
    const done = await browser.submit(again, { typed_username: 'cleo' }, '/account/delete');
    expect([done.page, await exists('cleo')]).toEqual(['signed-out', false]);
    vi.useRealTimers();
  });

  it('cannot be deleted where the operator has not allowed it', async () => {
    const closed = await startWorld({ kind });
    try {
      const browser = closed.browser();
      const account = await withPassword(closed, 'alice', browser);
      expect(account.text).not.toContain('/account/delete');
      const page = await browser.go(`${closed.url}/account/delete`);
      expect([page.status, page.page]).toEqual([404, 'error']);
      const csrf = /name="csrf" value="([^"]*)"/.exec(
        (await browser.go(`${closed.url}/account/password`)).text,
      );
      const body = new URLSearchParams({ csrf: csrf?.[1] ?? '', typed_username: 'alice' });
      expect((await browser.request(`${closed.url}/account/delete`, { method: 'POST', body })).status).toBe(
        404,
      );
    } finally {
      await closed.close();
    }
  });
});
