/** Reuse is judged in an otherwise valid request of the token's own client; anything else changes nothing. */
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { familyIdOf, openArena, postForm, type Arena, type Family } from '../race/support/arena.ts';
import { newSigner } from '../race/support/proofs.ts';
import { databaseKinds, freshDatabase, type FreshDatabase } from '../support/databases.ts';
import type { TestClient } from '../support/fixtures.ts';
import { startTestServer } from '../support/server.ts';

const by = { actor: 'test', scopes: ['clients:write'] };

describe.each(databaseKinds)('a spent refresh token on %s', (kind) => {
  let database: FreshDatabase;
  let arena: Arena;
  const secretKeys = randomBytes(32).toString('base64url');
  const web = (): TestClient => arena.world.web;
  beforeAll(async () => {
    database = await freshDatabase(kind);
    arena = await openArena({ kind, databaseUrl: database.url, secretKeys });
  });
  afterAll(async () => {
    await arena?.close();
    await database?.drop();
  });
  const refresh = (
    as: TestClient,
    token: string,
    more: Record<string, string> = {},
    headers?: Record<string, string>,
  ) =>
    arena.post<{ error?: string; refresh_token?: string; access_token?: string }>(
      0,
      '/token',
      { grant_type: 'refresh_token', refresh_token: token, ...more },
      as,
      headers,
    );
  const answer = ({ status, body }: Awaited<ReturnType<typeof refresh>>) => `${status} ${body.error ?? 'ok'}`;
  /** A family that has been refreshed; its first token is spent. */
  const spent = async (as = web(), times = 1): Promise<Family & { current: string }> => {
    const family = await arena.family(as);
    let current = family.refresh;
    for (let n = 0; n < times; n++) current = (await refresh(as, current)).body.refresh_token ?? '';
    return { ...family, current };
  };
  const lives = async (family: Family, as = web()): Promise<boolean> =>
    (await arena.audited(family.id)).length === 0 && (await arena.anyAlive(as, [family.access]));

  it('ends the family however old it is, and whichever it is', async () => {
    const family = await spent(web(), 25);
    expect(answer(await refresh(web(), family.refresh))).toBe('400 invalid_grant');
    expect(await lives(family)).toBe(false);
    expect(answer(await refresh(web(), family.current))).toBe('400 invalid_grant');
    expect(await arena.audited(family.id)).toMatchObject([
      { type: 'token.reuse_detected', detail: { ms_since_rotation: expect.any(Number) } },
    ]);
  });

  it('ends nothing when another client sends it, or its own with a wrong secret', async () => {
    const family = await spent();
    expect(answer(await refresh(arena.world.spa, family.refresh))).toBe('400 invalid_grant');
    const wrong = { ...web(), secret: 'pcs_wrong' };
    expect(answer(await refresh(wrong, family.refresh))).toBe('401 invalid_client');
    expect(await lives(family)).toBe(true);
    expect(answer(await refresh(web(), family.current))).toBe('200 ok');
  });

  it('ends nothing when more is asked for than it had', async () => {
    const family = await spent();
    const more = { scope: 'openid orders:read orders:write' };
    expect(answer(await refresh(web(), family.refresh, more))).toBe('400 invalid_scope');
    expect(await lives(family)).toBe(true);
  });

  it('ends nothing when it is forged, down to the last bit of its tag', async () => {
    const family = await spent();
    const bytes = Buffer.from(family.refresh.slice(4), 'base64url');
    for (const at of [16, 47, 48, 63]) {
      const forged = Buffer.from(bytes);
      forged[at] = (forged[at] ?? 0) ^ 1;
      expect(answer(await refresh(web(), `pcr_${forged.toString('base64url')}`))).toBe('400 invalid_grant');
    }
    const short = `pcr_${Buffer.concat([bytes.subarray(0, 16), randomBytes(48)]).toString('base64url')}`;
    expect(answer(await refresh(web(), short))).toBe('400 invalid_grant');
    expect(await lives(family)).toBe(true);
  });

  it('that is bound to a key ends nothing without a proof by that key', async () => {
    const [own, other] = [await newSigner(), await newSigner()];
    const url = `${arena.world.url}/token`;
    const spa = arena.world.spa;
    const code = await arena.code(spa);
    const first = await arena.exchange(0, spa, code, { dpop: await own.proof(url) });
    const token = first.body.refresh_token ?? '';
    const next = await refresh(spa, token, {}, { dpop: await own.proof(url) });
    expect(answer(next)).toBe('200 ok');
    const family = { id: familyIdOf(token), access: first.body.access_token ?? '', refresh: token, code };
    for (const without of [token, next.body.refresh_token ?? ''])
      expect(answer(await refresh(spa, without, {}, {}))).toBe('400 invalid_dpop_proof');
    for (const foreign of [token, next.body.refresh_token ?? '']) {
      const headers = { dpop: await other.proof(url) };
      expect(answer(await refresh(spa, foreign, {}, headers))).toBe('400 invalid_grant');
    }
    expect(await lives(family, spa)).toBe(true);
    expect(answer(await refresh(spa, token, {}, { dpop: await own.proof(url) }))).toBe('400 invalid_grant');
    expect(await lives(family, spa)).toBe(false);
  });

  it('ends nothing while its client may not refresh; given that back, the family goes on', async () => {
    const document = {
      client_id: 'changing',
      redirect_uris: ['https://changing.example/cb'],
      grant_types: ['authorization_code', 'refresh_token'],
      scope: 'openid orders:read',
    };
    const client = await arena.world.client(document);
    const { clients } = arena.world.app.domain;
    const family = await spent(client);
    await clients.change(client.id, { grant_types: ['authorization_code'] }, by);
    expect(answer(await refresh(client, family.refresh))).toBe('400 unauthorized_client');
    expect(answer(await refresh(client, family.current))).toBe('400 unauthorized_client');
    expect(await lives(family, client)).toBe(true);
    await clients.change(client.id, { grant_types: document.grant_types }, by);
    expect(answer(await refresh(client, family.current))).toBe('200 ok');
  });

  it('and the current one: a refresh that is refused for its API uses nothing up', async () => {
    const { apis } = arena.world.app.domain.storage;
    const gone = { identifier: 'https://gone.example/api', name: 'Gone', accessTokenFormat: 'jwt' } as const;
    const api = {
      ...gone,
      scopes: [{ name: 'gone:read', description: 'x' }],
      accessTokenTtl: undefined,
      signingAlg: 'ES256',
    } as const;
    await apis.create(api, { type: 'api.created', detail: { identifier: api.identifier } });
    const client = await arena.world.client({
      client_id: 'of-gone',
      redirect_uris: ['https://of-gone.example/cb'],
      grant_types: ['authorization_code', 'refresh_token'],
      scope: 'openid gone:read',
    });
    const family = await arena.family(client, { params: { scope: 'openid gone:read' } });
    await apis.delete(api.identifier, { type: 'api.deleted', detail: { identifier: api.identifier } });
    for (let n = 0; n < 2; n++) {
      expect(answer(await refresh(client, family.refresh))).toBe('400 invalid_target');
    }
    expect(await arena.anyAlive(client, [family.access])).toBe(false);
    expect(await arena.anyAlive(client, [family.refresh])).toBe(true);
    expect(await arena.audited(family.id)).toEqual([]);
  });

  it('is recognised by a node that started later and never saw it', async () => {
    const family = await spent(web(), 3);
    const later = await startTestServer({
      databaseUrl: database.url,
      secretKeys,
      env: { PORTCULLIS_ISSUER: arena.world.url },
    });
    const form = { grant_type: 'refresh_token', refresh_token: family.refresh };
    const { status, body } = await postForm<{ error: string }>(`${later.url}/token`, form, web());
    expect([status, body.error]).toEqual([400, 'invalid_grant']);
    await later.close();
    expect(await lives(family)).toBe(false);
    expect(answer(await refresh(web(), family.current))).toBe('400 invalid_grant');
  });
});
