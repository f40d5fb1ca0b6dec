/** A node that cannot see, or not read, what other nodes write: it steps back, and comes again by itself. */
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fingerprint } from '../../src/lib/crypto.ts';
import type { Database } from '../../src/storage/database.ts';
import { BLIND_AFTER } from '../../src/storage/following.ts';
import { openStorage } from '../../src/storage/open.ts';
import { reseal } from '../../src/storage/reseal.ts';
import { AdminClient } from '../http/admin/support/admin-client.ts';
import { databaseKinds, freshDatabase, type FreshDatabase } from '../support/databases.ts';
import { PHONES, startWorld, type Tokens, type World } from '../support/fixtures.ts';
import { basicAuth, startTestServer, type TestServer } from '../support/server.ts';
import { until } from './support/processes.ts';
import { openWire } from './support/wire.ts';

const [OLD, NEW] = [randomBytes(32), randomBytes(32)];
const text = (...keys: Buffer[]): string => keys.map((key) => key.toString('base64url')).join();

/** A stopwatch that a test can put forward. */
function openStopwatch() {
  let ahead = 0;
  return { elapsed: () => performance.now() + ahead, forward: (ms: number) => void (ahead += ms) };
}

describe.each(databaseKinds)('a node on %s without the secret key that the others have', (kind) => {
  const stopwatch = openStopwatch();
  let database: FreshDatabase;
  let forgotten: World;
  let other: TestServer;
  let admin: AdminClient;
  beforeAll(async () => {
    database = await freshDatabase(kind);
    const databaseUrl = database.url;
    forgotten = await startWorld({ databaseUrl, secretKeys: text(OLD), elapsed: stopwatch.elapsed });
    await until('the lease', async () => (await holder()) !== undefined);
    const env = { PORTCULLIS_ISSUER: forgotten.url };
    other = await startTestServer({ databaseUrl, secretKeys: text(NEW, OLD), env });
    admin = await AdminClient.connect({ ...forgotten, url: other.url });
  });
  afterAll(async () => {
    await other.close();
    await forgotten.close();
    await database.drop();
  });
  const holder = async (): Promise<string | undefined> => {
    const { sql } = forgotten.app.domain.storage.database;
    return (await sql.read<{ holder: string }>('holders', 'SELECT holder FROM leases'))[0]?.holder;
  };
  /** What `portcullis reseal` does; only the other node is waited for. */
  async function resealUnder(...secretKeys: Buffer[]): Promise<void> {
    const clock = { now: Date.now };
    const listeners = { onEvent: () => {}, onBump: () => {} };
    const opened = await openStorage({ url: database.url, secretKeys, clock, listeners });
    const everyServerKnows = () => other.app.domain.storage.dataKeys.reload();
    await reseal({ ...opened, secretKeys, clock, everyServerKnows, rest: () => Promise.resolve() });
    await opened.database.close();
  }
  const asks = async (url: string, resource?: string): Promise<{ status: number; token: string }> => {
    const { id, secret = '' } = forgotten.machine;
    const answer = await fetch(`${url}/token`, {
      method: 'POST',
      headers: { authorization: basicAuth(id, secret) },
      body: new URLSearchParams({ grant_type: 'client_credentials', ...(resource ? { resource } : {}) }),
    });
    return { status: answer.status, token: ((await answer.json()) as Tokens).access_token };
  };
  const checks = () => forgotten.app.health.checks();
  const logged = (event: string) => forgotten.log.filter((line) => line.includes(`"event":"${event}"`));
  const signer = ({ token }: { token: string }): unknown =>
    (JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString()) as { kid: string }).kid;

  it('is not ready, says which key to add, and leaves the background work to another one', async () => {
    const before = await holder();
    await resealUnder(NEW, OLD);
    await until('not ready', async () => !(await checks())['secret_keys']);
    expect((await fetch(`${forgotten.url}/health/ready`)).status).toBe(503);
    expect(await other.app.health.checks()).toMatchObject({ secret_keys: true, changes: true });
    const [line] = logged('data_keys.missing');
    expect(line).toContain(fingerprint(NEW));
    expect(line).toContain('PORTCULLIS_SECRET_KEYS');
    await until('given up', async () => (await holder()) !== before);
    expect(other.log.filter((each) => each.includes('issuer.differs'))).toEqual([]);
  });

  it('answers 503 where it would have to open what another one sealed, and goes on with the rest', async () => {
    const { token } = await asks(other.url, PHONES);
    const caller = await admin.ok<{ client_secret: string }>('POST', '/clients', {
      body: { client_id: 'phones', grant_types: ['client_credentials'], serves: [PHONES] },
    });
    const client = { id: 'phones', secret: caller.body.client_secret, redirect: '' };
    const refused = await forgotten.post('/introspect', { token }, client);
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '1']);
    expect(refused.body).toMatchObject({ error: 'temporarily_unavailable' });
    expect((await asks(forgotten.url)).status).toBe(200);
  });

  it('does not sign for long with keys that were replaced meanwhile; what is public goes on', async () => {
    await admin.ok('POST', '/keys/rotate', { body: { immediate: true } });
    await until('noticed', () => logged('changes.lost').length > 0);
    stopwatch.forward(BLIND_AFTER);
    expect((await asks(forgotten.url)).status).toBe(503);
    const bearer = { authorization: 'Bearer x' };
    for (const path of ['/userinfo', '/admin/v1/clients']) {
      const { status, headers } = await fetch(forgotten.url + path, { headers: bearer });
      expect([path, status, headers.get('retry-after')]).toEqual([path, 503, '1']);
    }
    for (const path of ['/jwks', '/.well-known/openid-configuration', '/health/live'])
      expect((await fetch(forgotten.url + path)).status).toBe(200);
    expect(await checks()).toMatchObject({ database: true, secret_keys: false, changes: false });
    await until('said', () => logged('changes.unseen').length > 0);
    expect([logged('background.taken').length, logged('background.left').length]).toEqual([1, 1]);
  });

  it('comes again by itself once it can read everything, and said each thing once', async () => {
    await resealUnder(OLD, NEW);
    await until('ready', async () => Object.values(await checks()).every(Boolean));
    const answer = await asks(forgotten.url);
    expect(answer.status).toBe(200);
    expect(signer(answer)).toBe(signer(await asks(other.url)));
    for (const event of ['data_keys.missing', 'data_keys.complete', 'changes.lost', 'changes.unseen'])
      expect([event, logged(event).length]).toEqual([event, 1]);
  });
});

// Needs PostgreSQL: SQLite has no wire that could be cut.
it.runIf(databaseKinds.includes('postgresql'))(
  'a node that is cut off from the database goes on for five seconds with what it knows, then issues nothing',
  async () => {
    const database = await freshDatabase('postgresql');
    const wire = await openWire(database.url);
    const { elapsed, forward } = openStopwatch();
    let looks = 0;
    const wrapDatabase = ({ lookout, ...rest }: Database): Database => ({
      ...rest,
      lookout: {
        read(...statement) {
          looks += 1;
          return lookout.read(...statement);
        },
      },
    });
    const world = await startWorld({ databaseUrl: wire.url, elapsed, wrapDatabase });
    const made = looks;
    await until('what was made is noticed', () => looks > made + 1);
    const asks = () => world.post('/token', { grant_type: 'client_credentials' }, world.machine);
    expect((await asks()).status).toBe(200);
    await wire.cut();
    expect((await asks()).status).toBe(200);
    forward(BLIND_AFTER);
    const { status, headers, body } = await asks();
    expect([status, headers.get('retry-after')]).toEqual([503, '1']);
    expect(body).toMatchObject({ error: 'temporarily_unavailable' });
    expect((await fetch(`${world.url}/jwks`)).status).toBe(200);
    await wire.mend();
    await until('it issues again', async () => (await asks()).status === 200);
    await world.close();
    await wire.close();
    await database.drop();
  },
  60_000,
);

// Needs PostgreSQL: SQLite has no pool.
it.runIf(databaseKinds.includes('postgresql'))(
  'a node whose connections are all in use is busy, not blind',
  async () => {
    const { elapsed, forward } = openStopwatch();
    let looks = 0;
    const wrapDatabase = ({ lookout, ...rest }: Database): Database => ({
      ...rest,
      lookout: {
        async read(...statement) {
          const rows = await lookout.read<never>(...statement);
          looks += 1;
          return rows;
        },
      },
    });
    const world = await startWorld({ kind: 'postgresql', elapsed, wrapDatabase });
    const made = looks;
    await until('what was made is noticed', () => looks > made + 2);
    const asks = async () =>
      (await world.post('/token', { grant_type: 'client_credentials' }, world.machine)).status;
    expect(await asks()).toBe(200);
    let release = (): void => {};
    const held = new Promise<void>((resolve) => (release = resolve));
    const { database } = world.app.domain.storage;
    let taken = 0;
    const all = Array.from({ length: 10 }, () =>
      database.transaction(async (tx) => {
        await tx.read('hold', 'SELECT 1 AS one');
        taken += 1;
        await held;
      }),
    );
    await until('all are in use', () => taken === 10);
    const before = looks;
    forward(BLIND_AFTER);
    await until('it has looked', () => looks > before + 1);
    expect(await asks()).toBe(200);
    release();
    await Promise.all(all);
    await world.close();
  },
  60_000,
);

it.each(databaseKinds)('a damaged row on %s is said once, and stops no node', async (kind) => {
  const { elapsed, forward } = openStopwatch();
  const world = await startWorld({ kind, elapsed });
  const { sql } = world.app.domain.storage.database;
  const logged = () => world.log.filter((line) => line.includes('"event":"changes.unread"'));
  await sql.write(
    'damage',
    `INSERT INTO webhooks (id, url, events, enabled, secret, version, created_at, updated_at)
     VALUES ('bad', 'https://x.example', 'no JSON', $1, $2, 1, 0, 0)`,
    [true, Buffer.of(1)],
  );
  await sql.write('bump', `INSERT INTO change_counters (name, value) VALUES ('webhooks', 99)`);
  await until('noticed', () => logged().length > 0);
  forward(BLIND_AFTER);
  await until('ready', async () => Object.values(await world.app.health.checks()).every(Boolean));
  expect((await world.post('/token', { grant_type: 'client_credentials' }, world.machine)).status).toBe(200);
  expect(logged()).toHaveLength(1);
  await world.close();
});
