/** Moving to another secret key, and to a new sealing key, on every database. */
import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fingerprint, sealedUnder } from '../../src/lib/crypto.ts';
import { StartError } from '../../src/lib/errors.ts';
import { loadDataKeys } from '../../src/storage/data-keys.ts';
import type { Database } from '../../src/storage/database.ts';
import { openStorage } from '../../src/storage/open.ts';
import { reseal, type Resealed } from '../../src/storage/reseal.ts';
import { sealedColumns } from '../../src/storage/sealed-columns.ts';
import { databaseKinds } from '../support/databases.ts';
import { present } from '../support/present.ts';
import { DAY, openWorld, type World } from './world.ts';

const NEW = randomBytes(32);

interface Sealed {
  readonly column: string;
  readonly key: string;
  readonly sealed: Uint8Array;
}

describe.each(databaseKinds)('reseal on %s', (kind) => {
  let world: World;
  let old: Buffer;
  beforeEach(async () => {
    world = await openWorld(kind);
    old = present(world.secretKeys[0]);
  });
  afterEach(() => world.close());

  /** Another process with these secret keys. */
  const open = (secretKeys: readonly Buffer[]) =>
    openStorage({
      url: world.url,
      secretKeys,
      clock: world.clock,
      listeners: { onEvent: () => {}, onBump: () => {} },
    });
  const run = async (
    options: Partial<Parameters<typeof reseal>[0]> & { wrap?: (database: Database) => Database } = {},
  ): Promise<Resealed> => {
    const secretKeys = options.secretKeys ?? [NEW, old];
    const { database, changes, dataKeys } = await open(secretKeys);
    try {
      return await reseal({
        database: options.wrap?.(database) ?? database,
        changes,
        dataKeys,
        secretKeys,
        clock: world.clock,
        everyServerKnows: () => Promise.resolve(),
        rest: () => Promise.resolve(),
        ...options,
      });
    } finally {
      await database.close();
    }
  };
  /** Everything long-lived that lies sealed. */
  const allSealed = async (): Promise<Sealed[]> => {
    const found: Sealed[] = [];
    for (const { table, key, column } of sealedColumns) {
      const rows = await world.database.sql.read<{ key: string; sealed: Uint8Array }>(
        `all.${table}.${column}`,
        `SELECT ${key} AS key, ${column} AS sealed FROM ${table} WHERE ${column} IS NOT NULL ORDER BY ${key}`,
      );
      found.push(...rows.map((row) => ({ ...row, column: `${table}.${column}` })));
    }
    return found;
  };
  const sealKeys = () =>
    world.database.sql.read<{ id: string; status: string }>(
      'seal-keys',
      `SELECT id, status FROM data_keys WHERE purpose = 'seal' ORDER BY status`,
    );
  const statuses = async () => (await sealKeys()).map(({ status }) => status);
  const token = (marker: string) => ({
    hash: randomBytes(32),
    payload: { marker },
    idleEndsAt: world.time.now + DAY,
  });
  const rotate = async (
    id: string,
    marker: string,
    server: Pick<World, 'families'> = world,
  ): Promise<void> => {
    const family = await server.families.read(id);
    const step = {
      familyId: id,
      old: present(family?.current),
      token: token(marker),
      successor: world.dataKeys.seal(`successor ${marker}`, 'successor'),
      accessEndsAt: world.time.now,
      opaque: undefined,
    };
    expect(await server.families.rotate(step)).toBe(true);
  };
  /** Something in every sealed column, and more than a batch of families. */
  const fill = async (families = 3) => {
    const user = await world.user('alice');
    const { id: client } = await world.client();
    const session = await world.session(user);
    const ids: string[] = [];
    for (let i = 0; i < families; i++) ids.push(await world.family(user, client));
    const [first = ''] = ids;
    await rotate(first, 'first');
    const key = {
      kid: 'k1',
      alg: 'ES256',
      status: 'active',
      createdAt: 1,
      activeFrom: 1,
      longestTtl: 0,
    } as const;
    const gone = { ...key, kid: 'k0', status: 'pending' } as const;
    const privateJwk = { kty: 'EC', d: 'secret' };
    await world.signingKeys.change(
      () => ({
        add: [
          { ...key, privateJwk, retiresAt: undefined },
          { ...gone, privateJwk, retiresAt: undefined },
        ],
      }),
      {},
    );
    await world.signingKeys.change(() => ({ steps: [{ kid: 'k0', status: 'retired', at: 2 }] }), {});
    const event = { type: 'webhook.created', detail: { webhook_id: 'w1' } } as const;
    const document = { url: 'https://hooks.example', events: ['*'], enabled: true };
    await world.webhooks.create('w1', document, 'whsec_x', event);
    await world.database.sql.write(
      'totp',
      'INSERT INTO totp_secrets (user_id, sealed, last_step, created_at) VALUES ($1, $2, 0, 0)',
      [user.id, world.dataKeys.seal('totp', `totp:${user.id}`)],
    );
    return { user, client, session, families: ids };
  };

  it('leaves nothing that the old secret key is needed for, or that the old sealing key opens', async () => {
    const { session, families } = await fill(60);
    await world.artifacts.save('Interaction', 'short-lived', { a: 1 }, { expiresAt: world.time.now + DAY });
    const before = await allSealed();
    expect(new Set(before.map(({ column }) => column)).size).toBe(sealedColumns.length);
    const hash = world.dataKeys.hash('kind', 'id');
    const rests: number[] = [];

    const done = await run({ rest: (ms) => Promise.resolve(void rests.push(ms)) });
    expect(done).toMatchObject({ secretKey: fingerprint(NEW), unreadable: 0, resealed: before.length - 1 });
    expect(rests).toHaveLength(2); // 60 families in batches of 50, each with a grant and a token
    const after = await allSealed();
    expect(after.map(({ column, key }) => [column, key])).toEqual(
      before.map(({ column, key }) => [column, key]),
    );
    const under = new Set(
      after.filter(({ sealed }) => sealed.length > 0).map(({ sealed }) => sealedUnder(sealed)),
    );
    expect([...under]).toEqual([done.sealingKey]);
    const wrapped = await world.database.sql.read<{ by: string; wrapped: Uint8Array }>(
      'wrapped',
      'SELECT wrapped_by AS by, wrapped FROM data_keys',
    );
    expect(wrapped).toHaveLength(5);
    for (const row of wrapped)
      expect([row.by, sealedUnder(row.wrapped)]).toEqual(Array(2).fill(fingerprint(NEW)));
    expect(await statuses()).toEqual(['active', 'old']);

    const next = await open([NEW]);
    expect(next.dataKeys.sealingKey).toBe(done.sealingKey);
    expect(next.dataKeys.hash('kind', 'id')).toEqual(hash);
    expect([next.dataKeys.tagKeys, next.dataKeys.cookieKeys]).toEqual([
      world.dataKeys.tagKeys,
      world.dataKeys.cookieKeys,
    ]);
    const [first = '', second = ''] = families;
    expect(await next.families.read(first)).toMatchObject({ token: { marker: 'first' }, alive: true });
    expect(await next.families.read(second)).toMatchObject({ grant: { openid: {} }, alive: true });
    const successor = present((await next.families.read(first))?.successor);
    expect((await next.dataKeys.open(successor, 'successor')).toString()).toBe('successor first');
    expect(await next.sessions.findByUid(session)).toMatchObject({ uid: session });
    expect(await next.signingKeys.open()).toMatchObject([{ kid: 'k1', privateJwk: { d: 'secret' } }]);
    expect(await next.webhooks.endpoint('w1')).toMatchObject({ secret: 'whsec_x' });
    expect(await next.artifacts.find('Interaction', 'short-lived')).toMatchObject({ payload: { a: 1 } });
    await next.database.close();
  });

  it('makes a start without the new secret key stop, and name what is missing by its fingerprint', async () => {
    await run();
    for (const keys of [[old], [randomBytes(32), old]]) {
      const refused = await open(keys).catch((error: unknown) => error);
      expect(refused).toBeInstanceOf(StartError);
      const { message } = refused as StartError;
      expect(message).toContain(fingerprint(NEW));
      for (const key of keys) {
        expect(message).toContain(fingerprint(key));
        expect(message).not.toContain(key.toString('base64url'));
      }
      expect(message).not.toContain('\n');
    }
  });

  it('itself stops when the secret key that wraps is missing, and changes nothing', async () => {
    const before = await world.database.sql.read('all', 'SELECT * FROM data_keys ORDER BY id');
    await expect(run({ secretKeys: [NEW] })).rejects.toThrow(StartError);
    expect(await world.database.sql.read('all', 'SELECT * FROM data_keys ORDER BY id')).toEqual(before);
  });

  it('brings in a sealing key that every server can open with before any seals with it', async () => {
    const seen: unknown[] = [];
    const { dataKeys } = world;
    const first = dataKeys.sealingKey;
    const noticed = async () => {
      await dataKeys.reload().catch(() => {}); // this server does not have the new secret key
      seen.push([await statuses(), dataKeys.sealingKey === first]);
    };
    // A server that has both keys, as every server should by now.
    const server = await open([NEW, old]);
    const done = await run({
      async everyServerKnows() {
        await noticed();
        await server.dataKeys.reload();
        seen.push(server.dataKeys.sealingKey === first);
      },
    });
    expect(seen).toEqual([[['active', 'pending'], true], true, [['active', 'old'], true], false]);
    expect(server.dataKeys.sealingKey).toBe(done.sealingKey);
    await server.database.close();
  });

  it('is done while servers write: what one has written meanwhile stays', async () => {
    const { families } = await fill();
    const [id = ''] = families;
    const server = await open([NEW, old]);
    let raced = 0;
    const wrap = (database: Database): Database => ({
      ...database,
      sql: {
        ...database.sql,
        async read<Row>(name: string, ...rest: [string, ...never[]]) {
          const rows = await database.sql.read<Row>(name, ...rest);
          if (name === 'reseal.families.token_payload.read') await rotate(id, `meanwhile ${++raced}`, server);
          return rows;
        },
      },
    });
    const done = await run({ wrap });
    expect(raced).toBe(1);
    expect((await server.families.read(id))?.token).toEqual({ marker: 'meanwhile 1' });
    expect(done.unreadable).toBe(0);
    await server.database.close();
  });

  it('that a server has not heard of yet is noticed by the first thing that it cannot open, once', async () => {
    const { families, session } = await fill();
    const reads: string[] = [];
    const server = await openStorage({
      url: world.url,
      secretKeys: [NEW, old],
      clock: world.clock,
      listeners: { onEvent: () => {}, onBump: () => {} },
      onQuery: (name) => reads.push(name),
    });
    await run();
    reads.length = 0;
    const found = await Promise.all([
      ...families.map((id) => server.families.read(id)),
      server.sessions.findByUid(session),
    ]);
    expect(found.every((each) => each !== undefined)).toBe(true);
    expect(reads.filter((name) => name === 'data-keys.list')).toHaveLength(1);
    await server.database.close();
  });

  it('leaves a server without the new secret key working with what it has, and it says what it lacks', async () => {
    const keys = await loadDataKeys(world.database, [old], world.clock);
    const sealed = keys.seal('before', 'x');
    const done = await run();
    await expect(keys.reload()).rejects.toThrow(fingerprint(NEW));
    expect((await keys.open(sealed, 'x')).toString()).toBe('before');
    expect((await keys.open(keys.seal('after', 'x'), 'x')).toString()).toBe('after');
    const reader = await open([NEW]);
    const theirs = reader.dataKeys.seal('theirs', 'x');
    expect(sealedUnder(theirs)).toBe(done.sealingKey);
    await expect(keys.open(theirs, 'x')).rejects.toMatchObject({ code: 'database_unavailable' });
    expect((await reader.dataKeys.open(keys.seal('after', 'x'), 'x')).toString()).toBe('after');
    await reader.database.close();
  });

  it('that was interrupted goes on where it was, and can be done again', async () => {
    await fill();
    const interrupted = () => Promise.reject(new Error('interrupted'));
    await expect(run({ everyServerKnows: interrupted })).rejects.toThrow('interrupted');
    await expect(run({ everyServerKnows: interrupted })).rejects.toThrow('interrupted');
    expect(await statuses()).toEqual(['active', 'pending']);
    const first = await run();
    expect(await statuses()).toEqual(['active', 'old']);
    const second = await run({ secretKeys: [NEW] });
    expect([second.secretKey, second.resealed]).toEqual([first.secretKey, first.resealed]);
    expect(second.sealingKey).not.toBe(first.sealingKey);
    expect(await statuses()).toEqual(['active', 'old', 'old']);
  });

  it('by two at once harms nothing', async () => {
    const { families } = await fill();
    await Promise.all([run(), run(), run()]);
    expect((await statuses()).filter((status) => status === 'active')).toHaveLength(1);
    const next = await open([NEW]);
    for (const id of families) expect(await next.families.read(id)).toMatchObject({ alive: true });
    await next.database.close();
  });

  it('passes over what was damaged before, and tells how much that is', async () => {
    const { families } = await fill();
    const damaged = Buffer.from(world.dataKeys.seal('{}', 'another place'));
    await world.database.sql.write('damage', 'UPDATE families SET grant_payload = $1 WHERE id = $2', [
      damaged,
      families[1] ?? '',
    ]);
    const total = (await allSealed()).length;
    expect(await run()).toMatchObject({ unreadable: 1, resealed: total - 2 });
  });
});
