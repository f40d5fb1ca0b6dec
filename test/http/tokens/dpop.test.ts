/** Proofs of possession (RFC 9449) without nonces. */
import { createHash, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { newSigner, type Signer } from '../../race/support/proofs.ts';
import { databaseKinds } from '../../support/databases.ts';
import { startWorld, type TestClient, type World } from '../../support/fixtures.ts';
import { pass, stopTime } from '../support/time.ts';

describe.each(databaseKinds)('a proof of possession on %s', (kind) => {
  let world: World;
  let signer: Signer;
  beforeAll(async () => {
    stopTime();
    world = await startWorld({ kind });
    signer = await newSigner();
  });
  afterAll(async () => {
    vi.useRealTimers();
    await world.close();
  });

  const now = (): number => Math.floor(Date.now() / 1000);
  const proof = (iat: number): Promise<string> =>
    signer.proof(`${world.url}/token`, { jti: randomUUID(), iat });
  const ask = (dpop: string, client: TestClient = world.machine, more: Record<string, string> = {}) =>
    world.post<Record<string, string>>('/token', { grant_type: 'client_credentials', ...more }, client, {
      dpop,
    });

  it.each([0, 60])('made %i s ahead is good once, for as long as it is good at all', async (ahead) => {
    const dpop = await proof(now() + ahead);
    expect((await ask(dpop)).status).toBe(200);
    for (const seconds of [0, 299, 2, ahead, 60]) {
      pass(seconds);
      expect((await ask(dpop)).status).toBe(400);
    }
  });

  it('made further ahead is refused', async () => {
    for (const ahead of [61, 290]) {
      const answer = await ask(await proof(now() + ahead));
      expect(answer).toMatchObject({ status: 400, body: { error: 'invalid_dpop_proof' } });
    }
  });

  it('binds a token, which is then no bearer token at the admin API', async () => {
    const admin = await world.client({
      client_id: 'bound',
      grant_types: ['client_credentials'],
      redirect_uris: [],
      scope: 'clients:write',
    });
    const disable = async (token: string | undefined): Promise<number> => {
      const headers = { authorization: `Bearer ${token}` };
      const target = `${world.url}/admin/v1/clients/spa/disable`;
      return (await fetch(target, { method: 'POST', headers })).status;
    };
    const scope = { scope: 'clients:write' };
    const plain = await world.post<Record<string, string>>(
      '/token',
      { grant_type: 'client_credentials', ...scope },
      admin,
    );
    expect(await disable(plain.body['access_token'])).toBe(200);
    const bound = await ask(await proof(now()), admin, scope);
    expect(bound.body['token_type']).toBe('DPoP');
    expect(await disable(bound.body['access_token'])).toBe(401);
  });

  it('that was used is called invalid, not what it came with: that is good with another (RFC 9449, 5 and 7.1)', async () => {
    const invalid = { error: 'invalid_dpop_proof' };
    const used = await proof(now());
    expect((await ask(used)).status).toBe(200);
    expect((await ask(used)).body).toMatchObject(invalid);

    const native = await world.client({
      client_id: 'native',
      token_endpoint_auth_method: 'none',
      redirect_uris: ['https://native.example/cb'],
      grant_types: ['authorization_code', 'refresh_token'],
      scope: 'openid offline_access',
    });
    const redeem = async (dpop: string, form: Record<string, string>) =>
      world.post<Record<string, string>>('/token', form, native, dpop === '' ? {} : { dpop });
    const exchange = async () => {
      const { code, verifier } = await world.authorize(native, {
        params: { scope: 'openid offline_access', prompt: 'consent' },
      });
      return {
        grant_type: 'authorization_code',
        code,
        redirect_uri: native.redirect,
        code_verifier: verifier,
      };
    };
    const own = await proof(now());
    expect((await redeem(own, await exchange())).status).toBe(200);
    const form = await exchange();
    expect(await redeem(own, form)).toMatchObject({ status: 400, body: invalid });
    const tokens = await redeem(await proof(now()), form);
    expect(tokens.status).toBe(200);

    const access = tokens.body['access_token'] ?? '';
    const ath = createHash('sha256').update(access).digest('base64url');
    const dpop = await signer.proof(`${world.url}/userinfo`, { iat: now(), ath });
    const read = () =>
      fetch(`${world.url}/userinfo`, { method: 'POST', headers: { authorization: `DPoP ${access}`, dpop } });
    expect((await read()).status).toBe(200);
    const refused = await read();
    expect(refused.status).toBe(401);
    expect(refused.headers.get('www-authenticate')).toContain('error="invalid_dpop_proof"');

    const refresh = { grant_type: 'refresh_token', refresh_token: tokens.body['refresh_token'] ?? '' };
    const again = await proof(now());
    const next = await redeem(again, refresh);
    expect(next.status).toBe(200);
    const successor = { ...refresh, refresh_token: next.body['refresh_token'] ?? '' };
    for (const each of [again, ''])
      expect(await redeem(each, successor)).toMatchObject({ status: 400, body: invalid });
    expect((await redeem(await proof(now()), successor)).status).toBe(200);
  });

  it('that was used is called invalid at /par too', async () => {
    const pushed = await signer.proof(`${world.url}/par`, { jti: randomUUID(), iat: now() });
    const push = () =>
      world.post<Record<string, string>>(
        '/par',
        {
          client_id: world.web.id,
          response_type: 'code',
          scope: 'openid',
          redirect_uri: world.web.redirect,
          code_challenge: 'x'.repeat(43),
          code_challenge_method: 'S256',
        },
        world.web,
        { dpop: pushed },
      );
    expect((await push()).status).toBe(201);
    expect(await push()).toMatchObject({ status: 400, body: { error: 'invalid_dpop_proof' } });
  });
});
