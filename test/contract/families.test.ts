/** Families: one row from the code to the end, and every way in which it ends. */
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { randomId } from '../../src/lib/ids.ts';
import { isUniqueViolation } from '../../src/storage/failures.ts';
import type { FamilyCaps } from '../../src/storage/family-caps.ts';
import type { FirstStep, RotateStep } from '../../src/storage/families.ts';
import type { EventOf } from '../../src/telemetry/events.ts';
import { databaseKinds } from '../support/databases.ts';
import { admin, DAY, HOUR, MINUTE, openWorld, type World } from './world.ts';

const reuse: EventOf<'token.reuse_detected'> = {
  type: 'token.reuse_detected',
  detail: { ms_since_rotation: 1 },
};

describe.each(databaseKinds)('families on %s', (kind) => {
  let world: World;
  let user: { id: string; generation: string };
  let clientId: string;
  beforeAll(async () => {
    world = await openWorld(kind);
  });
  afterAll(() => world?.close());
  beforeEach(async () => {
    await world.clear();
    user = await world.user('ada');
    clientId = (await world.client()).id;
  });

  /** A family that waits with its code. */
  async function authorize(more: { userId?: string; clientId?: string; sessionUid?: string } = {}) {
    const family = { id: randomId(), userId: more.userId ?? user.id, clientId: more.clientId ?? clientId };
    const [owner, client] = await Promise.all([
      world.users.findById(family.userId),
      world.clients.find(family.clientId),
    ]);
    const code = { kind: 'AuthorizationCode', id: randomId() };
    const made = {
      ...family,
      sessionUid: more.sessionUid,
      clientGeneration: client?.generation ?? '',
      userGeneration: owner?.generation ?? '',
      consentGeneration: undefined,
      newConsentGeneration: randomId(),
      grant: { openid: { scope: 'openid' } },
      endsAt: world.time.now + MINUTE,
    };
    const row = { ...code, payload: { a: 1 }, expiresAt: made.endsAt };
    await world.families.create(made, row, { type: 'grant.created', grantId: family.id, detail: {} });
    return { ...family, code, made, row };
  }
  const hashOf = (token: string) => world.families.hashToken(token);
  const first = (
    family: { id: string; code: FirstStep['code'] },
    more: Partial<FirstStep> = {},
  ): FirstStep => ({
    familyId: family.id,
    code: family.code,
    token: { hash: hashOf('t0'), payload: { n: 0 }, idleEndsAt: world.time.now + DAY },
    endsAt: world.time.now + 90 * DAY,
    accessEndsAt: world.time.now + MINUTE,
    opaque: undefined,
    ...more,
  });
  /** A family whose current token is `t0`. */
  async function started(more: Parameters<typeof authorize>[0] = {}, caps?: FamilyCaps) {
    const family = await authorize(more);
    expect(await world.families.first({ ...first(family), caps })).toBe('done');
    return family.id;
  }
  const rotation = (id: string, from: string, to: string, more: Partial<RotateStep> = {}): RotateStep => ({
    familyId: id,
    old: hashOf(from),
    token: { hash: hashOf(to), payload: { to }, idleEndsAt: world.time.now + 2 * DAY },
    successor: undefined,
    accessEndsAt: world.time.now + 10 * MINUTE,
    opaque: undefined,
    ...more,
  });
  const bytes = (value: Uint8Array | undefined) => value && Buffer.from(value);
  const opaque = (id: string, grantId: string) => ({
    kind: 'AccessToken',
    id,
    payload: {},
    expiresAt: world.time.now + MINUTE,
    grantId,
  });
  const inParallel = <T>(count: number, work: (index: number) => Promise<T>): Promise<T[]> =>
    Promise.all(Array.from({ length: count }, (_, index) => work(index)));

  it('are made with their code, in one transaction, and read with their user', async () => {
    const { id, code } = await authorize();
    expect(await world.families.read(id)).toMatchObject({
      id,
      userId: user.id,
      clientId,
      sessionUid: undefined,
      grant: { openid: { scope: 'openid' } },
      token: undefined,
      current: undefined,
      endsAt: world.time.now + MINUTE,
      alive: true,
      user: { id: user.id, username: 'ada', enabled: true },
    });
    expect(await world.artifacts.find(code.kind, code.id)).toEqual({
      payload: { a: 1 },
      consumedAt: undefined,
    });
    expect(world.events.map(({ type }) => type)).toContain('grant.created');
    expect(await world.families.read('no-such-family')).toBeUndefined();
  });

  it('are never made over an existing id, and then leave no code', async () => {
    const { id, made } = await authorize();
    const code = randomId();
    const again = world.families.create(
      { ...made, grant: { openid: { scope: 'openid email' } } },
      { kind: 'AuthorizationCode', id: code, payload: {}, expiresAt: made.endsAt },
      { type: 'grant.created', grantId: id, detail: {} },
    );
    expect(await again.then(() => false, isUniqueViolation)).toBe(true);
    expect((await world.families.read(id))?.grant).toEqual({ openid: { scope: 'openid' } });
    expect(await world.artifacts.find('AuthorizationCode', code)).toBeUndefined();
  });

  it('get their first token for their code, once', async () => {
    const family = await authorize();
    const steps = await inParallel(10, (index) => {
      const token = { hash: hashOf(`t${index}`), payload: { index }, idleEndsAt: world.time.now + DAY };
      return world.families.first({ ...first(family), token });
    });
    expect(steps.toSorted()).toEqual([...Array<string>(9).fill('code consumed'), 'done']);
    const winner = steps.indexOf('done');
    const read = await world.families.read(family.id);
    expect(read).toMatchObject({
      token: { index: winner },
      endsAt: world.time.now + 90 * DAY,
      idleEndsAt: world.time.now + DAY,
      accessEndsAt: world.time.now + MINUTE,
      previous: undefined,
      alive: true,
    });
    expect(bytes(read?.current)).toEqual(bytes(hashOf(`t${winner}`)));
    expect((await world.artifacts.find('AuthorizationCode', family.code.id))?.consumedAt).toBe(
      world.time.now,
    );
  });

  it('leave the code alone, and the opaque token unmade, when they have ended', async () => {
    const family = await authorize();
    await world.families.kill(family.id, 'test', reuse);
    const step = first(family, { opaque: opaque('never', family.id) });
    expect(await world.families.first(step)).toBe('refused');
    expect(await world.artifacts.find('AuthorizationCode', family.code.id)).toMatchObject({
      consumedAt: undefined,
    });
    expect(await world.artifacts.find('AccessToken', 'never')).toBeUndefined();
  });

  it('refuse a code that has expired, which is not a code used twice', async () => {
    const family = await authorize();
    world.time.now += MINUTE;
    expect(await world.families.first(first(family))).toBe('refused');
  });

  it('rotate for one of 20 callers, who changes everything at once', async () => {
    const id = await started();
    const results = await inParallel(20, (index) =>
      world.families.rotate(
        rotation(id, 't0', `next ${index}`, {
          successor: Buffer.from(`s${index}`),
          opaque: opaque(`o${index}`, id),
        }),
      ),
    );
    expect(results.filter(Boolean)).toHaveLength(1);
    const winner = results.indexOf(true);
    const read = await world.families.read(id);
    expect(read).toMatchObject({
      token: { to: `next ${winner}` },
      idleEndsAt: world.time.now + 2 * DAY,
      endsAt: world.time.now + 90 * DAY,
      accessEndsAt: world.time.now + 10 * MINUTE,
    });
    expect(bytes(read?.current)).toEqual(bytes(hashOf(`next ${winner}`)));
    expect(bytes(read?.previous)).toEqual(bytes(hashOf('t0')));
    expect(Buffer.from(read?.successor ?? []).toString()).toBe(`s${winner}`);
    const made = await inParallel(20, (index) => world.artifacts.find('AccessToken', `o${index}`));
    expect(made.filter(Boolean)).toHaveLength(1);
    expect(made[winner]).toBeDefined();
  });

  it('never shorten the life of an access token that was issued before', async () => {
    const id = await started();
    await world.families.rotate(rotation(id, 't0', 't1', { accessEndsAt: world.time.now + HOUR }));
    await world.families.rotate(rotation(id, 't1', 't2', { accessEndsAt: world.time.now + MINUTE }));
    expect((await world.families.read(id))?.accessEndsAt).toBe(world.time.now + HOUR);
  });

  it('do not rotate from a token that is not the current one, nor when they have ended', async () => {
    const id = await started();
    expect(await world.families.rotate(rotation(id, 't0', 't1'))).toBe(true);
    expect(await world.families.rotate(rotation(id, 't0', 'x'))).toBe(false);
    await world.families.kill(id, 'test', reuse);
    expect(await world.families.rotate(rotation(id, 't1', 'x'))).toBe(false);
    expect(bytes((await world.families.read(id))?.current)).toEqual(bytes(hashOf('t1')));
  });

  it("count since the rotation by the database's clock, whatever the node's says", async () => {
    const id = await started();
    expect((await world.families.read(id))?.sinceRotation).toBeUndefined();
    world.time.now += 365 * DAY;
    await world.families.rotate(rotation(id, 't0', 't1'));
    const { sinceRotation = -1 } = (await world.families.read(id)) ?? {};
    expect(sinceRotation).toBeGreaterThanOrEqual(0);
    expect(sinceRotation).toBeLessThan(60_000);
  });

  it('are ended once, with one audit row, however many try', async () => {
    const id = await started();
    const results = await inParallel(20, () => world.families.kill(id, 'reuse', { ...reuse, grantId: id }));
    expect(results.filter(Boolean)).toHaveLength(1);
    expect(world.events.filter(({ type }) => type === 'token.reuse_detected')).toHaveLength(1);
    expect((await world.audited()).filter(({ type }) => type === 'token.reuse_detected')).toHaveLength(1);
    expect((await world.families.read(id))?.alive).toBe(false);
    expect(await world.families.kill('no-such-family', 'reuse', reuse)).toBe(false);
  });

  describe('are dead, and stay so,', () => {
    const disableAndEnable = async () => {
      await world.admin.clients.setEnabled(clientId, false, admin);
      await world.admin.clients.setEnabled(clientId, true, admin);
    };
    const endings: Record<string, () => Promise<unknown>> = {
      'when the client is disabled, even if enabled again': disableAndEnable,
      'when everything of the client is revoked': () =>
        world.clients.revokeAll(clientId, { type: 'client.revoked', detail: {} }),
      'when the client is deleted, even if made again under its id': async () => {
        await world.clients.delete(clientId, { type: 'client.deleted', detail: {} });
        await world.client({ client_id: clientId });
      },
      'when the user is disabled, even if enabled again': async () => {
        await world.accounts.setEnabled(user.id, false, admin);
        await world.accounts.setEnabled(user.id, true, admin);
      },
      'when everything of the user is revoked': () => world.accounts.revoke(user.id, admin),
      'when the user is deleted': () => world.accounts.remove(user.id, admin),
      'when the password is changed': () =>
        world.users.setPassword(
          user.id,
          'hash',
          {},
          {
            type: 'user.password_changed',
            detail: { by: 'user' },
          },
        ),
      'when the user takes the app back': () =>
        world.consents.revoke(user.id, clientId, { type: 'grant.revoked', detail: { reason: 'user' } }),
    };
    it.each(Object.entries(endings))('%s', async (_, end) => {
      const id = await started();
      expect((await world.families.read(id))?.alive).toBe(true);
      await end();
      expect((await world.families.read(id))?.alive).toBe(false);
    });

    it('but a family that is made after enabling, in the same millisecond, lives', async () => {
      await disableAndEnable();
      expect((await world.families.read(await started()))?.alive).toBe(true);
    });

    it('and an authorization that was under way when access was taken back is dead', async () => {
      await started();
      const consent = await world.consents.find(user.id, clientId);
      const revoked = { type: 'grant.revoked', detail: { reason: 'user' } } as const;
      await world.consents.revoke(user.id, clientId, revoked);
      const { made } = await authorize();
      const id = randomId();
      await world.families.create(
        { ...made, id, consentGeneration: consent?.generation },
        { kind: 'AuthorizationCode', id, payload: {}, expiresAt: made.endsAt },
        { type: 'grant.created', detail: {} },
      );
      expect((await world.families.read(id))?.alive).toBe(false);
    });
  });

  it('end with the session that they hang on: its end, its expiry, another user in it', async () => {
    const other = await world.user('bob');
    const sessions = await inParallel(4, () => world.session(user, HOUR));
    const [ended, expired, taken, kept] = await inParallel(4, (index) =>
      started({ sessionUid: sessions[index] ?? '' }),
    );
    const alive = async () =>
      Promise.all(
        [ended, expired, taken, kept].map(async (id) => (await world.families.read(id ?? ''))?.alive),
      );
    expect(await alive()).toEqual([true, true, true, true]);
    await world.sessions.end(sessions[0] ?? '', { type: 'logout.completed', detail: {} });
    const { database } = world;
    await database.prisma.session.update({
      where: { uid: sessions[2] ?? '' },
      data: { userId: other.id, userGeneration: other.generation },
    });
    expect(await alive()).toEqual([false, true, false, true]);
    await database.prisma.session.update({
      where: { uid: sessions[1] ?? '' },
      data: { expiresAt: BigInt(world.time.now) },
    });
    expect(await alive()).toEqual([false, false, false, true]);
    world.time.now += HOUR;
    expect(await alive()).toEqual([false, false, false, false]);
  });

  it('take as many rows after many rotations as before', async () => {
    const id = await started();
    const count = async () => {
      const { family, artifact, auditEvent, deniedToken, session, consent, throttle } = world.database.prisma;
      return Promise.all(
        [family, artifact, auditEvent, deniedToken, session, consent, throttle].map((table) =>
          (table as typeof family).count(),
        ),
      );
    };
    const before = await count();
    for (let n = 0; n < 100; n++) {
      const done = await world.families.rotate(
        rotation(id, `t${n}`, `t${n + 1}`, { successor: randomBytes(120) }),
      );
      expect(done).toBe(true);
    }
    expect(await count()).toEqual(before);
  });

  describe('over a cap: the oldest end with the first token of the newest,', () => {
    const caps = (perUser: number, perClient: number, of = clientId): FamilyCaps => ({
      userId: user.id,
      clientId: of,
      perUser,
      perClient,
      event: (ended) => ({
        type: 'grant.revoked',
        userId: user.id,
        ...ended,
        detail: { reason: 'max_families' },
      }),
    });
    const alive = async (ids: readonly string[]) => {
      const read = await Promise.all(ids.map(world.alive));
      return ids.filter((_, index) => read[index]);
    };
    /** One after the other, a millisecond apart. */
    const several = async (count: number, cap?: FamilyCaps, of?: string) => {
      const ids: string[] = [];
      for (let i = 0; i < count; i++) {
        ids.push(await started(of === undefined ? {} : { clientId: of }, cap));
        world.time.now++;
      }
      return ids;
    };

    it('over all clients of the user', async () => {
      const other = (await world.client()).id;
      const before = [...(await several(2)), ...(await several(2, undefined, other))];
      const newest = await started({}, caps(3, 0));
      expect(await alive([...before, newest])).toEqual([...before.slice(2), newest]);
      const ended = world.events.filter(({ type }) => type === 'grant.revoked');
      expect(new Set(ended.map(({ grantId }) => grantId))).toEqual(new Set(before.slice(0, 2)));
      expect(ended[0]).toMatchObject({ userId: user.id, clientId, detail: { reason: 'max_families' } });
    });

    it('with one client', async () => {
      const other = (await world.client()).id;
      const before = [...(await several(2)), ...(await several(2, undefined, other))];
      const newest = await started({}, caps(0, 1));
      expect(await alive([...before, newest])).toEqual([...before.slice(2), newest]);
    });

    it('and those without a refresh token, ended ones and other users count for nothing', async () => {
      const stranger = await world.user('eve');
      const theirs = await started({ userId: stranger.id });
      const dead = await started();
      await world.families.kill(dead, 'test', reuse);
      await authorize();
      const bare = await authorize();
      await world.families.first({ ...first(bare), token: undefined });
      world.time.now++;
      const [oldest] = await several(1);
      const newest = await started({}, caps(2, 2));
      expect(await alive([theirs, oldest ?? '', bare.id, newest])).toHaveLength(4);
      const idle = world.time.now + DAY;
      world.time.now = idle; // all but the next have ended by time
      const late = await started({}, caps(1, 1));
      expect(await alive([late])).toEqual([late]);
      expect(world.events.filter(({ type }) => type === 'grant.revoked')).toEqual([]);
    });

    it('never the newest itself, not even when its authorization was the first', async () => {
      const slow = await authorize();
      world.time.now++;
      const [quick] = await several(1);
      expect(await world.families.first({ ...first(slow), caps: caps(1, 0) })).toBe('done');
      expect(await alive([slow.id, quick ?? ''])).toEqual([slow.id]);
    });

    it('and never more than the cap are left of 20 that begin at once', async () => {
      const waiting = [];
      for (let i = 0; i < 20; i++) waiting.push(await authorize());
      await Promise.all(
        waiting.map((family) => world.families.first({ ...first(family), caps: caps(3, 5) })),
      );
      expect(await alive(waiting.map(({ id }) => id))).toHaveLength(3);
      expect(world.events.filter(({ type }) => type === 'grant.revoked')).toHaveLength(17);
    });
  });
});
