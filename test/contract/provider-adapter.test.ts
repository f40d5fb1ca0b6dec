/** The engine's storage interface, every method of every model, as our adapter serves it. */
import '../../src/provider/engine-notices.ts';
import { Provider, errors, type Adapter, type AdapterPayload } from 'oidc-provider';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { parseSettings } from '../../src/config/schema.ts';
import { mintRefreshToken } from '../../src/grants/refresh-token.ts';
import { randomId } from '../../src/lib/ids.ts';
import { createAdapterFactory } from '../../src/provider/adapter.ts';
import type { ProviderDependencies } from '../../src/provider/dependencies.ts';
import { currentState, type TokenUnit } from '../../src/provider/request-state.ts';
import { databaseKinds } from '../support/databases.ts';
import { admin, DEFAULT_API, MINUTE, openWorld, type World } from './world.ts';

/** What the engine makes an adapter for. */
const MODELS = [
  'AccessToken',
  'AuthorizationCode',
  'Client',
  'ClientCredentials',
  'DeviceCode',
  'Grant',
  'InitialAccessToken',
  'Interaction',
  'PushedAuthorizationRequest',
  'RefreshToken',
  'RegistrationAccessToken',
  'ReplayDetection',
  'Session',
];
/** Those that are records without a meaning of their own to us. */
const PLAIN = ['InitialAccessToken', 'Interaction', 'PushedAuthorizationRequest', 'RegistrationAccessToken'];

describe.each(databaseKinds)('the engine’s adapter on %s', (kind) => {
  let world: World;
  let adapterOf: (model: string) => Adapter;
  let user: { id: string; generation: string };
  let clientId: string;
  let names = 0;
  beforeAll(async () => {
    world = await openWorld(kind);
    const settings = parseSettings(
      { PORTCULLIS_ISSUER: 'https://as.example', PORTCULLIS_ROTATION_GRACE: '30' },
      { readFile: () => '', cores: () => 1 },
    );
    // Everything that an adapter asks; keys and pages it does not.
    const deps = {
      settings,
      clock: world.clock,
      dataKeys: world.dataKeys,
      storage: world,
      clients: world.registry,
      apis: world.apiRegistry,
      verify: async () => undefined,
      logger: { info: () => {} },
    } as unknown as ProviderDependencies;
    const factory = createAdapterFactory(deps);
    const known = new Map<string, Adapter>();
    adapterOf = (model) => {
      const adapter = known.get(model) ?? factory(model);
      known.set(model, adapter);
      return adapter;
    };
  });
  afterAll(() => world?.close());
  beforeEach(async () => {
    user = await world.user(`user-${names++}`);
    clientId = (await world.client()).id;
  });
  afterEach(() => vi.restoreAllMocks());

  /** Stands in for the engine's current request. */
  function during(route: string, oidc: object = {}, unit?: TokenUnit): void {
    const request = {
      state: { clientIp: '192.0.2.9', requestId: 'r-1' },
      get: () => 'Browser/2',
      oidc: { route, params: {}, entities: {}, client: { clientId }, ...oidc },
    };
    vi.spyOn(Provider, 'ctx', 'get').mockReturnValue(request as never);
    if (unit) currentState().unit = unit;
  }
  const expiring = (more: AdapterPayload = {}): AdapterPayload => ({
    kind: 'test',
    jti: 'to be restored',
    exp: world.time.now / 1000 + 60,
    ...more,
  });
  const lastEvent = () => world.events.at(-1);

  it('exists for every model, with every method', () => {
    for (const model of MODELS) {
      for (const method of [
        'upsert',
        'find',
        'findByUid',
        'findByUserCode',
        'consume',
        'destroy',
        'revokeByGrantId',
      ]) {
        expect(adapterOf(model)[method as keyof Adapter], `${model}.${method}`).toBeTypeOf('function');
      }
    }
  });

  describe.each(PLAIN)('%s', (model) => {
    const save = async (more?: AdapterPayload): Promise<string> => {
      const id = randomId();
      await adapterOf(model).upsert(id, expiring({ uid: 'u', ...more }), 60);
      return id;
    };

    it('is upserted and found with its id restored, until it expires', async () => {
      const id = await save();
      const { jti: _jti, ...kept } = expiring({ uid: 'u' });
      expect(await adapterOf(model).find(id)).toEqual({ ...kept, jti: id });
      expect(await adapterOf(model).find('unknown')).toBeUndefined();
      await adapterOf(model).upsert(id, { kind: 'test', changed: true }, 60);
      expect(await adapterOf(model).find(id)).toEqual({ kind: 'test', changed: true, jti: id });
      world.time.now += MINUTE;
      expect(await adapterOf(model).find(id)).toBeUndefined();
    });

    it('is consumed once; the second use is what its RFC calls it', async () => {
      const id = await save();
      await adapterOf(model).consume(id);
      expect(await adapterOf(model).find(id)).toMatchObject({ consumed: world.time.now / 1000 });
      await expect(adapterOf(model).consume(id)).rejects.toThrow(
        model === 'PushedAuthorizationRequest' ? errors.InvalidRequestUri : errors.InvalidGrant,
      );
    });

    it('is destroyed, again and again, and not by its grant, nor found by uid', async () => {
      const id = await save({ grantId: 'g' });
      await adapterOf(model).revokeByGrantId('g');
      expect(await adapterOf(model).find(id)).toBeDefined();
      expect(await adapterOf(model).findByUid('u')).toBeUndefined();
      expect(await adapterOf(model).findByUserCode('none')).toBeUndefined();
      await adapterOf(model).destroy(id);
      await adapterOf(model).destroy(id);
      expect(await adapterOf(model).find(id)).toBeUndefined();
    });
  });

  describe('AuthorizationCode', () => {
    const codes = () => adapterOf('AuthorizationCode');
    async function issue(scope = 'openid'): Promise<{ id: string; grantId: string }> {
      during('authorization', {
        account: { accountId: user.id, generation: user.generation },
        grant: { openid: { scope }, resources: { [DEFAULT_API]: 'read' } },
      });
      const record = await world.registry.get(clientId);
      if (record) currentState().clients.set(clientId, record);
      const [id, grantId] = [randomId(), randomId(16)];
      await codes().upsert(id, expiring({ grantId, scope, sessionUid: 'a-session', accountId: user.id }), 60);
      return { id, grantId };
    }

    it('is saved together with its family, which hangs on the session but for offline_access', async () => {
      const bound = await issue();
      expect(await codes().find(bound.id)).toMatchObject({ jti: bound.id, grantId: bound.grantId });
      expect(await world.families.read(bound.grantId)).toMatchObject({
        sessionUid: 'a-session',
        clientId,
        userId: user.id,
        grant: { resources: { [DEFAULT_API]: 'read' } },
        endsAt: world.time.now + MINUTE,
      });
      expect(lastEvent()).toMatchObject({
        type: 'grant.created',
        grantId: bound.grantId,
        ip: '192.0.2.9',
        requestId: 'r-1',
        actor: `user:${user.id}`,
      });
      const offline = await issue('openid offline_access');
      expect((await world.families.read(offline.grantId))?.sessionUid).toBeUndefined();
    });

    it('is not saved without the account and the grant that it stands for', async () => {
      during('authorization');
      await expect(codes().upsert('c', expiring({ grantId: 'g' }), 60)).rejects.toThrow('a code without');
    });

    it('is consumed with the commit of the token request, not before', async () => {
      const { id } = await issue();
      const unit: TokenUnit = {};
      during('token', {}, unit);
      await codes().consume(id);
      expect(unit.code).toEqual({ kind: 'AuthorizationCode', id });
      expect(await codes().find(id)).not.toHaveProperty('consumed');
    });

    it('is destroyed, again and again, and not by its grant', async () => {
      const { id, grantId } = await issue();
      await codes().revokeByGrantId(grantId);
      expect(await codes().find(id)).toBeDefined();
      await codes().destroy(id);
      await codes().destroy(id);
      expect(await codes().find(id)).toBeUndefined();
    });
  });

  describe('Grant', () => {
    const grants = () => adapterOf('Grant');

    it('is its family, while that lives', async () => {
      const id = await world.family(user, clientId, { maxTtl: 3 * MINUTE, accessTtl: MINUTE });
      during('token');
      expect(await grants().find(id)).toMatchObject({
        jti: id,
        openid: { scope: 'openid email' },
        exp: world.time.now / 1000 + 3 * 60 + 1,
      });
      expect(await grants().find('unknown')).toBeUndefined();
      await world.admin.clients.setEnabled(clientId, false, admin);
      during('token');
      expect(await grants().find(id)).toBeUndefined();
    });

    it.each([
      ['revocation', {}, 'token.revoked', { kind: 'refresh_token' }],
      ['token', { grant_type: 'refresh_token' }, 'token.reuse_detected', { ms_since_rotation: null }],
      ['token', { grant_type: 'authorization_code' }, 'code.reuse_detected', {}],
    ])('ends once, with one audit row that says why: %s %o', async (route, params, type, detail) => {
      const id = await world.family(user, clientId);
      during(route, { params });
      await grants().find(id);
      const before = world.events.length;
      await Promise.all([grants().destroy(id), grants().destroy(id)]);
      await grants().destroy(id);
      expect(world.events.slice(before)).toMatchObject([
        { type, grantId: id, userId: user.id, clientId, ip: '192.0.2.9', requestId: 'r-1', detail },
      ]);
      expect(await world.alive(id)).toBe(false);
    });

    it('does not end by the engine’s own idea of a logout, nor by its tokens', async () => {
      const id = await world.family(user, clientId);
      during('end_session_confirm');
      await grants().destroy(id);
      await grants().revokeByGrantId(id);
      await adapterOf('RefreshToken').revokeByGrantId(id);
      await adapterOf('RefreshToken').destroy(id);
      await adapterOf('AccessToken').revokeByGrantId(id);
      expect(await world.alive(id)).toBe(true);
    });

    it('is never written by the engine', () => {
      expect(() => grants().upsert('g', {}, 60)).toThrow('not expected');
      expect(() => grants().consume('g')).toThrow('not expected');
      expect(() => grants().findByUid('g')).toThrow('not expected');
      expect(() => grants().findByUserCode('g')).toThrow('not expected');
    });
  });

  describe('RefreshToken', () => {
    const tokens = () => adapterOf('RefreshToken');
    const mint = (family: string) => mintRefreshToken(world.dataKeys.tagKeys[0] ?? Buffer.alloc(0), family);
    /** A family whose current token is known, rotated so many times. */
    async function family(rotations = 0): Promise<{ id: string; issued: string[] }> {
      const id = await world.family(user, clientId);
      const issued: string[] = [];
      for (let n = 0; n <= rotations; n++) {
        const read = await world.families.read(id);
        const token = mint(id);
        await world.families.rotate({
          familyId: id,
          old: read?.current ?? new Uint8Array(),
          token: {
            hash: world.families.hashToken(token),
            payload: { n, exp: world.time.now / 1000 + 600, grantId: id },
            idleEndsAt: world.time.now + 10 * MINUTE,
          },
          successor: undefined,
          accessEndsAt: world.time.now + MINUTE,
          opaque: undefined,
        });
        issued.push(token);
      }
      return { id, issued };
    }

    it('is found when it is current, and as consumed when it is any other that this server made', async () => {
      const { id, issued } = await family(3);
      during('introspection');
      const current = issued.at(-1) ?? '';
      const found = await tokens().find(current);
      expect(found).toMatchObject({ jti: current, n: 3 });
      expect(found).not.toHaveProperty('consumed');
      for (const token of [...issued.slice(0, -1), mint(id)]) {
        expect(await tokens().find(token)).toMatchObject({ jti: token, consumed: world.time.now / 1000 });
      }
    });

    it('is found unspent inside the grace window at the token endpoint alone', async () => {
      const { issued } = await family(1);
      const [previous = ''] = issued;
      during('token', {}, {});
      expect(await tokens().find(previous)).not.toHaveProperty('consumed');
      during('introspection');
      expect(await tokens().find(previous)).toHaveProperty('consumed');
    });

    it('is not found when this server never made it, or its family has ended', async () => {
      const { id, issued } = await family();
      const [token = ''] = issued;
      during('introspection');
      const forged = `${token.slice(0, -4)}${token.endsWith('AAAA') ? 'BBBB' : 'AAAA'}`;
      for (const none of ['unknown', forged, mint(randomId(16)), `${token}=`, ` ${token}`]) {
        expect(await tokens().find(none)).toBeUndefined();
      }
      await world.families.kill(id, 'test', { type: 'grant.revoked', detail: { reason: 'test' } });
      during('introspection');
      expect(await tokens().find(token)).toBeUndefined();
    });

    it('is not found after the family’s end, but can still be revoked', async () => {
      const { issued } = await family();
      const [token = ''] = issued;
      world.time.now += 90 * 24 * 60 * MINUTE;
      during('introspection');
      expect(await tokens().find(token)).toBeUndefined();
      during('revocation');
      expect(await tokens().find(token)).toMatchObject({ jti: token });
    });

    it('is consumed and issued by the commit of the token request, not before', async () => {
      world.time.now += 300;
      const { id, issued } = await family();
      const [old = ''] = issued;
      const unit: TokenUnit = {};
      during('token', {}, unit);
      await tokens().consume(old);
      const next = mint(id);
      await tokens().upsert(next, { grantId: id, scope: 'openid' }, 600);
      expect(unit).toMatchObject({ consumed: old, issued: { id: next, familyId: id, expiresIn: 600 } });
      expect(unit.issued?.step.payload).not.toHaveProperty('jti');
      expect(unit.issued?.endsAt).toBe((Math.floor(world.time.now / 1000) + 90 * 24 * 3600) * 1000);
      world.time.now -= 300;
      during('introspection');
      expect(await tokens().find(old)).not.toHaveProperty('consumed');
      await expect(tokens().consume(old)).rejects.toThrow('only consumed at the token endpoint');
      await expect(tokens().upsert(next, { grantId: id }, 600)).rejects.toThrow(
        'only issued at the token endpoint',
      );
    });
  });

  describe.each(['AccessToken', 'ClientCredentials'])('%s', (model) => {
    const tokens = () => adapterOf(model);
    const issue = async (grantId?: string): Promise<string> => {
      const unit: TokenUnit = {};
      during('token', {}, unit);
      const id = `pca_${randomId(32)}`;
      const payload = { clientId, aud: DEFAULT_API, ...(grantId === undefined ? {} : { grantId }) };
      await tokens().upsert(id, expiring(payload), 60);
      expect(await world.artifacts.find(model, id)).toBeUndefined();
      const opaque = unit.opaque;
      if (!opaque) throw new Error('nothing collected');
      await world.artifacts.save(opaque.kind, opaque.id, opaque.payload, opaque);
      return id;
    };

    it('is kept with the commit, found while its client and family live, and ends to the second', async () => {
      const grantId = model === 'AccessToken' ? await world.family(user, clientId) : undefined;
      const [id, dead] = [await issue(grantId), await issue(grantId)];
      during('introspection');
      expect(await tokens().find(id)).toMatchObject({ jti: id, aud: DEFAULT_API });
      await tokens().destroy(dead);
      await tokens().destroy(dead);
      expect(await tokens().find(dead)).toBeUndefined();
      expect(world.events.filter(({ type }) => type === 'token.revoked').at(-1)).toMatchObject({
        detail: { kind: 'access_token' },
        ip: '192.0.2.9',
      });
      world.time.now += MINUTE - 1;
      expect(await tokens().find(id)).toBeDefined();
      world.time.now += 1;
      expect(await tokens().find(id)).toBeUndefined();
    });

    it('is inactive when its client was disabled, even if enabled again', async () => {
      const id = await issue(model === 'AccessToken' ? await world.family(user, clientId) : undefined);
      await world.admin.clients.setEnabled(clientId, false, admin);
      await world.admin.clients.setEnabled(clientId, true, admin);
      during('introspection');
      expect(await tokens().find(id)).toBeUndefined();
    });

    it('is not found by what is not one, and is issued at the token endpoint only', async () => {
      during('introspection');
      for (const none of ['unknown', 'pca_unknown', 'a.b.c', 'at+jwt:presented', '']) {
        expect(await tokens().find(none)).toBeUndefined();
      }
      await expect(tokens().upsert('pca_x', expiring({ clientId }), 60)).rejects.toThrow('only issued');
      expect(() => tokens().consume('x')).toThrow('not expected');
      expect(() => tokens().findByUid('x')).toThrow('not expected');
      expect(() => tokens().findByUserCode('x')).toThrow('not expected');
    });
  });

  describe('Client', () => {
    it('is found while it is enabled, with a secret that nobody has, and never written', async () => {
      const clients = adapterOf('Client');
      during('token');
      const found = await clients.find(clientId);
      expect(found).toMatchObject({ client_id: clientId, response_types: ['code'] });
      // Stable, so that the engine compiles a client once; and made of nothing that a token or a page shows.
      const placeholder = String(found?.['client_secret']);
      expect(placeholder).toMatch(/^[\w-]{43}$/);
      expect((await clients.find(clientId))?.['client_secret']).toBe(placeholder);
      const generation = (await world.registry.get(clientId))?.generation ?? '';
      expect(generation).not.toBe('');
      expect(placeholder).not.toContain(generation);
      expect(await clients.find('unknown')).toBeUndefined();
      await world.admin.clients.setEnabled(clientId, false, admin);
      world.registry.forget();
      expect(await clients.find(clientId)).toBeUndefined();
      for (const write of ['upsert', 'destroy', 'consume', 'revokeByGrantId'] as const) {
        expect(() => (clients[write] as (id: string) => unknown)('x')).toThrow('not expected');
      }
    });
  });

  describe('Session', () => {
    const sessions = () => adapterOf('Session');
    const login = (payload: AdapterPayload = {}): AdapterPayload => ({
      ...expiring(payload),
      accountId: user.id,
      loginTs: 1,
    });
    const result = () => ({ result: { login: { generation: user.generation } } });

    it('is upserted and found by id, restored, and by uid', async () => {
      const [id, uid] = [randomId(), randomId()];
      during('resume', result());
      await sessions().upsert(id, login({ uid }), 60);
      during('authorization');
      expect(await sessions().find(id)).toMatchObject({ jti: id, uid, accountId: user.id });
      expect(await sessions().findByUid(uid)).toMatchObject({ uid });
      expect(await sessions().find('unknown')).toBeUndefined();
      expect(await sessions().findByUid('unknown')).toBeUndefined();
      await expect(sessions().upsert(id, login(), 60)).rejects.toThrow('without a uid');
      expect(() => sessions().consume(id)).toThrow('not expected');
      expect(() => sessions().findByUserCode(id)).toThrow('not expected');
      await sessions().revokeByGrantId('g');
      expect(await sessions().find(id)).toBeDefined();
    });

    it('is not made anew by a request that found it before it ended', async () => {
      const [id, uid] = [randomId(), randomId()];
      during('resume', result());
      await sessions().upsert(id, login({ uid }), 60);
      during('authorization');
      await sessions().find(id);
      await world.sessions.end(uid, { type: 'logout.completed', detail: {} });
      await sessions().upsert(id, login({ uid }), 60);
      expect(await sessions().find(id)).toBeUndefined();
    });

    it('outlives the destruction of its old id, which is the engine’s way to give it a new one', async () => {
      const [before, after, uid] = [randomId(), randomId(), randomId()];
      during('authorization', result());
      await sessions().upsert(before, login({ uid }), 60);
      during('resume', { ...result(), session: { jti: after, uid, accountId: user.id } });
      await sessions().find(before);
      await sessions().destroy(before);
      await sessions().upsert(after, login({ uid }), 60);
      expect(await sessions().find(before)).toBeUndefined();
      expect(await sessions().find(after)).toMatchObject({ uid });
    });

    it('ends once, with an audit row', async () => {
      const [id, uid] = [randomId(), randomId()];
      during('authorization', result());
      await sessions().upsert(id, login({ uid }), 60);
      during('end_session_confirm', { session: { jti: id, uid, accountId: user.id } });
      const before = world.events.length;
      await sessions().destroy(id);
      await sessions().destroy(id);
      expect(world.events.slice(before)).toMatchObject([{ type: 'logout.completed', userId: user.id }]);
      expect(await sessions().findByUid(uid)).toBeUndefined();
    });
  });
});
