/** Browser sessions: found by the cookie's id, kept by uid, merged, and never made anew once they have ended. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { randomId } from '../../src/lib/ids.ts';
import type { SessionSave } from '../../src/storage/sessions.ts';
import { databaseKinds } from '../support/databases.ts';
import { admin, HOUR, openWorld, type World } from './world.ts';

describe.each(databaseKinds)('sessions on %s', (kind) => {
  let world: World;
  let user: { id: string; generation: string };
  let names = 0;
  beforeAll(async () => {
    world = await openWorld(kind);
  });
  afterAll(() => world?.close());
  beforeEach(async () => {
    user = await world.user(`user-${names++}`);
  });
  const draft = (more: Partial<SessionSave> = {}): SessionSave => ({
    id: randomId(),
    uid: randomId(),
    payload: {},
    userId: undefined,
    userGeneration: undefined,
    expiresAt: world.time.now + HOUR,
    ip: '192.0.2.7',
    userAgent: 'Browser/1',
    existed: false,
    ...more,
  });
  const signedIn = (more: Partial<SessionSave> = {}): SessionSave =>
    draft({
      payload: { accountId: user.id },
      userId: user.id,
      userGeneration: user.generation,
      ...more,
    });
  const saved = async (session: SessionSave): Promise<SessionSave> => {
    expect(await world.sessions.save(session)).toBe(true);
    return session;
  };

  it('are found by id and by uid', async () => {
    const { id, uid } = await saved(signedIn());
    const found = { uid, payload: { accountId: user.id }, userId: user.id, userGeneration: user.generation };
    expect(await world.sessions.find(id)).toEqual(found);
    expect(await world.sessions.findByUid(uid)).toEqual(found);
    expect(await world.sessions.find(uid)).toBeUndefined();
    expect(await world.sessions.findByUid(id)).toBeUndefined();
  });

  it('are found by their newest id only, under the same uid', async () => {
    const before = await saved(draft());
    const after = await saved(signedIn({ uid: before.uid, existed: true }));
    expect(await world.sessions.find(before.id)).toBeUndefined();
    expect(await world.sessions.find(after.id)).toMatchObject({ uid: before.uid, userId: user.id });
  });

  it('end at their expiry', async () => {
    const { id, uid } = await saved(signedIn());
    world.time.now += HOUR - 1;
    expect(await world.sessions.find(id)).toBeDefined();
    world.time.now += 1;
    expect(await world.sessions.find(id)).toBeUndefined();
    expect(await world.sessions.findByUid(uid)).toBeUndefined();
  });

  it('end with what their user loses', async () => {
    const ends: ((id: string) => Promise<unknown>)[] = [
      async (id) => {
        await world.accounts.setEnabled(id, false, admin);
        await world.accounts.setEnabled(id, true, admin);
      },
      (id) => world.accounts.revoke(id, admin),
      (id) => world.accounts.remove(id, admin),
      (id) =>
        world.users.setPassword(id, 'hash', {}, { type: 'user.password_changed', detail: { by: 'admin' } }),
    ];
    for (const end of ends) {
      user = await world.user(`user-${names++}`);
      const { id, uid } = await saved(signedIn());
      await end(user.id);
      expect(await world.sessions.find(id)).toBeUndefined();
      // A request that was under way saves it once more, in vain.
      await world.sessions.save(signedIn({ id, uid, userGeneration: undefined, existed: true }));
      expect(await world.sessions.find(id)).toBeUndefined();
    }
  });

  it('do not begin by a password that was changed while it was checked', async () => {
    await world.users.setPassword(
      user.id,
      'hash',
      {},
      {
        type: 'user.password_changed',
        detail: { by: 'user' },
      },
    );
    const { id } = await saved(signedIn());
    expect(await world.sessions.find(id)).toBeUndefined();
  });

  it('keep the authorizations of parallel saves', async () => {
    const { id, uid } = await saved(signedIn());
    await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        world.sessions.save(
          signedIn({
            id,
            uid,
            userGeneration: undefined,
            existed: true,
            payload: { accountId: user.id, authorizations: { [`client-${index}`]: { sid: `${index}` } } },
          }),
        ),
      ),
    );
    const { payload } = (await world.sessions.find(id)) ?? {};
    expect(Object.keys(payload?.['authorizations'] ?? {})).toHaveLength(20);
  });

  it('hand nothing of one user to the next in the same browser', async () => {
    const { id, uid } = await saved(
      signedIn({ payload: { accountId: user.id, authorizations: { web: { grantId: 'secret' } } } }),
    );
    const next = await world.user(`user-${names++}`);
    await saved(
      draft({
        id,
        uid,
        userId: next.id,
        userGeneration: next.generation,
        payload: { accountId: next.id },
        existed: true,
      }),
    );
    expect(await world.sessions.find(id)).toMatchObject({
      userId: next.id,
      payload: { accountId: next.id },
    });
    expect((await world.sessions.find(id))?.payload).not.toHaveProperty('authorizations');
  });

  it('that have ended meanwhile are not made anew by a request that had found them', async () => {
    const session = await saved(signedIn());
    await world.sessions.end(session.uid, { type: 'logout.completed', detail: {} });
    expect(await world.sessions.save({ ...session, existed: true })).toBe(false);
    expect(await world.sessions.find(session.id)).toBeUndefined();
  });

  it('never survive an end that races saves', async () => {
    for (let round = 0; round < 10; round++) {
      const session = await saved(signedIn());
      const save = () => world.sessions.save({ ...session, existed: true });
      await Promise.all([
        save(),
        save(),
        world.sessions.end(session.uid, { type: 'logout.completed', detail: {} }),
        save(),
      ]);
      expect(await world.sessions.find(session.id)).toBeUndefined();
    }
  });

  it('are destroyed by id, again and again', async () => {
    const { id, uid } = await saved(signedIn());
    await world.sessions.destroy(uid);
    expect(await world.sessions.find(id)).toBeDefined();
    await world.sessions.destroy(id);
    await world.sessions.destroy(id);
    expect(await world.sessions.findByUid(uid)).toBeUndefined();
  });

  it('are ended once, with one audit row, however many try', async () => {
    const { uid } = await saved(signedIn());
    const before = world.events.length;
    const event = { type: 'logout.completed', userId: user.id, detail: {} } as const;
    const results = await Promise.all(Array.from({ length: 20 }, () => world.sessions.end(uid, event)));
    expect(results.filter(Boolean)).toHaveLength(1);
    expect(world.events.slice(before)).toEqual([event]);
  });
});
