/** Users, their passwords, and throttled guessing, on every database. */
import argon2 from 'argon2';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { databaseKinds } from '../support/databases.ts';
import { admin, HOUR, openWorld, refusal, type World } from './world.ts';
import { createThrottle } from '../../src/users/throttle.ts';

const PASSWORD = 'seven green herons at dusk';
const OTHER = 'another fine long sentence';

describe.each(databaseKinds)('accounts on %s', (kind) => {
  let world: World;
  let clientId: string;
  beforeAll(async () => {
    world = await openWorld(kind);
    clientId = (await world.client()).id;
  });
  afterAll(() => world?.close());
  const create = (username: string, document: object = {}) =>
    world.accounts.create({ username, password: PASSWORD, ...document }, admin);
  const since = async (work: () => Promise<unknown>) => {
    const before = world.events.length;
    await work();
    return world.events.slice(before).map(({ type }) => type);
  };
  /** What lives of a user: browsers and grants. */
  const living = async (userId: string) => [
    (await world.lists.sessions({ userId }, { limit: 200 })).data.length,
    (await world.lists.grants({ userId }, { limit: 200 })).data.length,
  ];

  describe('users', () => {
    it('creates one and keeps no password', async () => {
      const user = await create('Ada', { email: 'ada@example.org', claims: { given_name: 'Ada' } });
      expect(await world.accounts.get(user.id)).toEqual(user);
      expect(user).toMatchObject({ username: 'Ada', email: 'ada@example.org', enabled: true, version: 1 });
      const row = await world.database.prisma.user.findUniqueOrThrow({ where: { id: user.id } });
      expect(row.passwordHash).toMatch(/^\$argon2id\$/);
      expect(world.events.at(-1)).toMatchObject({ type: 'user.created', userId: user.id, detail: {} });
    });

    it('takes names that look the same for one name', async () => {
      await create('Grace');
      expect(await refusal(create('gRACE'))).toBe('409 username_taken');
      expect(await refusal(create('Ｇrace'))).toBe('409 username_taken'); // full width
      expect((await world.users.findByUsername(' GRACE '))?.username).toBe('Grace');
      const other = await create('grace2');
      expect(await refusal(world.accounts.change(other.id, { username: 'grace' }, admin))).toBe(
        '409 username_taken',
      );
      expect(await world.users.findByUsername('gr\0ace')).toBeUndefined();
    });

    it('signs in with the right password only, and not when disabled', async () => {
      const user = await create('Edsger');
      const refused = { ok: false, userId: user.id };
      expect(await world.accounts.authenticate('edsger', PASSWORD)).toMatchObject({ ok: true, user });
      expect(await world.accounts.authenticate('edsger', OTHER)).toEqual(refused);
      expect(await world.accounts.authenticate('nobody', PASSWORD)).toEqual({ ok: false, userId: undefined });
      await world.accounts.setEnabled(user.id, false, admin);
      expect(await world.accounts.authenticate('edsger', PASSWORD)).toEqual(refused);
    });

    it('makes the hash anew at sign-in when parameters have risen, and ends nothing', async () => {
      const user = await create('Barbara');
      const old = await argon2.hash(PASSWORD, { memoryCost: 8_192, timeCost: 1, parallelism: 1 });
      await world.database.prisma.user.update({ where: { id: user.id }, data: { passwordHash: old } });
      expect(await world.accounts.authenticate('barbara', PASSWORD)).toMatchObject({
        user: { generation: user.generation },
      });
      const { passwordHash } = (await world.users.credentials({ id: user.id }))!;
      expect(passwordHash).toContain('m=19456');
      expect((await world.accounts.get(user.id)).generation).toBe(user.generation);
      await world.users.rehash(user.id, old, 'stale'); // the password has changed meanwhile
      expect((await world.users.credentials({ id: user.id }))?.passwordHash).toBe(passwordHash);
    });

    it('changes one by a merge patch, counting versions', async () => {
      const user = await create('Donald', { email: 'd@example.org', email_verified: true });
      const patch = { email: 'new@example.org', claims: { nickname: 'Don' } };
      expect(await since(() => world.accounts.change(user.id, patch, admin, 1))).toEqual(['user.updated']);
      expect(world.events.at(-1)?.detail).toEqual({ changed: ['email', 'email_verified', 'claims'] });
      const after = await world.accounts.get(user.id);
      expect(after).toMatchObject({ email: 'new@example.org', emailVerified: false, version: 2 });
      expect(after.generation).toBe(user.generation);
      expect(await refusal(world.accounts.change(user.id, {}, admin, 1))).toBe('412 version_mismatch');
      expect(await since(() => world.accounts.change(user.id, patch, admin))).toEqual([]);
      expect(await refusal(world.accounts.change('nobody', {}, admin))).toBe('404 not_found');
    });

    it('pages through them', async () => {
      const first = await world.accounts.list({}, { limit: 2 });
      expect((await world.accounts.list({ username: ' GRACE ' }, { limit: 9 })).data).toMatchObject([
        { username: 'Grace' },
      ]);
      expect((await world.accounts.list({ username: 'x', email: 'y' }, { limit: 9 })).data).toEqual([]);
      const rest = await world.accounts.list({}, { limit: 200, after: first.next! });
      const ids = [...first.data, ...rest.data].map(({ id }) => id);
      expect(new Set(ids).size).toBe(await world.database.prisma.user.count());
      expect(rest.next).toBeNull();
    });
  });

  describe('what ends', () => {
    /** A user with two browsers, and a grant in each. */
    const signedIn = async (username: string) => {
      const user = await create(username);
      const [here, there] = [await world.session(user), await world.session(user)];
      const families = [
        await world.family(user, clientId, { sessionUid: here }),
        await world.family(user, clientId, { sessionUid: there }),
        await world.family(user, clientId),
      ];
      expect(await living(user.id)).toEqual([2, 3]);
      return { user, here, there, families };
    };

    it('at a change of password by its user: all but the session that it was made in', async () => {
      const { user, here } = await signedIn('changes-password');
      const change = (current: string, next: string) =>
        world.accounts.changePassword(user.id, { current, next }, here, { actor: `user:${user.id}` });
      expect(await change(OTHER, PASSWORD)).toBeUndefined();
      expect(await refusal(change(PASSWORD, 'short'))).toBe('422 invalid_user');
      expect(await living(user.id)).toEqual([2, 3]);
      expect(await since(() => change(PASSWORD, OTHER))).toEqual(['user.password_changed']);
      expect(world.events.at(-1)?.detail).toEqual({ by: 'user' });
      expect(await living(user.id)).toEqual([1, 0]);
      const after = await world.accounts.get(user.id);
      expect(await world.sessions.findByUid(here)).toMatchObject({ userGeneration: after.generation });
      expect((await world.accounts.authenticate('changes-password', PASSWORD)).ok).toBe(false);
      expect((await world.accounts.authenticate('changes-password', OTHER)).ok).toBe(true);
    });

    it('at a password that an admin sets: everything', async () => {
      const { user } = await signedIn('gets-password');
      await world.accounts.setPassword(user.id, OTHER, admin);
      expect(world.events.at(-1)).toMatchObject({ userId: user.id, detail: { by: 'admin' } });
      expect(await living(user.id)).toEqual([0, 0]);
      expect(await refusal(world.accounts.setPassword('nobody', OTHER, admin))).toBe('404 not_found');
      const patched = await signedIn('patched-password');
      const types = await since(() => world.accounts.change(patched.user.id, { password: OTHER }, admin));
      expect(types).toEqual(['user.password_changed']);
      expect(await living(patched.user.id)).toEqual([0, 0]);
      // Not only dead but gone: nothing can bring them back.
      expect(await world.database.prisma.session.count({ where: { userId: patched.user.id } })).toBe(0);
    });

    it('not at a change of password that lost a race against another', async () => {
      const { user } = await signedIn('races');
      const keep = { generation: user.generation };
      const event = { type: 'user.password_changed', detail: { by: 'user' } } as const;
      const raced = await Promise.all(
        ['a', 'b'].map((hash) => refusal(world.users.setPassword(user.id, hash, keep, event))),
      );
      expect(raced.sort()).toEqual(['409 user_changed', 'not refused']);
    });

    it('at being disabled: everything, and enabling revives nothing', async () => {
      const { user } = await signedIn('disabled');
      expect(await since(() => world.accounts.setEnabled(user.id, false, admin))).toEqual(['user.disabled']);
      expect(await since(() => world.accounts.setEnabled(user.id, false, admin))).toEqual([]);
      expect(await living(user.id)).toEqual([0, 0]);
      expect(await since(() => world.accounts.setEnabled(user.id, true, admin))).toEqual(['user.enabled']);
      expect(await living(user.id)).toEqual([0, 0]);
      expect(await refusal(world.accounts.setEnabled('nobody', true, admin))).toBe('404 not_found');
      const patched = await signedIn('disabled-by-patch');
      await world.accounts.change(patched.user.id, { enabled: false }, admin);
      await world.accounts.change(patched.user.id, { enabled: true }, admin);
      expect(await living(patched.user.id)).toEqual([0, 0]);
    });

    it('at "revoke everything": everything, and what is made afterwards lives', async () => {
      const { user, families } = await signedIn('revoked');
      expect(await since(() => world.accounts.revoke(user.id, admin))).toEqual(['user.revoked']);
      expect(await living(user.id)).toEqual([0, 0]);
      expect(await world.alive(families[2]!)).toBe(false);
      await world.family(user, clientId);
      expect(await living(user.id)).toEqual([0, 1]);
      expect(await refusal(world.accounts.revoke('nobody', admin))).toBe('404 not_found');
    });

    it('at deletion: everything, consents too', async () => {
      const { user, families } = await signedIn('deleted');
      expect(await since(() => world.accounts.remove(user.id, admin))).toEqual(['user.deleted']);
      expect(await since(() => world.accounts.remove(user.id, admin))).toEqual([]);
      expect(await world.users.findById(user.id)).toBeUndefined();
      expect(await world.consents.find(user.id, clientId)).toBeUndefined();
      expect(await world.alive(families[2]!)).toBe(false);
      expect(await living(user.id)).toEqual([0, 0]);
    });
  });

  describe('throttling', () => {
    const budgets = (username: string, ip: string, device?: string) =>
      world.throttle.forLogin({ username, ip, device });
    const fail = async (times: number, of: ReturnType<typeof budgets>) => {
      for (let i = 0; i < times; i++) expect(await world.throttle.fail(of)).toBeUndefined();
    };

    it('blocks an account after five failures, for longer each time', async () => {
      const guess = budgets('victim', '203.0.113.1');
      await fail(5, guess);
      expect(await world.throttle.check(guess)).toBeUndefined();
      await fail(1, guess);
      for (const seconds of [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]) {
        expect(await world.throttle.check(budgets('VICTIM', '198.51.100.9'))).toMatchObject({
          retryAfter: seconds,
        });
        world.time.now += seconds * 1000;
        await fail(1, guess);
      }
    });

    it('treats a name that nobody has the same, and other accounts as before', async () => {
      await fail(6, budgets('no-such-user', '203.0.113.2'));
      expect(await world.throttle.check(budgets('no-such-user', '203.0.113.3'))).toMatchObject({
        retryAfter: 1,
      });
      expect(await world.throttle.check(budgets('somebody-else', '203.0.113.2'))).toBeUndefined();
    });

    it('blocks an address after fifty failures over any accounts', async () => {
      for (let i = 0; i < 51; i++) await fail(1, budgets(`user${i}`, '2001:db8:0:1::1'));
      expect(await world.throttle.check(budgets('fresh', '2001:db8:0:1:ffff::2'))).toMatchObject({
        retryAfter: 1,
      });
      expect(await world.throttle.check(budgets('fresh', '2001:db8:0:2::1'))).toBeUndefined();
    });

    it('blocks an IPv6 site, whichever of its subnets guesses', async () => {
      const policy = { free: 2, step: 1, firstMs: 1_000, longestMs: 5_000, quietMs: 60_000 };
      const throttle = createThrottle(world.throttles, world.dataKeys, world.clock, { site: policy });
      const from = (ip: string) => throttle.forLogin({ username: `of ${ip}`, ip });
      for (let i = 0; i < 3; i++) expect(await throttle.fail(from(`2001:db8:77:${i}::1`))).toBeUndefined();
      for (const budgets of [from('2001:db8:77:9::1'), throttle.forSecondFactor('user', '2001:db8:77:9::1')])
        expect(await throttle.check(budgets)).toMatchObject({ retryAfter: 1 });
      expect(await throttle.check(from('2001:db8:78:9::1'))).toBeUndefined();
    });

    it('tells of each block once, of any number that it refuses', async () => {
      const guess = budgets('told', '203.0.113.77');
      await fail(6, guess);
      const firsts = async (): Promise<number> => {
        const refused = await world.throttle.check(guess);
        if (!refused) throw new Error('not refused');
        const told = await Promise.all(Array.from({ length: 10 }, () => world.throttle.first(refused)));
        return told.filter(Boolean).length;
      };
      expect([await firsts(), await firsts()]).toEqual([1, 0]);
      world.time.now += 1_000;
      await fail(1, guess);
      expect([await firsts(), await firsts()]).toEqual([1, 0]);
      expect(await world.throttle.first({ retryAfter: 1 })).toBe(false);
    });

    it('counts nothing while a block is in force, however many guess at once', async () => {
      const guess = budgets('parallel', '203.0.113.4');
      const answers = await Promise.all(Array.from({ length: 30 }, () => world.throttle.fail(guess)));
      expect(answers.filter((answer) => answer === undefined)).toHaveLength(6);
      expect(answers.filter((answer) => answer?.retryAfter === 1)).toHaveLength(24);
      expect(await world.throttle.succeed(guess)).toMatchObject({ retryAfter: 1 }); // right, but too late
    });

    it("forgets an account's failures at a success, never an address's", async () => {
      const guess = budgets('forgets', '203.0.113.5');
      await fail(5, guess);
      expect(await world.throttle.succeed(guess)).toBeUndefined();
      await fail(5, guess);
      expect(await world.throttle.check(guess)).toBeUndefined();
      for (let i = 0; i < 41; i++) {
        await fail(1, budgets(`f${i}`, '203.0.113.5'));
        await world.throttle.succeed(budgets(`f${i}`, '203.0.113.5'));
      }
      expect(await world.throttle.check(budgets('any', '203.0.113.5'))).toMatchObject({ retryAfter: 1 });
    });

    it('gives a known device a budget that strangers cannot use up', async () => {
      await fail(6, budgets('known', '203.0.113.6'));
      expect(await world.throttle.check(budgets('known', '203.0.113.7', 'laptop'))).toBeUndefined();
      await fail(6, budgets('known', '203.0.113.7', 'laptop'));
      expect(await world.throttle.check(budgets('known', '203.0.113.7', 'laptop'))).toMatchObject({
        retryAfter: 1,
      });
    });

    it('forgets after an hour of quiet', async () => {
      const guess = budgets('quiet', '203.0.113.8');
      await fail(5, guess);
      world.time.now += HOUR;
      await fail(5, guess);
      expect(await world.throttle.check(guess)).toBeUndefined();
      await fail(1, guess);
      expect(await world.throttle.check(guess)).toMatchObject({ retryAfter: 1 });
    });
  });
});
