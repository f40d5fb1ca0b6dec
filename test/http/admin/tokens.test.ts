import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { databaseKinds } from '../../support/databases.ts';
import {
  ORDERS,
  PHONES,
  startWorld,
  type TestClient,
  type Tokens,
  type World,
} from '../../support/fixtures.ts';
import { AdminClient, type Doc, type Page } from './support/admin-client.ts';

describe.each(databaseKinds)('tokens in the admin API on %s', (kind) => {
  let world: World;
  let admin: AdminClient;
  let ahead = 0;
  beforeAll(async () => {
    world = await startWorld({ kind, clock: { now: () => Date.now() + ahead } });
    admin = await AdminClient.connect(world);
  });
  afterAll(() => world.close());

  const inspect = async (token: string | undefined): Promise<Doc> =>
    (await admin.ok('POST', '/tokens/introspect', { body: { token } })).body;
  const revoke = (token: string | undefined) => admin.call('POST', '/tokens/revoke', { body: { token } });
  const machineToken = async (scope: string, as: TestClient = world.machine): Promise<string> =>
    (await world.post<Tokens>('/token', { grant_type: 'client_credentials', scope }, as)).body.access_token;
  const phones = () => world.tokens(world.web, { params: { scope: 'openid phones:read', resource: PHONES } });
  const events = async (type: string): Promise<readonly Doc[]> =>
    (await admin.ok<Page>('GET', `/audit-events?type=${type}`)).body.data;

  it('are read with tokens:read and ended with tokens:write, neither standing in for the other', async () => {
    const { access_token } = await world.tokens(world.web);
    const reads = await world.adminToken('tokens:read');
    const writes = await world.adminToken('tokens:write');
    const status = async (verb: string, token: string): Promise<number> =>
      (await admin.call('POST', `/tokens/${verb}`, { token, body: { token: access_token } })).status;
    expect([await status('introspect', writes), await status('revoke', reads)]).toEqual([403, 403]);
    expect(await inspect(access_token)).toMatchObject({ active: true });
    expect([await status('introspect', reads), await status('revoke', writes)]).toEqual([200, 204]);
    expect(await inspect(access_token)).toMatchObject({ active: false });
  });

  it('are known with their grant and user, whoever they were made for', async () => {
    const tokens = await world.tokens(world.web);
    const about = {
      active: true,
      client_id: 'web',
      user_id: world.userId,
      grant_id: expect.any(String),
      iss: world.url,
    };
    const access = await inspect(tokens.access_token);
    expect(access).toMatchObject({
      ...about,
      kind: 'access_token',
      aud: ORDERS,
      scope: 'openid orders:read',
    });
    const refresh = await inspect(tokens.refresh_token);
    expect(refresh).toMatchObject({ ...about, kind: 'refresh_token', scope: 'openid orders:read' });
    expect(refresh['grant_id']).toBe(access['grant_id']);
    const opaque = (await phones()).access_token;
    expect(opaque).toMatch(/^pca_/);
    expect(await inspect(opaque)).toMatchObject({ ...about, kind: 'access_token', aud: PHONES });
    for (const scope of ['orders:read', 'phones:read']) {
      const own = await inspect(await machineToken(scope));
      expect(own).toMatchObject({ active: true, client_id: 'machine', sub: 'machine', scope });
      expect(own).not.toHaveProperty('user_id');
    }
    expect(JSON.stringify([access, refresh])).not.toContain(tokens.refresh_token);
  });

  it('may be sent as a form', async () => {
    const { access_token: token } = await world.tokens(world.web);
    const form = { token, token_type_hint: 'access_token' };
    expect((await admin.ok('POST', '/tokens/introspect', { form })).body).toMatchObject({ active: true });
    expect((await admin.call('POST', '/tokens/revoke', { form })).status).toBe(204);
    expect(await inspect(token)).toMatchObject({ active: false });
  });

  it.each<[unknown, string]>([
    [{}, '/token'],
    [{ token: '' }, '/token'],
    [{ token: 7 }, '/token'],
    [{ token: 'x', secret: 'y' }, '/secret'],
  ])('are refused as a body when malformed: %j', async (body, pointer) => {
    for (const verb of ['introspect', 'revoke']) {
      const answer = await admin.call('POST', `/tokens/${verb}`, { body });
      expect([answer.status, answer.body]).toMatchObject([422, { errors: [{ pointer }] }]);
    }
    const raw = ['application/x-www-form-urlencoded', 'token=a&token=b'] as const;
    expect((await admin.call('POST', '/tokens/introspect', { raw })).status).toBe(422);
  });

  it('that this server did not make are unknown, and revoking them does nothing', async () => {
    const tokens = await world.tokens(world.web);
    const forged = [
      'x',
      'a.b.c',
      'pca_unknown',
      `pcr_${'A'.repeat(86)}`,
      `${tokens.access_token.slice(0, -6)}AAAAAA`,
      // Surely another one: two letters that are the same already would be the token itself.
      `${String(tokens.refresh_token).slice(0, -2)}${tokens.refresh_token?.endsWith('AA') ? 'QQ' : 'AA'}`,
      tokens.id_token,
    ];
    const before = await events('token.revoked');
    for (const token of forged) {
      expect(await inspect(token)).toEqual({ active: false, inactive_reason: 'unknown' });
      expect((await revoke(token)).status).toBe(204);
    }
    expect(await events('token.revoked')).toEqual(before);
    expect(await inspect(tokens.access_token)).toMatchObject({ active: true });
  });

  it('that are access tokens end alone', async () => {
    const before = (await events('token.revoked')).length;
    const tokens = await world.tokens(world.web);
    const others = [
      (await phones()).access_token,
      await machineToken('orders:read'),
      await machineToken('phones:read'),
    ];
    for (const token of [tokens.access_token, ...others]) {
      expect((await revoke(token)).status).toBe(204);
      expect((await revoke(token)).status).toBe(204);
      expect(await inspect(token)).toMatchObject({ active: false });
      expect(await world.introspect(token)).toEqual({ active: false });
    }
    expect(await inspect(tokens.access_token)).toMatchObject({
      inactive_reason: 'revoked',
      client_id: 'web',
    });
    const since = (await events('token.revoked')).length - before;
    expect(since).toBe(4); // not one for each try
    expect((await events('token.revoked')).slice(0, since)).toMatchObject(
      Array.from({ length: since }, () => ({ actor: 'client:admin', detail: { kind: 'access_token' } })),
    );
    expect((await world.refresh(world.web, tokens.refresh_token ?? '')).status).toBe(200);
  });

  it('that are refresh tokens end with their whole family, spent or not', async () => {
    for (const spent of [false, true]) {
      const tokens = await world.tokens(world.web);
      const { body: next } = await world.refresh(world.web, tokens.refresh_token ?? '');
      expect(await inspect(tokens.refresh_token)).toMatchObject({ active: false, inactive_reason: 'spent' });
      expect(await inspect(next.refresh_token)).toMatchObject({ active: true });
      expect((await revoke(spent ? tokens.refresh_token : next.refresh_token)).status).toBe(204);
      for (const token of [next.refresh_token, next.access_token, tokens.access_token]) {
        expect(await inspect(token)).toMatchObject({ active: false, inactive_reason: 'revoked' });
      }
      expect(await world.introspect(next.access_token)).toEqual({ active: false });
      expect((await world.refresh(world.web, next.refresh_token ?? '')).status).toBe(400);
      expect((await events('token.revoked'))[0]).toMatchObject({
        actor: 'client:admin',
        client_id: 'web',
        user_id: world.userId,
        grant_id: expect.any(String),
        detail: { kind: 'refresh_token' },
      });
    }
  });

  it('say why they are not active', async () => {
    const userId = await world.user('bob');
    const as = await world.client({
      redirect_uris: ['https://a.example/cb'],
      grant_types: ['authorization_code', 'refresh_token'],
      scope: 'openid orders:read',
    });
    const tokens = await world.tokens(as, { username: 'bob' });
    const expectBoth = async (reason: string): Promise<void> => {
      for (const token of [tokens.access_token, tokens.refresh_token]) {
        expect(await inspect(token)).toMatchObject({
          active: false,
          inactive_reason: reason,
          user_id: userId,
        });
      }
    };
    await admin.ok('POST', `/users/${userId}/disable`);
    await expectBoth('user_disabled');
    await admin.ok('POST', `/users/${userId}/enable`);
    await expectBoth('revoked');
    await admin.ok('DELETE', `/users/${userId}`);
    await expectBoth('user_deleted');
    await admin.ok('POST', `/clients/${as.id}/disable`);
    await expectBoth('client_disabled');
    await admin.ok('DELETE', `/clients/${as.id}`);
    await expectBoth('client_deleted');
  });

  it('say that they have expired', async () => {
    const as = await world.client({
      redirect_uris: ['https://short.example/cb'],
      grant_types: ['authorization_code', 'refresh_token'],
      scope: 'openid orders:read',
      access_token_ttl: 1,
      refresh_token_idle_ttl: 1,
    });
    const tokens = await world.tokens(as);
    try {
      ahead = 30_000;
      for (const token of [tokens.access_token, tokens.refresh_token]) {
        expect(await inspect(token)).toMatchObject({
          active: false,
          inactive_reason: 'expired',
          client_id: as.id,
          user_id: world.userId,
        });
      }
    } finally {
      ahead = 0;
    }
  });

  it('that are refresh tokens end their family even when they have expired by themselves', async () => {
    const as = await world.client({
      redirect_uris: ['https://idle.example/cb'],
      grant_types: ['authorization_code', 'refresh_token'],
      scope: 'openid orders:read',
      refresh_token_idle_ttl: 1,
    });
    const tokens = await world.tokens(as);
    try {
      ahead = 5_000;
      expect(await inspect(tokens.refresh_token)).toMatchObject({ inactive_reason: 'expired' });
      expect(await inspect(tokens.access_token)).toMatchObject({ active: true });
      expect((await revoke(tokens.refresh_token)).status).toBe(204);
      expect(await inspect(tokens.access_token)).toMatchObject({ inactive_reason: 'revoked' });
      const before = await events('token.revoked');
      expect(before[0]).toMatchObject({ client_id: as.id, detail: { kind: 'refresh_token' } });
      expect((await revoke(tokens.refresh_token)).status).toBe(204);
      expect(await events('token.revoked')).toEqual(before);
    } finally {
      ahead = 0;
    }
  });

  it('that are opaque and revoked by two at once have one audit row', async () => {
    const { access_token: token } = await phones();
    const before = (await events('token.revoked')).length;
    await Promise.all([1, 2, 3, 4].map(() => revoke(token)));
    expect((await events('token.revoked')).length).toBe(before + 1);
  });

  it('say that the key which signed them was retired, if that is all', async () => {
    const tokens = await world.tokens(world.web);
    const other = await world.tokens(world.web);
    await revoke(other.access_token);
    const header = tokens.access_token.split('.')[0] ?? '';
    const { kid } = JSON.parse(Buffer.from(header, 'base64url').toString()) as { kid: string };
    await admin.ok('POST', `/keys/${kid}/retire`);
    admin = await AdminClient.connect(world); // the retired key had signed this token too
    expect(await inspect(tokens.access_token)).toMatchObject({
      active: false,
      inactive_reason: 'key_retired',
      client_id: 'web',
      user_id: world.userId,
    });
    expect(await inspect(other.access_token)).toMatchObject({ inactive_reason: 'revoked' });
    const forged = `${tokens.access_token.slice(0, -6)}AAAAAA`;
    expect(await inspect(forged)).toEqual({ active: false, inactive_reason: 'unknown' });
    expect((await revoke(tokens.access_token)).status).toBe(204);
  });

  it('say that their API is gone', async () => {
    const tokens = await world.tokens(world.web);
    await admin.ok('DELETE', `/apis/${encodeURIComponent(ORDERS)}`);
    expect(await inspect(tokens.access_token)).toMatchObject({
      active: false,
      inactive_reason: 'api_deleted',
    });
  });
});
