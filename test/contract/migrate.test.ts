import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  connectEngine,
  diff,
  EVERYTHING,
  migrationList,
  schemaEngine,
  schemaOf,
} from '../../scripts/migrate-diff.ts';
import { StartError } from '../../src/lib/errors.ts';
import { openDatabase, type Database } from '../../src/storage/database.ts';
import { migrate, migrationStatus, onlyExpands } from '../../src/storage/migrate.ts';
import { startChild } from '../support/child.ts';
import { databaseKinds, freshDatabase, type FreshDatabase } from '../support/databases.ts';

describe.each(databaseKinds)('migrations: %s', (kind) => {
  let folder: string;
  let directory: URL;
  let fresh: FreshDatabase;
  let database: Database;

  const put = (name: string, sql: string): void => {
    mkdirSync(join(folder, kind, name), { recursive: true });
    writeFileSync(join(folder, kind, name, 'migration.sql'), sql);
  };
  const notes = () => database.sql.read<{ note: string }>('notes', 'select note from notes order by note');
  const refusal = async (work: Promise<unknown>): Promise<string> => {
    const error = await work.catch((e: unknown) => e);
    expect(error).toBeInstanceOf(StartError);
    expect((error as Error).message).not.toContain('\n');
    return (error as Error).message;
  };

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'portcullis-migrations-'));
    directory = pathToFileURL(`${folder}/`);
    put(
      '20260101000000_one',
      `create table notes (note text not null);\ninsert into notes values ('a;b'); -- c;d\n`,
    );
    put('20260102000000_two', `insert into notes values ('two');`);
    fresh = await freshDatabase(kind);
    database = await openDatabase({ url: fresh.url });
  });
  afterEach(async () => {
    await database.close();
    await fresh.drop();
    rmSync(folder, { recursive: true });
  });

  it('are applied once, in order, whole scripts at a time', async () => {
    const log: string[] = [];
    expect(await migrationStatus(database, directory)).toEqual({
      applied: [],
      pending: ['20260101000000_one', '20260102000000_two'],
    });
    const first = await migrate(database, { directory, log: (name) => log.push(name) });
    expect(first.applied).toEqual(['20260101000000_one', '20260102000000_two']);
    expect(log).toEqual(first.applied);
    expect(await notes()).toMatchObject([{ note: 'a;b' }, { note: 'two' }]);
    expect(await migrate(database, { directory })).toEqual({ applied: [] });
    put('20260103000000_three', `insert into notes values ('three')`);
    expect(await migrationStatus(database, directory)).toEqual({
      applied: ['20260101000000_one', '20260102000000_two'],
      pending: ['20260103000000_three'],
    });
    expect(await migrate(database, { directory })).toEqual({ applied: ['20260103000000_three'] });
  });

  it('processes that start at once apply each of them once', async () => {
    const source = `
      import { openDatabase } from '../../src/storage/database.ts';
      import { migrate } from '../../src/storage/migrate.ts';
      const database = await openDatabase({ url: ${JSON.stringify(fresh.url)}, busyTimeout: 20_000 });
      const onFirst = async (tx) => console.log('first');
      const { applied } = await migrate(database, { directory: new URL(${JSON.stringify(directory.href)}), onFirst });
      for (const name of applied) console.log(name);
      await database.close();`;
    for (let n = 3; n < 10; n++) put(`2026010${n}000000_more`, `insert into notes values ('${n}');`);
    const children = [1, 2, 3].map(() => startChild(source, import.meta.url));
    const printed = (await Promise.all(children.map((child) => child.finished()))).flat().sort();
    const { applied } = await migrationStatus(database, directory);
    expect(printed).toEqual([...applied, 'first']);
    expect(await notes()).toHaveLength(9);
  });

  it('a hook runs in the transaction of the very first, and only there', async () => {
    let calls = 0;
    const failing = migrate(database, {
      directory,
      onFirst: async (tx) => {
        await tx.write('note', `insert into notes values ('hook')`);
        throw new Error('no keys');
      },
    });
    await expect(failing).rejects.toThrow('no keys');
    expect((await migrationStatus(database, directory)).applied).toEqual([]);
    await expect(notes()).rejects.toThrow(/notes/);
    const onFirst = () => Promise.resolve(void calls++);
    await migrate(database, { directory, onFirst });
    put('20260103000000_three', `insert into notes values ('three')`);
    await migrate(database, { directory, onFirst });
    expect(calls).toBe(1);
  });

  it('one that fails is undone whole, stops the start, and can be mended', async () => {
    put('20260102000000_two', `insert into notes values ('half'); insert into absent values (1);`);
    expect(await refusal(migrate(database, { directory }))).toMatch(
      /20260102000000_two failed and was undone.*absent/,
    );
    expect(await notes()).toMatchObject([{ note: 'a;b' }]);
    put('20260102000000_two', `insert into notes values ('two')`);
    expect(await migrate(database, { directory })).toEqual({ applied: ['20260102000000_two'] });
  });

  it('an edited one stops the start', async () => {
    await migrate(database, { directory });
    put('20260101000000_one', 'create table notes (note text);');
    expect(await refusal(migrate(database, { directory }))).toContain('20260101000000_one was edited');
    expect(await refusal(migrationStatus(database, directory))).toContain('20260101000000_one was edited');
  });

  it('a database that is newer than the release stops the start', async () => {
    await migrate(database, { directory });
    rmSync(join(folder, kind, '20260102000000_two'), { recursive: true });
    expect(await refusal(migrate(database, { directory }))).toMatch(
      /newer than this release.*20260102000000_two/,
    );
  });

  it('one of a newer release whose name says that it only expands stops nothing', async () => {
    put('20260103000000_expand_notes', `alter table notes add column colour text;`);
    put('20260104000000_four', `insert into notes values ('four', 'red')`);
    await migrate(database, { directory });
    rmSync(join(folder, kind, '20260104000000_four'), { recursive: true });
    rmSync(join(folder, kind, '20260103000000_expand_notes'), { recursive: true });
    expect(await refusal(migrate(database, { directory }))).toMatch(/newer than this release.*four/);
    const applied = `where migration_name = '20260103000000_expand_notes'`;
    await database.sql.write(
      'contracted',
      `delete from _prisma_migrations where migration_name = '20260104000000_four'`,
    );
    expect(await migrate(database, { directory })).toEqual({ applied: [] });
    await database.sql.write('unfinished', `update _prisma_migrations set finished_at = null ${applied}`);
    expect(await refusal(migrate(database, { directory }))).toMatch(/newer than this release.*expand_notes/);
  });

  it('one that failed earlier under other tools stops the start until it is resolved', async () => {
    await migrate(database, { directory });
    const last = `where migration_name = '20260102000000_two'`;
    await database.sql.write('fail', `update _prisma_migrations set finished_at = null ${last}`);
    expect(await refusal(migrate(database, { directory }))).toContain('20260102000000_two failed earlier');
    await database.sql.write('resolve', `update _prisma_migrations set rolled_back_at = started_at ${last}`);
    expect(await migrate(database, { directory })).toEqual({ applied: ['20260102000000_two'] });
  });

  it.runIf(kind === 'postgresql')(
    'without advisory locks, as on some distributed engines, they are applied all the same',
    async () => {
      await database.sql.write('schema', 'create schema shadow');
      await database.sql.write(
        'lock',
        `create function shadow.pg_advisory_xact_lock(bigint) returns void language plpgsql
       as $$ begin raise exception 'not supported' using errcode = '0A000'; end $$`,
      );
      const url = new URL(fresh.url);
      url.searchParams.set('options', '-c search_path=shadow,pg_catalog,public');
      const without = await openDatabase({ url: url.href });
      expect((await migrate(without, { directory })).applied).toHaveLength(2);
      await without.close();
    },
  );

  it(`Prisma's own engine finds the bookkeeping in order`, async () => {
    await migrate(database);
    const engine = await schemaEngine(kind, schemaOf(kind), () => connectEngine(kind, fresh.url));
    const diagnosis = await engine.diagnoseMigrationHistory({
      migrationsList: migrationList(kind),
      optInToShadowDatabase: false,
      filters: EVERYTHING,
    });
    expect(diagnosis).toEqual({
      editedMigrationNames: [],
      failedMigrationNames: [],
      hasMigrationsTable: true,
      history: null,
    });
  });

  it('lead to what schema.prisma says', async () => {
    expect(await diff(kind)).toBeUndefined();
    const changed = schemaOf(kind).replace('model Lease {', 'model Lease {\n  extra String?\n');
    expect(await diff(kind, changed)).toMatch(/ALTER TABLE "leases" ADD COLUMN\s+"extra" TEXT;/);
  });
});

/** What code that does not know of it cannot trip over. */
const ADDITIONS: readonly RegExp[] = [
  /^CREATE TABLE /i,
  /^CREATE (?:UNIQUE )?INDEX /i,
  /^ALTER TABLE \S+ ADD COLUMN\s+\S+ (?:(?!NOT NULL).)*$/is,
  /^ALTER TABLE \S+ ADD COLUMN\s+.* NOT NULL DEFAULT .*$/is,
];

/** Statements that keep a migration from being called an expansion. */
function otherThanAdditions(sql: string): string[] {
  const statements = sql.replaceAll(/--.*$/gm, '').split(';');
  return statements
    .map((statement) => statement.trim())
    .filter((statement) => statement !== '' && !ADDITIONS.some((addition) => addition.test(statement)));
}

describe('a migration that is called an expansion', () => {
  it.each(['sqlite', 'postgresql'] as const)('only adds what older code may leave out: %s', (kind) => {
    for (const { path, migrationFile } of migrationList(kind).migrationDirectories) {
      if (!onlyExpands(path) || migrationFile.content.tag !== 'ok') continue;
      expect({ path, others: otherThanAdditions(migrationFile.content.value) }).toEqual({ path, others: [] });
    }
  });

  it.each([
    ['ALTER TABLE "a" ADD COLUMN     "b" INTEGER NOT NULL DEFAULT 0, ADD COLUMN "c" TEXT;', true],
    ['-- AlterTable\nALTER TABLE "a" ADD COLUMN "b" TEXT;\nCREATE TABLE "c" ("d" TEXT NOT NULL);', true],
    ['ALTER TABLE "a" ADD COLUMN "b" TEXT NOT NULL;', false],
    ['ALTER TABLE "a" DROP COLUMN "b";', false],
    ['ALTER TABLE "a" RENAME COLUMN "b" TO "c";', false],
    ['CREATE TABLE "new_a" ("b" TEXT);\nDROP TABLE "a";\nALTER TABLE "new_a" RENAME TO "a";', false],
  ])('%s: %s', (sql, good) => {
    expect(otherThanAdditions(sql).length === 0).toBe(good);
  });
});
