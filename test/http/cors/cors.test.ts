import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { databaseKinds } from '../../support/databases.ts';
import { startWorld, type World } from '../../support/fixtures.ts';
import { basicAuth } from '../../support/server.ts';

const SPA = 'https://spa.example';
const OTHER = 'https://other.example';
const EVIL = 'https://evil.example';

describe.each(databaseKinds)('CORS on %s', (kind) => {
  let world: World;
  beforeAll(async () => {
    world = await startWorld({ kind });
    await world.client({
      client_id: 'other',
      token_endpoint_auth_method: 'none',
      redirect_uris: [`${OTHER}/cb`],
      allowed_origins: [OTHER],
    });
  });
  afterAll(() => world.close());

  const preflight = async (path: string, origin: string, headers = 'authorization, x-anything') => {
    const response = await fetch(world.url + path, {
      method: 'OPTIONS',
      headers: {
        origin,
        'access-control-request-method': path === '/userinfo' ? 'GET' : 'POST',
        'access-control-request-headers': headers,
      },
    });
    return { status: response.status, headers: response.headers };
  };
  const corsOf = (headers: Headers): string[] =>
    [...headers.keys()].filter((name) => name.startsWith('access-control-'));

  describe.each(['/.well-known/openid-configuration', '/.well-known/oauth-authorization-server', '/jwks'])(
    'at %s',
    (path) => {
      it('lets every origin read', async () => {
        for (const headers of [{ origin: EVIL }, {}] as Record<string, string>[]) {
          const response = await fetch(world.url + path, { headers });
          expect(response.headers.get('access-control-allow-origin')).toBe('*');
          expect(response.headers.get('access-control-allow-credentials')).toBeNull();
          expect(response.headers.get('cross-origin-resource-policy')).toBeNull();
        }
        const { status, headers } = await preflight(path, EVIL);
        expect(status).toBe(204);
        expect(headers.get('access-control-allow-origin')).toBe('*');
      });
    },
  );

  describe.each(['/token', '/revoke', '/userinfo', '/par', '/device_authorization'])('at %s', (path) => {
    it('answers the preflight of an origin that a client has registered', async () => {
      const { status, headers } = await preflight(path, SPA);
      expect(status).toBe(204);
      expect(headers.get('access-control-allow-origin')).toBe(SPA);
      expect(headers.get('access-control-allow-headers')).toBe('authorization, content-type, dpop');
      expect(headers.get('access-control-allow-methods')).toBe(path === '/userinfo' ? 'GET, POST' : 'POST');
      expect(headers.get('access-control-allow-credentials')).toBeNull();
      expect(headers.get('vary')).toMatch(/origin/i);
    });

    it('allows no other preflight', async () => {
      for (const origin of [
        EVIL,
        'null',
        'https://spa.example.evil.example',
        'http://spa.example',
        '*',
        '',
      ]) {
        const { status, headers } = await preflight(path, origin);
        expect(status).toBe(204);
        expect(corsOf(headers)).toEqual([]);
        expect(headers.get('vary')).toMatch(/origin/i);
      }
    });

    it('lets no page read an answer that is no client’s, but a registered origin’s error', async () => {
      const call = (origin: string) =>
        fetch(world.url + path, {
          method: 'POST',
          headers: { origin },
          body: new URLSearchParams({ client_id: 'nobody', access_token: 'nonsense' }),
        });
      expect(corsOf((await call(EVIL)).headers)).toEqual([]);
      expect((await call(SPA)).headers.get('access-control-allow-origin')).toBe(SPA);
    });

    it('tells a registered origin of what was refused before the client was known', async () => {
      const call = (origin: string) =>
        fetch(world.url + path, {
          method: 'POST',
          headers: { origin, 'content-type': 'application/json' },
          body: '{}',
        });
      const response = await call(SPA);
      expect(response.status).toBe(400);
      expect(response.headers.get('access-control-allow-origin')).toBe(SPA);
      expect(corsOf((await call(EVIL)).headers)).toEqual([]);
    });

    it('says nothing of origins to a request from none', async () => {
      const response = await fetch(world.url + path, {
        method: 'POST',
        body: new URLSearchParams({ a: 'b' }),
      });
      expect(corsOf(response.headers)).toEqual([]);
    });
  });

  const token = (origin: string, form: Record<string, string>) =>
    fetch(`${world.url}/token`, {
      method: 'POST',
      headers: { origin },
      body: new URLSearchParams({ client_id: 'spa', ...form }),
    });

  it('lets a client’s own origins read its tokens, and exposes what they need', async () => {
    const { code, verifier } = await world.authorize(world.spa);
    const response = await token(SPA, {
      grant_type: 'authorization_code',
      code,
      code_verifier: verifier,
      redirect_uri: world.spa.redirect,
    });
    expect(response.status).toBe(200);
    expect(response.headers.get('access-control-allow-origin')).toBe(SPA);
    expect(response.headers.get('access-control-expose-headers')).toBe('WWW-Authenticate, DPoP-Nonce');
    expect(response.headers.get('cross-origin-resource-policy')).toBeNull();
    expect(response.headers.get('access-control-allow-credentials')).toBeNull();
  });

  it('refuses another client’s origin, and the code is not used up by it', async () => {
    const { code, verifier } = await world.authorize(world.spa);
    const form = {
      grant_type: 'authorization_code',
      code,
      code_verifier: verifier,
      redirect_uri: world.spa.redirect,
    };
    const refused = await token(OTHER, form);
    expect(refused.status).toBe(400);
    expect(corsOf(refused.headers)).toEqual([]);
    expect((await token(SPA, form)).status).toBe(200);
  });

  it('holds at /userinfo too', async () => {
    const tokens = await world.tokens(world.spa, { params: { scope: 'openid' } });
    const call = (origin: string) =>
      fetch(`${world.url}/userinfo`, { headers: { origin, authorization: `Bearer ${tokens.access_token}` } });
    const good = await call(SPA);
    expect(good.status).toBe(200);
    expect(good.headers.get('access-control-allow-origin')).toBe(SPA);
    const bad = await call(OTHER);
    expect(corsOf(bad.headers)).toEqual([]);
    expect(await bad.text()).not.toContain(world.userId);
  });

  it('does not exist at /authorize, /introspect, /logout and the pages', async () => {
    const introspect = await fetch(`${world.url}/introspect`, {
      method: 'POST',
      headers: { origin: SPA, authorization: basicAuth('gateway', world.gateway.secret ?? '') },
      body: new URLSearchParams({ token: 'x' }),
    });
    expect(introspect.status).toBe(200);
    expect(corsOf(introspect.headers)).toEqual([]);
    for (const path of ['/authorize', '/introspect', '/logout', '/interaction/x', '/account']) {
      const { status, headers } = await preflight(path, SPA);
      expect(status).toBe(405);
      expect(corsOf(headers)).toEqual([]);
      expect(corsOf((await fetch(world.url + path, { headers: { origin: SPA } })).headers)).toEqual([]);
    }
  });

  it('follows the clients as they change', async () => {
    const late = 'https://late.example';
    expect(corsOf((await preflight('/token', late)).headers)).toEqual([]);
    const made = await world.client({
      client_id: 'late',
      redirect_uris: [`${late}/cb`],
      allowed_origins: [late],
    });
    expect((await preflight('/token', late)).headers.get('access-control-allow-origin')).toBe(late);
    await world.app.domain.clients.setEnabled(made.id, false, { actor: 'test' });
    expect(corsOf((await preflight('/token', late)).headers)).toEqual([]);
  });
});
