/** A database that hangs, goes away or breaks connections: bounded by timeouts, 503, and no harm done. */
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { DatabaseSync } from 'node:sqlite';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { databaseKinds, freshDatabase, type FreshDatabase } from '../support/databases.ts';
import { startWorld, type Answer, type Tokens, type World } from '../support/fixtures.ts';
import { tappedDatabase } from './support/tapped-database.ts';

/** A wire between server and database that a test can cut. */
async function startWire({ hostname, port }: URL) {
  const wire = { silent: false, deaf: false };
  const pairs = new Set<[near: Socket, far: Socket]>();
  const server = createServer((near) => {
    const far = connect(Number(port || 5432), hostname);
    const pair: [Socket, Socket] = [near, far];
    pairs.add(pair);
    near.on('data', (bytes) => void (wire.silent || far.write(bytes)));
    far.on('data', (bytes) => {
      if (wire.silent) return;
      if (!wire.deaf) return void near.write(bytes);
      wire.deaf = false; // the database has answered, and the answer is lost with the connection
      near.destroy();
    });
    for (const socket of pair) {
      socket.on('error', () => {});
      socket.on('close', () => {
        pairs.delete(pair);
        near.destroy();
        far.destroy();
      });
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return Object.assign(wire, {
    port: (server.address() as AddressInfo).port,
    cut: () => {
      for (const [near, far] of pairs) {
        near.destroy();
        far.destroy();
      }
    },
    close: () => {
      for (const [near] of pairs) near.destroy();
      server.close();
    },
  });
}

const unavailable = ({ status, body, headers }: Answer<object>) => {
  expect([status, (body as { error?: string }).error]).toEqual([503, 'temporarily_unavailable']);
  expect(headers.get('retry-after')).toBe('1');
};

// Needs PostgreSQL: SQLite has no wire that could break; `.ci/run` brings a server.
describe.skipIf(!databaseKinds.includes('postgresql'))('PostgreSQL behind a bad wire', () => {
  const tapped = tappedDatabase();
  let database: FreshDatabase;
  let world: World;
  let wire: Awaited<ReturnType<typeof startWire>>;
  let side: pg.Client;
  beforeAll(async () => {
    database = await freshDatabase('postgresql');
    const url = new URL(database.url);
    wire = await startWire(url);
    side = new pg.Client({ connectionString: url.href });
    side.on('error', () => {});
    await side.connect();
    url.hostname = '127.0.0.1';
    url.port = String(wire.port);
    // The server's own limits are ten seconds: too long for a test.
    url.search = 'statement_timeout=500&query_timeout=1000&application_name=portcullis';
    world = await startWorld({ kind: 'postgresql', databaseUrl: url.href, wrapDatabase: tapped.wrap });
    tapped.watch(world.app.koa);
  });
  afterAll(async () => {
    await side?.end();
    await world?.close();
    wire?.close();
    await database?.drop();
  });
  const begin = async (): Promise<string> => (await world.tokens(world.web)).refresh_token ?? '';
  const refresh = (token: string): Promise<Answer<Tokens>> => world.refresh(world.web, token);

  it('is unavailable while the database is silent, and the old token works afterwards', async () => {
    const token = await begin();
    wire.silent = true;
    unavailable(await refresh(token));
    const ready = await fetch(`${world.url}/health/ready`);
    expect(ready.status).toBe(503);
    wire.silent = false;
    wire.cut(); // what was written into the silence is lost
    expect((await refresh(token)).status).toBe(200);
  });

  it('is unavailable while a statement waits for a lock, and the old token works afterwards', async () => {
    const token = await begin();
    await side.query('BEGIN; LOCK TABLE families IN EXCLUSIVE MODE');
    unavailable(await refresh(token)); // reads are let through, the rotation is not
    await side.query('ROLLBACK');
    expect((await refresh(token)).status).toBe(200);
  });

  it('takes a new connection where idle ones have broken', async () => {
    const token = await begin();
    wire.cut();
    const { status } = await refresh(token);
    expect([200, 503]).toContain(status); // the break may be noticed by using it
    if (status === 503) expect((await refresh(token)).status).toBe(200);
  });

  it('asks again when the connection breaks after the commit, and answers', async () => {
    const token = await begin();
    tapped.tap = {
      before(step) {
        if (step === 'families.rotate') wire.deaf = true;
      },
    };
    const { status, body } = await refresh(token);
    tapped.tap = {};
    expect(status).toBe(200);
    expect((await refresh(body.refresh_token ?? '')).status).toBe(200);
  });

  it('survives every connection being ended by an administrator under load', async () => {
    const tokens = await Promise.all(Array.from({ length: 8 }, begin));
    const answers = tokens.map(refresh);
    await side.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
       WHERE datname = current_database() AND pid <> pg_backend_pid()`,
    );
    for (const { status } of await Promise.all(answers)) expect([200, 503]).toContain(status);
    expect((await refresh(await begin())).status).toBe(200);
  });
});

describe('SQLite with another process that holds the write lock', () => {
  it('is unavailable after a while, and the old token works afterwards', async () => {
    const database = await freshDatabase('sqlite');
    const world = await startWorld({ databaseUrl: database.url });
    const token = (await world.tokens(world.web)).refresh_token ?? '';
    const other = new DatabaseSync(database.url.slice('file:'.length));
    other.exec('BEGIN IMMEDIATE');
    unavailable(await world.refresh(world.web, token));
    other.exec('ROLLBACK');
    other.close();
    expect((await world.refresh(world.web, token)).status).toBe(200);
    await world.close();
    await database.drop();
  });
});
