import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { databaseKinds } from '../../support/databases.ts';
import { startWorld, type TestClient, type World } from '../../support/fixtures.ts';
import { AdminClient, type Doc, type Page } from './support/admin-client.ts';

interface Secret extends Doc {
  readonly id: string;
  readonly status: string;
  readonly expires_at: string | null;
  readonly client_secret: string;
}

describe.each(databaseKinds)('client secrets in the admin API on %s', (kind) => {
  let world: World;
  let admin: AdminClient;
  let ahead = 0;
  beforeAll(async () => {
    world = await startWorld({ kind, clock: { now: () => Date.now() + ahead } });
    admin = await AdminClient.connect(world);
  });
  afterAll(() => world.close());

  const client = (): Promise<TestClient> =>
    world.client({ grant_types: ['client_credentials'], redirect_uris: [], scope: 'orders:read' });
  const ask = (as: TestClient, secret = as.secret) =>
    world.post<{ access_token: string; error?: string }>(
      '/token',
      { grant_type: 'client_credentials', scope: 'orders:read' },
      { ...as, secret },
    );
  const works = async (as: TestClient, secret = as.secret): Promise<boolean> => {
    const { status, body } = await ask(as, secret);
    if (status !== 200) expect([status, body.error]).toEqual([401, 'invalid_client']);
    return status === 200;
  };
  const list = async ({ id }: TestClient): Promise<readonly Secret[]> =>
    (await admin.ok<Page<Secret>>('GET', `/clients/${id}/secrets`)).body.data;
  const live = async (as: TestClient): Promise<readonly Secret[]> =>
    (await list(as)).filter(({ status }) => status === 'active' || status === 'retiring');
  const rotate = (as: TestClient, body?: Doc) =>
    admin.call<Secret>('POST', `/clients/${as.id}/secrets/rotate`, body ? { body } : {});

  it('are added beside those that work, and are listed without their values', async () => {
    const as = await client();
    const expires = new Date(Date.now() + 3_600_000).toISOString();
    const { status, body } = await admin.call<Secret>('POST', `/clients/${as.id}/secrets`, {
      body: { name: 'next', expires_at: expires },
    });
    expect([status, body]).toMatchObject([201, { name: 'next', status: 'active', expires_at: expires }]);
    expect(await works(as)).toBe(true);
    expect(await works(as, body.client_secret)).toBe(true);
    const { client_secret: _value, ...shown } = body;
    const [first, second] = await list(as);
    expect(first).toMatchObject({ name: null, status: 'active', expires_at: null });
    expect(second).toMatchObject({ ...shown, last_used_at: second?.['last_used_at'] });
  });

  it('are refused at once when they were rotated with expire_old now', async () => {
    const as = await client();
    const { status, body } = await rotate(as, { expire_old: 'now', name: 'rotated' });
    expect([status, body]).toMatchObject([201, { name: 'rotated', status: 'active' }]);
    expect(await works(as)).toBe(false);
    expect(await works(as, body.client_secret)).toBe(true);
    expect((await list(as)).map((each) => each.status)).toEqual(['expired', 'active']);
  });

  it('retire for a day unless told otherwise, and end by the clock', async () => {
    const as = await client();
    const before = Date.now();
    const { body } = await rotate(as);
    const [old] = await list(as);
    expect(old?.status).toBe('retiring');
    const left = Date.parse(old?.expires_at ?? '') - before;
    expect(left).toBeGreaterThanOrEqual(86_400_000);
    expect(left).toBeLessThan(86_400_000 + 60_000);
    await rotate(as, { expire_old: '1m' });
    expect(await works(as)).toBe(true);
    try {
      ahead = 61_000;
      expect(await works(as)).toBe(false);
      expect(await works(as, body.client_secret)).toBe(false);
    } finally {
      ahead = 0;
    }
  });

  it('never get a later end by a rotation', async () => {
    const as = await client();
    await rotate(as, { expire_old: '1h' });
    const ends = (await list(as))[0]?.expires_at;
    await rotate(as, { expire_old: '7d' });
    expect((await list(as))[0]?.expires_at).toBe(ends);
  });

  it.each([
    ['rotate', { expire_old: 'soon' }, '/expire_old'],
    ['rotate', { expire_old: '1.5h' }, '/expire_old'],
    ['rotate', { expires_at: '2090-01-01T00:00:00Z' }, '/expires_at'],
    ['', { expires_at: '2001-01-01T00:00:00Z' }, '/expires_at'],
    ['', { expires_at: 'tomorrow' }, '/expires_at'],
    ['', { name: '' }, '/name'],
    ['', { value: 'chosen' }, '/value'],
  ])('are refused with a pointer: %s %j', async (verb, body, pointer) => {
    const answer = await admin.call('POST', `/clients/web/secrets${verb && `/${verb}`}`, { body });
    expect([answer.status, answer.body]).toMatchObject([422, { errors: [{ pointer }] }]);
  });

  it('are at most five alive, however many rotations and additions run side by side', async () => {
    const as = await client();
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        i % 2 ? rotate(as, { expire_old: '1h' }) : admin.call('POST', `/clients/${as.id}/secrets`),
      ),
    );
    const made = answers.filter(({ status }) => status === 201);
    expect(made).toHaveLength(4);
    const refused = answers.filter(({ status }) => status !== 201).map(({ body }) => body);
    expect(refused).toMatchObject(refused.map(() => ({ status: 409, code: 'too_many_secrets' })));
    expect(await live(as)).toHaveLength(5);
    for (const { body } of made) expect(await works(as, (body as Secret).client_secret)).toBe(true);
    expect((await rotate(as, { expire_old: 'now' })).status).toBe(201); // the five are not alive afterwards
    expect(await live(as)).toHaveLength(1);
  });

  it('fail no request while a client moves from the old one to the new one', async () => {
    const as = await client();
    const results: number[] = [];
    const load = async (secret: () => string | undefined, count: number): Promise<void> => {
      for (let i = 0; i < count; i++) results.push((await ask(as, secret())).status);
    };
    const workers = (secret: (worker: number) => () => string | undefined): Promise<unknown> =>
      Promise.all(Array.from({ length: 8 }, (_, worker) => load(secret(worker), 10)));
    // The rotation comes in the midst of requests with the old secret.
    const [{ body: made }] = await Promise.all([
      rotate(as, { expire_old: '10m' }),
      workers(() => () => as.secret),
    ]);
    // Deployments differ in speed: half of the workers have the new secret, then all.
    await workers((worker) => () => (worker % 2 ? made.client_secret : as.secret));
    await workers(() => () => made.client_secret);
    const [old] = await list(as);
    const [revoked] = await Promise.all([
      admin.call('DELETE', `/clients/${as.id}/secrets/${old?.id}`),
      workers(() => () => made.client_secret),
    ]);
    expect(revoked.status).toBe(204);
    expect(results).toHaveLength(320);
    expect(results.filter((status) => status !== 200)).toEqual([]);
    expect(await works(as)).toBe(false);
  });

  it('leave tokens alone when they are revoked, unless told otherwise', async () => {
    const as = await client();
    const token = async (): Promise<string> => (await ask(as)).body.access_token;
    const first = await token();
    const { body: next } = await admin.ok<Secret>('POST', `/clients/${as.id}/secrets`);
    await admin.ok('DELETE', `/clients/${as.id}/secrets/${next.id}`);
    expect(await works(as, next.client_secret)).toBe(false);
    expect(await world.introspect(first)).toMatchObject({ active: true });
    const { body: other } = await admin.ok<Secret>('POST', `/clients/${as.id}/secrets`);
    await admin.ok('DELETE', `/clients/${as.id}/secrets/${other.id}?revoke_tokens=true`);
    expect(await world.introspect(first)).toEqual({ active: false });
    expect(await world.introspect(await token())).toMatchObject({ active: true });
    expect((await list(as)).map(({ status }) => status)).toEqual(['active', 'revoked', 'revoked']);
  });

  it('are kept when one is the last that works, unless forced', async () => {
    const as = await client();
    const [only] = await list(as);
    const path = `/clients/${as.id}/secrets/${only?.id}`;
    expect((await admin.call('DELETE', path)).body).toMatchObject({ status: 409, code: 'last_secret' });
    expect((await admin.call('DELETE', `${path}?force=yes`)).status).toBe(422);
    expect((await admin.call('DELETE', `${path}?force=false`)).status).toBe(409);
    expect(await works(as)).toBe(true);
    expect((await admin.call('DELETE', `${path}?force=true`)).status).toBe(204);
    expect(await works(as)).toBe(false);
    expect((await admin.call('PATCH', path, { body: { name: 'x' } })).status).toBe(409);
  });

  it('are renamed, and end sooner or later, by PATCH', async () => {
    const as = await client();
    const [only] = await list(as);
    const path = `/clients/${as.id}/secrets/${only?.id}`;
    const soon = new Date(Date.now() + 60_000).toISOString();
    const { body } = await admin.ok('PATCH', path, { body: { name: 'named', expires_at: soon } });
    expect(body).toMatchObject({ id: only?.id, name: 'named', expires_at: soon, status: 'active' });
    expect((await admin.ok('PATCH', path, { body: { expires_at: null } })).body).toMatchObject({
      name: 'named',
      expires_at: null,
    });
    expect((await admin.call('PATCH', path, { body: { hint: 'aaaa' } })).status).toBe(422);
  });

  it('tell when they were last used', async () => {
    const as = await client();
    await rotate(as);
    expect((await list(as)).map((each) => each['last_used_at'])).toEqual([null, null]);
    const before = Date.now();
    expect(await works(as)).toBe(true);
    const used = async (): Promise<unknown[]> => (await list(as)).map((each) => each['last_used_at']);
    await expect.poll(used, { timeout: 15_000 }).toEqual([expect.any(String), null]);
    expect(Date.parse(String((await used())[0]))).toBeGreaterThanOrEqual(before);
  });

  it('are paged', async () => {
    const as = await client();
    for (let i = 0; i < 3; i++) await admin.ok('POST', `/clients/${as.id}/secrets`);
    const paged = await admin.all<Secret>(`/clients/${as.id}/secrets`, 1);
    expect(paged).toEqual(await list(as));
    const after = Buffer.from('["gone"]').toString('base64url');
    expect((await admin.call('GET', `/clients/${as.id}/secrets`, { query: { after } })).status).toBe(422);
  });

  it.each([
    ['GET', '/clients/nobody/secrets'],
    ['POST', '/clients/nobody/secrets'],
    ['POST', '/clients/nobody/secrets/rotate'],
    ['PATCH', '/clients/web/secrets/nothing'],
    ['DELETE', '/clients/web/secrets/nothing'],
  ])('are not found where there are none: %s %s', async (method, path) => {
    const options = method === 'PATCH' ? { body: {} } : {};
    expect((await admin.call(method, path, options)).status).toBe(404);
  });

  it('of an admin client are made only by a caller whose token holds as much', async () => {
    const { body } = await admin.ok<{ client_id: string; client_secret: string }>('POST', '/clients', {
      body: { grant_types: ['client_credentials'], scope: 'secrets:write clients:write' },
    });
    const { body: answer } = await world.post<{ access_token: string }>(
      '/token',
      { grant_type: 'client_credentials', resource: 'urn:portcullis:admin' },
      { id: body.client_id, secret: body.client_secret, redirect: '' },
    );
    const token = answer.access_token;
    for (const path of ['secrets', 'secrets/rotate']) {
      const refused = await admin.call('POST', `/clients/admin/${path}`, { token });
      expect(refused.body).toMatchObject({ status: 403, code: 'insufficient_scope' });
    }
    const jwks = { token_endpoint_auth_method: 'private_key_jwt', jwks_uri: 'https://evil.example/jwks' };
    expect((await admin.call('PATCH', '/clients/admin', { token, body: jwks })).status).toBe(403);
    for (const id of [body.client_id, 'web']) {
      expect((await admin.call('POST', `/clients/${id}/secrets`, { token })).status).toBe(201);
    }
    expect(await live({ id: 'admin', redirect: '' })).toHaveLength(1);
    // Else a token that was narrowed on purpose would be worth every scope of its client.
    const narrow = await world.adminToken('secrets:write clients:write');
    expect((await admin.call('POST', '/clients/admin/secrets', { token: narrow })).status).toBe(403);
    expect((await admin.call('PATCH', '/clients/admin', { token: narrow, body: jwks })).status).toBe(403);
  });
});
