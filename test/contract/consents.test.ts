/** Consents: what a user has allowed, and the generation by which taking it back ends families. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { mergeScopes } from '../../src/storage/consents.ts';
import { databaseKinds } from '../support/databases.ts';
import { openWorld, type World } from './world.ts';

const granted = { type: 'consent.granted', detail: { scopes: [] } } as const;
const revoked = { type: 'grant.revoked', detail: { reason: 'user' } } as const;

describe.each(databaseKinds)('consents on %s', (kind) => {
  let world: World;
  let user: string;
  let names = 0;
  beforeAll(async () => {
    world = await openWorld(kind);
  });
  afterAll(() => world?.close());
  beforeEach(async () => {
    user = (await world.user(`user-${names++}`)).id;
  });

  it('add up, each with its audit row', async () => {
    const before = world.events.length;
    expect(await world.consents.find(user, 'web')).toBeUndefined();
    await world.consents.allow(user, 'web', { '': ['openid'] }, granted);
    const first = await world.consents.find(user, 'web');
    await world.consents.allow(user, 'web', { '': ['email', 'openid'], 'https://a': ['read'] }, granted);
    expect(await world.consents.find(user, 'web')).toEqual({
      scopes: { '': ['openid', 'email'], 'https://a': ['read'] },
      generation: first?.generation,
    });
    expect(await world.consents.find(user, 'other')).toBeUndefined();
    expect(world.events.slice(before)).toEqual([granted, granted]);
  });

  it('keep what parallel decisions allow', async () => {
    await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        world.consents.allow(user, 'web', { '': [`scope-${index}`] }, granted),
      ),
    );
    expect((await world.consents.find(user, 'web'))?.scopes['']).toHaveLength(20);
  });

  it('are forgotten and get a new generation when access is taken back', async () => {
    await world.consents.allow(user, 'web', { '': ['openid'] }, granted);
    await world.consents.allow(user, 'other', { '': ['openid'] }, granted);
    const [web, other] = [await world.consents.find(user, 'web'), await world.consents.find(user, 'other')];
    await world.consents.revoke(user, 'web', revoked);
    const after = await world.consents.find(user, 'web');
    expect(after?.scopes).toEqual({});
    expect(after?.generation).not.toBe(web?.generation);
    expect(await world.consents.find(user, 'other')).toEqual(other);
  });

  it('take names that JavaScript has a meaning for', () => {
    const merged = mergeScopes(JSON.parse('{"__proto__":["a"]}') as Record<string, string[]>, {
      constructor: ['b'],
    });
    expect(Object.entries(merged)).toEqual([
      ['__proto__', ['a']],
      ['constructor', ['b']],
    ]);
  });
});
