/** Artifacts: looked up by keyed hash, sealed, consumed once, gone at their expiry. */
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { keyedHash, SealError } from '../../src/lib/crypto.ts';
import { randomId } from '../../src/lib/ids.ts';
import { createArtifacts } from '../../src/storage/artifacts.ts';
import type { DataKeys } from '../../src/storage/data-keys.ts';
import { databaseKinds } from '../support/databases.ts';
import { MINUTE, openWorld, type World } from './world.ts';

const KIND = 'PushedAuthorizationRequest';

describe.each(databaseKinds)('artifacts on %s', (kind) => {
  let world: World;
  beforeAll(async () => {
    world = await openWorld(kind);
  });
  afterAll(() => world?.close());
  const soon = () => world.time.now + MINUTE;
  const rowOf = (id: string) =>
    world.database.prisma.artifact.findUnique({
      where: { hash: new Uint8Array(world.dataKeys.hash(KIND, id)) },
    });
  const save = async (more: { userCode?: string; grantId?: string } = {}) => {
    const id = randomId();
    await world.artifacts.save(KIND, id, { uri: 'https://a.example' }, { expiresAt: soon(), ...more });
    return id;
  };
  const parallel = <T>(count: number, work: () => Promise<T>): Promise<T[]> =>
    Promise.all(Array.from({ length: count }, work));

  it('are found by id and kind together', async () => {
    const id = await save();
    const found = { payload: { uri: 'https://a.example' }, consumedAt: undefined };
    expect(await world.artifacts.find(KIND, id)).toEqual(found);
    expect(await world.artifacts.find('Interaction', id)).toBeUndefined();
    expect(await world.artifacts.find(KIND, `${id} `)).toBeUndefined();
  });

  it('lie under a hash, with a sealed payload that no other row can hold', async () => {
    const [id, other] = [await save(), await save()];
    const row = await rowOf(id);
    expect(Buffer.from(row?.payload ?? []).toString('latin1')).not.toContain('a.example');
    await world.database.prisma.artifact.update({
      where: { hash: new Uint8Array(world.dataKeys.hash(KIND, other)) },
      data: { payload: row?.payload ?? new Uint8Array() },
    });
    await expect(world.artifacts.find(KIND, other)).rejects.toThrow(SealError);
  });

  it('are replaced by a second save, which keeps that they were consumed', async () => {
    const id = await save({ userCode: 'BDFG' });
    expect(await world.artifacts.consume(KIND, id)).toBe(true);
    const options = { expiresAt: soon() + MINUTE, grantId: 'g2' };
    await world.artifacts.save(KIND, id, { uri: 'https://b.example' }, options);
    const found = { payload: { uri: 'https://b.example' }, consumedAt: world.time.now };
    expect(await world.artifacts.find(KIND, id)).toEqual(found);
    expect(await world.artifacts.findByUserCode(KIND, 'BDFG')).toEqual(found);
    expect(await rowOf(id)).toMatchObject({ grantId: 'g2', expiresAt: BigInt(options.expiresAt) });
    expect(await world.artifacts.consume(KIND, id)).toBe(false);
  });

  it('are found by user code, which lies hashed and is unique', async () => {
    const id = await save({ userCode: 'BCDFGHJK' });
    expect(await world.artifacts.findByUserCode(KIND, 'BCDFGHJK')).toMatchObject({ consumedAt: undefined });
    expect(await world.artifacts.findByUserCode('Interaction', 'BCDFGHJK')).toBeUndefined();
    expect(await world.artifacts.findByUserCode(KIND, 'BCDFGHJ')).toBeUndefined();
    expect(Buffer.from((await rowOf(id))?.userCode ?? []).toString('latin1')).not.toContain('BCDFG');
    await expect(save({ userCode: 'BCDFGHJK' })).rejects.toThrow();
  });

  it('are consumed by one of 20 callers', async () => {
    const id = await save();
    const results = await parallel(20, () => world.artifacts.consume(KIND, id));
    expect(results.filter(Boolean)).toHaveLength(1);
    expect((await world.artifacts.find(KIND, id))?.consumedAt).toBe(world.time.now);
  });

  it('are consumed by nobody when they are missing or of another kind', async () => {
    const id = await save();
    expect(await world.artifacts.consume('Interaction', id)).toBe(false);
    expect(await world.artifacts.consume(KIND, 'no-such-artifact')).toBe(false);
  });

  it('are neither found nor consumed from the millisecond of their expiry on', async () => {
    const id = await save({ userCode: 'EXPIRING' });
    world.time.now += MINUTE - 1;
    expect(await world.artifacts.find(KIND, id)).toBeDefined();
    world.time.now += 1;
    expect(await world.artifacts.find(KIND, id)).toBeUndefined();
    expect(await world.artifacts.findByUserCode(KIND, 'EXPIRING')).toBeUndefined();
    expect(await world.artifacts.consume(KIND, id)).toBe(false);
  });

  it('are destroyed, again and again', async () => {
    const id = await save();
    await world.artifacts.destroy('Interaction', id);
    expect(await world.artifacts.find(KIND, id)).toBeDefined();
    await world.artifacts.destroy(KIND, id);
    await world.artifacts.destroy(KIND, id);
    expect(await world.artifacts.find(KIND, id)).toBeUndefined();
  });

  it('are removed by one of 20 callers, who is told', async () => {
    const id = await save();
    const results = await parallel(20, () => world.artifacts.remove(KIND, id, world.database.sql));
    expect(results.filter(Boolean)).toHaveLength(1);
  });

  describe('that are inserted once', () => {
    it('are inserted by one of 20 callers, and again only after their expiry', async () => {
      const id = randomId();
      const insert = () => world.artifacts.insertOnce('ReplayDetection', id, soon());
      expect((await parallel(20, insert)).filter(Boolean)).toHaveLength(1);
      world.time.now += MINUTE - 1;
      expect(await insert()).toBe(false);
      world.time.now += 1;
      expect((await parallel(20, insert)).filter(Boolean)).toHaveLength(1);
    });

    it('take whatever a client calls an expiry', async () => {
      for (const expiresAt of [soon() + 0.25, 1e300, Infinity]) {
        const id = randomId();
        expect(await world.artifacts.insertOnce('ReplayDetection', id, expiresAt)).toBe(true);
        expect(await world.artifacts.insertOnce('ReplayDetection', id, expiresAt)).toBe(false);
      }
      expect(await world.artifacts.insertOnce('ReplayDetection', randomId(), -1e300)).toBe(true);
    });
  });

  it('that were hashed under an older key are still found, consumed and destroyed', async () => {
    const keys: DataKeys = world.dataKeys;
    const younger = randomBytes(32);
    const artifacts = createArtifacts(
      world.database,
      {
        ...keys,
        hash: (label, id) => keyedHash(younger, label, id),
        hashes: (label, id) => [keyedHash(younger, label, id), ...keys.hashes(label, id)],
      },
      world.clock,
    );
    const [used, gone, coded] = [await save(), await save(), await save({ userCode: 'OLDKEY' })];
    expect(await artifacts.find(KIND, used)).toBeDefined();
    expect(await artifacts.findByUserCode(KIND, 'OLDKEY')).toBeDefined();
    expect(await artifacts.consume(KIND, used)).toBe(true);
    expect(await artifacts.consume(KIND, used)).toBe(false);
    await artifacts.destroy(KIND, gone);
    expect(await world.artifacts.find(KIND, gone)).toBeUndefined();
    expect(await world.artifacts.find(KIND, coded)).toBeDefined();
    const replayed = randomId();
    expect(await world.artifacts.insertOnce('ReplayDetection', replayed, soon())).toBe(true);
    expect(await artifacts.insertOnce('ReplayDetection', replayed, soon())).toBe(false);
  });
});
