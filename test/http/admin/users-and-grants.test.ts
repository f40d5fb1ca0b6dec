import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { databaseKinds } from '../../support/databases.ts';
import { PASSWORD, startWorld, type Tokens, type World } from '../../support/fixtures.ts';
import { AdminClient, type Doc, type Page } from './support/admin-client.ts';

const NEW_PASSWORD = 'maple-harbour-quartz-9';
const OFFLINE = { scope: 'openid offline_access orders:read', prompt: 'consent' };

describe.each(databaseKinds)('users, grants and sessions in the admin API on %s', (kind) => {
  let world: World;
  let admin: AdminClient;
  let made = 0;
  beforeAll(async () => {
    world = await startWorld({ kind });
    admin = await AdminClient.connect(world);
  });
  afterAll(() => world.close());

  const newUser = async (more: Doc = {}): Promise<{ id: string; username: string }> => {
    const username = `user-${made++}`;
    const { body } = await admin.ok<{ id: string }>('POST', '/users', {
      body: { username, password: PASSWORD, ...more },
    });
    return { id: body.id, username };
  };
  const alive = async (tokens: Tokens): Promise<boolean> =>
    (await world.introspect(tokens.access_token))['active'] === true;
  const refreshes = async (tokens: Tokens): Promise<boolean> =>
    (await world.refresh(world.web, tokens.refresh_token ?? '')).status === 200;
  const grantsOf = async (userId: string): Promise<readonly (Doc & { id: string })[]> =>
    (await admin.ok<Page<Doc & { id: string }>>('GET', '/grants', { query: { user: userId } })).body.data;
  const sessionsOf = async (userId: string): Promise<readonly (Doc & { id: string })[]> =>
    (await admin.ok<Page<Doc & { id: string }>>('GET', '/sessions', { query: { user: userId } })).body.data;

  it('never show a password or its hash', async () => {
    const { status, body, headers } = await admin.call('POST', '/users', {
      body: { username: 'ada', password: PASSWORD, email: 'ada@example.com', claims: { given_name: 'Ada' } },
    });
    expect(status).toBe(201);
    expect(body).toEqual({
      id: expect.any(String),
      username: 'ada',
      email: 'ada@example.com',
      email_verified: false,
      name: null,
      claims: { given_name: 'Ada' },
      enabled: true,
      created_at: expect.any(String),
      updated_at: expect.any(String),
    });
    const found = await admin.ok('GET', `/users/${String(body['id'])}`);
    expect(found.body).toEqual(body);
    expect(found.headers.get('etag')).toBe(headers.get('etag'));
  });

  it('are found by name, however it is typed, or by address', async () => {
    const { body } = await admin.call('POST', '/users', {
      body: { username: 'Findable', password: PASSWORD, email: 'find@example.com' },
    });
    const find = async (query: Record<string, string>) =>
      (await admin.ok<Page<Doc & { id: string }>>('GET', '/users', { query })).body.data.map(({ id }) => id);
    expect(await find({ username: ' findABLE' })).toEqual([body['id']]);
    expect(await find({ email: 'find@example.com' })).toEqual([body['id']]);
    expect(await find({ username: 'findable', email: 'other@example.com' })).toEqual([]);
    expect(await find({ username: 'nobody' })).toEqual([]);
    expect((await admin.call('GET', '/users', { query: { username: 'a\0' } })).status).toBe(422);
  });

  it('are refused with pointers, and when the name is taken', async () => {
    const refused = await admin.call('POST', '/users', {
      body: { username: '', password: 'short', claims: { birthdate: 'never' }, sub: 'x' },
    });
    expect(refused.body).toMatchObject({
      status: 422,
      errors: expect.arrayContaining(
        ['/username', '/password', '/claims/birthdate', '/sub'].map((pointer) =>
          expect.objectContaining({ pointer }),
        ),
      ),
    });
    expect((await admin.call('POST', '/users', { body: { username: 'ALICE' } })).body).toMatchObject({
      status: 409,
      code: 'username_taken',
    });
  });

  it('are changed by merge patch, as they were read when If-Match says so', async () => {
    const { id } = await newUser({ name: 'Before', email: 'a@example.com', email_verified: true });
    const etag = (await admin.ok('GET', `/users/${id}`)).headers.get('etag') ?? '';
    const patch = (body: Doc) => admin.call('PATCH', `/users/${id}`, { body, headers: { 'if-match': etag } });
    expect((await patch({ name: null, email: 'b@example.com' })).body).toMatchObject({
      name: null,
      email: 'b@example.com',
      email_verified: false,
    });
    expect((await patch({ name: 'Again' })).status).toBe(412);
  });

  it('are listed each once while others are added', async () => {
    const before: string[] = [];
    for (let i = 0; i < 4; i++) before.push((await newUser()).id);
    let more = 3;
    const ids = (
      await admin.all<{ id: string }>('/users', 2, {}, async () => {
        if (more-- > 0) await newUser();
      })
    ).map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids.filter((id) => before.includes(id))).toEqual(before);
  });

  it.each([
    ['are disabled', (id: string) => admin.ok('POST', `/users/${id}/disable`)],
    ['are revoked', (id: string) => admin.ok('POST', `/users/${id}/revoke`)],
    ['are deleted', (id: string) => admin.ok('DELETE', `/users/${id}`)],
    [
      'get a password',
      (id: string) => admin.ok('PUT', `/users/${id}/password`, { body: { password: NEW_PASSWORD } }),
    ],
    [
      'are patched with a password',
      (id: string) => admin.ok('PATCH', `/users/${id}`, { body: { password: NEW_PASSWORD } }),
    ],
    [
      'are patched to be disabled',
      (id: string) => admin.ok('PATCH', `/users/${id}`, { body: { enabled: false } }),
    ],
  ])('lose every session and grant when they %s', async (_, act) => {
    const { id, username } = await newUser();
    const bound = await world.tokens(world.web, { username });
    const offline = await world.tokens(world.web, { username, params: OFFLINE });
    expect(await alive(bound)).toBe(true);
    expect(await sessionsOf(id)).toHaveLength(2);
    expect(await grantsOf(id)).toHaveLength(2);
    await act(id);
    for (const tokens of [bound, offline]) {
      expect(await alive(tokens)).toBe(false);
      expect(await refreshes(tokens)).toBe(false);
      expect((await world.userinfo(tokens.access_token)).status).toBe(401);
    }
    expect(await sessionsOf(id)).toEqual([]);
    expect(await grantsOf(id)).toEqual([]);
  });

  it('do not get back what they lost when they are enabled again', async () => {
    const { id, username } = await newUser();
    const tokens = await world.tokens(world.web, { username });
    await admin.ok('POST', `/users/${id}/disable`);
    expect((await admin.ok('POST', `/users/${id}/enable`)).body).toMatchObject({ enabled: true });
    expect(await alive(tokens)).toBe(false);
    expect(await refreshes(tokens)).toBe(false);
    expect(await alive(await world.tokens(world.web, { username }))).toBe(true);
  });

  it('are not found, or not valid, with a problem', async () => {
    for (const verb of ['disable', 'enable', 'revoke']) {
      expect((await admin.call('POST', `/users/nobody/${verb}`)).status).toBe(404);
    }
    const put = (id: string, body: unknown) => admin.call('PUT', `/users/${id}/password`, { body });
    expect((await put('nobody', { password: NEW_PASSWORD })).status).toBe(404);
    for (const body of [{}, { password: 'short' }, { password: 7 }, { password: NEW_PASSWORD, x: 1 }]) {
      expect((await put(world.userId, body)).status).toBe(422);
    }
    expect((await admin.call('DELETE', '/users/nobody')).status).toBe(204);
  });

  it('show grants by user and client, and sessions by user', async () => {
    const { id, username } = await newUser();
    await world.tokens(world.web, { username });
    await world.tokens(world.spa, { username, params: OFFLINE });
    const [first] = await sessionsOf(id);
    expect(first).toMatchObject({ user_id: id, ip: '127.0.0.1' });
    const grants = await grantsOf(id);
    expect(new Set(grants.map(({ client_id: clientId }) => clientId))).toEqual(new Set(['spa', 'web']));
    const { body } = await admin.ok<Page>('GET', '/grants', { query: { user: id, client: 'spa' } });
    expect(body.data).toMatchObject([
      { user_id: id, client_id: 'spa', session_id: null, scope: 'openid offline_access orders:read' },
    ]);
    const web = grants.find(({ client_id: clientId }) => clientId === 'web');
    expect((await sessionsOf(id)).map((session) => session.id)).toContain(web?.['session_id']);
    expect((await admin.ok<Page>('GET', '/grants?user=nobody')).body.data).toEqual([]);
  });

  it('list grants each once while others begin', async () => {
    const { id, username } = await newUser();
    const begin = () => world.tokens(world.web, { username });
    for (let i = 0; i < 3; i++) await begin();
    const before = (await grantsOf(id)).map((grant) => grant.id);
    let more = 2;
    const ids = (
      await admin.all<{ id: string }>('/grants', 1, { user: id }, async () => {
        if (more-- > 0) await begin();
      })
    ).map((grant) => grant.id);
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids.filter((each) => before.includes(each))).toEqual(before);
  });

  it('end one grant and no other', async () => {
    const { id, username } = await newUser();
    const first = await world.tokens(world.web, { username });
    const known = await grantsOf(id);
    const second = await world.tokens(world.web, { username });
    expect(known).toHaveLength(1);
    for (const _ of [1, 2]) {
      expect((await admin.call('DELETE', `/grants/${known[0]?.id}`)).status).toBe(204);
    }
    expect(await alive(first)).toBe(false);
    expect(await refreshes(first)).toBe(false);
    expect(await alive(second)).toBe(true);
    expect(await refreshes(second)).toBe(true);
    expect((await admin.call('DELETE', '/grants/nothing')).status).toBe(204);
  });

  it('end a session with the grants that hang on it, and spare those with offline_access', async () => {
    const { id, username } = await newUser();
    const bound = await world.tokens(world.web, { username });
    const offline = await world.tokens(world.web, { username, browser: bound.browser, params: OFFLINE });
    const [session, ...others] = await sessionsOf(id);
    expect(others).toEqual([]);
    for (const _ of [1, 2]) {
      expect((await admin.call('DELETE', `/sessions/${session?.id}`)).status).toBe(204);
    }
    expect(await alive(bound)).toBe(false);
    expect(await refreshes(bound)).toBe(false);
    expect(await alive(offline)).toBe(true);
    expect(await refreshes(offline)).toBe(true);
  });
});
