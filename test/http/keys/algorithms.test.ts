import { createRemoteJWKSet, decodeProtectedHeader, jwtVerify } from 'jose';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { databaseKinds } from '../../support/databases.ts';
import { startWorld, type TestClient, type World } from '../../support/fixtures.ts';
import { AdminClient, type Page } from '../admin/support/admin-client.ts';

const LEAD = 330 * 1000;
const DAY = 24 * 3600 * 1000;

describe.each(databaseKinds)('algorithms that an API or a client asks for, on %s', (kind) => {
  let world: World;
  beforeAll(async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    world = await startWorld({ kind });
  });
  afterAll(async () => {
    await world.close();
    vi.useRealTimers();
  });
  /** Tokens of admins do not outlive a leap in time. */
  const admin = (): Promise<AdminClient> => AdminClient.connect(world);
  const statuses = async (alg: string): Promise<string[]> =>
    (await (await admin()).ok<Page<{ alg: string; status: string }>>('GET', '/keys')).body.data
      .filter((key) => key.alg === alg)
      .map(({ status }) => status);
  const is = (alg: string, expected: string[]): Promise<void> =>
    expect.poll(() => statuses(alg), { timeout: 10_000 }).toEqual(expected);
  const pass = (time: number): void => void vi.setSystemTime(Date.now() + time);
  const jwks = () => createRemoteJWKSet(new URL(`${world.url}/jwks`));
  const discovered = async (): Promise<string[]> => {
    const document = await (await fetch(`${world.url}/.well-known/openid-configuration`)).json();
    return (document as Record<string, string[]>)['id_token_signing_alg_values_supported'] ?? [];
  };
  const machineFor = (resource: string): Promise<TestClient> =>
    world.client({
      client_id: resource.slice('https://'.length),
      grant_types: ['client_credentials'],
      redirect_uris: [],
      scope: `read:${resource}`,
    });
  const own = async (client: TestClient, resource: string): Promise<string> =>
    (
      await world.post<{ access_token: string }>(
        '/token',
        { grant_type: 'client_credentials', resource },
        client,
      )
    ).body.access_token;

  it.each(['EdDSA', 'PS256'])(
    '%s of an API: its first key is published one cache time before it signs, and is rotated like the others',
    async (alg) => {
      expect(await statuses(alg)).toEqual([]);
      expect(await discovered()).not.toContain(alg);
      const identifier = `https://${alg.toLowerCase()}.example`;
      const scopes = [{ name: `read:${identifier}`, description: 'Read' }];
      await (
        await admin()
      ).ok('POST', '/apis', { body: { identifier, name: alg, scopes, signing_alg: alg } });
      expect(await statuses(alg)).toEqual(['pending']);
      const machine = await machineFor(identifier);
      const signedBy = async () => decodeProtectedHeader(await own(machine, identifier)).alg;
      expect(await signedBy()).toBe('ES256');

      pass(LEAD);
      await is(alg, ['active']);
      await expect.poll(signedBy, { timeout: 10_000 }).toBe(alg); // written first, followed a moment later
      const token = await own(machine, identifier);
      const first = decodeProtectedHeader(token);
      expect(first).toMatchObject({ alg, typ: 'at+jwt' });
      await jwtVerify(token, jwks(), {
        issuer: world.url,
        audience: identifier,
        currentDate: new Date(),
        algorithms: [alg],
      });
      expect(await world.introspect(token, machine)).toMatchObject({ active: true });
      expect(await discovered()).toContain(alg);

      pass(90 * DAY); // by age
      await is(alg, ['active', 'pending']);
      pass(LEAD);
      await is(alg, ['retiring', 'active']);
      const kid = async () => decodeProtectedHeader(await own(machine, identifier)).kid;
      await expect.poll(kid, { timeout: 10_000 }).not.toBe(first.kid);
      expect(await signedBy()).toBe(alg);
    },
  );

  it.each(['EdDSA', 'PS256'])('%s of a client: its ID tokens are signed with it', async (alg) => {
    const client = await world.client({
      client_id: `id-${alg}`,
      redirect_uris: ['https://id.example/cb'],
      first_party: true,
      id_token_signed_response_alg: alg,
    });
    const { id_token: token = '' } = await world.tokens(client, { params: { scope: 'openid' } });
    expect(decodeProtectedHeader(token).alg).toBe(alg);
    await jwtVerify(token, jwks(), {
      issuer: world.url,
      audience: `id-${alg}`,
      currentDate: new Date(),
      algorithms: [alg],
    });
  });
});

describe('a client that is the first to ask for an algorithm', () => {
  it('has its ID tokens signed with it at once, even when that key is taken out', async () => {
    const world = await startWorld();
    const client = await world.client({
      client_id: 'first',
      redirect_uris: ['https://id.example/cb'],
      first_party: true,
      id_token_signed_response_alg: 'EdDSA',
    });
    const kid = async (): Promise<string> => {
      const { id_token: token = '' } = await world.tokens(client, { params: { scope: 'openid' } });
      await jwtVerify(token, createRemoteJWKSet(new URL(`${world.url}/jwks`)), { algorithms: ['EdDSA'] });
      return decodeProtectedHeader(token).kid ?? '';
    };
    const first = await kid();
    const admin = await AdminClient.connect(world);
    await admin.ok('POST', `/keys/${first}/retire`);
    expect(await kid()).not.toBe(first);
    await world.close();
  });
});

describe('in production, a client that is the first to ask for an algorithm', () => {
  it('gets no ID token before its key has stood in the JWKS for a cache time', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    const world = await startWorld({
      env: { NODE_ENV: 'production', PORTCULLIS_ISSUER: 'https://id.example', HOST: '127.0.0.1' },
    });
    const redirect = 'https://app.example/cb';
    const client = await world.client({
      client_id: 'first',
      redirect_uris: [redirect],
      id_token_signed_response_alg: 'EdDSA',
      scope: 'openid orders:read',
    });
    const begin = async (scope: string): Promise<string> => {
      const query = new URLSearchParams({
        client_id: client.id,
        response_type: 'code',
        scope,
        redirect_uri: redirect,
        code_challenge: 'x'.repeat(43),
        code_challenge_method: 'S256',
      });
      const answer = await fetch(`${world.url}/authorize?${query.toString()}`, { redirect: 'manual' });
      return decodeURIComponent(answer.headers.get('location') ?? '').replaceAll('+', ' ');
    };
    expect(await begin('openid')).toMatch(
      /^https:\/\/app\.example\/cb\?error=temporarily_unavailable&error_description=the first EdDSA key of this server signs from \d{4}-\d\d-\d\dT[\d:.]+Z on&/,
    );
    expect(await begin('orders:read')).toContain('/interaction/'); // no ID token is asked for
    vi.setSystemTime(Date.now() + LEAD);
    await expect.poll(() => begin('openid'), { timeout: 10_000 }).toContain('/interaction/');
    await world.close();
    vi.useRealTimers();
  });
});
