import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { databaseKinds } from '../../support/databases.ts';
import { PASSWORD, startWorld, type World } from '../../support/fixtures.ts';
import { AdminClient, operationsOf, type Doc, type Page } from './support/admin-client.ts';

const NEW_PASSWORD = 'maple-harbour-quartz-9';

describe.each(databaseKinds)('the audit log in the admin API on %s', (kind) => {
  let world: World;
  let admin: AdminClient;
  beforeAll(async () => {
    world = await startWorld({ kind });
    admin = await AdminClient.connect(world);
  });
  afterAll(() => world.close());

  const events = async (query: Record<string, string> = {}): Promise<readonly Doc[]> =>
    (await admin.ok<Page>('GET', '/audit-events', { query: { limit: '200', ...query } })).body.data;
  const lines = async (query: Record<string, string> = {}): Promise<unknown[]> => {
    const { text } = await admin.ok('GET', '/audit-events', {
      query,
      headers: { accept: 'application/x-ndjson' },
    });
    return text
      .split('\n')
      .slice(0, -1)
      .map((line): unknown => JSON.parse(line));
  };

  it('has each change with its actor, origin and subject, newest first', async () => {
    const { body, headers } = await admin.ok<{ client_id: string }>('POST', '/clients', {
      body: { redirect_uris: ['https://a.example/cb'] },
    });
    const id = body.client_id;
    await admin.ok('PATCH', `/clients/${id}`, { body: { client_name: 'Named' } });
    await admin.ok('POST', `/clients/${id}/secrets/rotate`);
    await admin.ok('POST', `/clients/${id}/disable`);
    await admin.ok('POST', `/clients/${id}/disable`); // changes nothing
    await admin.ok('POST', `/clients/${id}/enable`);
    await admin.ok('POST', `/clients/${id}/revoke`);
    await admin.ok('DELETE', `/clients/${id}`);
    const found = await events({ client: id });
    expect(found.map(({ type }) => type)).toEqual([
      'client.deleted',
      'client.revoked',
      'client.enabled',
      'client.disabled',
      'secret.rotated',
      'client.updated',
      'secret.created',
      'client.created',
    ]);
    for (const event of found)
      expect(event).toMatchObject({ actor: 'client:admin', ip: '127.0.0.1', client_id: id });
    expect(found.at(-1)?.['request_id']).toBe(headers.get('x-request-id'));
    expect(found[5]?.['detail']).toEqual({ changed: ['client_name'] });
  });

  it('is filtered by type, client, user and time', async () => {
    const bob = await world.user('bob');
    await admin.ok('POST', `/users/${bob}/disable`);
    const types = async (query: Record<string, string>): Promise<unknown[]> =>
      (await events(query)).map(({ type }) => type);
    expect(await types({ user: bob })).toEqual(['user.disabled', 'user.created']);
    expect(await types({ user: bob, type: 'user.created' })).toEqual(['user.created']);
    expect(await types({ user: bob, client: 'web' })).toEqual([]);
    const [disabled] = await events({ user: bob });
    const at = Date.parse(String(disabled?.['time']));
    const iso = (ms: number): string => new Date(ms).toISOString();
    expect(await types({ user: bob, type: 'user.disabled', since: iso(at) })).toEqual(['user.disabled']);
    expect(await types({ user: bob, since: iso(at + 1) })).toEqual([]);
    expect(await types({ since: '2099-01-01T00:00:00+02:00' })).toEqual([]);
  });

  it('is read page by page, each event once, while new ones come', async () => {
    const before = await events();
    const paged = await admin.all('/audit-events', 3, {}, async () => {
      await admin.ok('POST', '/clients/web/revoke');
    });
    expect(paged).toEqual(before);
    expect((await events()).length).toBeGreaterThan(before.length);
  });

  it('is streamed as lines: all there is, or as much as was asked for', async () => {
    for (let i = 0; i < 230; i += 10) {
      await Promise.all(Array.from({ length: 10 }, () => admin.ok('POST', '/clients/web/revoke')));
    }
    const all = await lines();
    expect(all.length).toBeGreaterThan(230);
    expect(all).toEqual(await admin.all('/audit-events', 200));
    expect(await lines({ limit: '7' })).toEqual(all.slice(0, 7));
    const { body } = await admin.ok<Page>('GET', '/audit-events?limit=7');
    expect(await lines({ limit: '2', after: body.next ?? '' })).toEqual(all.slice(7, 9));
    const bad = await admin.call('GET', '/audit-events?after=x', {
      headers: { accept: 'application/x-ndjson' },
    });
    expect(bad.status).toBe(422);
  });

  it('holds no credential, and neither does any list or the log of the server', async () => {
    const used = new Set<string>([PASSWORD, NEW_PASSWORD, world.admin.secret, await world.adminToken()]);
    const use = (...values: (string | undefined)[]): void => {
      for (const value of values) if (value) used.add(value);
    };
    const user = await world.user('carol');
    const { body: client } = await admin.ok<{ client_id: string }>('POST', '/clients', {
      body: { redirect_uris: ['https://a.example/cb'], grant_types: ['authorization_code', 'refresh_token'] },
    });
    await admin.ok('POST', `/clients/${client.client_id}/secrets`, { body: { name: 'second' } });
    await admin.ok('POST', `/clients/${client.client_id}/secrets/rotate`);
    const tokens = await world.tokens(world.web, { username: 'carol' });
    const { body: next } = await world.refresh(world.web, tokens.refresh_token ?? '');
    use(tokens.code, tokens.access_token, tokens.refresh_token, tokens.id_token);
    use(next.access_token, next.refresh_token, ...Object.values(tokens.browser.cookies));
    await world.refresh(world.web, tokens.refresh_token ?? ''); // reuse
    await admin.ok('POST', '/tokens/introspect', { body: { token: next.access_token } });
    await admin.ok('POST', '/tokens/revoke', { body: { token: next.refresh_token } });
    await admin.ok('PUT', `/users/${user}/password`, { body: { password: NEW_PASSWORD } });
    await admin.call('PUT', `/users/${user}/password`, { body: { password: 'too short' } });
    await admin.call('POST', '/users', { body: { username: 'carol', password: NEW_PASSWORD } });
    await admin.call('GET', '/clients', { token: tokens.access_token });
    use('too short', ...admin.credentials);
    expect(used.size).toBeGreaterThan(15);

    const lists = operationsOf(admin.document).filter(
      ({ name }) => name.startsWith('GET ') && !name.includes('{'),
    );
    const shown = await Promise.all(
      lists.map(async ({ name }) => JSON.stringify(await admin.all(name.split(' ')[1] ?? '', 200))),
    );
    expect(shown).toHaveLength(8);
    const secrets = await admin.ok('GET', `/clients/${client.client_id}/secrets`);
    const everything = [...shown, secrets.text, ...world.log].join('\n');
    expect([...used].filter((credential) => everything.includes(credential))).toEqual([]);
    expect(everything).not.toMatch(/"(?:hash|generation|version|password_?hash|payload|sealed)"/i);
  });
});
