import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { databaseKinds } from '../../support/databases.ts';
import { newPkce, type Browser } from '../../support/browser.ts';
import { PASSWORD, startWorld, type World } from '../../support/fixtures.ts';
import { withPassword } from '../support/second-factor.ts';

describe.each(databaseKinds)('a password that is reset in the middle of an authorization, on %s', (kind) => {
  let world: World;
  beforeAll(async () => {
    world = await startWorld({ kind });
    await world.client({
      client_id: 'ours',
      first_party: true,
      redirect_uris: ['https://ours.example/cb'],
      scope: 'openid orders:read',
    });
  });
  afterAll(() => world.close());

  const families = (userId: string): Promise<number> =>
    world.app.domain.storage.database.prisma.family.count({ where: { userId } });
  const ask = (browser: Browser, more: Record<string, string>) => {
    const query = new URLSearchParams({
      response_type: 'code',
      code_challenge: newPkce().challenge,
      code_challenge_method: 'S256',
      ...more,
    });
    return browser.go(`${world.url}/authorize?${query.toString()}`);
  };
  const reset = (userId: string) =>
    world.app.domain.accounts.setPassword(userId, 'another-good-pass-99', { actor: 'test' });
  /** One interleaving: the reset is committed between the engine's read of the session and that of the user. */
  const resetBeforeUserIsRead = (userId: string): void => {
    const users = world.app.domain.storage.users as { findById: (id: string) => Promise<unknown> };
    const real = users.findById;
    users.findById = async (id) => {
      if (id === userId) {
        users.findById = real;
        await reset(userId);
      }
      return real(id);
    };
  };

  it('leaves nothing to a session from before', async () => {
    const userId = await world.user('session');
    const browser = world.browser();
    await withPassword(world, 'session', browser);
    const consent = await ask(browser, {
      client_id: 'web',
      redirect_uri: world.web.redirect,
      scope: 'openid offline_access orders:read',
      prompt: 'consent',
    });
    expect(consent.page).toBe('consent');
    // The consent page's own reads come before the browser is sent back to the engine.
    browser.go = (url, init) => browser.request(url, init);
    const allowed = await browser.submit(consent, { decision: 'allow' }, '/consent');
    expect(allowed.status).toBe(303);
    Reflect.deleteProperty(browser, 'go');
    resetBeforeUserIsRead(userId);
    const last = await browser.go(allowed.headers.get('location') ?? '');
    expect(last).toMatchObject({ page: 'error', status: 400 }); // the sign-in has expired: begin again
    expect(await families(userId)).toBe(0);
  });

  it('leaves nothing to who signed in with the old one', async () => {
    const userId = await world.user('sign-in');
    const browser = world.browser();
    const form = await ask(browser, {
      client_id: 'ours',
      redirect_uri: 'https://ours.example/cb',
      scope: 'openid orders:read',
    });
    expect(form.page).toBe('login');
    browser.go = (url, init) => browser.request(url, init);
    const signedIn = await browser.submit(form, { username: 'sign-in', password: PASSWORD }, '/login');
    expect(signedIn.status).toBe(303);
    Reflect.deleteProperty(browser, 'go');
    await reset(userId);
    const last = await browser.go(signedIn.headers.get('location') ?? '');
    expect(last).toMatchObject({ page: 'error', status: 400 });
    expect(await families(userId)).toBe(0);
    expect((await browser.go(`${world.url}/account`)).page).toBe('login');
  });
});
