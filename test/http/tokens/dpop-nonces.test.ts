/** Nonces in DPoP proofs (RFC 9449, 8 and 9), where the setting asks for them. */
import { createHash } from 'node:crypto';
import * as rp from 'openid-client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { passPages, startWorld, type World } from '../../support/fixtures.ts';
import { startTestServer, type TestServer } from '../../support/server.ts';
import { newSigner, type Signer } from '../../race/support/proofs.ts';

const FORM = { grant_type: 'client_credentials' };
const SPA = 'https://spa.example';

const nonceOf = ({ headers }: { headers: Headers }): string | null => headers.get('dpop-nonce');

describe('nonces that are required', () => {
  let world: World;
  let signer: Signer;
  beforeAll(async () => {
    world = await startWorld({ env: { PORTCULLIS_DPOP_NONCES: 'required' } });
    signer = await newSigner();
  });
  afterAll(() => world.close());

  const ask = async (claims: Record<string, unknown>, url = world.url) => {
    const proof = await signer.proof(`${world.url}/token`, claims);
    const response = await fetch(`${url}/token`, {
      method: 'POST',
      headers: {
        dpop: proof,
        authorization: `Basic ${Buffer.from(`machine:${world.machine.secret}`).toString('base64')}`,
      },
      body: new URLSearchParams(FORM),
    });
    const body = (await response.json()) as Record<string, unknown>;
    return { status: response.status, headers: response.headers, body };
  };

  it('serve a client that follows them, from the code to /userinfo', async () => {
    // oxlint-disable-next-line typescript/no-deprecated -- marked so that it stands out; the test server has no TLS
    const options = { execute: [rp.allowInsecureRequests] };
    const config = await rp.discovery(new URL(world.url), 'spa', {}, rp.None(), options);
    const DPoP = rp.getDPoPHandle(config, await rp.randomDPoPKeyPair('ES256'));
    const verifier = rp.randomPKCECodeVerifier();
    const url = rp.buildAuthorizationUrl(config, {
      redirect_uri: world.spa.redirect,
      scope: 'openid email',
      code_challenge: await rp.calculatePKCECodeChallenge(verifier),
      code_challenge_method: 'S256',
    });
    const browser = world.browser();
    const callback = new URL((await passPages(browser, await browser.go(url.href))).url);
    const checks = { pkceCodeVerifier: verifier };
    const tokens = await rp.authorizationCodeGrant(config, callback, checks, undefined, { DPoP });
    expect(tokens.token_type).toBe('dpop');
    const info = await rp.fetchUserInfo(config, tokens.access_token, world.userId, { DPoP });
    expect(info).toMatchObject({ email: 'alice@example.com' });
    const refreshed = await rp.refreshTokenGrant(config, tokens.refresh_token ?? '', undefined, { DPoP });
    expect(refreshed.token_type).toBe('dpop');
  });

  it('are demanded at /token, and the code and the refresh token are not used up by it', async () => {
    const first = await ask({});
    expect(first).toMatchObject({ status: 400, body: { error: 'use_dpop_nonce' } });
    expect(first.headers.get('cache-control')).toBe('no-store');
    const nonce = nonceOf(first);
    expect(await ask({ nonce })).toMatchObject({ status: 200, body: { token_type: 'DPoP' } });
    expect(await ask({ nonce: `${nonce}x` })).toMatchObject({
      status: 400,
      body: { error: 'use_dpop_nonce' },
    });

    const { code, verifier } = await world.authorize(world.web);
    const form = { grant_type: 'authorization_code', code, code_verifier: verifier };
    const url = `${world.url}/token`;
    const exchange = async (sent: Record<string, string>, claims: Record<string, unknown>) =>
      world.post('/token', sent, world.web, { dpop: await signer.proof(url, claims) });
    expect((await exchange(form, {})).body).toMatchObject({ error: 'use_dpop_nonce' });
    const { status, body } = await exchange(form, { nonce });
    expect(status).toBe(200);
    const again = { grant_type: 'refresh_token', refresh_token: String(body['refresh_token']) };
    expect((await exchange(again, {})).body).toMatchObject({ error: 'use_dpop_nonce' });
    expect((await exchange(again, { nonce })).status).toBe(200);
  });

  it('are demanded at /userinfo, by the challenge', async () => {
    const url = `${world.url}/token`;
    const nonce = nonceOf(await ask({}));
    const { code, verifier } = await world.authorize(world.spa);
    const form = { grant_type: 'authorization_code', code, code_verifier: verifier };
    const { body } = await world.post('/token', form, world.spa, {
      dpop: await signer.proof(url, { nonce }),
    });
    const token = String(body['access_token']);
    const ath = createHash('sha256').update(token).digest('base64url');
    const info = async (claims: Record<string, unknown>) =>
      fetch(`${world.url}/userinfo`, {
        headers: {
          origin: SPA,
          authorization: `DPoP ${token}`,
          dpop: await signer.proof(`${world.url}/userinfo`, { htm: 'GET', ath, ...claims }),
        },
      });
    const refused = await info({});
    expect(refused.status).toBe(401);
    expect(refused.headers.get('www-authenticate')).toMatch(/^DPoP .*error="use_dpop_nonce"/);
    expect(nonceOf(refused)).toEqual(expect.any(String));
    expect((await info({ nonce: nonceOf(refused) })).status).toBe(200);
  });

  it('can be read by the page of a registered origin', async () => {
    const { headers } = await world.post(
      '/token',
      { grant_type: 'refresh_token', refresh_token: 'x' },
      world.spa,
      {
        origin: SPA,
        dpop: await signer.proof(`${world.url}/token`),
      },
    );
    expect(nonceOf({ headers })).toEqual(expect.any(String));
    expect(headers.get('access-control-allow-origin')).toBe(SPA);
    expect(headers.get('access-control-expose-headers')).toContain('DPoP-Nonce');
  });

  it('ask nothing of those who send no proof', async () => {
    expect((await world.post('/token', FORM, world.machine)).body).toMatchObject({ token_type: 'Bearer' });
  });

  it('of one node are good on every other', async () => {
    const { databaseUrl, secretKeys } = world;
    const env = { PORTCULLIS_DPOP_NONCES: 'required', PORTCULLIS_ISSUER: world.url };
    const other: TestServer = await startTestServer({ databaseUrl, secretKeys, env });
    try {
      const there = other.url;
      const nonce = nonceOf(await ask({}, there));
      expect(nonce).toEqual(expect.any(String));
      expect((await ask({ nonce })).status).toBe(200);
      expect((await ask({ nonce: nonceOf(await ask({})) }, there)).status).toBe(200);
    } finally {
      await other.close();
    }
  });
});

describe('nonces', () => {
  it.each([
    ['off', null, 200, 400],
    ['offered', expect.any(String), 200, 200],
  ])('that are %s', async (setting, offered, without, withOne) => {
    const world = await startWorld({ env: { PORTCULLIS_DPOP_NONCES: setting } });
    try {
      const signer = await newSigner();
      const ask = async (claims: Record<string, unknown>) =>
        world.post('/token', FORM, world.machine, { dpop: await signer.proof(`${world.url}/token`, claims) });
      const plain = await ask({});
      expect(plain.status).toBe(without);
      expect(nonceOf(plain)).toEqual(offered);
      expect((await ask({ nonce: nonceOf(plain) ?? 'x' })).status).toBe(withOne);
    } finally {
      await world.close();
    }
  });
});
