/** What a client may ask of the way in which somebody signs in, where they have a second factor. */
import { decodeJwt } from 'jose';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { Browser, Seen } from '../../support/browser.ts';
import { databaseKinds } from '../../support/databases.ts';
import { PASSWORD, startWorld, type TestClient, type Tokens, type World } from '../../support/fixtures.ts';
import { newPkce } from '../../support/browser.ts';
import { authorizationQuery, ask } from '../support/authorization.ts';
import { withApp, withPassword, type App } from '../support/second-factor.ts';
import { pass, stopTime } from '../support/time.ts';

const MFA = 'urn:portcullis:acr:mfa';
const PWD = 'urn:portcullis:acr:password';

describe.each(databaseKinds)('acr on %s', (kind) => {
  let world: World;
  let client: TestClient;
  let names = 0;
  let username: string;
  beforeAll(async () => {
    world = await startWorld({ kind });
    stopTime();
    client = await world.client({
      client_id: 'bank',
      first_party: true,
      redirect_uris: ['https://bank.example/cb'],
      grant_types: ['authorization_code', 'refresh_token'],
      scope: 'openid orders:read',
    });
  });
  afterAll(async () => {
    vi.useRealTimers();
    await world.close();
  });

  const essential = (...values: string[]) =>
    JSON.stringify({ id_token: { acr: { essential: true, values } } });
  /** Somebody whose session is older than their second factor. */
  const stepable = async (): Promise<{ browser: Browser; app: App }> => {
    username = `user-${names++}`;
    await world.user(username);
    const browser = world.browser();
    await withPassword(world, username, browser);
    const app = await withApp(world, username);
    pass(60);
    return { browser, app };
  };
  const begin = async (browser: Browser, params: Record<string, string> = {}) => {
    const pkce = newPkce();
    const query = authorizationQuery(client, { scope: 'openid', code_challenge: pkce.challenge, ...params });
    return { pkce, seen: await browser.go(`${world.url}/authorize?${query}`) };
  };
  const idToken = async (pkce: { verifier: string }, last: Seen): Promise<Record<string, unknown>> => {
    const answer = await world.post<Tokens>(
      '/token',
      {
        grant_type: 'authorization_code',
        code: new URL(last.url).searchParams.get('code') ?? '',
        redirect_uri: client.redirect,
        code_verifier: pkce.verifier,
      },
      client,
    );
    expect(answer.status).toBe(200);
    return decodeJwt(answer.body.id_token ?? '');
  };

  it('a sign-in with the second factor says so, in both tokens', async () => {
    await world.user('otto');
    const app = await withApp(world, 'otto');
    pass(60);
    const browser = world.browser();
    const { pkce, seen } = await begin(browser);
    const mfa = await browser.submit(seen, { username: 'otto', password: PASSWORD }, '/login');
    expect(mfa.page).toBe('mfa');
    const claims = await idToken(pkce, await browser.submit(mfa, { code: app.code() }, '/login'));
    expect(claims).toMatchObject({ acr: MFA, amr: ['pwd', 'otp', 'mfa'] });
    const tokens = await world.tokens(client, { browser, params: { scope: 'openid orders:read' } });
    expect(decodeJwt(tokens.access_token)).toMatchObject({ acr: MFA, amr: ['pwd', 'otp', 'mfa'] });
  });

  it('a session without it is asked for the second factor alone; auth_time stays the password’s', async () => {
    const { browser, app } = await stepable();
    const before = await begin(browser);
    const first = await idToken(before.pkce, before.seen);
    expect(first).toMatchObject({ acr: PWD });
    pass(60);
    const { pkce, seen } = await begin(browser, { claims: essential(MFA) });
    expect(seen.page).toBe('mfa');
    const wrong = await browser.submit(seen, { code: '000000' }, '/login');
    expect([wrong.status, wrong.page]).toEqual([401, 'mfa']);
    const claims = await idToken(pkce, await browser.submit(wrong, { code: app.code() }, '/login'));
    expect(claims).toMatchObject({ acr: MFA, auth_time: first['auth_time'], sid: first['sid'] });
    const after = await begin(browser, { prompt: 'none', claims: essential(MFA) });
    expect(await idToken(after.pkce, after.seen)).toMatchObject({ acr: MFA });
  });

  it('acr_values asks for it where it can be had, and asks nobody in vain', async () => {
    const { browser } = await stepable();
    expect((await begin(browser, { acr_values: MFA })).seen.page).toBe('mfa');
    expect((await begin(browser, { acr_values: `${PWD} ${MFA}` })).seen.page).toBeUndefined();
    const silent = await begin(browser, { acr_values: MFA, prompt: 'none' });
    expect(await idToken(silent.pkce, silent.seen)).toMatchObject({ acr: PWD });
    await world.user('without');
    const other = world.browser();
    await withPassword(world, 'without', other);
    const { pkce, seen } = await begin(other, { acr_values: MFA });
    expect(await idToken(pkce, seen)).toMatchObject({ acr: PWD });
  });

  it('fails where it is essential and cannot be had', async () => {
    await world.user('lacking');
    const browser = world.browser();
    await withPassword(world, 'lacking', browser);
    const reply = await ask(world, client, { scope: 'openid', claims: essential(MFA) }, browser);
    expect(reply.error).toBe('unmet_authentication_requirements');
    const fresh = world.browser();
    const login = await ask(world, client, { scope: 'openid', claims: essential(MFA) }, fresh);
    const last = await fresh.submit(login.seen, { username: 'lacking', password: PASSWORD }, '/login');
    expect(new URL(last.url).searchParams.get('error')).toBe('unmet_authentication_requirements');
  });

  it('prompt=none fails where the second factor is essential and missing in this session', async () => {
    const { browser } = await stepable();
    const reply = await ask(
      world,
      client,
      { scope: 'openid', claims: essential(MFA), prompt: 'none' },
      browser,
    );
    expect(reply.error).toBe('login_required');
  });

  it('who did more did the password as well: the ID token has the value that was essential', async () => {
    await world.user('paula');
    const browser = world.browser();
    await withApp(world, 'paula', browser);
    const { pkce, seen } = await begin(browser, { claims: essential(PWD) });
    expect(await idToken(pkce, seen)).toMatchObject({ acr: PWD });
    const after = await begin(browser);
    expect(await idToken(after.pkce, after.seen)).toMatchObject({ acr: MFA });
  });

  it('prompt=login asks for both steps', async () => {
    const { browser, app } = await stepable();
    const { pkce, seen } = await begin(browser, { claims: essential(MFA), prompt: 'login' });
    expect(seen.page).toBe('login');
    const mfa = await browser.submit(seen, { username, password: PASSWORD }, '/login');
    const claims = await idToken(pkce, await browser.submit(mfa, { code: app.code() }, '/login'));
    expect(claims['auth_time']).toBe(Math.floor(Date.now() / 1000));
  });

  it('discovery names both', async () => {
    const response = await fetch(`${world.url}/.well-known/openid-configuration`);
    expect(await response.json()).toMatchObject({ acr_values_supported: [PWD, MFA] });
  });
});
