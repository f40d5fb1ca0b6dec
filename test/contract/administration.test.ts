/** Clients, their secrets, and APIs: what admins do to them, on every database. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { matchSecret } from '../../src/clients/secrets.ts';
import { databaseKinds } from '../support/databases.ts';
import { admin, DAY, DEFAULT_API, HOUR, MINUTE, openWorld, refusal, type World } from './world.ts';

describe.each(databaseKinds)('administration on %s', (kind) => {
  let world: World;
  beforeAll(async () => {
    world = await openWorld(kind);
  });
  afterAll(() => world?.close());
  const since = async (work: () => Promise<unknown>) => {
    const [events, bumps] = [world.events.length, world.bumps.length];
    await work();
    return {
      events: world.events.slice(events).map(({ type }) => type),
      bumps: world.bumps.slice(bumps),
    };
  };

  describe('clients', () => {
    it('creates one with its first secret, whose value is shown once and kept as a hash', async () => {
      const { client, secret } = await world.client();
      expect(client).toMatchObject({ enabled: true, version: 1, createdAt: world.time.now });
      expect(client.metadata).toMatchObject({ client_id: client.id, client_name: 'Web', enabled: true });
      expect(secret?.value).toMatch(/^pcs_[\w-]{43}$/);
      expect(secret?.record.hint).toBe(secret?.value.slice(-4));
      const found = await world.clients.find(client.id);
      expect(found).toEqual(client);
      expect(matchSecret(found, secret?.value ?? '', world.dataKeys, world.time.now)?.id).toBe(
        secret?.record.id,
      );
      const rows = await world.database.prisma.clientSecret.findMany({ where: { clientId: client.id } });
      expect(JSON.stringify(rows, (_, v: unknown) => (typeof v === 'bigint' ? Number(v) : v))).not.toContain(
        secret?.value,
      );
    });

    it('creates one without a secret for a method that needs none', async () => {
      const { client, secret } = await world.client({ token_endpoint_auth_method: 'none' });
      expect([secret, client.secrets]).toEqual([undefined, []]);
    });

    it('audits a creation in the transaction, with who did it from where', async () => {
      const { client, secret } = await world.client();
      const rows = (await world.audited()).filter(({ clientId }) => clientId === client.id);
      expect(rows.map(({ type }) => type).sort()).toEqual(['client.created', 'secret.created']);
      expect(rows[0]).toMatchObject({ actor: 'client:admin', ip: '192.0.2.1', requestId: 'request-1' });
      expect(rows.find(({ type }) => type === 'secret.created')?.detail).toEqual({
        secret_id: secret?.record.id,
      });
    });

    it('refuses an id that a client or a user has', async () => {
      const { id } = await world.client({ client_id: 'chosen' });
      expect(id).toBe('chosen');
      expect(await refusal(world.client({ client_id: 'chosen' }))).toBe('409 client_exists');
      const user = await world.user('same-id');
      const taken = world.clients.create(
        { id: user.id, metadata: (await world.clients.find('chosen'))!.metadata },
        undefined,
        [],
      );
      expect(await refusal(taken)).toBe('409 client_exists');
    });

    it('refuses a faulty document and an admin scope that the caller does not hold', async () => {
      expect(await refusal(world.client({ redirect_uris: ['http://evil.example/'] }))).toBe(
        '422 invalid_client_metadata',
      );
      const document = { grant_types: ['client_credentials'], scope: 'users:write' };
      const caller = { ...admin, scopes: ['clients:write'] };
      expect(await refusal(world.admin.clients.create(document, caller))).toBe('403 insufficient_scope');
    });

    it('changes one by a merge patch, counting versions', async () => {
      const { id } = await world.client();
      const seen = await since(() => world.admin.clients.change(id, { client_name: 'New' }, admin, 1));
      expect(seen).toEqual({ events: ['client.updated'], bumps: ['clients'] });
      const after = await world.clients.find(id);
      expect(after).toMatchObject({ version: 2, metadata: { client_name: 'New' } });
      expect(world.events.at(-1)?.detail).toEqual({ changed: ['client_name'] });
      expect(await refusal(world.admin.clients.change(id, { client_name: 'Late' }, admin, 1))).toBe(
        '412 version_mismatch',
      );
      const nothing = await since(() => world.admin.clients.change(id, { client_name: 'New' }, admin));
      expect(nothing).toEqual({ events: [], bumps: [] });
      expect(await refusal(world.admin.clients.change('nobody', {}, admin))).toBe('404 not_found');
    });

    it('loses none of several changes at once', async () => {
      const { id } = await world.client();
      await Promise.all([
        world.admin.clients.change(id, { client_name: 'A' }, admin),
        world.admin.clients.change(id, { rotation_grace: 7 }, admin),
        world.admin.clients.change(id, { access_token_ttl: 70 }, admin),
      ]);
      expect((await world.clients.find(id))?.metadata).toMatchObject({
        client_name: 'A',
        rotation_grace: 7,
        access_token_ttl: 70,
      });
    });

    it('ends everything of a client that is disabled, and enabling revives nothing', async () => {
      const { id } = await world.client();
      const user = await world.user('disabled-client');
      const family = await world.family(user, id);
      const { generation } = (await world.clients.find(id))!;
      expect(await world.alive(family)).toBe(true);
      expect(await since(() => world.admin.clients.setEnabled(id, false, admin))).toEqual({
        events: ['client.disabled'],
        bumps: ['clients'],
      });
      expect((await world.clients.find(id))?.metadata.enabled).toBe(false);
      expect(await world.alive(family)).toBe(false);
      expect((await since(() => world.admin.clients.setEnabled(id, false, admin))).events).toEqual([]);
      await world.admin.clients.setEnabled(id, true, admin);
      expect(await world.alive(family)).toBe(false);
      expect(await world.accessTokens.clientAlive(id, generation, 'jti')).toBe(false);
      const { generation: renewed } = (await world.clients.find(id))!;
      expect(await world.accessTokens.clientAlive(id, renewed, 'jti')).toBe(true);
      expect(await refusal(world.admin.clients.setEnabled('nobody', false, admin))).toBe('404 not_found');
    });

    it('disables by a patch as well, with the same effect', async () => {
      const { id } = await world.client();
      const family = await world.family(await world.user('patched-client'), id);
      const { events } = await since(() =>
        world.admin.clients.change(id, { enabled: false, client_name: 'Off' }, admin),
      );
      expect(events).toEqual(['client.updated', 'client.disabled']);
      await world.admin.clients.change(id, { enabled: true }, admin);
      expect((await world.clients.find(id))?.enabled).toBe(true);
      expect(await world.alive(family)).toBe(false);
    });

    it('revokes everything that a client holds, tokens of its own included', async () => {
      const { id } = await world.client();
      const family = await world.family(await world.user('revoked-client'), id);
      const { generation } = (await world.clients.find(id))!;
      expect((await since(() => world.admin.clients.revoke(id, admin))).events).toEqual(['client.revoked']);
      expect(await world.alive(family)).toBe(false);
      expect(await world.accessTokens.clientAlive(id, generation, 'jti')).toBe(false);
      expect(await refusal(world.admin.clients.revoke('nobody', admin))).toBe('404 not_found');
    });

    it('deletes one with its secrets and consents; one made again under its id inherits nothing', async () => {
      await world.client({ client_id: 'again' });
      const user = await world.user('deleted-client');
      const family = await world.family(user, 'again');
      await world.consents.allow(user.id, 'again', { '': ['email'] }, consentEvent);
      expect((await since(() => world.admin.clients.remove('again', admin))).events).toEqual([
        'client.deleted',
      ]);
      expect(await world.clients.find('again')).toBeUndefined();
      expect(await world.secretStore.list('again')).toEqual([]);
      expect((await since(() => world.admin.clients.remove('again', admin))).events).toEqual([]);
      await world.client({ client_id: 'again' });
      expect(await world.consents.find(user.id, 'again')).toBeUndefined();
      expect(await world.alive(family)).toBe(false);
    });

    it('pages without losing or repeating one, whatever is added meanwhile', async () => {
      const before = new Set<string>();
      for (let i = 0; i < 7; i++) before.add((await world.client()).id); // all in the same millisecond
      const seen: string[] = [];
      let after: string | undefined;
      do {
        const page = await world.admin.clients.list({ limit: 3, after });
        seen.push(...page.data.map(({ id }) => id));
        after = page.next ?? undefined;
        world.time.now += 1;
        if (seen.length < 7) await world.client();
      } while (after !== undefined);
      expect(new Set(seen).size).toBe(seen.length);
      expect([...before].filter((id) => !seen.includes(id))).toEqual([]);
      const all = await world.admin.clients.list({ limit: 200 });
      for (const client of all.data) expect(client).toEqual(await world.clients.find(client.id));
      expect(await refusal(world.admin.clients.list({ limit: 3, after: 'junk' }))).toBe('422 invalid_cursor');
    });

    it('is seen by the registry at once after it was told', async () => {
      const { id } = await world.client();
      expect((await world.registry.get(id))?.metadata.client_name).toBe('Web');
      await world.admin.clients.change(id, { client_name: 'Later' }, admin);
      expect((await world.registry.get(id))?.metadata.client_name).toBe('Web');
      world.registry.forget();
      expect((await world.registry.get(id))?.metadata.client_name).toBe('Later');
      expect(await world.registry.get('no\0body')).toBeUndefined();
    });
  });

  describe('client secrets', () => {
    const statuses = async (id: string) => (await world.admin.secrets.list(id)).map(({ status }) => status);
    const matches = async (id: string, value: string) =>
      matchSecret(await world.clients.find(id), value, world.dataKeys, world.time.now) !== undefined;

    it('rotates with an overlap: the old one works until its end, then no more', async () => {
      const { id, secret } = await world.client();
      const rotated = await world.admin.secrets.rotate(id, { name: 'second' }, admin);
      expect(rotated.secret).toMatchObject({ name: 'second', status: 'active' });
      expect(await statuses(id)).toEqual(['retiring', 'active']);
      expect([await matches(id, secret!.value), await matches(id, rotated.value)]).toEqual([true, true]);
      world.time.now += DAY;
      expect([await matches(id, secret!.value), await matches(id, rotated.value)]).toEqual([false, true]);
      expect(await statuses(id)).toEqual(['expired', 'active']);
    });

    it('rotates at once, and never extends an end that was set', async () => {
      const { id } = await world.client();
      await world.admin.secrets.rotate(id, { expire_old: '10m' }, admin);
      const end = world.time.now + 10 * MINUTE;
      await world.admin.secrets.rotate(id, { expire_old: '7d' }, admin);
      expect((await world.admin.secrets.list(id)).map(({ expiresAt }) => expiresAt)).toEqual([
        end,
        world.time.now + 7 * DAY,
        undefined,
      ]);
      const { events, bumps } = await since(() =>
        world.admin.secrets.rotate(id, { expire_old: 'now' }, admin),
      );
      expect([events, bumps]).toEqual([['secret.rotated'], ['clients']]);
      expect(await statuses(id)).toEqual(['expired', 'expired', 'expired', 'active']);
    });

    it('has five live ones at most, however many are asked for at once', async () => {
      const { id } = await world.client();
      const asked = await Promise.all(
        Array.from({ length: 8 }, (_, i) =>
          refusal(
            i % 2 === 0
              ? world.admin.secrets.add(id, { name: `n${i}` }, admin)
              : world.admin.secrets.rotate(id, {}, admin),
          ),
        ),
      );
      expect(asked.filter((answer) => answer === '409 too_many_secrets')).toHaveLength(4);
      expect(await world.secretStore.list(id)).toHaveLength(5);
      await world.admin.secrets.rotate(id, { expire_old: 'now' }, admin); // those that it ends do not count
      expect((await statuses(id)).filter((status) => status === 'active')).toHaveLength(1);
    });

    it('renames one and sets when it ends; not one that has ended', async () => {
      const { id } = await world.client();
      const [first] = await world.admin.secrets.list(id);
      const expires = new Date(world.time.now + HOUR).toISOString();
      expect(
        await world.admin.secrets.change(id, first!.id, { name: 'A', expires_at: expires }, admin),
      ).toMatchObject({ name: 'A', expiresAt: world.time.now + HOUR });
      expect(await world.admin.secrets.change(id, first!.id, { expires_at: null }, admin)).toMatchObject({
        name: 'A',
        expiresAt: undefined,
      });
      const past = { expires_at: new Date(world.time.now).toISOString() };
      expect(await refusal(world.admin.secrets.change(id, first!.id, past, admin))).toBe(
        '422 invalid_document',
      );
      await world.admin.secrets.revoke(id, first!.id, { force: true, revokeTokens: false }, admin);
      expect(await refusal(world.admin.secrets.change(id, first!.id, { name: 'B' }, admin))).toBe(
        '409 secret_ended',
      );
      expect(await refusal(world.admin.secrets.change(id, 'none', {}, admin))).toBe('404 not_found');
    });

    it('revokes one at once, the last live one only by force', async () => {
      const { id, secret } = await world.client();
      const how = { force: false, revokeTokens: false };
      const last = world.admin.secrets.revoke(id, secret!.record.id, how, admin);
      expect(await refusal(last)).toBe('409 last_secret');
      await world.admin.secrets.add(id, {}, admin);
      await world.admin.secrets.revoke(id, secret!.record.id, how, admin);
      expect(await matches(id, secret!.value)).toBe(false);
      expect(await statuses(id)).toEqual(['revoked', 'active']);
      expect(await refusal(world.admin.secrets.revoke(id, 'none', how, admin))).toBe('404 not_found');
      expect(await refusal(world.admin.secrets.list('nobody'))).toBe('404 not_found');
      expect(await refusal(world.admin.secrets.add('nobody', {}, admin))).toBe('404 not_found');
    });

    it('leaves tokens alone when a secret is revoked, unless it is told to end them', async () => {
      const { id, secret } = await world.client();
      const family = await world.family(await world.user('secret-tokens'), id);
      await world.admin.secrets.revoke(id, secret!.record.id, { force: true, revokeTokens: false }, admin);
      expect(await world.alive(family)).toBe(true);
      const { secret: next } = await world.admin.secrets.add(id, {}, admin);
      const { events } = await since(() =>
        world.admin.secrets.revoke(id, next.id, { force: true, revokeTokens: true }, admin),
      );
      expect(events).toEqual(['secret.revoked', 'client.revoked']);
      expect(await world.alive(family)).toBe(false);
    });

    it('notes a use at most once a minute', async () => {
      const { id, secret } = await world.client();
      const use = async (at: number) => {
        await world.secretStore.noteUse(new Map([[secret!.record.id, at]]));
        return (await world.secretStore.list(id))[0]?.lastUsedAt;
      };
      const start = world.time.now;
      expect(await use(start)).toBe(start);
      expect(await use(start + MINUTE - 1)).toBe(start);
      expect(await use(start + MINUTE)).toBe(start + MINUTE);
      expect(await use(start)).toBe(start + MINUTE);
    });
  });

  describe('APIs', () => {
    const scope = (name: string) => ({ name, description: `May ${name}` });
    const api = (identifier: string, scopes: string[] = []) => ({
      identifier,
      name: 'An API',
      scopes: scopes.map(scope),
    });

    it('creates, changes and deletes one, telling every node', async () => {
      const created = await since(() =>
        world.admin.apis.create(api('https://a.example', ['a:read', 'a:write']), admin),
      );
      expect(created).toEqual({ events: ['api.created'], bumps: ['apis'] });
      expect(await world.admin.apis.get('https://a.example')).toMatchObject({
        scopes: [scope('a:read'), scope('a:write')],
        accessTokenFormat: 'jwt',
        accessTokenTtl: undefined,
        signingAlg: 'ES256',
        version: 1,
      });
      const patch = { scopes: [scope('a:write'), scope('a:list')], access_token_format: 'opaque' };
      const after = await world.admin.apis.change('https://a.example', patch, admin, 1);
      expect(after).toMatchObject({ scopes: patch.scopes, accessTokenFormat: 'opaque', version: 2 });
      expect(await refusal(world.admin.apis.change('https://a.example', {}, admin, 1))).toBe(
        '412 version_mismatch',
      );
      expect(await refusal(world.admin.apis.change('https://none.example', {}, admin))).toBe('404 not_found');
      await world.admin.apis.remove('https://a.example', admin);
      expect((await since(() => world.admin.apis.remove('https://a.example', admin))).events).toEqual([]);
      expect(await refusal(world.admin.apis.get('https://a.example'))).toBe('404 not_found');
      await world.admin.apis.create(api('https://b.example', ['a:list']), admin); // the name is free again
    });

    it('keeps scope names unique across APIs, and gives none of the names that are taken', async () => {
      await world.admin.apis.create(api('https://c.example', ['c:read']), admin);
      expect(await refusal(world.admin.apis.create(api('https://c.example'), admin))).toBe('409 api_exists');
      const second = world.admin.apis.create(api('https://d.example', ['c:read']), admin);
      expect(await refusal(second)).toBe('409 scope_taken');
      expect(await world.apis.find('https://d.example')).toBeUndefined();
      for (const name of ['openid', 'offline_access', 'clients:write']) {
        expect(await refusal(world.admin.apis.create(api('https://d.example', [name]), admin))).toBe(
          '422 invalid_api',
        );
      }
      const raced = await Promise.all(
        ['e', 'f', 'g'].map((name) =>
          refusal(world.admin.apis.create(api(`https://${name}.example`, ['raced']), admin)),
        ),
      );
      expect(raced.sort()).toEqual(['409 scope_taken', '409 scope_taken', 'not refused']);
    });

    it('lists them a page at a time', async () => {
      const first = await world.admin.apis.list({ limit: 2 });
      const second = await world.admin.apis.list({ limit: 200, after: first.next! });
      const all = await world.apis.all();
      expect([...first.data, ...second.data]).toEqual(all);
      expect([first.data.length, second.next]).toEqual([2, null]);
    });

    it('has two that are built in: one takes what no other does, one is the admin API', async () => {
      const { apiRegistry } = world;
      apiRegistry.forget();
      expect(await apiRegistry.get(DEFAULT_API)).toMatchObject({ version: 0, scopes: [] });
      expect(await apiRegistry.ofScope('clients:write')).toBe('urn:portcullis:admin');
      expect(await apiRegistry.ofScope('openid')).toBeUndefined();
      await world.admin.apis.create(api(DEFAULT_API, ['z:read']), admin);
      apiRegistry.forget();
      expect(await apiRegistry.ofScope('z:read')).toBe(DEFAULT_API);
      const found = (await apiRegistry.all()).filter(({ identifier }) => identifier === DEFAULT_API);
      expect(found).toMatchObject([{ version: 1, name: 'An API' }]);
    });
  });
});

const consentEvent = { type: 'consent.granted', detail: { scopes: ['email'] } } as const;
