import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PASSWORD, startWorld, type World } from '../../support/fixtures.ts';
import type { Seen } from '../../support/browser.ts';
import { ask, authorizationQuery } from '../support/authorization.ts';

describe('every page', () => {
  let world: World;
  const seen = new Map<string, Seen>();
  beforeAll(async () => {
    world = await startWorld();
    const browser = world.browser();
    const { seen: login } = await ask(world, world.web, {}, browser);
    seen.set('login', login);
    const consent = await browser.submit(login, { username: 'alice', password: PASSWORD }, '/login');
    seen.set('consent', consent);
    seen.set('switch', await browser.request(`${login.url}/nothing`));
    await browser.submit(consent, { decision: 'allow' }, '/consent');
    const logout = await browser.go(`${world.url}/logout`);
    seen.set('logout', logout);
    seen.set('stay', await browser.submit(logout, { decision: 'stay' }));
    seen.set('account', await browser.go(`${world.url}/account`));
    seen.set(
      'signed-out',
      await browser.submit(await browser.go(`${world.url}/logout`), { decision: 'logout' }),
    );
    seen.set('engine error', (await ask(world, world.web, { redirect_uri: 'https://evil.example/' })).seen);
    seen.set('not found', await browser.go(`${world.url}/nothing`));
    seen.set('expired', await browser.go(`${world.url}/interaction/nothing`));
    seen.set('wrong method', await browser.request(`${world.url}/logout/confirm`));
  });
  afterAll(() => world.close());

  it.each([
    'login',
    'consent',
    'switch',
    'logout',
    'stay',
    'account',
    'signed-out',
    'engine error',
    'not found',
    'expired',
    'wrong method',
  ])('is strict about what it loads and who may frame it: %s', (name) => {
    const page = seen.get(name);
    expect(page?.headers.get('content-type')).toBe('text/html; charset=utf-8');
    const policy = page?.headers.get('content-security-policy') ?? '';
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain("script-src 'none'");
    expect(policy).toContain("frame-ancestors 'none'");
    expect(policy).toContain("base-uri 'none'");
    expect(policy).not.toMatch(/unsafe|https?:|\*/);
    expect(Object.fromEntries(page?.headers ?? [])).toMatchObject({
      'x-frame-options': 'DENY',
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
      'cross-origin-opener-policy': 'same-origin',
      'cross-origin-resource-policy': 'same-origin',
      'cache-control': 'no-store',
      'x-request-id': expect.any(String),
    });
    expect(page?.text).not.toMatch(/<script|<style|\son\w+=|style="|javascript:/i);
    // Nothing from anywhere else.
    for (const [, url = ''] of page?.text.matchAll(/(?:src|action)="([^"]*)"/g) ?? [])
      expect(url).toMatch(/^\//);
    for (const [tag] of page?.text.matchAll(/<link[^>]*>/g) ?? []) expect(tag).toMatch(/href="\//);
  });

  it('asks for https for good where the issuer is https, and keeps its cookies to it', async () => {
    expect(seen.get('login')?.headers.get('strict-transport-security')).toBeNull();
    const secure = await startWorld({ env: { PORTCULLIS_ISSUER: 'https://id.example/auth' } });
    try {
      // As a proxy would call it: over http, under any name.
      const query = authorizationQuery(secure.web);
      const response = await fetch(`${secure.url}/auth/authorize?${query}`, { redirect: 'manual' });
      expect(response.status).toBe(303);
      expect(response.headers.get('strict-transport-security')).toMatch(/^max-age=\d{8}/);
      const cookies = response.headers.getSetCookie();
      expect(cookies.length).toBeGreaterThan(0);
      for (const cookie of cookies) {
        expect(cookie).toMatch(/^__Secure-portcullis_/);
        expect(cookie).toMatch(/; secure/i);
      }
    } finally {
      await secure.close();
    }
  });
});
