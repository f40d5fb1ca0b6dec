import { decodeJwt, exportJWK, generateKeyPair, type CryptoKey } from 'jose';
import * as rp from 'openid-client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { databaseKinds } from '../../support/databases.ts';
import { passPages, startWorld, type TestClient, type World } from '../../support/fixtures.ts';

/** A real relying party, over a real port. */
describe.each(databaseKinds)('openid-client as a relying party on %s', (kind) => {
  let world: World;
  let key: CryptoKey;
  beforeAll(async () => {
    world = await startWorld({ kind });
    const pair = await generateKeyPair('ES256');
    key = pair.privateKey;
    await world.client({
      client_id: 'keyed',
      token_endpoint_auth_method: 'private_key_jwt',
      jwks: { keys: [{ ...(await exportJWK(pair.publicKey)), kid: 'k', alg: 'ES256' }] },
      grant_types: ['authorization_code', 'refresh_token', 'client_credentials'],
      redirect_uris: ['https://keyed.example/cb'],
      scope: 'openid profile orders:read',
      require_pushed_authorization_requests: true,
      id_token_signed_response_alg: 'ES256',
    });
    await world.client({
      client_id: 'bound',
      token_endpoint_auth_method: 'none',
      dpop_bound_access_tokens: true,
      grant_types: ['authorization_code', 'refresh_token'],
      redirect_uris: ['https://bound.example/cb'],
      scope: 'openid email orders:read phones:read',
    });
  });
  afterAll(() => world.close());

  const discover = async (
    id: string,
    auth: rp.ClientAuth,
    algorithm: 'oidc' | 'oauth2' = 'oidc',
  ): Promise<rp.Configuration> => {
    const config = await rp.discovery(
      new URL(world.url),
      id,
      { id_token_signed_response_alg: id === 'keyed' ? 'ES256' : 'RS256' },
      auth,
      {
        algorithm,
        // oxlint-disable-next-line typescript/no-deprecated -- marked so that it stands out; the test server has no TLS
        execute: [rp.allowInsecureRequests, rp.enableNonRepudiationChecks],
      },
    );
    return config;
  };
  const webConfig = (): Promise<rp.Configuration> => discover('web', rp.ClientSecretBasic(world.web.secret));
  const keyedConfig = (): Promise<rp.Configuration> => discover('keyed', rp.PrivateKeyJwt({ key, kid: 'k' }));

  /** Signs in by the URL that the relying party made, and hands back what the browser brought to the callback. */
  const visit = async (url: URL): Promise<{ callback: URL; browser: ReturnType<World['browser']> }> => {
    const browser = world.browser();
    const last = await passPages(browser, await browser.go(url.href));
    return { callback: new URL(last.url), browser };
  };

  const codeFlow = async (
    config: rp.Configuration,
    client: Pick<TestClient, 'redirect'>,
    parameters: Record<string, string> = {},
    options: rp.DPoPOptions & { pushed?: boolean } = {},
  ) => {
    const verifier = rp.randomPKCECodeVerifier();
    const [state, nonce] = [rp.randomState(), rp.randomNonce()];
    const all = {
      redirect_uri: client.redirect,
      scope: 'openid orders:read',
      code_challenge: await rp.calculatePKCECodeChallenge(verifier),
      code_challenge_method: 'S256',
      state,
      nonce,
      ...parameters,
    };
    const { pushed = false, ...dpop } = options;
    const url = pushed
      ? await rp.buildAuthorizationUrlWithPAR(config, all, dpop)
      : rp.buildAuthorizationUrl(config, all);
    const { callback, browser } = await visit(url);
    const checks = {
      pkceCodeVerifier: verifier,
      expectedState: state,
      expectedNonce: nonce,
      idTokenExpected: true,
    };
    return {
      browser,
      url,
      tokens: await rp.authorizationCodeGrant(config, callback, checks, undefined, dpop),
    };
  };

  it.each(['oidc', 'oauth2'] as const)('discovers the server: %s', async (algorithm) => {
    const config = await discover('web', rp.ClientSecretBasic(world.web.secret), algorithm);
    expect(config.serverMetadata()).toMatchObject({
      issuer: world.url,
      token_endpoint: `${world.url}/token`,
    });
    expect(config.serverMetadata().supportsPKCE()).toBe(true);
  });

  it('signs a user in, reads the user, refreshes, introspects and revokes', async () => {
    const config = await webConfig();
    const { tokens } = await codeFlow(config, world.web, {
      scope: 'openid email orders:read',
      max_age: '600',
    });
    const claims = tokens.claims();
    expect(claims).toMatchObject({ iss: world.url, sub: world.userId, auth_time: expect.any(Number) });
    const info = await rp.fetchUserInfo(config, tokens.access_token, claims?.sub ?? '');
    expect(info).toEqual({ sub: world.userId, email: 'alice@example.com', email_verified: true });

    const refreshed = await rp.refreshTokenGrant(config, tokens.refresh_token ?? '');
    expect(refreshed.refresh_token).not.toBe(tokens.refresh_token);
    expect(refreshed.claims()?.sub).toBe(world.userId);

    expect(await rp.tokenIntrospection(config, refreshed.access_token)).toMatchObject({
      active: true,
      sub: world.userId,
      client_id: 'web',
      token_type: 'Bearer',
    });
    await rp.tokenRevocation(config, refreshed.refresh_token ?? '');
    expect(await rp.tokenIntrospection(config, refreshed.access_token)).toEqual({ active: false });
    await expect(rp.refreshTokenGrant(config, refreshed.refresh_token ?? '')).rejects.toMatchObject({
      error: 'invalid_grant',
    });
  });

  it('works with client_secret_post', async () => {
    const config = await discover('web', rp.ClientSecretPost(world.web.secret));
    expect((await codeFlow(config, world.web)).tokens.claims()?.sub).toBe(world.userId);
  });

  it('sees errors of the authorization response as such', async () => {
    const config = await webConfig();
    const state = rp.randomState();
    const url = rp.buildAuthorizationUrl(config, {
      redirect_uri: world.web.redirect,
      scope: 'openid',
      prompt: 'none',
      code_challenge: await rp.calculatePKCECodeChallenge(rp.randomPKCECodeVerifier()),
      code_challenge_method: 'S256',
      state,
    });
    const { callback } = await visit(url);
    await expect(
      rp.authorizationCodeGrant(config, callback, { expectedState: state, pkceCodeVerifier: 'x' }),
    ).rejects.toMatchObject({ error: 'login_required' });
  });

  it('sees a wrong secret as invalid_client', async () => {
    const config = await discover('web', rp.ClientSecretPost('wrong'));
    await expect(rp.refreshTokenGrant(config, 'x')).rejects.toMatchObject({
      error: 'invalid_client',
      status: 401,
    });
  });

  it('pushes its request and proves itself by a key', async () => {
    const config = await keyedConfig();
    const { tokens, url } = await codeFlow(
      config,
      { redirect: 'https://keyed.example/cb' },
      {},
      { pushed: true },
    );
    expect([...url.searchParams.keys()].sort()).toEqual(['client_id', 'request_uri']);
    expect(tokens.claims()?.sub).toBe(world.userId);
    const refreshed = await rp.refreshTokenGrant(config, tokens.refresh_token ?? '');
    expect(await rp.tokenIntrospection(config, refreshed.access_token)).toMatchObject({ active: true });
    const own = await rp.clientCredentialsGrant(config, { scope: 'orders:read' });
    expect(decodeJwt(own.access_token)).toMatchObject({ sub: 'keyed', scope: 'orders:read' });
    await rp.tokenRevocation(config, own.access_token);
    expect(await rp.tokenIntrospection(config, own.access_token)).toEqual({ active: false });
  });

  describe('with DPoP', () => {
    it('gets tokens that work with its key only', async () => {
      const config = await discover('bound', rp.None());
      const DPoP = rp.getDPoPHandle(config, await rp.randomDPoPKeyPair('ES256'));
      const thief = rp.getDPoPHandle(config, await rp.randomDPoPKeyPair('ES256'));
      const bound = { redirect: 'https://bound.example/cb' };
      const { tokens } = await codeFlow(config, bound, { scope: 'openid email orders:read' }, { DPoP });
      expect(tokens.token_type).toBe('dpop');
      expect(decodeJwt(tokens.access_token)['cnf']).toEqual({ jkt: await DPoP.calculateThumbprint() });
      const subject = world.userId;
      expect(await rp.fetchUserInfo(config, tokens.access_token, subject, { DPoP })).toMatchObject({
        sub: subject,
        email: 'alice@example.com',
      });
      expect(await world.introspect(tokens.access_token)).toMatchObject({
        active: true,
        token_type: 'DPoP',
        cnf: { jkt: await DPoP.calculateThumbprint() },
      });
      // As a bearer token, or with another key, it is worth nothing.
      expect((await world.userinfo(tokens.access_token)).status).toBe(401);
      await expect(
        rp.fetchUserInfo(config, tokens.access_token, subject, { DPoP: thief }),
      ).rejects.toMatchObject({
        status: 401,
      });
      // A public client's refresh token is bound as well; a try with another key changes nothing.
      const refresh = tokens.refresh_token ?? '';
      await expect(rp.refreshTokenGrant(config, refresh, undefined, { DPoP: thief })).rejects.toMatchObject({
        error: 'invalid_grant',
      });
      await expect(rp.refreshTokenGrant(config, refresh)).rejects.toMatchObject({
        error: 'invalid_dpop_proof',
      });
      const refreshed = await rp.refreshTokenGrant(config, refresh, undefined, { DPoP });
      expect(refreshed.token_type).toBe('dpop');
    });

    it('gets bound opaque tokens too', async () => {
      const config = await discover('bound', rp.None());
      const DPoP = rp.getDPoPHandle(config, await rp.randomDPoPKeyPair('ES256'));
      const bound = { redirect: 'https://bound.example/cb' };
      const { tokens } = await codeFlow(config, bound, { scope: 'openid phones:read' }, { DPoP });
      expect(tokens.access_token).toMatch(/^pca_/);
      expect(await world.introspect(tokens.access_token)).toMatchObject({
        active: true,
        cnf: { jkt: await DPoP.calculateThumbprint() },
      });
      expect(await rp.fetchUserInfo(config, tokens.access_token, world.userId, { DPoP })).toEqual({
        sub: world.userId,
      });
      expect((await world.userinfo(tokens.access_token)).status).toBe(401);
    });

    it('must use it where the client says that its tokens are bound', async () => {
      const config = await discover('bound', rp.None());
      await expect(codeFlow(config, { redirect: 'https://bound.example/cb' })).rejects.toMatchObject({
        error: 'invalid_dpop_proof',
      });
    });

    it('binds the code to the key when the request was pushed with a proof', async () => {
      const config = await keyedConfig();
      const DPoP = rp.getDPoPHandle(config, await rp.randomDPoPKeyPair('ES256'));
      const keyed = { redirect: 'https://keyed.example/cb' };
      const { tokens } = await codeFlow(config, keyed, {}, { pushed: true, DPoP });
      expect(tokens.token_type).toBe('dpop');
      expect(decodeJwt(tokens.access_token)['cnf']).toEqual({ jkt: await DPoP.calculateThumbprint() });
    });
  });

  it('signs out by the URL that it builds', async () => {
    const config = await webConfig();
    const { tokens, browser } = await codeFlow(config, world.web);
    const url = rp.buildEndSessionUrl(config, {
      id_token_hint: tokens.id_token ?? '',
      post_logout_redirect_uri: 'https://shop.example/out',
      state: 'bye',
    });
    const page = await browser.go(url.href);
    expect(page.page).toBe('logout');
    const done = await browser.submit(page, { decision: 'logout' });
    expect(done.headers.get('location')).toBe('https://shop.example/out?state=bye');
    expect(await rp.tokenIntrospection(config, tokens.access_token)).toEqual({ active: false });
  });
});
