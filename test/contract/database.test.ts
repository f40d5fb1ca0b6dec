import { createServer, connect, type AddressInfo, type Server, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { StartError } from '../../src/lib/errors.ts';
import { isUnavailable, isUniqueViolation, openDatabase, type Database } from '../../src/storage/database.ts';
import { databaseKinds, freshDatabase, openFresh, type OpenFresh } from '../support/databases.ts';

const lease = 'insert into leases (name, holder, expires_at) values ($1, $2, $3)';
const names = async (database: Database): Promise<string[]> =>
  (await database.prisma.lease.findMany({ orderBy: { name: 'asc' } })).map(({ name }) => name);

describe.each(databaseKinds)('a database: %s', (kind) => {
  const ops: string[] = [];
  let fresh: OpenFresh;
  let database: Database;
  beforeAll(async () => {
    fresh = await openFresh(kind, { poolSize: 1, onQuery: (op, seconds) => seconds >= 0 && ops.push(op) });
    database = fresh.database;
  });
  afterAll(() => fresh.close());

  it.runIf(kind === 'postgresql')(
    'reads what is committed, whatever the default of the database is',
    async () => {
      const url = new URL(fresh.url);
      url.searchParams.set('options', '-c default_transaction_isolation=serializable');
      const strict = await openDatabase({ url: url.href });
      const show = 'SHOW transaction_isolation';
      const level = { transaction_isolation: 'read committed' };
      expect(await strict.sql.read('level', show)).toEqual([level]);
      expect(await strict.transaction((tx) => tx.read('level', show))).toEqual([level]);
      expect(await strict.prisma.$transaction((tx) => tx.$queryRawUnsafe(show))).toEqual([level]);
      await strict.close();
    },
  );

  it('gives back what was stored, to raw SQL and to Prisma alike', async () => {
    const hash = Uint8Array.from([0, 1, 127, 128, 255]);
    const largest = Number.MAX_SAFE_INTEGER;
    const text = `insert into artifacts (hash, kind, payload, grant_id, consumed_at, expires_at)
      values ($1, $2, $1, $3, $4, $4) returning hash, kind, grant_id, consumed_at`;
    const { rows, count } = await database.sql.write<Record<string, unknown>>('artifact', text, [
      hash,
      `it's $1`,
      null,
      largest,
    ]);
    expect(count).toBe(1);
    expect(rows).toHaveLength(1);
    const { hash: returned, ...row } = rows[0] ?? {};
    expect(Uint8Array.from(returned as Uint8Array)).toEqual(hash);
    expect(row).toEqual({ kind: `it's $1`, grant_id: null, consumed_at: largest });
    const stored = await database.prisma.artifact.findUniqueOrThrow({ where: { hash } });
    expect(stored).toEqual({
      hash,
      kind: `it's $1`,
      payload: hash,
      grantId: null,
      userCode: null,
      consumedAt: BigInt(largest),
      expiresAt: BigInt(largest),
    });
  });

  it('a boolean column is a boolean, and integers divide as integers', async () => {
    await database.sql.write(
      'client',
      `insert into clients (id, metadata, enabled, generation, version, created_at, updated_at)
       values ('on', '{}', $1, 'g', 1, 0, 0), ('off', '{}', $2, 'g', 1, 0, 0)`,
      [true, false],
    );
    const rows = await database.sql.read<{ id: string; enabled: boolean; half: number }>(
      'clients',
      'select id, enabled, (version + $1) / 2 as half from clients where enabled or not enabled order by id',
      [6],
    );
    expect(rows.map((row) => ({ ...row }))).toEqual([
      { id: 'off', enabled: false, half: 3 },
      { id: 'on', enabled: true, half: 3 },
    ]);
    expect(await database.prisma.client.count({ where: { enabled: true } })).toBe(1);
  });

  it('an integer beyond 2^53 is exact to Prisma and an error to raw SQL, never another number', async () => {
    const value = 2n ** 53n + 1n;
    await database.prisma.changeCounter.create({ data: { name: 'big', value } });
    expect(await database.prisma.changeCounter.findUnique({ where: { name: 'big' } })).toEqual({
      name: 'big',
      value,
    });
    const read = database.sql.read('big', `select value from change_counters where name = 'big'`);
    await expect(read).rejects.toThrow(RangeError);
    await database.sql.write('small', 'update change_counters set value = $1', [2n ** 53n - 1n]);
    expect(
      await database.sql.read('big', `select value from change_counters where name = 'big'`),
    ).toMatchObject([{ value: Number.MAX_SAFE_INTEGER }]);
  });

  it('counts the rows that a statement changed, with and without RETURNING', async () => {
    await database.sql.write('leases', `${lease}, ($4, $2, $3)`, ['a', 'x', 1, 'b']);
    const update = 'update leases set expires_at = expires_at + 1 where holder = $1';
    expect(await database.sql.write('update', update, ['x'])).toEqual({ rows: [], count: 2 });
    expect((await database.sql.write('update.none', update, ['y'])).count).toBe(0);
    expect(await database.sql.write('update.returning', `${update} returning name`, ['x'])).toMatchObject({
      rows: [{ name: 'a' }, { name: 'b' }],
      count: 2,
    });
    expect((await database.sql.write('delete', 'delete from leases')).count).toBe(2);
  });

  it('a transaction is all or nothing, sees its own writes, and nobody else sees them before', async () => {
    const other = await openDatabase({ url: fresh.url });
    const failing = database.transaction(async (tx) => {
      await tx.write('lease', lease, ['undone', 'x', 1]);
      expect(await tx.read('names', 'select name from leases')).toMatchObject([{ name: 'undone' }]);
      expect(await names(other)).toEqual([]);
      throw new Error('changed my mind');
    });
    await expect(failing).rejects.toThrow('changed my mind');
    const returned = await database.transaction(async (tx) => {
      await tx.write('lease', lease, ['kept', 'x', 1]);
      return 'value';
    });
    expect(returned).toBe('value');
    expect(await names(other)).toEqual(['kept']);
    await database.sql.write('delete', 'delete from leases');
    await other.close();
  });

  it('a transaction that has ended takes no more statements', async () => {
    const leaked = await database.transaction((tx) => Promise.resolve(tx));
    await expect(leaked.write('delete', 'delete from leases')).rejects.toThrow('has ended');
    await expect(leaked.read('names', 'select name from leases')).rejects.toThrow('has ended');
  });

  it('a duplicate is recognised, from raw SQL and from Prisma', async () => {
    const data = { name: 'once', holder: 'x', expiresAt: 1n };
    await database.prisma.lease.create({ data });
    const errors = await Promise.all([
      database.sql.write('lease', lease, ['once', 'y', 2]).catch((error: unknown) => error),
      database
        .transaction((tx) => tx.write('lease', lease, ['once', 'y', 2]))
        .catch((error: unknown) => error),
      database.prisma.lease.create({ data }).catch((error: unknown) => error),
      database.prisma.$transaction((tx) => tx.lease.create({ data })).catch((error: unknown) => error),
    ]);
    expect(errors.map(isUniqueViolation)).toEqual([true, true, true, true]);
    expect(errors.map(isUnavailable)).toEqual([false, false, false, false]);
    const other = await database.sql
      .write('bad', 'insert into leases (name) values (null)')
      .catch((e: unknown) => e);
    expect(isUniqueViolation(other)).toBe(false);
    await database.sql.write('delete', 'delete from leases');
  });

  it(`Prisma's transactions roll back too`, async () => {
    const failing = database.prisma.$transaction(async (tx) => {
      await tx.lease.create({ data: { name: 'undone', holder: 'x', expiresAt: 1n } });
      throw new Error('changed my mind');
    });
    await expect(failing).rejects.toThrow('changed my mind');
    expect(await names(database)).toEqual([]);
  });

  it('its clock is an integer that stands still within a statement', async () => {
    const [row] = await database.sql.read<{ now: number; same: number }>(
      'clock',
      `select ${database.nowMs} as now, case when ${database.nowMs} = ${database.nowMs} then 1 else 0 end as same`,
    );
    expect(Number.isSafeInteger(row?.now)).toBe(true);
    expect(row?.same).toBe(1);
  });

  it('each statement is reported under its name, transactions and Prisma included', async () => {
    ops.length = 0;
    await database.sql.read('report.read', 'select 1 as one');
    await database.sql.read('report.fails', 'select nothing').catch(() => {});
    await database.transaction((tx) => tx.write('report.write', 'delete from leases'));
    await database.prisma.lease.count();
    expect(ops).toEqual(['report.read', 'report.fails', 'report.write', 'Lease.count']);
  });
});

describe('a URL', () => {
  it.each([
    'mysql://host/db',
    'portcullis.db',
    'postgresql://postgres@127.0.0.1:1/db',
    'postgresql://u:hunter2@[x',
  ])('that leads nowhere stops the start in one line, without its password: %s', async (url) => {
    const error = (await openDatabase({ url }).catch((e: unknown) => e)) as Error;
    expect(error).toBeInstanceOf(StartError);
    expect(error.message).not.toMatch(/\n|hunter2/);
  });
});

/** Forwards to PostgreSQL until told to break. */
async function startProxy(target: URL): Promise<{ server: Server; url: string; breakAll(): void }> {
  const sockets = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect(Number(target.port || 5432), target.hostname);
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from);
      from.pipe(to);
      from.on('error', () => {});
      from.on('close', () => to.destroy());
    }
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  const url = new URL(target);
  url.hostname = '127.0.0.1';
  url.port = String((server.address() as AddressInfo).port);
  return { server, url: url.href, breakAll: () => sockets.forEach((socket) => socket.destroy()) };
}

describe.runIf(databaseKinds.includes('postgresql'))('PostgreSQL', () => {
  it('a transaction in which a statement failed is never reported as committed', async () => {
    const { database, close } = await openFresh('postgresql');
    const work = database.transaction(async (tx) => {
      await tx.write('lease', lease, ['a', 'x', 1]);
      await tx.write('lease', lease, ['a', 'x', 1]).catch(() => {});
    });
    await expect(work).rejects.toThrow('rolled back');
    expect(await names(database)).toEqual([]);
    await close();
  });

  it('a refused statement does not cost its connection', async () => {
    const { database, close } = await openFresh('postgresql', { poolSize: 1 });
    const backend = async () => (await database.sql.read('pid', 'select pg_backend_pid() as pid'))[0];
    const before = await backend();
    await database.sql.write('lease', lease, ['a', 'x', 1]);
    await expect(database.sql.write('lease', lease, ['a', 'x', 1])).rejects.toThrow('duplicate');
    await expect(database.transaction((tx) => tx.write('lease', lease, ['a', 'x', 1]))).rejects.toThrow(
      'duplicate',
    );
    await expect(database.transaction(() => Promise.reject(new Error('no')))).rejects.toThrow('no');
    expect(await backend()).toEqual(before);
    await close();
  });

  it('broken and refused connections are "unavailable", end nothing, and heal', async () => {
    const { url: direct, drop } = await freshDatabase('postgresql');
    const proxy = await startProxy(new URL(direct));
    const lost: string[] = [];
    const database = await openDatabase({
      url: proxy.url,
      poolSize: 2,
      connectTimeout: 200,
      onError: ({ message }) => lost.push(message),
    });
    const watcher = await openDatabase({ url: direct, poolSize: 1 });
    // A server does not notice at once that a sleeper's client is gone: each sleeps under a name of its own.
    let sleepers = 0;
    const sleep = (): string => `select 1 as sleeper_${++sleepers} from pg_sleep(20)`;
    const asleep = `select 1 as one from pg_stat_activity where state = 'active' and query like $1`;
    const broken = async (start: (sql: string) => Promise<unknown>): Promise<unknown> => {
      let early: Error | undefined;
      const error = start(sleep()).catch((e: Error) => (early = e));
      const name = `%sleeper_${sleepers} %`;
      while ((await watcher.sql.read('asleep', asleep, [name])).length === 0) if (early) throw early;
      proxy.breakAll();
      return error;
    };
    const errors = [
      await broken((sql) => database.sql.read(`sleeper_${sleepers}`, sql)),
      await broken((sql) => database.transaction((tx) => tx.read(`sleeper_${sleepers}`, sql))),
      await broken((sql) => database.prisma.$queryRawUnsafe(sql)),
      await broken((sql) => database.prisma.$transaction((tx) => tx.$queryRawUnsafe(sql))),
      await database.sql
        .read('end', 'select pg_terminate_backend(pg_backend_pid())')
        .catch((e: unknown) => e),
    ];
    await database.sql.read('one', 'select 1 as one');
    const busy = [1, 2].map((n) => database.sql.read(`busy_${n}`, sleep()).catch((e: unknown) => e));
    errors.push(await database.sql.read('one', 'select 1 as one').catch((e: unknown) => e)); // no free connection
    errors.push(await database.prisma.lease.count().catch((e: unknown) => e));
    proxy.breakAll();
    errors.push(...(await Promise.all(busy)));
    await new Promise((resolve) => proxy.server.close(resolve));
    errors.push(await database.sql.read('one', 'select 1 as one').catch((e: unknown) => e));
    errors.push(await database.prisma.lease.count().catch((e: unknown) => e));
    errors.push(await database.prisma.$transaction((tx) => tx.lease.count()).catch((e: unknown) => e));
    expect(errors.map(isUnavailable)).toEqual(errors.map(() => true));
    expect(errors[0]).toMatchObject({
      code: 'database_unavailable',
      status: 503,
      details: { retryAfter: 1 },
    });
    expect(errors[0]).not.toHaveProperty('message', expect.stringMatching(/terminated/));
    await watcher.close();
    await database.close();
    await drop();
  });

  it('a statement that takes too long is "unavailable", and its connection works on', async () => {
    const { database, close } = await openFresh('postgresql', { poolSize: 1, statementTimeout: 20 });
    const slow = database.sql.read('sleep', 'select 1 as one from pg_sleep(20)');
    await expect(slow).rejects.toMatchObject({ code: 'database_unavailable' });
    expect(await database.sql.read('one', 'select 1 as one')).toEqual([{ one: 1 }]);
    await close();
  });
});
