import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createLease, LEASE_TTL } from '../../src/delivery/lease.ts';
import { openCurrentKeys, type CurrentKeys } from '../../src/keys/current.ts';
import { createKeyRotation, type KeyRotation } from '../../src/keys/rotation.ts';
import { createLeases } from '../../src/storage/leases.ts';
import { databaseKinds } from '../support/databases.ts';
import { admin, DAY, HOUR, openWorld, refusal, type World } from './world.ts';

const settings = {
  jwksMaxAge: 300,
  keyPollSeconds: 30,
  keyRotationDays: 90,
  accessTokenTtl: 600,
  sessionMaxTtl: 30 * 86_400,
};
const LEAD = 330_000;
const api = {
  identifier: 'https://slow.example',
  name: 'Slow',
  scopes: [],
  accessTokenFormat: 'jwt',
  accessTokenTtl: undefined,
  signingAlg: 'ES256',
} as const;

describe.each(databaseKinds)('signing keys on %s', (kind) => {
  let world: World;
  let keys: CurrentKeys;
  let rotation: KeyRotation;
  const node = async (own = settings): Promise<[CurrentKeys, KeyRotation]> => {
    const current = await openCurrentKeys(world.signingKeys, own, world.clock);
    return [current, createKeyRotation(world.signingKeys, current, own, world.clock)];
  };
  beforeEach(async () => {
    world = await openWorld(kind);
    [keys, rotation] = await node();
  });
  afterEach(() => world.close());

  /** Statuses of the keys of one algorithm, oldest first. */
  const statuses = async (alg = 'ES256'): Promise<string[]> =>
    (await rotation.list()).filter((key) => key.alg === alg).map(({ status }) => status);
  /** Key ids in what /jwks shows; the one that signs comes first. */
  const published = (of = keys, alg = 'ES256'): (string | undefined)[] =>
    of.publicJwks.keys.filter((key) => key.alg === alg).map(({ kid }) => kid);
  const activeKid = (alg = 'ES256'): string =>
    keys.keys.find((key) => key.alg === alg && key.status === 'active')?.kid ?? '';
  const rotateOne = async (immediate = false): Promise<string> => {
    world.time.now += 1; // keys of one instant have no order
    return (await rotation.rotate(['ES256'], immediate, admin))[0]?.kid ?? '';
  };
  const audited = async (kid: string): Promise<string[]> =>
    (await world.audited()).filter(({ detail }) => detail['kid'] === kid).map(({ type }) => type);

  it('of several nodes that start at once, one makes the first keys', async () => {
    await world.database.sql.write('forget', 'DELETE FROM signing_keys');
    const nodes = await Promise.all([node(), node(), node()]);
    const [first, ...others] = nodes.map(([each]) => JSON.stringify(each.publicJwks));
    expect(others).toEqual([first, first]);
    expect(nodes[0]?.[0].keys.map(({ alg, status }) => `${alg} ${status}`).sort()).toEqual([
      'ES256 active',
      'RS256 active',
    ]);
  });

  it('are published for a cache time and a poll before they sign; what they replace stays, then is gone', async () => {
    const old = activeKid();
    const next = await rotateOne();
    expect(published()).toEqual([old, next]);

    world.time.now += LEAD - 1;
    await rotation.advance();
    expect(await statuses()).toEqual(['active', 'pending']);
    world.time.now += 1;
    await rotation.advance();
    expect(await statuses()).toEqual(['retiring', 'active']);
    expect(published()).toEqual([next, old]);
    expect(keys.verifier(old)).toBeDefined();

    const retiring = (await rotation.list()).find(({ kid }) => kid === old);
    world.time.now = (retiring?.retiresAt ?? 0) - 1;
    await rotation.advance();
    expect(published()).toEqual([next, old]);
    world.time.now += 1;
    await rotation.advance();
    expect(await statuses()).toEqual(['retired', 'active']);
    expect(published()).toEqual([next]);
    expect(keys.verifier(old)).toBeUndefined();
    expect(await audited(old)).toEqual(['key.created', 'key.activated', 'key.retired']);
    expect((await world.audited()).find(({ type }) => type === 'key.retired')?.actor).toBe('system');
    const [row] = await world.database.sql.read<{ sealed: Uint8Array }>(
      'sealed',
      'SELECT sealed FROM signing_keys WHERE kid = $1',
      [old],
    );
    expect(row?.sealed).toHaveLength(0); // nothing is left to steal
  });

  it('stay as long as the longest-lived token that any API or client lets them sign', async () => {
    const leaves = async (): Promise<number> => {
      await rotateOne();
      world.time.now += LEAD;
      await rotation.advance();
      const retiring = (await rotation.list()).filter(({ status }) => status === 'retiring');
      return (retiring.at(-1)?.retiresAt ?? 0) - world.time.now;
    };
    const POLL = 30_000;
    const hints = 30 * DAY; // ID tokens as hints, as long as a session may live
    expect(await leaves()).toBe(hints + POLL);
    await world.apis.create(
      { ...api, accessTokenTtl: (100 * DAY) / 1000 },
      { type: 'api.created', detail: { identifier: api.identifier } },
    );
    expect(await leaves()).toBe(100 * DAY + POLL);
    await world.client({ access_token_ttl: (200 * DAY) / 1000 });
    expect(await leaves()).toBe(200 * DAY + POLL);
  });

  it('stay for what they signed before lifetimes were shortened: of a client, an API, the settings', async () => {
    const leaves = async (): Promise<number> => {
      await rotateOne();
      world.time.now += LEAD;
      await rotation.advance();
      const retiring = (await rotation.list()).filter(({ status }) => status === 'retiring');
      return ((retiring.at(-1)?.retiresAt ?? 0) - world.time.now - 30_000) / DAY;
    };
    const days = (ttl: number) => (ttl * DAY) / 1000;
    const { id } = await world.client({ access_token_ttl: days(200) });
    await world.admin.clients.change(id, { access_token_ttl: 60 }, admin);
    expect(await leaves()).toBe(200);
    expect(await leaves()).toBe(30); // the next key signed nothing of that length

    const made = { identifier: 'https://slow.example', name: 'Slow', access_token_ttl: days(150) };
    await world.admin.apis.create(made, admin);
    await world.admin.apis.change(made.identifier, { access_token_ttl: null }, admin);
    expect(await leaves()).toBe(150);
    expect(await leaves()).toBe(30);

    await node({ ...settings, accessTokenTtl: days(120) }); // ran once, and is gone
    expect(await leaves()).toBe(120);
    const [slow] = await node({ ...settings, accessTokenTtl: days(110) }); // still runs beside the others
    expect(await leaves()).toBe(110);
    await slow.reload();
    expect(await leaves()).toBe(110);
  });

  it('are rotated by age, once, whoever looks', async () => {
    world.time.now += 90 * DAY - 1;
    await rotation.advance();
    expect(await statuses()).toEqual(['active']);
    world.time.now += 1;
    const [, other] = await node();
    await Promise.all([rotation.advance(), other.advance(), rotation.advance()]);
    await rotation.advance();
    expect([await statuses('ES256'), await statuses('RS256')]).toEqual([
      ['active', 'pending'],
      ['active', 'pending'],
    ]);
    world.time.now += LEAD;
    await Promise.all([rotation.advance(), other.advance()]);
    expect([await statuses('ES256'), await statuses('RS256')]).toEqual([
      ['retiring', 'active'],
      ['retiring', 'active'],
    ]);
    const activated = (await world.audited()).filter(({ type }) => type === 'key.activated');
    expect(activated).toHaveLength(4); // the first two, and their successors
  });

  it('that waited while nobody looked: the newest signs, the others never do', async () => {
    const [first, second] = [await rotateOne(), await rotateOne()];
    world.time.now += HOUR;
    await rotation.advance();
    expect(await statuses()).toEqual(['retiring', 'retired', 'active']);
    expect(published()[0]).toBe(second);
    expect(await audited(first)).toEqual(['key.created', 'key.retired']);
  });

  it('rotated with immediate: all before it are gone at once, those that wait and those that retire included', async () => {
    const older = activeKid();
    const old = await rotateOne();
    world.time.now += LEAD;
    await rotation.advance();
    expect(await statuses()).toEqual(['retiring', 'active']);
    const waiting = await rotateOne();
    const made = await rotateOne(true);
    expect(published()).toEqual([made]);
    for (const kid of [older, old, waiting]) expect(keys.verifier(kid)).toBeUndefined();
    const sealed = await world.database.sql.read<{ kid: string }>(
      'sealed',
      `SELECT kid FROM signing_keys WHERE alg = 'ES256' AND LENGTH(sealed) > 0`,
    );
    expect(sealed).toEqual([{ kid: made }]);
    expect(published(keys, 'RS256')).toHaveLength(1);
    expect(await audited(made)).toEqual(['key.created', 'key.activated']);
    expect((await world.audited()).find(({ type }) => type === 'key.retired')).toMatchObject({
      actor: 'client:admin',
      ip: admin.ip,
      requestId: admin.requestId,
    });
  });

  it('without an algorithm every one in use is rotated', async () => {
    const made = await rotation.rotate(undefined, false, admin);
    expect(made.map(({ alg, status }) => `${alg} ${status}`).sort()).toEqual([
      'ES256 pending',
      'RS256 pending',
    ]);
  });

  it('without an algorithm, immediate also replaces a first key that waits: it may sign ID tokens by then', async () => {
    await rotation.need('EdDSA');
    const made = await rotation.rotate(undefined, true, admin);
    expect(made.map(({ alg, status }) => `${alg} ${status}`).sort()).toEqual([
      'ES256 active',
      'EdDSA active',
      'RS256 active',
    ]);
    expect((await statuses('EdDSA')).toSorted()).toEqual(['active', 'retired']);
  });

  it('can be retired in any state; the active one is replaced; again changes nothing', async () => {
    const old = activeKid();
    const waiting = await rotateOne();
    expect(await rotation.retire(waiting, admin)).toMatchObject({ kid: waiting, status: 'retired' });
    expect(await statuses()).toEqual(['active', 'retired']);
    const next = await rotateOne();
    world.time.now += LEAD;
    await rotation.advance();
    await rotation.retire(old, admin);
    expect(published()).toEqual([next]);
    await rotation.retire(next, admin);
    expect(await statuses()).toEqual(['retired', 'retired', 'retired', 'active']);
    expect(published()).toHaveLength(1);
    const before = await rotation.list();
    expect(await rotation.retire(next, admin)).toMatchObject({ kid: next, status: 'retired' });
    expect(await rotation.list()).toEqual(before);
    expect(await refusal(rotation.retire('no-such-key', admin))).toBe('404 not_found');
  });

  it('five may wait; one more is refused, and changes nothing', async () => {
    for (let made = 0; made < 5; made++) await rotateOne();
    expect(await refusal(rotation.rotate(undefined, false, admin))).toBe('409 too_many_keys');
    expect(await statuses('RS256')).toEqual(['active']);
    await rotateOne(true);
    expect(published()).toHaveLength(1);
  });

  it('changed by many nodes at once: one signs, whatever the order', async () => {
    const [, other] = await node();
    await rotateOne();
    world.time.now += LEAD;
    const old = activeKid();
    await Promise.all([
      rotation.advance(),
      other.rotate(['ES256'], true, admin),
      rotation.rotate(['ES256'], true, admin),
      other.retire(old, admin),
      other.advance(),
    ]);
    expect((await statuses()).filter((status) => status === 'active')).toHaveLength(1);
    expect(await statuses()).not.toContain('pending');
    await keys.reload();
    expect(published()[0]).toBe(activeKid());
    expect(keys.verifier(old)).toBeUndefined();
  });

  it('a node that reads them again follows; one that reads twice at once is never behind', async () => {
    const [behind] = await node();
    const followed: string[] = [];
    behind.follow((ring) => followed.push(ring.publicJwks.keys[0]?.kid ?? ''));
    await behind.reload();
    expect(followed).toEqual([]); // nothing has changed
    const next = await rotateOne(true);
    await Promise.all([behind.reload(), behind.reload()]);
    expect(published(behind)).toEqual([next]);
    expect(followed).toHaveLength(1);
  });
});

describe.each(databaseKinds)('the lease on %s', (kind) => {
  let world: World;
  beforeEach(async () => void (world = await openWorld(kind)));
  afterEach(() => world.close());
  const node = (holder: string, stopwatch = { now: 0 }) =>
    createLease(createLeases(world.database), { name: 'work', holder, elapsed: () => stopwatch.now });
  const expire = () =>
    world.database.sql.write('expire', `UPDATE leases SET expires_at = ${world.database.nowMs}`);

  it('is held by one of many that ask at once', async () => {
    const nodes = ['a', 'b', 'c', 'd'].map((name) => node(name));
    const taken = await Promise.all(nodes.map((each) => each.renew()));
    expect(taken.filter(Boolean)).toHaveLength(1);
    expect(nodes.map((each) => each.held())).toEqual(taken);
    expect(await Promise.all(nodes.map((each) => each.renew()))).toEqual(taken);
  });

  it('passes on when its time is over by the clock of the database, or when it is released', async () => {
    const [a, b, c] = [node('a'), node('b'), node('c')];
    await a.renew();
    await expire();
    expect([await b.renew(), await a.renew()]).toEqual([true, false]);
    expect(a.held()).toBe(false);
    await a.release(); // not its own any more
    expect(await c.renew()).toBe(false);
    await b.release();
    expect([b.held(), await c.renew()]).toEqual([false, true]);
  });

  it('is not held longer than it was granted, counted from before the question', async () => {
    const stopwatch = { now: 5 };
    const lease = node('a', stopwatch);
    await lease.renew();
    stopwatch.now += LEASE_TTL - 1;
    expect(lease.held()).toBe(true);
    stopwatch.now += 1;
    expect(lease.held()).toBe(false);
  });
});
