import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { databaseKinds } from '../support/databases.ts';
import { admin, openWorld, refusal, type World } from './world.ts';

describe.each(databaseKinds)('a change that is meant for one version, on %s', (kind) => {
  let world: World;
  beforeAll(async () => {
    world = await openWorld(kind);
  });
  afterAll(() => world.close());

  /** Each change, at a version: that decides in the transaction itself, whoever looked before. */
  type Change = (version: number) => Promise<unknown>;

  const ofClient = async (): Promise<Record<string, Change>> => {
    const client = await world.client();
    const { clients } = world.admin;
    return {
      disable: (version) => clients.setEnabled(client.id, false, admin, version),
      enable: (version) => clients.setEnabled(client.id, true, admin, version),
      revoke: (version) => clients.revoke(client.id, admin, version),
      delete: (version) => clients.remove(client.id, admin, version),
    };
  };
  const ofUser = async (): Promise<Record<string, Change>> => {
    const { id } = await world.user('versions');
    return {
      password: (version) => world.accounts.setPassword(id, 'maple-harbour-quartz-9', admin, version),
      disable: (version) => world.accounts.setEnabled(id, false, admin, version),
      revoke: (version) => world.accounts.revoke(id, admin, version),
      delete: (version) => world.accounts.remove(id, admin, version),
    };
  };
  const ofApi = async (): Promise<Record<string, Change>> => {
    const { identifier } = await world.admin.apis.create({ identifier: 'urn:v', name: 'V' }, admin);
    return { delete: (version) => world.admin.apis.remove(identifier, admin, version) };
  };

  it.each([
    ['a client', ofClient],
    ['a user', ofUser],
    ['an API', ofApi],
  ])('is refused at any other, and changes nothing: %s', async (_, make) => {
    const changes = await make();
    const events = world.events.length;
    for (const [name, change] of Object.entries(changes)) {
      expect([name, await refusal(change(99))]).toEqual([name, '412 version_mismatch']);
    }
    expect(world.events.length).toBe(events);
    await changes['delete']?.(1);
    expect(await refusal(changes['delete']?.(1) ?? Promise.resolve())).toBe('412 version_mismatch');
  });

  it('happens once among many at the same time', async () => {
    const client = await world.client();
    const outcomes = await Promise.all(
      [1, 2, 3, 4].map(() => refusal(world.admin.clients.setEnabled(client.id, false, admin, 1))),
    );
    expect(outcomes.filter((each) => each !== '412 version_mismatch')).toHaveLength(1);
  });
});
