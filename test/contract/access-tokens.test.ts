/** Whether an access token is alive, asked in one query, and revoking single ones. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { randomId } from '../../src/lib/ids.ts';
import { databaseKinds } from '../support/databases.ts';
import { admin, HOUR, MINUTE, openWorld, type World } from './world.ts';

const revoked = { type: 'token.revoked', detail: { kind: 'access_token' } } as const;

describe.each(databaseKinds)('access tokens on %s', (kind) => {
  let world: World;
  let user: { id: string; generation: string };
  let clientId: string;
  let names = 0;
  beforeAll(async () => {
    world = await openWorld(kind);
  });
  afterAll(() => world?.close());
  beforeEach(async () => {
    user = await world.user(`user-${names++}`);
    clientId = (await world.client()).id;
  });
  const deny = (jti: string, event: typeof revoked = revoked) =>
    world.accessTokens.deny(jti, world.time.now + MINUTE, event);

  it('have the owner that their family has, while it lives', async () => {
    const sessionUid = await world.session(user, HOUR);
    const [free, bound] = [
      await world.family(user, clientId),
      await world.family(user, clientId, { sessionUid }),
    ];
    const owner = { userId: user.id, clientId, sessionUid: undefined };
    expect(await world.accessTokens.ownerOf(free, 'any')).toEqual(owner);
    expect(await world.accessTokens.ownerOf(bound, 'any')).toEqual({ ...owner, sessionUid });
    expect(await world.accessTokens.ownerOf('no-such-family', 'any')).toBeUndefined();
    await world.sessions.end(sessionUid, { type: 'logout.completed', detail: {} });
    expect(await world.accessTokens.ownerOf(bound, 'any')).toBeUndefined();
    await world.admin.clients.setEnabled(clientId, false, admin);
    expect(await world.accessTokens.ownerOf(free, 'any')).toBeUndefined();
  });

  it("live on when the family's own time is over: they have an expiry of their own", async () => {
    const id = await world.family(user, clientId, { idleTtl: 1000, maxTtl: 1000 });
    world.time.now += 1000;
    expect(await world.accessTokens.ownerOf(id, 'any')).toBeDefined();
  });

  it('of a client itself live while it is enabled and of the generation that they carry', async () => {
    const generation = (await world.clients.find(clientId))?.generation ?? '';
    const alive = (of = generation) => world.accessTokens.clientAlive(clientId, of, 'any');
    expect(await alive()).toBe(true);
    expect(await alive('another')).toBe(false);
    expect(await world.accessTokens.clientAlive('no-such-client', generation, 'any')).toBe(false);
    await world.admin.clients.setEnabled(clientId, false, admin);
    expect(await alive()).toBe(false);
    await world.admin.clients.setEnabled(clientId, true, admin);
    expect(await alive()).toBe(false);
    expect(await alive((await world.clients.find(clientId))?.generation)).toBe(true);
  });

  it('are denied one by one, with one audit row, however many try', async () => {
    const [jti, other] = [randomId(), randomId()];
    const id = await world.family(user, clientId);
    const generation = (await world.clients.find(clientId))?.generation ?? '';
    const before = world.events.length;
    await Promise.all(Array.from({ length: 20 }, () => deny(jti)));
    expect(await world.accessTokens.ownerOf(id, jti)).toBeUndefined();
    expect(await world.accessTokens.ownerOf(id, other)).toBeDefined();
    expect(await world.accessTokens.clientAlive(clientId, generation, jti)).toBe(false);
    expect(await world.accessTokens.clientAlive(clientId, generation, other)).toBe(true);
    expect(world.events.slice(before)).toEqual([revoked]);
  });

  it('that are opaque are destroyed, with one audit row, however many try', async () => {
    const id = randomId();
    await world.artifacts.save('AccessToken', id, {}, { expiresAt: world.time.now + MINUTE });
    const before = world.events.length;
    await Promise.all(
      Array.from({ length: 20 }, () => world.accessTokens.destroyOpaque('AccessToken', id, revoked)),
    );
    expect(await world.artifacts.find('AccessToken', id)).toBeUndefined();
    expect(world.events.slice(before)).toEqual([revoked]);
  });
});
