/** Data keys: made once with the database, wrapped under the operator's secret keys, and of no use without them. */
import { randomBytes } from 'node:crypto';
import { afterEach, describe, expect, it } from 'vitest';
import { fingerprint, SealError } from '../../src/lib/crypto.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { StartError } from '../../src/lib/errors.ts';
import { addDataKey, wrappingKey } from '../../src/storage/data-keys.ts';
import { openStorage } from '../../src/storage/open.ts';
import { databaseKinds, freshDatabase, type DatabaseKind } from '../support/databases.ts';

describe.each(databaseKinds)('data keys on %s', (kind) => {
  const cleanups: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
  });
  const fresh = async (of: DatabaseKind = kind): Promise<string> => {
    const { url, drop } = await freshDatabase(of);
    cleanups.push(drop);
    return url;
  };
  const start = async (url: string, secretKeys: readonly Buffer[]) => {
    const storage = await openStorage({
      url,
      secretKeys,
      clock: systemClock,
      listeners: { onEvent: () => {}, onBump: () => {} },
    });
    cleanups.push(() => storage.database.close());
    return storage;
  };
  const [one, two] = [randomBytes(32), randomBytes(32)];

  it('are the same for every node, and for two that start at once on an empty database', async () => {
    const url = await fresh();
    const nodes = await Promise.all([start(url, [one]), start(url, [one])]);
    const later = await start(url, [two, one]);
    const [first] = nodes;
    for (const { dataKeys } of [...nodes, later]) {
      expect(dataKeys.hash('kind', 'id')).toEqual(first?.dataKeys.hash('kind', 'id'));
      expect(dataKeys.tagKeys).toEqual(first?.dataKeys.tagKeys);
      expect(dataKeys.cookieKeys).toEqual(first?.dataKeys.cookieKeys);
      expect(dataKeys.derived('csrf')).toEqual(first?.dataKeys.derived('csrf'));
      const sealed = first?.dataKeys.seal('text', 'here') ?? Buffer.alloc(0);
      expect((await dataKeys.open(sealed, 'here')).toString()).toBe('text');
    }
    const rows = await later.database.prisma.dataKey.findMany();
    expect(rows.map(({ purpose }) => purpose).toSorted()).toEqual(['cookie', 'hash', 'seal', 'tag']);
    expect(new Set(rows.map(({ wrappedBy }) => wrappedBy))).toEqual(new Set([fingerprint(one)]));
  });

  it('differ for each purpose, label and database', async () => {
    const [{ dataKeys: a }, { dataKeys: b }] = [
      await start(await fresh(), [one]),
      await start(await fresh(), [one]),
    ];
    const made = (keys: typeof a) => [
      keys.hash('kind', 'id'),
      keys.hash('other kind', 'id'),
      keys.derived('csrf'),
      keys.derived('nonce'),
      keys.tagKeys[0],
      Buffer.from(keys.cookieKeys[0] ?? '', 'base64url'),
    ];
    const all = [...made(a), ...made(b)].map((bytes) => bytes?.toString('hex'));
    expect(new Set(all).size).toBe(all.length);
    await expect(b.open(a.seal('text', 'here'), 'here')).rejects.toThrow(SealError);
    await expect(a.open(a.seal('text', 'here'), 'elsewhere')).rejects.toThrow(SealError);
  });

  it('stop the start without their secret key, which is named by its fingerprint', async () => {
    const url = await fresh();
    await start(url, [one]);
    for (const keys of [[two], [two, randomBytes(32)], []]) {
      const failed = await start(url, keys).catch((error: unknown) => error);
      expect(failed).toBeInstanceOf(StartError);
      const { message } = failed as StartError;
      expect(message).toContain(fingerprint(one));
      expect(message).not.toContain('\n');
      for (const key of [one, two]) {
        for (const encoding of ['base64url', 'hex'] as const)
          expect(message).not.toContain(key.toString(encoding));
      }
    }
  });

  it('are not made without a secret key, and then neither is anything else', async () => {
    const url = await fresh();
    await expect(start(url, [])).rejects.toThrow(StartError);
    const { migrations } = await start(url, [one]);
    expect(migrations.length).toBeGreaterThan(0);
  });

  it('stop the start when they are gone: new ones could open nothing that is there', async () => {
    const url = await fresh();
    const { database } = await start(url, [one]);
    await database.prisma.dataKey.deleteMany({ where: { purpose: 'hash' } });
    await expect(start(url, [one])).rejects.toThrow('holds no hash key');
    await database.prisma.dataKey.deleteMany();
    await expect(start(url, [one])).rejects.toThrow(StartError);
    expect(await database.prisma.dataKey.count()).toBe(0);
  });

  it('do not open when they were altered or moved to another purpose', async () => {
    const url = await fresh();
    const { database } = await start(url, [one]);
    const rows = await database.prisma.dataKey.findMany();
    const of = (purpose: string) => rows.find((row) => row.purpose === purpose);
    await database.prisma.dataKey.update({
      where: { id: of('tag')?.id ?? '' },
      data: { wrapped: of('hash')?.wrapped ?? new Uint8Array() },
    });
    await expect(start(url, [one])).rejects.toThrow('does not verify');
  });

  it('are not looked for again and again, whatever ids somebody makes up; new ones are found all the same', async () => {
    const url = await fresh();
    let now = Date.now();
    let reads = 0;
    const { dataKeys, database } = await openStorage({
      url,
      secretKeys: [one],
      clock: { now: () => now },
      listeners: { onEvent: () => {}, onBump: () => {} },
      wrapDatabase: (opened) => ({
        ...opened,
        sql: {
          ...opened.sql,
          read: (name, text, params) => {
            if (name === 'data-keys.list') reads += 1;
            return opened.sql.read(name, text, params);
          },
        },
      }),
    });
    cleanups.push(() => database.close());
    reads = 0;
    const made = (id: string): Buffer =>
      Buffer.concat([Buffer.of(8), Buffer.from(id.padEnd(8, '0')), Buffer.alloc(60)]);
    for (let i = 0; i < 40; i++) await expect(dataKeys.open(made(`z${i}`), 'x')).rejects.toThrow(SealError);
    expect(reads).toBe(10);
    now += 10_000;
    const key = { id: 'newerkey', purpose: 'seal', status: 'active' } as const;
    await addDataKey(database.sql, wrappingKey([one]), key, now);
    const later = await start(url, [one]);
    expect(later.dataKeys.sealingKey).toBe('newerkey');
    const sealed = later.dataKeys.seal('text', 'here');
    expect((await dataKeys.open(sealed, 'here')).toString()).toBe('text');
  });
});
