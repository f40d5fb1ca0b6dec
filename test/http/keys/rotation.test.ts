import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { databaseKinds } from '../../support/databases.ts';
import { ORDERS, startWorld, type World } from '../../support/fixtures.ts';
import { AdminClient, type Page } from '../admin/support/admin-client.ts';

interface Key {
  readonly kid: string;
  readonly alg: string;
  readonly status: string;
  readonly active_from: string;
  readonly retires_at: string | null;
}

const DAY = 24 * 3600 * 1000;
const LEAD = 330 * 1000;

describe.each(databaseKinds)('rotation of keys over HTTP on %s', (kind) => {
  let world: World;
  beforeAll(() => void vi.useFakeTimers({ toFake: ['Date'] }));
  afterAll(() => void vi.useRealTimers());
  beforeEach(async () => void (world = await startWorld({ kind })));
  afterEach(() => world.close());

  /** Tokens of admins do not outlive a leap in time. */
  const admin = (): Promise<AdminClient> => AdminClient.connect(world);
  const keys = async (alg = 'ES256'): Promise<Key[]> =>
    (await (await admin()).ok<Page<Key>>('GET', '/keys')).body.data.filter((key) => key.alg === alg);
  const statuses = async (alg?: string): Promise<string[]> => (await keys(alg)).map(({ status }) => status);
  const published = async (): Promise<string[]> => {
    const { keys: shown } = (await (await fetch(`${world.url}/jwks`)).json()) as { keys: Key[] };
    return shown.map(({ kid }) => kid);
  };
  const kidOf = (token: string): string =>
    (JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString()) as Key).kid;
  const own = async (): Promise<string> => {
    const { body } = await world.post<{ access_token: string }>(
      '/token',
      { grant_type: 'client_credentials', resource: ORDERS },
      world.machine,
    );
    return body.access_token;
  };
  const pass = (time: number): void => void vi.setSystemTime(Date.now() + time);
  const is = async (expected: string[], alg?: string): Promise<void> =>
    expect.poll(() => statuses(alg), { timeout: 10_000 }).toEqual(expected);

  it('a new key is published at once, signs when every cache knows it, and the old one verifies until its end', async () => {
    const before = await fetch(`${world.url}/jwks`);
    expect(before.headers.get('cache-control')).toBe('public, max-age=300');
    const old = await own();
    const { refresh_token: refresh = '', access_token: users } = await world.tokens(world.web, {
      params: { scope: 'openid offline_access orders:read', prompt: 'consent' },
    });
    pass(1);
    const { status, body } = await (
      await admin()
    ).call<Key>('POST', '/keys/rotate', { body: { alg: 'ES256' } });
    expect({ status, body }).toMatchObject({
      status: 201,
      body: { alg: 'ES256', status: 'pending', retires_at: null },
    });
    expect(Date.parse(body.active_from) - Date.now()).toBe(LEAD);
    const after = await fetch(`${world.url}/jwks`);
    expect(after.headers.get('etag')).not.toBe(before.headers.get('etag'));
    expect(await published()).toContain(body.kid);
    expect(kidOf(await own())).toBe(kidOf(old));

    pass(LEAD);
    await is(['retiring', 'active']);
    // Written first, followed a moment later.
    await expect.poll(async () => kidOf(await own()), { timeout: 10_000 }).toBe(body.kid);
    expect(await published()).toEqual(expect.arrayContaining([kidOf(old), body.kid]));
    expect((await world.introspect(old, world.gateway))['active']).toBe(true);
    expect((await world.userinfo(users)).status).toBe(200);
    expect((await world.refresh(world.web, refresh)).status).toBe(200);

    const [retiring] = await keys();
    pass(Date.parse(retiring?.retires_at ?? '') - Date.now());
    await expect.poll(published, { timeout: 10_000 }).not.toContain(kidOf(old));
    expect((await keys())[0]).toMatchObject({ kid: kidOf(old), status: 'retired' });
  });

  it('immediate: the old key is gone from the JWKS at once, and what it signed is inactive; the family lives on', async () => {
    const old = await own();
    const { access_token: token, refresh_token: refresh = '' } = await world.tokens(world.web, {
      params: { scope: 'openid offline_access orders:read', prompt: 'consent' },
    });
    pass(1);
    const { status, body } = await (
      await admin()
    ).call<Page<Key>>('POST', '/keys/rotate', { body: { immediate: true } });
    expect(status).toBe(201);
    expect(body.data.map(({ alg, status: now }) => `${alg} ${now}`).sort()).toEqual([
      'ES256 active',
      'RS256 active',
    ]);
    expect((await published()).toSorted()).toEqual(body.data.map(({ kid }) => kid).toSorted());
    expect(await world.introspect(old)).toEqual({ active: false });
    expect(await world.introspect(token)).toEqual({ active: false });
    expect((await world.userinfo(token)).status).toBe(401);
    const { body: fresh } = await world.refresh(world.web, refresh);
    expect(body.data.map(({ kid }) => kid)).toContain(kidOf(fresh.access_token));
    expect((await world.introspect(fresh.access_token))['active']).toBe(true);
    expect(await statuses()).toEqual(['retired', 'active']);
  });

  it('retire: the active key is replaced at once; what is not known is 404, a bad algorithm 422', async () => {
    const old = kidOf(await own());
    const client = await admin();
    const { status, body } = await client.call<Key>('POST', `/keys/${old}/retire`);
    expect({ status, body }).toMatchObject({ status: 200, body: { kid: old, status: 'retired' } });
    expect(await published()).not.toContain(old);
    expect(kidOf(await own())).not.toBe(old);
    // The caller's own token was signed with it.
    expect((await client.call('GET', '/keys')).status).toBe(401);
    const again = await admin();
    expect((await again.call('POST', `/keys/${old}/retire`)).status).toBe(200);
    expect((await again.call('POST', '/keys/no-such-key/retire')).status).toBe(404);
    expect((await again.call('POST', '/keys/rotate', { body: { alg: 'HS256' } })).status).toBe(422);
    const { body: events } = await again.ok<Page>('GET', '/audit-events', { query: { type: 'key.retired' } });
    expect(events.data).toMatchObject([{ actor: 'client:admin', detail: { kid: old, alg: 'ES256' } }]);
  });

  it('by age: nobody asks for it', async () => {
    pass(90 * DAY);
    await is(['active', 'pending']);
    await is(['active', 'pending'], 'RS256');
    pass(LEAD);
    await is(['retiring', 'active']);
    await is(['retiring', 'active'], 'RS256');
    const text = await world.app.metrics.render();
    const ages = [
      ...text.matchAll(/^portcullis_signing_key_age_seconds\{kid="[^"]+",status="(\w+)"\} (\d+)/gm),
    ];
    expect(ages.map(([, status, age]) => [status, Math.round(Number(age) / 600) * 600])).toEqual(
      expect.arrayContaining([
        ['retiring', 90 * 86_400 + 600],
        ['active', 600],
      ]),
    );
  });

  it('an authorization that began before a rotation ends after it', async () => {
    const { page, browser, seen } = await begin();
    expect(page).toBe('login');
    await (await admin()).ok('POST', '/keys/rotate', { body: { immediate: true } });
    const last = await browser.submit(
      seen,
      { username: 'alice', password: 'lantern-orbit-velvet-7' },
      '/login',
    );
    expect(last.page).toBe('consent');
  });

  async function begin() {
    const browser = world.browser();
    const query = new URLSearchParams({
      client_id: 'web',
      redirect_uri: world.web.redirect,
      response_type: 'code',
      scope: 'openid orders:read',
      code_challenge: 'x'.repeat(43),
      code_challenge_method: 'S256',
    });
    const seen = await browser.go(`${world.url}/authorize?${query.toString()}`);
    return { browser, seen, page: seen.page };
  }
});
