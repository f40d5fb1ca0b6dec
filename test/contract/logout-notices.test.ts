/** Who is told when a session ends (OpenID Connect Back-Channel Logout 1.0), on every database. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { randomId } from '../../src/lib/ids.ts';
import { databaseKinds } from '../support/databases.ts';
import { admin, DAY, openWorld, type World } from './world.ts';

const URI = 'https://app.example/backchannel';
const completed = { type: 'logout.completed', detail: {} } as const;
const changed = { type: 'user.password_changed', detail: { by: 'admin' } } as const;

describe.each(databaseKinds)('notices of logout on %s', (kind) => {
  let world: World;
  let user: { id: string; generation: string };
  let told: string;
  let other: string;
  let silent: string;
  let names = 0;
  beforeAll(async () => {
    world = await openWorld(kind);
    told = (await world.client({ backchannel_logout_uri: URI })).id;
    other = (await world.client({ backchannel_logout_uri: URI })).id;
    silent = (await world.client()).id;
  });
  afterAll(() => world?.close());
  beforeEach(async () => {
    await world.database.prisma.logoutNotice.deleteMany();
    await world.database.prisma.session.deleteMany();
    user = await world.user(`user-${names++}`);
  });

  /** A session of the clients, each with a `sid` that names both. */
  const session = async (clients: readonly string[] = [told], of = user) => {
    const [id, uid] = [randomId(), randomId()];
    const authorizations = Object.fromEntries(clients.map((name) => [name, { sid: `${uid}/${name}` }]));
    const save = {
      id,
      uid,
      payload: { accountId: of.id, authorizations },
      userId: of.id,
      userGeneration: of.generation,
      expiresAt: world.time.now + DAY,
      ip: undefined,
      userAgent: undefined,
      existed: false,
    };
    await world.sessions.save(save);
    return { ...save, sids: clients.map((name) => `${uid}/${name}`).sort() };
  };
  const notices = async () => world.database.prisma.logoutNotice.findMany({ orderBy: { sid: 'asc' } });
  const sids = async () => (await notices()).map(({ sid }) => sid);

  const ends: [string, (of: { id: string; uid: string; userId: string }) => Promise<unknown>][] = [
    ['logout', ({ uid }) => world.sessions.end(uid, completed)],
    ['another sign-in in the browser', ({ id }) => world.sessions.destroy(id)],
    ['an admin’s deletion of the session', ({ uid }) => world.admin.grants.endSession(uid, admin)],
    ['“all others” elsewhere', ({ userId }) => world.admin.grants.endOtherSessions(userId, 'kept', admin)],
    ['a new password', ({ userId }) => world.users.setPassword(userId, 'hash', {}, changed)],
    [
      'a new password in the user’s document',
      ({ userId }) => world.accounts.change(userId, { password: 'lantern-orbit-velvet-9' }, admin),
    ],
    ['disabling the user', ({ userId }) => world.accounts.setEnabled(userId, false, admin)],
    [
      'disabling in the user’s document',
      ({ userId }) => world.accounts.change(userId, { enabled: false }, admin),
    ],
    ['revoking everything of the user', ({ userId }) => world.accounts.revoke(userId, admin)],
    ['deleting the user', ({ userId }) => world.accounts.remove(userId, admin)],
    [
      'expiry',
      async () => {
        world.time.now += DAY;
        await world.sweep();
      },
    ],
  ];
  it.each(ends)('are written for every client of a session that ends by %s', async (_name, end) => {
    const { sids: expected, ...ended } = await session([told, silent, other]);
    const bystander = await session([told], await world.user(`user-${names++}`));
    await world.sessions.save({ ...bystander, existed: true, expiresAt: world.time.now + 9 * DAY });
    await end(ended);
    expect(await sids()).toEqual(expected.filter((sid) => !sid.endsWith(silent)));
    for (const notice of await notices()) {
      expect(notice).toMatchObject({ userId: ended.userId, attempts: 0, dueAt: BigInt(world.time.now) });
    }
    await end(ended).catch(() => undefined); // once more changes nothing
    expect(await notices()).toHaveLength(2);
  });

  it('are not written for a session that goes on', async () => {
    const kept = await session();
    const gone = await session();
    await world.sessions.save({ ...kept, id: randomId(), existed: true });
    await world.sweep();
    expect(await sids()).toEqual([]);
    await world.sessions.endOthers(user.id, kept.uid, () => completed);
    expect(await sids()).toEqual(gone.sids);
    await world.users.setPassword(user.id, 'hash', { keepSessionUid: kept.uid }, changed);
    expect(await sids()).toEqual(gone.sids);
    expect(await world.sessions.findByUid(kept.uid)).toBeDefined();
  });

  it('are written when somebody else takes a session over, for the one before', async () => {
    const before = await session();
    const next = await world.user(`user-${names++}`);
    await world.sessions.save({
      ...before,
      payload: { accountId: next.id },
      userId: next.id,
      userGeneration: next.generation,
      existed: true,
    });
    expect(await notices()).toMatchObject([{ userId: user.id, sid: before.sids[0] }]);
  });

  it('name the clients to the one who ended the session, and to nobody after', async () => {
    const { uid } = await session([other, silent, told]);
    const results = await Promise.all(Array.from({ length: 5 }, () => world.sessions.end(uid, completed)));
    expect(results.flatMap((clients) => (clients ? [clients.toSorted()] : []))).toEqual([
      [other, told].sort(),
    ]);
    expect(await notices()).toHaveLength(2);
  });

  it('leave out clients that are disabled', async () => {
    const { id } = await world.client({ backchannel_logout_uri: URI });
    const { uid } = await session([id, told]);
    await world.admin.clients.setEnabled(id, false, admin);
    await world.sessions.end(uid, completed);
    expect(await notices()).toMatchObject([{ clientId: told }]);
  });

  it('tell a client that joined while the session was being ended, or the session refuses it', async () => {
    for (let round = 0; round < 5; round++) {
      await world.database.prisma.logoutNotice.deleteMany();
      const begun = await session([told]);
      const authorizations = { [other]: { sid: 'late' } };
      const [joined] = await Promise.all([
        world.sessions.save({
          ...begun,
          payload: { accountId: user.id, authorizations },
          userGeneration: undefined,
          existed: true,
        }),
        world.users.revokeAll(user.id, { type: 'user.revoked', userId: user.id, detail: {} }),
      ]);
      expect((await sids()).includes('late')).toBe(joined);
      user = await world.user(`user-${names++}`);
    }
  });

  it('are undone with the change that they belong to', async () => {
    const { uid } = await session();
    await world.database.sql.write('break', 'ALTER TABLE logout_notices RENAME TO notices_away');
    await expect(world.sessions.end(uid, completed)).rejects.toThrow(/logout_notices/);
    await expect(world.accounts.revoke(user.id, admin)).rejects.toThrow();
    await world.database.sql.write('mend', 'ALTER TABLE notices_away RENAME TO logout_notices');
    expect(await world.sessions.findByUid(uid)).toBeDefined();
  });

  it('are claimed once at a time, tried again when due, and swept when given up long ago', async () => {
    await world.sessions.end((await session()).uid, completed);
    expect(await world.logoutNotices.due()).toEqual([told]);
    const both = await Promise.all([1, 2].map(() => world.logoutNotices.claim(told, 10)));
    const [notice, ...more] = both.flat();
    expect([notice?.attempts, more, await world.logoutNotices.due()]).toEqual([1, [], []]);
    await world.logoutNotices.failed(notice?.id ?? '', world.time.now + 5_000, 'answered 500');
    world.time.now += 5_000;
    expect(await world.logoutNotices.claim(told, 10)).toMatchObject([{ id: notice?.id, attempts: 2 }]);
    await world.logoutNotices.failed(notice?.id ?? '', undefined, 'answered 500');
    world.time.now += 29 * DAY;
    expect([await world.logoutNotices.due(), await world.sweep()]).toMatchObject([[], { logoutNotices: 0 }]);
    world.time.now += 2 * DAY;
    expect(await world.sweep()).toMatchObject({ logoutNotices: 1 });
  });
});
