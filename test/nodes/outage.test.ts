import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { databaseKinds, freshDatabase, type FreshDatabase } from '../support/databases.ts';
import { startWorld, type World } from '../support/fixtures.ts';
import { until } from './support/processes.ts';
import { openWire, type Wire } from './support/wire.ts';

describe.runIf(databaseKinds.includes('postgresql'))('a database that is gone', () => {
  let database: FreshDatabase;
  let wire: Wire;
  let world: World;
  beforeAll(async () => {
    database = await freshDatabase('postgresql');
    wire = await openWire(database.url);
    world = await startWorld({ databaseUrl: wire.url });
  });
  afterAll(async () => {
    await wire.mend();
    await world.close();
    await wire.close();
    await database.drop();
  });
  afterEach(() => wire.mend());
  const get = (path: string, headers: Record<string, string> = {}) =>
    fetch(world.url + path, { headers, redirect: 'manual' });
  const isReady = async (): Promise<boolean> => (await get('/health/ready')).status === 200;

  it.each(['cut', 'silence'] as const)(
    'refuses what needs it with 503 and Retry-After, serves what does not, and comes back by itself (%s)',
    async (how) => {
      const { access_token: token, refresh_token: refresh = '' } = await world.tokens(world.web, {
        params: { scope: 'openid offline_access orders:read', prompt: 'consent' },
      });
      const query = new URLSearchParams({
        client_id: 'web',
        redirect_uri: world.web.redirect,
        response_type: 'code',
        scope: 'openid',
        code_challenge: 'x'.repeat(43),
        code_challenge_method: 'S256',
      });
      const login = await world.browser().request(`${world.url}/authorize?${query.toString()}`);
      const adminToken = await world.adminToken();
      await wire[how]();

      const refused = await Promise.all([
        world.refresh(world.web, refresh),
        world.post('/introspect', { token }, world.gateway),
        world.post('/revoke', { token }, world.web),
        world.userinfo(token),
        world.post(
          '/token',
          { grant_type: 'client_credentials', resource: 'https://phones.example/api' },
          world.machine,
        ),
        get(`/authorize?${query.toString()}`),
        get(`/authorize?${query.toString()}`, { accept: 'text/html' }),
        get(new URL(login.headers.get('location') ?? '', world.url).pathname, { accept: 'text/html' }),
        get('/admin/v1/clients', { authorization: `Bearer ${adminToken}` }),
      ]);
      expect(refused.map(({ status }) => status)).toEqual(refused.map(() => 503));
      expect(refused.map(({ headers }) => headers.get('retry-after'))).toEqual(refused.map(() => '1'));
      for (const path of ['/jwks', '/.well-known/openid-configuration', '/health/live']) {
        expect((await get(path)).status).toBe(200);
      }
      expect(await isReady()).toBe(false);

      await wire.mend();
      await until('ready again', isReady);
      expect((await world.refresh(world.web, refresh)).status).toBe(200); // nothing had happened to it
      expect(await world.introspect(token)).toMatchObject({ active: true });
    },
    60_000,
  );

  it('breaks under load: what was answered with success is kept, and a retry inside grace goes on', async () => {
    const client = await world.client({
      client_id: 'patient',
      redirect_uris: ['https://patient.example/cb'],
      grant_types: ['authorization_code', 'refresh_token'],
      scope: 'openid offline_access',
      rotation_grace: 60,
    });
    const params = { scope: 'openid offline_access', prompt: 'consent' };
    const chains = await Promise.all([1, 2, 3, 4].map(() => world.tokens(client, { params })));
    let [running, refreshed, failed] = [true, 0, 0];
    const outcomes = chains.map(async ({ refresh_token: first = '' }) => {
      for (let token = first; running;) {
        const { status, body } = await world.refresh(client, token);
        if (status === 200) {
          token = body.refresh_token ?? '';
          refreshed++;
        } else {
          expect({ status, body }).toMatchObject({ status: 503 });
          failed++;
        }
      }
    });
    const step = async (): Promise<void> => {
      const before = refreshed;
      wire.breakAll();
      await until('it goes on', () => refreshed > before + 4);
    };
    for (let breaks = 0; breaks < 25; breaks++) await step();
    running = false;
    await Promise.all(outcomes);
    expect(failed).toBeGreaterThan(0);
  }, 60_000);
});
