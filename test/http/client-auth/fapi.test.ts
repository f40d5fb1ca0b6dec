/** Clients that are held to what FAPI 2.0 demands of them. */
import { randomUUID } from 'node:crypto';
import * as rp from 'openid-client';
import { exportJWK, generateKeyPair, SignJWT, type CryptoKey } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { passPages, startWorld, type World } from '../../support/fixtures.ts';
import { AdminClient, type Doc } from '../admin/support/admin-client.ts';

describe('a client with fapi', () => {
  let world: World;
  let admin: AdminClient;
  let key: CryptoKey;
  let whole: Doc;
  beforeAll(async () => {
    world = await startWorld();
    admin = await AdminClient.connect(world);
    const pair = await generateKeyPair('ES256');
    key = pair.privateKey;
    whole = {
      fapi: true,
      redirect_uris: ['https://bank.example/cb'],
      grant_types: ['authorization_code', 'refresh_token', 'client_credentials'],
      scope: 'openid orders:read',
      token_endpoint_auth_method: 'private_key_jwt',
      token_endpoint_auth_signing_alg: 'ES256',
      id_token_signed_response_alg: 'ES256',
      require_pushed_authorization_requests: true,
      dpop_bound_access_tokens: true,
      jwks: { keys: [{ ...(await exportJWK(pair.publicKey)), kid: 'k', alg: 'ES256' }] },
    };
    await admin.ok('POST', '/clients', { body: { ...whole, client_id: 'bank' } });
  });
  afterAll(() => world.close());

  it.each<[string, unknown]>([
    ['token_endpoint_auth_method', 'client_secret_basic'],
    ['token_endpoint_auth_method', 'none'],
    ['token_endpoint_auth_signing_alg', undefined],
    ['token_endpoint_auth_signing_alg', 'RS256'],
    ['id_token_signed_response_alg', 'RS256'],
    ['require_pushed_authorization_requests', false],
    ['dpop_bound_access_tokens', false],
    ['require_pkce', false],
    ['grant_types', ['authorization_code', 'urn:ietf:params:oauth:grant-type:device_code']],
  ])('is refused where it lacks what the profile demands: %s', async (member, value) => {
    const { status, body } = await admin.call('POST', '/clients', { body: { ...whole, [member]: value } });
    expect(status).toBe(422);
    const { errors } = body as { errors?: { pointer: string }[] };
    expect(errors?.map(({ pointer }) => pointer)).toContain(`/${member}`);
    if (value === undefined) return;
    expect((await admin.call('PATCH', '/clients/bank', { body: { [member]: value } })).status).toBe(422);
  });

  it('is refused where a redirect is not https', async () => {
    const redirects = ['https://bank.example/cb', 'http://localhost:3000/cb'];
    const { status, body } = await admin.call('POST', '/clients', {
      body: { ...whole, redirect_uris: redirects },
    });
    expect(status).toBe(422);
    expect(body).toMatchObject({ errors: [{ pointer: '/redirect_uris/1' }] });
  });

  it('gets bound tokens by a pushed request and an assertion for the issuer', async () => {
    // oxlint-disable-next-line typescript/no-deprecated -- marked so that it stands out; the test server has no TLS
    const options = { execute: [rp.allowInsecureRequests] };
    const auth = rp.PrivateKeyJwt({ key, kid: 'k' });
    const metadata = { id_token_signed_response_alg: 'ES256' };
    const config = await rp.discovery(new URL(world.url), 'bank', metadata, auth, options);
    const DPoP = rp.getDPoPHandle(config, await rp.randomDPoPKeyPair('ES256'));
    const verifier = rp.randomPKCECodeVerifier();
    const parameters = {
      redirect_uri: 'https://bank.example/cb',
      scope: 'openid orders:read',
      code_challenge: await rp.calculatePKCECodeChallenge(verifier),
      code_challenge_method: 'S256',
    };
    const url = await rp.buildAuthorizationUrlWithPAR(config, parameters, { DPoP });
    const browser = world.browser();
    const callback = new URL((await passPages(browser, await browser.go(url.href))).url);
    const checks = { pkceCodeVerifier: verifier };
    const tokens = await rp.authorizationCodeGrant(config, callback, checks, undefined, { DPoP });
    expect(tokens.token_type).toBe('dpop');
    const refreshed = await rp.refreshTokenGrant(config, tokens.refresh_token ?? '', undefined, { DPoP });
    expect(refreshed.token_type).toBe('dpop');

    const plain = rp.buildAuthorizationUrl(config, parameters);
    expect((await world.browser().go(plain.href)).headers.get('location') ?? '').toContain(
      'error=invalid_request',
    );
  });

  it.each<[string | string[]]>([
    ['ISSUER/token'],
    ['ISSUER/par'],
    [['ISSUER']],
    [['ISSUER', 'ISSUER/token']],
    ['ISSUER/'],
  ])('takes no assertion for anything but the issuer: %j', async (audience) => {
    const send = async (aud: string | string[], path: string) => {
      const now = Math.floor(Date.now() / 1000);
      const claims = { iss: 'bank', sub: 'bank', aud, jti: randomUUID(), iat: now, exp: now + 60 };
      const client_assertion = await new SignJWT(claims)
        .setProtectedHeader({ alg: 'ES256', kid: 'k' })
        .sign(key);
      const type = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';
      const form = { client_assertion, client_assertion_type: type, token: 'x' };
      return (await world.post<{ error?: string }>(path, form)).status;
    };
    const own = (value: string): string => value.replace('ISSUER', world.url);
    const aud = typeof audience === 'string' ? own(audience) : audience.map(own);
    for (const path of ['/introspect', '/revoke']) {
      expect(await send(aud, path)).toBe(401);
      expect(await send(world.url, path)).toBe(200);
    }
  });
});
