/** What each operation asks of the database: one step is one round trip on PostgreSQL. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { tappedDatabase } from '../fault/support/tapped-database.ts';
import { databaseKinds } from '../support/databases.ts';
import { startWorld, type World } from '../support/fixtures.ts';

const TABLES = [
  'artifacts',
  'audit_events',
  'change_counters',
  'client_secrets',
  'clients',
  'consents',
  'data_keys',
  'denied_tokens',
  'families',
  'sessions',
  'signing_keys',
  'throttles',
  'users',
];

describe.each(databaseKinds)('round trips on %s', (kind) => {
  const tapped = tappedDatabase();
  let world: World;
  beforeAll(async () => {
    world = await startWorld({ kind, wrapDatabase: tapped.wrap });
    tapped.watch(world.app.koa);
    await settled();
  });
  afterAll(() => world?.close());

  const exchange = (code: string, verifier: string) =>
    world.post<{ access_token: string; refresh_token: string }>(
      '/token',
      {
        grant_type: 'authorization_code',
        code,
        redirect_uri: world.web.redirect,
        code_verifier: verifier,
      },
      world.web,
    );
  const ownToken = async (scope: string) => {
    const form = { grant_type: 'client_credentials', scope };
    return (await world.post<{ access_token: string }>('/token', form, world.machine)).body.access_token;
  };
  const { steps } = tapped;
  /** Resolves when this node has seen that clients were made, and knows them: what is in memory costs nothing. */
  const settled = async () => {
    for (let quiet = 0; quiet < 20;) {
      const taken = await steps(() =>
        Promise.all([
          ownToken('orders:read'),
          world.introspect('nothing'),
          world.refresh(world.web, 'nothing'),
        ]),
      );
      quiet = taken.length === 0 ? quiet + 1 : 0;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };

  it('none for a JWT of a client itself', async () => {
    expect(await steps(() => ownToken('orders:read'))).toEqual([]);
  });

  it('none for discovery and keys', async () => {
    for (const path of [
      '/jwks',
      '/.well-known/openid-configuration',
      '/.well-known/oauth-authorization-server',
    ]) {
      expect(await steps(() => fetch(world.url + path))).toEqual([]);
    }
  });

  it('one to introspect a JWT, whoever it speaks for', async () => {
    const [own, tokens] = [await ownToken('orders:read'), await world.tokens(world.web)];
    const introspected = async (token: string) => {
      let active: unknown;
      const taken = await steps(async () => ({ active } = await world.introspect(token)));
      return [...taken, `active ${String(active)}`];
    };
    expect(await introspected(own)).toEqual(['access-tokens.client', 'active true']);
    expect(await introspected(tokens.access_token)).toEqual(['access-tokens.owner', 'active true']);
  });

  it('none to introspect what this server never made', async () => {
    const foreign = `eyJhbGciOiJFUzI1NiIsImtpZCI6IngifQ.e30.${'A'.repeat(86)}`;
    for (const token of ['nothing', foreign, `pcr_${'A'.repeat(86)}`]) {
      expect(await steps(() => world.introspect(token))).toEqual([]);
    }
  });

  it('two to refresh: one read, one write', async () => {
    const { refresh_token: token = '' } = await world.tokens(world.web);
    let status = 0;
    const taken = await steps(async () => ({ status } = await world.refresh(world.web, token)));
    expect([...taken, status]).toEqual(['families.read', 'families.rotate', 200]);
  });

  it('five to refresh for an API with opaque tokens', async () => {
    const { refresh_token: token = '' } = await world.tokens(world.web, {
      params: { scope: 'openid phones:read' },
    });
    expect(await steps(() => world.refresh(world.web, token))).toEqual([
      'families.read',
      'begin',
      'families.rotate',
      'artifacts.save',
      'commit',
    ]);
  });

  it('six to exchange a code', async () => {
    const { code, verifier } = await world.authorize(world.web);
    let status = 0;
    const taken = await steps(async () => ({ status } = await exchange(code, verifier)));
    expect([...taken, status]).toEqual([
      'artifacts.find.1',
      'families.read',
      'begin',
      'artifacts.consume.1',
      'families.first',
      'commit',
      200,
    ]);
  });

  it("one to revoke a token that is nobody's, three more to end what is", async () => {
    const { refresh_token: token = '' } = await world.tokens(world.web);
    expect(await steps(() => world.post('/revoke', { token: 'nothing' }, world.web))).toEqual([]);
    expect(await steps(() => world.post('/revoke', { token }, world.web))).toEqual([
      'families.read',
      'begin',
      'families.kill',
      'audit.insert',
      'commit',
    ]);
  });

  it('as many rows in every table after a thousand refreshes as before', async () => {
    const counts = async () => {
      const rows = await Promise.all(
        TABLES.map((table) =>
          world.app.domain.storage.database.sql.read<{ n: number }>(
            `test.count.${table}`,
            `SELECT count(*) AS n FROM ${table}`,
          ),
        ),
      );
      return Object.fromEntries(TABLES.map((table, index) => [table, rows[index]?.[0]?.n]));
    };
    let { refresh_token: token = '' } = await world.tokens(world.web);
    const before = await counts();
    expect(before['audit_events']).toBeGreaterThan(0);
    for (let n = 0; n < 1000; n++) {
      const { status, body } = await world.refresh(world.web, token);
      expect(status).toBe(200);
      token = body.refresh_token ?? '';
    }
    expect(await counts()).toEqual(before);
  }, 120_000);
});
