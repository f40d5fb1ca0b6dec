/** Lists of grants, sessions and audit rows, ending them, and the sweep, on every database. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { randomBytes } from 'node:crypto';
import { sweep } from '../../src/grants/sweep.ts';
import { SWEEP_BATCH, SWEEP_LAG } from '../../src/storage/sweep.ts';
import { databaseKinds } from '../support/databases.ts';
import { admin, DAY, DEFAULT_API, HOUR, MINUTE, openWorld, refusal, type World } from './world.ts';

describe.each(databaseKinds)('grants on %s', (kind) => {
  let world: World;
  let clientId: string;
  beforeAll(async () => {
    world = await openWorld(kind);
  });
  afterAll(() => world?.close());
  beforeEach(async () => {
    await world.clear();
    clientId = (await world.client()).id;
  });
  const grants = async (filter: { userId?: string; clientId?: string } = {}) =>
    (await world.admin.grants.grants(filter, { limit: 200 })).data.map(({ id }) => id).sort();

  it('lists living ones with their scopes and when they end', async () => {
    const user = await world.user('lists');
    const sessionUid = await world.session(user);
    const id = await world.family(user, clientId, { sessionUid });
    const { data } = await world.admin.grants.grants({ userId: user.id }, { limit: 10 });
    expect(data).toEqual([
      {
        id,
        userId: user.id,
        clientId,
        sessionUid,
        scopes: { '': ['openid', 'email'], [DEFAULT_API]: ['read', 'write'] },
        createdAt: world.time.now,
        lastUsedAt: world.time.now,
        expiresAt: world.time.now + 14 * DAY,
      },
    ]);
  });

  it('lists those of a user, of a client, of both', async () => {
    const [ada, bob] = [await world.user('ada'), await world.user('bob')];
    const other = (await world.client()).id;
    const [a, b, c] = [
      await world.family(ada, clientId),
      await world.family(ada, other),
      await world.family(bob, clientId),
    ];
    expect(await grants()).toEqual([a, b, c].sort());
    expect(await grants({ userId: ada.id })).toEqual([a, b].sort());
    expect(await grants({ clientId })).toEqual([a, c].sort());
    expect(await grants({ userId: bob.id, clientId })).toEqual([c]);
    expect(await grants({ userId: bob.id, clientId: other })).toEqual([]);
  });

  it('pages through them, each once', async () => {
    const user = await world.user('pages');
    const made: string[] = [];
    for (let i = 0; i < 5; i++) made.push(await world.family(user, clientId));
    const seen: string[] = [];
    let after: string | undefined;
    do {
      const page = await world.admin.grants.grants({ userId: user.id }, { limit: 2, after });
      seen.push(...page.data.map(({ id }) => id));
      after = page.next ?? undefined;
    } while (after !== undefined);
    expect(seen.toSorted()).toEqual(made.toSorted());
  });

  it('lists none that is revoked in any way or has ended by time', async () => {
    const user = await world.user('ends');
    const sessionUid = await world.session(user, HOUR);
    await world.family(user, clientId, { sessionUid, idleTtl: 10 * DAY });
    await world.family(user, clientId, { idleTtl: 2 * HOUR });
    const absolute = await world.family(user, clientId, { idleTtl: 10 * DAY, maxTtl: 3 * HOUR });
    const killed = await world.family(user, clientId);
    expect(await grants({ userId: user.id })).toHaveLength(4);
    await world.families.kill(killed, 'test', { type: 'grant.revoked', detail: { reason: 'test' } });
    expect(await grants({ userId: user.id })).toHaveLength(3);
    world.time.now += HOUR; // the session
    expect(await grants({ userId: user.id })).toHaveLength(2);
    world.time.now += HOUR; // the idle end
    expect(await grants({ userId: user.id })).toEqual([absolute]);
    world.time.now += HOUR; // the absolute end
    expect(await grants({ userId: user.id })).toEqual([]);
  });

  it('ends one, forgets the consent, and leaves other grants of both alive', async () => {
    const user = await world.user('one');
    const consent = { type: 'consent.granted', detail: { scopes: ['email'] } } as const;
    await world.consents.allow(user.id, clientId, { '': ['email'] }, consent);
    const [a, b] = [await world.family(user, clientId), await world.family(user, clientId)];
    const before = world.events.length;
    await world.admin.grants.endGrant(a, admin);
    await world.admin.grants.endGrant(a, admin); // once is enough
    await world.admin.grants.endGrant('no-such-grant', admin);
    expect(world.events.slice(before)).toMatchObject([
      { type: 'grant.revoked', actor: 'client:admin', userId: user.id, clientId, grantId: a },
    ]);
    expect([await world.alive(a), await world.alive(b)]).toEqual([false, true]);
    expect((await world.consents.find(user.id, clientId))?.scopes).toEqual({});
  });

  it('shows a user the connected apps, and takes one back with all its grants', async () => {
    const user = await world.user('apps');
    const consent = { type: 'consent.granted', detail: { scopes: [] } } as const;
    const [onlyConsent, firstParty] = [(await world.client()).id, (await world.client()).id];
    const start = world.time.now;
    await world.consents.allow(user.id, onlyConsent, { '': ['profile'] }, consent);
    world.time.now += MINUTE;
    const family = await world.family(user, clientId);
    await world.family(user, firstParty, { maxTtl: HOUR });
    world.time.now += MINUTE;
    await world.family(user, clientId);
    expect(await world.admin.grants.connectedApps(user.id)).toEqual([
      {
        clientId,
        scopes: { '': ['openid', 'email'], [DEFAULT_API]: ['read', 'write'] },
        since: start + MINUTE,
        lastUsedAt: start + 2 * MINUTE,
      },
      expect.objectContaining({ clientId: firstParty, lastUsedAt: start + MINUTE }),
      { clientId: onlyConsent, scopes: { '': ['profile'] }, since: start, lastUsedAt: undefined },
    ]);
    await world.admin.grants.disconnect(user.id, clientId, { actor: `user:${user.id}` });
    await world.admin.grants.disconnect(user.id, 'never-connected', {});
    expect(await world.alive(family)).toBe(false);
    world.time.now += HOUR; // nothing is left of the first-party app, which needed no consent
    const left = await world.admin.grants.connectedApps(user.id);
    expect(left.map((app) => app.clientId)).toEqual([onlyConsent]);
  });

  it('lists living sessions and ends one, with the grants that hang on it', async () => {
    const [ada, bob] = [await world.user('ada'), await world.user('bob')];
    const [uid, other] = [await world.session(ada), await world.session(bob)];
    await world.session(ada, MINUTE);
    const [bound, free] = [
      await world.family(ada, clientId, { sessionUid: uid }),
      await world.family(ada, clientId),
    ];
    world.time.now += MINUTE;
    const all = await world.admin.grants.sessions({}, { limit: 10 });
    expect(all.data.map((session) => session.uid)).toEqual([uid, other].sort());
    expect((await world.admin.grants.sessions({ userId: ada.id }, { limit: 10 })).data).toEqual([
      {
        uid,
        userId: ada.id,
        ip: '192.0.2.7',
        userAgent: 'Browser/1',
        createdAt: world.time.now - MINUTE,
        seenAt: world.time.now - MINUTE,
        expiresAt: world.time.now - MINUTE + DAY,
      },
    ]);
    const first = await world.admin.grants.sessions({}, { limit: 1 });
    const second = await world.admin.grants.sessions({}, { limit: 1, after: first.next! });
    expect([...first.data, ...second.data]).toEqual(all.data);
    expect(await refusal(world.admin.grants.endSession(uid, {}, bob.id))).toBe('404 not_found');
    await world.admin.grants.endSession(uid, admin);
    await world.admin.grants.endSession(uid, admin);
    expect(world.events.filter(({ type }) => type === 'session.revoked')).toMatchObject([
      { userId: ada.id, actor: 'client:admin' },
    ]);
    expect([await world.alive(bound), await world.alive(free)]).toEqual([false, true]);
    expect((await world.admin.grants.sessions({ userId: ada.id }, { limit: 10 })).data).toEqual([]);
  });

  describe('the audit log', () => {
    it('is read newest first, by type, client, user and time, a page at a time', async () => {
      world.time.now += MINUTE;
      const user = await world.user('audited');
      world.time.now += MINUTE;
      const since = world.time.now;
      await world.changes.record({ type: 'login.succeeded', userId: user.id, detail: { amr: ['pwd'] } });
      world.time.now += 1;
      await world.changes.record({ type: 'login.failed', clientId, ip: '::1', detail: { reason: 'x' } });
      const list = async (filter: Parameters<World['audit']['list']>[0]) =>
        (await world.audit.list(filter, { limit: 50 })).data.map(({ type }) => type);
      expect(await list({})).toEqual([
        'login.failed',
        'login.succeeded',
        'user.created',
        ...(await list({ clientId })).slice(1),
      ]);
      expect(await list({ since })).toEqual(['login.failed', 'login.succeeded']);
      expect(await list({ since: since + 1 })).toEqual(['login.failed']);
      expect(await list({ type: 'login.succeeded' })).toEqual(['login.succeeded']);
      expect(await list({ userId: user.id })).toEqual(['login.succeeded', 'user.created']);
      expect(await list({ userId: user.id, since, type: 'user.created' })).toEqual([]);
      const first = await world.audit.list({}, { limit: 2 });
      world.time.now += 1;
      await world.changes.record({ type: 'consent.denied', detail: {} }); // newer rows shift nothing
      const rest = await world.audit.list({}, { limit: 50, after: first.next! });
      expect([...first.data, ...rest.data].map(({ type }) => type)).toEqual((await list({})).slice(1));
      expect(first.data[0]).toEqual({
        id: first.data[0]?.id,
        time: since + 1,
        type: 'login.failed',
        actor: undefined,
        clientId,
        userId: undefined,
        grantId: undefined,
        ip: '::1',
        requestId: undefined,
        detail: { reason: 'x' },
      });
    });
  });

  describe('the sweep', () => {
    const families = () => world.database.prisma.family.count();

    it('takes away a family when it has ended and its last access token too', async () => {
      const user = await world.user('sweeps');
      await world.family(user, clientId, { idleTtl: DAY, accessTtl: 25 * HOUR });
      world.time.now += MINUTE; // its code's end: the first look
      expect(await world.sweep()).toMatchObject({ families: 0, looked: 1 });
      expect(await world.sweep()).toMatchObject({ families: 0, looked: 0 });
      world.time.now += DAY; // the idle end; an access token is still within its time
      expect(await world.sweep()).toMatchObject({ families: 0, looked: 0 });
      world.time.now += HOUR;
      expect(await world.sweep()).toMatchObject({ families: 1, looked: 0 });
      expect(await families()).toBe(0);
    });

    it('looks again at the new end of a family that was used meanwhile', async () => {
      const user = await world.user('used');
      const id = await world.family(user, clientId, { idleTtl: DAY });
      world.time.now += 12 * HOUR;
      const { current } = (await world.families.read(id))!;
      const token = { hash: randomBytes(32), payload: {}, idleEndsAt: world.time.now + DAY };
      const accessEndsAt = world.time.now + MINUTE;
      const step = { familyId: id, old: current!, token, successor: undefined, accessEndsAt };
      await world.families.rotate({ ...step, opaque: undefined });
      world.time.now += 12 * HOUR;
      expect(await world.sweep()).toMatchObject({ families: 0, looked: 1 });
      world.time.now += 12 * HOUR;
      expect(await world.sweep()).toMatchObject({ families: 1 });
    });

    it('leaves a family that has ended while an access token from its last moment is within its time', async () => {
      const user = await world.user('last-moment');
      const id = await world.family(user, clientId, { maxTtl: DAY });
      world.time.now += MINUTE;
      await world.sweep();
      world.time.now += DAY - 2 * MINUTE;
      const { current, endsAt } = (await world.families.read(id))!;
      const token = { hash: randomBytes(32), payload: {}, idleEndsAt: endsAt };
      const step = { familyId: id, old: current!, token, successor: undefined, opaque: undefined };
      await world.families.rotate({ ...step, accessEndsAt: world.time.now + 10 * MINUTE });
      world.time.now += MINUTE;
      expect(await world.sweep()).toMatchObject({ families: 0, looked: 1 });
      world.time.now += 9 * MINUTE;
      expect(await world.sweep()).toMatchObject({ families: 1, looked: 0 });
    });

    it('takes away a family that never had a token, or is dead, whoever killed it', async () => {
      const user = await world.user('dies');
      const other = await world.client();
      await world.family(user, other.id); // dies with its client
      const killed = await world.family(user, clientId);
      const alive = await world.family(user, clientId);
      await world.family(user, clientId, { idleTtl: null, maxTtl: 30_000, accessTtl: 30_000 });
      await world.families.kill(killed, 'test', { type: 'grant.revoked', detail: { reason: 'test' } });
      await world.admin.clients.remove(other.id, admin);
      world.time.now += HOUR;
      expect(await world.sweep()).toMatchObject({ families: 3, looked: 1 });
      expect(await world.alive(alive)).toBe(true);
    });

    it('takes away expired artifacts, denied tokens, sessions and throttles, and only these', async () => {
      const user = await world.user('expires');
      const later = world.time.now + HOUR;
      const soon = world.time.now + MINUTE;
      const counts = async () => {
        const { artifact, deniedToken, session, throttle } = world.database.prisma;
        return [
          await artifact.count(),
          await deniedToken.count(),
          await session.count(),
          await throttle.count(),
        ];
      };
      for (const at of [soon, later]) {
        await world.artifacts.save('Thing', `${at}`, {}, { expiresAt: at });
        await world.accessTokens.deny(`jti-${at}`, at, {
          type: 'token.revoked',
          detail: { kind: 'access_token' },
        });
        await world.session(user, at - world.time.now);
      }
      await world.throttle.fail(world.throttle.forLogin({ username: 'x', ip: '127.0.0.1' }));
      expect(await counts()).toEqual([2, 2, 2, 2]);
      world.time.now += MINUTE;
      // Where the absence of a row says yes, it stays as long as a node that is ahead may be wrong.
      expect(await world.sweep()).toMatchObject({ artifacts: 0, deniedTokens: 0, sessions: 1, throttles: 0 });
      expect(await counts()).toEqual([2, 2, 1, 2]);
      world.time.now += SWEEP_LAG - 1;
      expect(await world.sweep()).toMatchObject({ artifacts: 0, deniedTokens: 0 });
      world.time.now += 1;
      expect(await world.sweep()).toMatchObject({ artifacts: 1, deniedTokens: 1, throttles: 0 });
      expect(await counts()).toEqual([1, 1, 1, 2]);
      world.time.now += HOUR;
      expect(await world.sweep()).toMatchObject({ artifacts: 1, deniedTokens: 1, sessions: 1, throttles: 2 });
      expect(await counts()).toEqual([0, 0, 0, 0]);
    });

    it('takes audit events that are older than they are kept, in batches; without a limit none', async () => {
      const record = () => world.changes.record({ type: 'logout.completed', detail: {} });
      const kept = () => world.database.prisma.auditEvent.count();
      const before = await kept();
      for (let i = 0; i <= SWEEP_BATCH; i++) await record();
      world.time.now += 30 * DAY;
      await record();
      const all = before + SWEEP_BATCH + 2;
      expect(await world.sweep()).toMatchObject({ auditEvents: 0 });
      expect(await world.sweep(30)).toMatchObject({ auditEvents: 0 }); // to the millisecond
      expect(await kept()).toBe(all);
      world.time.now += 1;
      expect(await world.sweep(30)).toMatchObject({ auditEvents: SWEEP_BATCH });
      expect(await kept()).toBe(all - SWEEP_BATCH);
      await world.sweep(30);
      expect(await kept()).toBe(1);
    });

    it('works in batches, and on several nodes at once takes each row once', async () => {
      const expiresAt = BigInt(world.time.now - SWEEP_LAG);
      await world.database.prisma.deniedToken.createMany({
        data: Array.from({ length: 2 * SWEEP_BATCH + 1 }, (_, i) => ({ jti: `jti-${i}`, expiresAt })),
      });
      expect((await world.sweep()).deniedTokens).toBe(SWEEP_BATCH);
      const totals = await Promise.all([sweep(() => world.sweep()), sweep(() => world.sweep())]);
      expect(totals.reduce((sum, { deniedTokens }) => sum + deniedTokens, 0)).toBe(SWEEP_BATCH + 1);
    });
  });
});
