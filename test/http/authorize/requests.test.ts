import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newPkce } from '../../support/browser.ts';
import { databaseKinds } from '../../support/databases.ts';
import { passPages, startWorld, type TestClient, type World } from '../../support/fixtures.ts';
import { ask, authorizationQuery, replyOf } from '../support/authorization.ts';

describe.each(databaseKinds)('the authorization request on %s', (kind) => {
  let world: World;
  beforeAll(async () => {
    world = await startWorld({ kind });
  });
  afterAll(() => world.close());

  it('answers with code, state and iss', async () => {
    const { result } = await world.authorize(world.web, { params: { state: 'a b&c=d"<' } });
    expect([...result.keys()].sort()).toEqual(['code', 'iss', 'state']);
    expect(result.get('state')).toBe('a b&c=d"<');
    expect(result.get('iss')).toBe(world.url);
  });

  it('echoes state and iss with an error', async () => {
    const { result, target } = await ask(world, world.web, { scope: 'openid nothing:known', state: 'x y' });
    expect(target).toBe(world.web.redirect);
    expect(result.get('error')).toBe('invalid_scope');
    expect(result.get('state')).toBe('x y');
    expect(result.get('iss')).toBe(world.url);
  });

  it('turns a POST into a 303 to the GET', async () => {
    const browser = world.browser();
    const answer = await browser.request(`${world.url}/authorize`, {
      method: 'POST',
      body: new URLSearchParams(authorizationQuery(world.web)),
    });
    expect(answer.status).toBe(303);
    expect(answer.headers.get('cache-control')).toBe('no-store');
    const last = await passPages(browser, await browser.go(answer.headers.get('location') ?? ''));
    expect(new URL(last.url).searchParams.get('code')).toBeTruthy();
  });

  it('keeps what a POST repeats, so that the GET refuses it', async () => {
    const body = new URLSearchParams(authorizationQuery(world.web));
    body.append('scope', 'openid');
    const reply = replyOf(await world.browser().go(`${world.url}/authorize`, { method: 'POST', body }));
    expect(reply.error).toBe('invalid_request');
    expect(reply.target).toBe(world.web.redirect);
  });

  it('refuses a POST that is too large for the GET with a page', async () => {
    const answer = await world.browser().request(`${world.url}/authorize`, {
      method: 'POST',
      body: new URLSearchParams(authorizationQuery(world.web, { state: 'x'.repeat(20_000) })),
    });
    expect(answer.status).toBe(413);
    expect(answer.page).toBe('error');
    expect(answer.text).toContain('invalid_request');
  });

  it.each([
    ['token', 'unsupported_response_type'],
    ['id_token', 'unsupported_response_type'],
    ['code id_token', 'unsupported_response_type'],
    ['none', 'unsupported_response_type'],
    ['nonsense', 'unsupported_response_type'],
    [undefined, 'invalid_request'],
  ])('refuses response_type %s', async (responseType, error) => {
    const { seen } = await ask(world, world.web, { response_type: responseType });
    const target = new URL(seen.headers.get('location') ?? '');
    const result = new URLSearchParams(target.hash.slice(1) || target.search);
    expect(result.get('error')).toBe(error);
    expect(result.get('state')).toBe('st ate');
    expect(result.has('access_token')).toBe(false);
  });

  it('refuses a client without the authorization_code grant as unauthorized_client', async () => {
    const batch = await world.client({
      client_id: 'batch',
      grant_types: ['client_credentials'],
      redirect_uris: ['https://batch.example/cb'],
      scope: 'orders:read',
    });
    const reply = await ask(world, batch, { scope: 'orders:read' });
    expect(reply.error).toBe('unauthorized_client');
    expect(reply.target).toBe(batch.redirect);
  });

  it('refuses a response mode that it does not know', async () => {
    const { error } = await ask(world, world.web, { response_mode: 'carrier-pigeon' });
    expect(error).toBe('unsupported_response_mode');
  });

  it.each([
    ['request', 'request_not_supported'],
    ['request_uri', 'request_uri_not_supported'],
    ['registration', 'registration_not_supported'],
  ])('refuses the parameter %s by its name', async (name, error) => {
    const value = name === 'request_uri' ? 'https://attacker.example/request.jwt' : 'e30.e30.';
    const reply = await ask(world, world.web, { [name]: value });
    expect(reply.error).toBe(error);
    expect(reply.target).toBe(world.web.redirect);
  });

  it('refuses a parameter that is given twice, and ignores one that it does not know', async () => {
    expect((await ask(world, world.web, { scope: ['openid', 'openid'] })).error).toBe('invalid_request');
    expect((await ask(world, world.web, { unheard_of: ['a', 'b'] })).page).toBe('login');
  });

  it('takes an empty parameter as absent', async () => {
    const reply = await ask(world, world.web, { prompt: '', max_age: '', claims: '', resource: '' });
    expect(reply.page).toBe('login');
  });

  it('answers other methods with 405', async () => {
    const response = await fetch(`${world.url}/authorize`, { method: 'PUT' });
    expect(response.status).toBe(405);
    expect(response.headers.get('allow')).toBe('GET, POST');
  });

  describe('with PKCE', () => {
    it.each([
      ['no challenge', { code_challenge: undefined, code_challenge_method: undefined }],
      ['the plain method', { code_challenge_method: 'plain' }],
      ['no method, which would be plain', { code_challenge_method: undefined }],
      ['a method but no challenge', { code_challenge: undefined }],
      ['a challenge of the wrong form', { code_challenge: 'too-short' }],
    ])('refuses %s', async (_name, params) => {
      for (const client of [world.web, world.spa]) {
        const reply = await ask(world, client, params);
        expect(reply.error).toBe('invalid_request');
        expect(reply.target).toBe(client.redirect);
      }
    });

    const redeem = (client: TestClient, code: string, more: Record<string, string>) =>
      world.post(
        '/token',
        { grant_type: 'authorization_code', code, redirect_uri: client.redirect, ...more },
        client,
      );

    it('refuses a missing or wrong verifier, which costs nothing but the attempt', async () => {
      const { code, verifier } = await world.authorize(world.web);
      for (const more of [{}, { code_verifier: newPkce().verifier }]) {
        expect(await redeem(world.web, code, more)).toMatchObject({
          status: 400,
          body: { error: 'invalid_grant' },
        });
      }
      expect((await redeem(world.web, code, { code_verifier: verifier })).status).toBe(200);
    });

    it('may be left out by a confidential client that was told so, which then must send state', async () => {
      const relaxed = await world.client({
        client_id: `relaxed-${kind}`,
        redirect_uris: ['https://relaxed.example/cb'],
        require_pkce: false,
        scope: 'openid',
      });
      const without = { code_challenge: undefined, code_challenge_method: undefined, scope: 'openid' };
      const refused = await ask(world, relaxed, { ...without, state: undefined });
      expect(refused.error).toBe('invalid_request');
      expect(refused.target).toBe(relaxed.redirect);
      expect((await ask(world, relaxed, { scope: 'openid', state: undefined })).error).toBe(
        'invalid_request',
      );
      const { code } = await world.authorize(relaxed, { params: without });
      // Downgrade: a verifier where the request had no challenge (RFC 9700, 2.1.1).
      expect(await redeem(relaxed, code, { code_verifier: newPkce().verifier })).toMatchObject({
        status: 400,
        body: { error: 'invalid_grant' },
      });
      expect((await redeem(relaxed, code, {})).status).toBe(200);
    });
  });
});
