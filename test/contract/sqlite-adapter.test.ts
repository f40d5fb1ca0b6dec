import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { SqlDriverAdapter } from '@prisma/driver-adapter-utils';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { StartError } from '../../src/lib/errors.ts';
import { isUnavailable, openDatabase } from '../../src/storage/database.ts';
import { openSqlite } from '../../src/storage/sqlite/open.ts';
import type { Store } from '../../src/storage/store.ts';
import { startChild } from '../support/child.ts';
import { openFresh } from '../support/databases.ts';

const folder = mkdtempSync(join(tmpdir(), 'portcullis-adapter-'));
let path = '';
let counter = 0;
let store: Store;
let adapter: SqlDriverAdapter;

beforeEach(async () => {
  path = join(folder, String(++counter), 'adapter.db');
  store = await openSqlite(`file:${path}`, 0);
  adapter = await store.adapter.connect();
  await adapter.executeScript(`
    create table parent (id integer primary key);
    create table item (id text primary key, note text not null, parent integer references parent (id),
      late integer references parent (id) deferrable initially deferred);
    create unique index item_note on item (note)`);
});
afterEach(async () => {
  await store.close();
  rmSync(dirname(path), { recursive: true });
});

afterAll(() => rmSync(folder, { recursive: true }));

const insert = (id: string, note = id) =>
  store.sql.write('insert', 'insert into item (id, note) values ($1, $2)', [id, note]);
const ids = async (): Promise<string[]> =>
  (await store.sql.read<{ id: string }>('ids', 'select id from item order by id')).map(({ id }) => id);
/** Gives whoever is ready the chance to go on. */
const turns = async (): Promise<void> => {
  for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate);
};
const raw = (sql: string) => ({ sql, args: [], argTypes: [] });

describe('the file', () => {
  it('belongs to its owner alone, side files and a new folder too', async () => {
    await insert('a');
    const modes = ['', '-wal', '-shm'].map((suffix) => statSync(path + suffix).mode & 0o777);
    expect(modes).toEqual([0o600, 0o600, 0o600]);
    expect(statSync(dirname(path)).mode & 0o777).toBe(0o700);
  });

  it('is in WAL mode, syncs every commit, and enforces foreign keys', async () => {
    const pragma = async (name: string) => (await adapter.queryRaw(raw(`pragma ${name}`))).rows;
    expect(await pragma('journal_mode')).toEqual([['wal']]);
    expect(await pragma('synchronous')).toEqual([[2]]);
    expect(await pragma('foreign_keys')).toEqual([[1]]);
  });

  it.each(['/dev/null/portcullis.db', tmpdir(), '/etc/hostname', join(folder, 'missing', 'missing', 'a.db')])(
    'that cannot be opened stops the start in one line: %s',
    async (bad) => {
      const error = await openDatabase({ url: `file:${bad}` }).catch((e: unknown) => e);
      expect(error).toBeInstanceOf(StartError);
      expect((error as Error).message).toContain(bad);
      expect((error as Error).message).not.toContain('\n');
    },
  );
});

describe('transactions and single statements', () => {
  it('an acknowledged write issued beside an open transaction outlives its rollback', async () => {
    const transaction = await adapter.startTransaction();
    await transaction.executeRaw(raw(`insert into item (id, note) values ('inside', 'inside')`));
    const beside = insert('beside');
    await turns();
    await transaction.rollback();
    await beside;
    expect(await ids()).toEqual(['beside']);
  });

  it('a waiting writer never runs inside the transaction of another', async () => {
    const seen: string[] = [];
    const first = store.transaction(async (tx) => {
      await tx.write('insert', `insert into item (id, note) values ('first', 'first')`);
      seen.push('first wrote');
      await turns();
      seen.push('first ends');
    });
    const second = store.transaction(async (tx) => {
      const rows = await tx.read('ids', 'select id from item');
      seen.push(`second sees ${rows.length}`);
    });
    const third = insert('third').then(() => seen.push('third wrote'));
    await Promise.all([first, second, third]);
    expect(seen).toEqual(['first wrote', 'first ends', 'second sees 1', 'third wrote']);
  });

  it('a reader does not see what is not committed', async () => {
    await store.transaction(async (tx) => {
      await tx.write('insert', `insert into item (id, note) values ('a', 'a')`);
      expect(await ids()).toEqual([]);
      expect((await adapter.queryRaw(raw('select id from item'))).rows).toEqual([]);
    });
    expect(await ids()).toEqual(['a']);
  });

  it('writers get their turn in the order in which they asked', async () => {
    const order: number[] = [];
    await Promise.all(
      [0, 1, 2, 3, 4, 5].map(async (n) => {
        if (n % 3 === 2) await store.transaction(async () => void order.push(n));
        else await insert(`item ${n}`).then(() => order.push(n));
      }),
    );
    expect(order).toEqual([0, 1, 2, 3, 4, 5]);
  });

  it('statements that share a commit fail one by one', async () => {
    const results = await Promise.allSettled([insert('a'), insert('b', 'a'), insert('c')]);
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect(await ids()).toEqual(['a', 'c']);
  });

  it('when their common commit fails, none is acknowledged and none is kept', async () => {
    const orphan = store.sql.write('orphan', `insert into item (id, note, late) values ('o', 'o', 99)`);
    const results = await Promise.allSettled([insert('a'), orphan, insert('c')]);
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);
    await insert('d');
    expect(await ids()).toEqual(['d']);
  });

  it('when SQLite itself rolls back, none of those that shared is acknowledged', async () => {
    await insert('a');
    const rolling = store.sql.write('rolling', `insert or rollback into item (id, note) values ('a', 'x')`);
    const results = await Promise.allSettled([insert('b'), rolling, insert('c')]);
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);
    expect(await ids()).toEqual(['a']);
  });

  it('a failed COMMIT rolls back and frees the writer', async () => {
    const orphan = `insert into item (id, note, late) values ('o', 'o', 99)`;
    await expect(store.transaction((tx) => tx.write('orphan', orphan))).rejects.toThrow(/FOREIGN KEY/);
    const transaction = await adapter.startTransaction();
    await transaction.executeRaw(raw(orphan));
    await expect(transaction.commit()).rejects.toThrow('ForeignKeyConstraintViolation');
    await transaction.rollback(); // nothing more to do, and no error
    await insert('next');
    expect(await ids()).toEqual(['next']);
  });

  it('after SQLite has rolled a transaction back, its further statements are refused', async () => {
    await insert('a');
    const work = store.transaction(async (tx) => {
      await tx.write('b', `insert into item (id, note) values ('b', 'b')`);
      await tx.write('r', `insert or rollback into item (id, note) values ('a', 'x')`).catch(() => {});
      await tx.write('c', `insert into item (id, note) values ('c', 'c')`);
    });
    await expect(work).rejects.toThrow('rolled the transaction back');
    expect(await ids()).toEqual(['a']);
  });

  it('a savepoint undoes its part only', async () => {
    const transaction = await adapter.startTransaction();
    await transaction.executeRaw(raw(`insert into item (id, note) values ('a', 'a')`));
    await transaction.createSavepoint?.('s1');
    await transaction.executeRaw(raw(`insert into item (id, note) values ('b', 'b')`));
    await transaction.rollbackToSavepoint?.('s1');
    await transaction.releaseSavepoint?.('s1');
    await transaction.commit();
    expect(await ids()).toEqual(['a']);
  });

  it('closing refuses who still waits', async () => {
    const waiting = insert('a').catch((error: unknown) => error);
    await store.close();
    expect(isUnavailable(await waiting)).toBe(true);
    store = await openSqlite(`file:${path}`, 0);
    expect(await ids()).toEqual([]);
  });
});

describe('statements', () => {
  it('more than one in a text is refused, not cut off', async () => {
    await expect(adapter.executeRaw(raw('delete from item; delete from parent'))).rejects.toThrow(
      'more than one',
    );
    await expect(store.sql.write('two', 'delete from item; delete from parent')).rejects.toThrow(
      'more than one',
    );
  });

  it('a read cannot write', async () => {
    await expect(store.sql.read('sneaky', `insert into item (id, note) values ('a', 'a')`)).rejects.toThrow(
      /readonly/,
    );
    expect(await ids()).toEqual([]);
  });

  it.each([
    ['insert into item (id) values (1)', 'NullConstraintViolation', { constraint: { fields: ['note'] } }],
    [
      `insert into item (id, note, parent) values ('a', 'a', 9)`,
      'ForeignKeyConstraintViolation',
      { constraint: { foreignKey: {} } },
    ],
    [
      `insert into item (id, note) values ('a', 'a'), ('b', 'a')`,
      'UniqueConstraintViolation',
      { constraint: { fields: ['note'] }, table: 'item' },
    ],
    [
      `insert into item (id, note) values ('a', 'a'), ('a', 'b')`,
      'UniqueConstraintViolation',
      { constraint: { fields: ['id'] }, table: 'item' },
    ],
    ['delete from absent', 'TableDoesNotExist', { table: 'absent' }],
    ['delete from item where absent = 1', 'ColumnNotFound', { column: 'absent' }],
    ['delete item', 'sqlite', { extendedCode: 1 }],
  ])('%s is told to Prisma as %s', async (sql, kind, detail) => {
    await expect(adapter.executeRaw(raw(sql))).rejects.toMatchObject({ cause: { kind, ...detail } });
  });

  it('an isolation level that SQLite does not have is refused', async () => {
    await expect(adapter.startTransaction('SNAPSHOT')).rejects.toThrow('InvalidIsolationLevel');
    const serializable = await adapter.startTransaction('SERIALIZABLE');
    await serializable.rollback();
  });

  it('instants are integer milliseconds', async () => {
    const { database, close } = await openFresh('sqlite');
    const instant = new Date('2026-01-02T03:04:05.678Z');
    const rows = await database.prisma.$queryRaw`select ${instant} as at, typeof(${instant}) as type`;
    expect(rows).toEqual([{ at: BigInt(instant.getTime()), type: 'integer' }]);
    await close();
  });
});

describe('two processes on one file', () => {
  it('wait for each other: no update is lost', async () => {
    await store.sql.write('seed', 'insert into parent (id) values (0)');
    const source = `
      import { openDatabase } from '../../src/storage/database.ts';
      const database = await openDatabase({ url: 'file:${path}', busyTimeout: 20_000 });
      for (let i = 0; i < 100; i++) {
        await database.transaction(async (tx) => {
          const [row] = await tx.read('get', 'select id from parent');
          await tx.write('set', 'update parent set id = $1', [row.id + 1]);
        });
      }
      await database.close();`;
    const children = [startChild(source, import.meta.url), startChild(source, import.meta.url)];
    await Promise.all(children.map((child) => child.finished()));
    expect(await store.sql.read('get', 'select id from parent')).toMatchObject([{ id: 200 }]);
  });

  it('whoever waits for another process that writes keeps nobody else: reads go on, and so do timers', async () => {
    const { database, url, close } = await openFresh('sqlite', { busyTimeout: 20_000 });
    const other = await openSqlite(url, 0);
    let release = (): void => {};
    const held = new Promise<void>((resolve) => (release = resolve));
    const holding = other.transaction(() => held);
    await turns();
    const done: string[] = [];
    const note = (what: string) => () => void done.push(what);
    const work = [
      database.sql.write('w', 'delete from leases').then(note('lone')),
      database.sql.write('w', 'delete from leases').then(note('shared')),
      database.transaction((tx) => tx.write('w', 'delete from leases')).then(note('transaction')),
      database.prisma.lease.deleteMany().then(note('prisma')),
    ];
    await turns();
    // All of this is one thread: had the writes stopped it, the lock would never be released.
    expect(await database.sql.read('r', 'select 1 as one')).toEqual([{ one: 1 }]);
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(done).toEqual([]);
    release();
    await holding;
    await Promise.all(work);
    expect(done).toEqual(['lone', 'shared', 'transaction', 'prisma']);
    await other.close();
    await close();
  });

  it('of several that wait each is refused in its own time, not after those before it', async () => {
    const { database, url, close } = await openFresh('sqlite', { busyTimeout: 50 });
    const other = await openSqlite(url, 0);
    let release = (): void => {};
    const held = new Promise<void>((resolve) => (release = resolve));
    const holding = other.transaction(() => held);
    await turns();
    const refused: number[] = [];
    const work = Array.from({ length: 20 }, (_, index) =>
      database.transaction((tx) => tx.write('w', 'delete from leases')).catch(() => void refused.push(index)),
    );
    const write = database.sql.write('w', 'delete from leases').catch(() => void refused.push(20));
    await work[0];
    await turns();
    // The first one's time is everybody's: they came together.
    expect(new Set(refused).size).toBe(21);
    release();
    await Promise.all([holding, write, ...work]);
    await other.close();
    await close();
  });

  it('a file that stays locked is "unavailable", to raw SQL and to Prisma', async () => {
    const { database, url, close } = await openFresh('sqlite', { busyTimeout: 0 });
    const other = await openSqlite(url, 0);
    let release = (): void => {};
    const held = new Promise<void>((resolve) => (release = resolve));
    const holding = other.transaction(() => held);
    await turns();
    const write = database.sql.write('w', 'delete from leases');
    await expect(write).rejects.toMatchObject({
      code: 'database_unavailable',
      status: 503,
      details: { retryAfter: 1 },
    });
    const begin = database.transaction((tx) => tx.write('w', 'delete from leases'));
    await expect(begin).rejects.toMatchObject({ code: 'database_unavailable' });
    const prisma = await database.prisma.lease.deleteMany().catch((error: unknown) => error);
    expect(isUnavailable(prisma)).toBe(true);
    release();
    await holding;
    await database.sql.write('w', 'delete from leases');
    await other.close();
    await close();
  });
});

describe('kill -9', () => {
  it('loses no acknowledged row, and the file opens again', async () => {
    const acknowledged: string[] = [];
    for (let round = 1; round <= 3; round++) {
      const child = startChild(
        `
        import { openDatabase } from '../../src/storage/database.ts';
        const { sql } = await openDatabase({ url: 'file:${path}', busyTimeout: 5_000 });
        const insert = async (id) => {
          await sql.write('insert', 'insert into item (id, note) values ($1, $1)', [id]);
          console.log(id);
        };
        for (let i = 0; ; i++) {
          await insert('${round} lone ' + i);
          await Promise.all([0, 1, 2, 3, 4].map((n) => insert('${round} shared ' + i + ' ' + n)));
        }`,
        import.meta.url,
      );
      const before = acknowledged.length;
      for await (const line of child.lines) {
        acknowledged.push(line);
        if (acknowledged.length - before === 150) child.process.kill('SIGKILL');
      }
      const kept = new Set(await ids());
      expect(acknowledged.filter((id) => !kept.has(id))).toEqual([]);
      expect((await adapter.queryRaw(raw('pragma integrity_check'))).rows).toEqual([['ok']]);
    }
    expect(acknowledged.length).toBeGreaterThanOrEqual(450);
  });
});
