import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import pg from 'pg';
import { LEASE_RENEWAL, LEASE_TTL } from '../../src/delivery/lease.ts';
import { rounds } from '../race/support/arena.ts';
import { databaseKinds } from '../support/databases.ts';
import { openFront, type Front } from './support/front.ts';
import { invite, type People } from './support/people.ts';
import { administer, openCluster, until, type Cluster } from './support/processes.ts';
import { createResourceServer } from './support/resource-server.ts';

interface Key {
  readonly kid: string;
  readonly alg: string;
  readonly status: string;
}

describe.runIf(databaseKinds.includes('postgresql'))('three processes on one database', () => {
  let cluster: Cluster;
  let front: Front;
  let people: People;
  beforeAll(async () => {
    front = await openFront();
    cluster = await openCluster('postgresql', {
      PORTCULLIS_ISSUER: front.url,
      PORTCULLIS_JWKS_MAX_AGE: '2',
      PORTCULLIS_KEY_POLL_SECONDS: '1',
    });
    front.nodes.push(await cluster.start());
    front.nodes.push(...(await Promise.all([cluster.start(), cluster.start()])));
    people = await invite(front.url, cluster, 10);
  }, 90_000);
  afterAll(async () => {
    await front.close();
    await cluster.close();
  });
  const call = <T>(method: string, path: string, body?: object): Promise<T> =>
    administer<T>(front.url, cluster, method, path, body);
  const keys = async (): Promise<readonly Key[]> => (await call<{ data: Key[] }>('GET', '/keys')).data;
  const active = async (alg = 'ES256'): Promise<string> =>
    (await keys()).find((key) => key.alg === alg && key.status === 'active')?.kid ?? '';

  it(
    'roll their keys five times under load: no request fails, no verification, no sign-in that was half-way',
    async () => {
      const failures: string[] = [];
      let [running, verified] = [true, 0];
      const signedBy = new Set<string>();
      const servers = [1, 2, 3].map(() => createResourceServer(front.url));
      const check = async (token: string): Promise<void> => {
        for (const server of servers) signedBy.add(await server.verify(token));
        if (!(await people.introspect(token))) failures.push('inactive');
        verified++;
      };
      const guarded = async (what: string, work: () => Promise<void>): Promise<void> => {
        try {
          await work();
        } catch (error) {
          failures.push(`${what}: ${String(error)}`);
        }
        await new Promise((resolve) => setTimeout(resolve, 5));
      };
      const machines = [1, 2].map(async () => {
        while (running) {
          await guarded('own', async () => {
            const { status, body } = await people.own();
            if (status !== 200) throw new Error(`${status} ${JSON.stringify(body)}`);
            await check(String(body['access_token']));
          });
        }
      });
      const users = [1, 2].map(async () => {
        let { refresh_token: token = '' } = await people.signIn();
        while (running) {
          await guarded('refresh', async () => {
            const { status, body } = await people.refresh(token);
            if (status !== 200) throw new Error(`${status} ${JSON.stringify(body)}`);
            token = String(body['refresh_token']);
            await check(String(body['access_token']));
          });
        }
      });
      const seen = [await active()];
      for (let round = 0; round < rounds(5); round++) {
        const halfWay = await people.begin();
        expect(halfWay.seen.page).toBe('login');
        const { kid } = await call<Key>('POST', '/keys/rotate', { alg: 'ES256' });
        await until('it signs', async () => (await active()) === kid);
        await until('all sign with it', async () => {
          const tokens = await Promise.all(front.nodes.map(({ url }) => people.own(url)));
          const kids = tokens.map(({ body }) => kidOf(String(body['access_token'])));
          return kids.every((each) => each === kid);
        });
        const { access_token: token } = await halfWay.finish();
        await check(token);
        seen.push(kid);
      }
      running = false;
      await Promise.all([...machines, ...users]);
      expect(failures).toEqual([]);
      expect(signedBy).toEqual(new Set(seen));
      expect(verified).toBeGreaterThan(50);
      if (process.env['SOAK'])
        console.info(`${seen.length - 1} rotations: ${verified} tokens verified; none failed`);
    },
    120_000 * rounds(1),
  );

  it('a key that is retired is gone everywhere, and what it signed is inactive, within the poll', async () => {
    const { access_token: token } = await people.signIn();
    const old = kidOf(token);
    const [one, ...others] = front.nodes;
    await administer(one!.url, cluster, 'POST', `/keys/${old}/retire`);
    // At once where it was done …
    const jwks = async (url: string): Promise<string> => (await fetch(`${url}/jwks`)).text();
    expect(await jwks(one!.url)).not.toContain(old);
    expect(await people.introspect(token, one!.url)).toBe(false);
    expect(kidOf(String((await people.own(one!.url)).body['access_token']))).not.toBe(old);
    // … and soon at the others.
    for (const { url } of others) {
      await until('gone', async () => !(await jwks(url)).includes(old), 5_000);
      expect(await people.introspect(token, url)).toBe(false);
      expect((await people.own(url)).status).toBe(200);
    }
  }, 30_000);

  it('a client that is disabled is refused on the node that did it at once, on all others within a second', async () => {
    const [one, ...others] = front.nodes;
    for (const { url } of front.nodes) expect((await people.own(url)).status).toBe(200); // all of them know it
    await administer(one!.url, cluster, 'POST', '/clients/shop/disable');
    expect((await people.own(one!.url)).status).toBe(401);
    for (const { url } of others) {
      await until('refused', async () => (await people.own(url)).status === 401, 1_000);
    }
    await administer(one!.url, cluster, 'POST', '/clients/shop/enable');
    for (const { url } of others)
      await until('taken again', async () => (await people.own(url)).status === 200);
  }, 30_000);

  it('one does the background work; when it is killed another goes on as soon as the lease is over, within a minute', async () => {
    const holder = () =>
      front.nodes.find(
        ({ process, output }) => process.exitCode === null && output.join('').includes('background.taken'),
      );
    const first = holder()!;
    first.process.kill('SIGKILL');
    await first.ended();
    front.nodes.splice(front.nodes.indexOf(first), 1);
    expect(holder()).toBeUndefined();
    const client = new pg.Client({ connectionString: cluster.databaseUrl });
    await client.connect();
    // What the length of a lease does. Then others ask at the latest after one renewal.
    await client.query('UPDATE leases SET expires_at = expires_at - $1', [LEASE_TTL]);
    expect(LEASE_TTL + LEASE_RENEWAL).toBeLessThan(60_000);
    await client.end();
    await until('another does', () => holder() !== undefined);
    const { kid } = await call<Key>('POST', '/keys/rotate', { alg: 'RS256' });
    await until('it rotates keys', async () => (await active('RS256')) === kid);
  }, 60_000);
});

const kidOf = (token: string): string =>
  (JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString()) as { kid: string }).kid;
