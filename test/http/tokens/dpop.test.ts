/** Proofs of possession (RFC 9449) without nonces. */
import { randomUUID } from 'node:crypto';
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
});
