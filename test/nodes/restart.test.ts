import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { rounds } from '../race/support/arena.ts';
import { databaseKinds } from '../support/databases.ts';
import { openFront, type Front } from './support/front.ts';
import { invite, type Answer, type People } from './support/people.ts';
import { findPostgresql, startPostgresql, type PostgresqlServer } from './support/postgresql-server.ts';
import { administer, adminToken, openCluster, until, type Cluster } from './support/processes.ts';

const bin = findPostgresql();

describe.runIf(databaseKinds.includes('postgresql') && bin)('PostgreSQL that is restarted under load', () => {
  let database: PostgresqlServer;
  let cluster: Cluster;
  let front: Front;
  let people: People;
  beforeAll(async () => {
    database = await startPostgresql(bin ?? '');
    front = await openFront();
    cluster = await openCluster(
      { url: database.url, drop: () => database.remove() },
      { PORTCULLIS_ISSUER: front.url },
    );
    front.nodes.push(await cluster.start());
    front.nodes.push(await cluster.start());
    people = await invite(front.url, cluster, 60);
  }, 90_000);
  afterAll(async () => {
    await front.close();
    await cluster.close();
  });

  it(
    'refuses with 503 what needs it, loses nothing that was acknowledged, answers nothing wrong, and goes on by itself',
    async () => {
      const wrong: string[] = [];
      const answered: Record<string, { good: number; refused: number }> = {};
      let running = true;
      /** Asks as long as the test runs; `check` throws at what must not be answered. */
      const loop = async (what: string, ask: () => Promise<Answer>, check: (answer: Answer) => void) => {
        const counts = (answered[what] = { good: 0, refused: 0 });
        while (running) {
          try {
            const answer = await ask();
            if (answer.status === 503) {
              counts.refused++;
              if (answer.headers.get('retry-after') !== '1') wrong.push(`${what}: no Retry-After`);
            } else {
              check(answer);
              counts.good++;
            }
          } catch (error) {
            wrong.push(`${what}: ${String(error)}`);
          }
          await new Promise((resolve) => setTimeout(resolve, 10));
        }
      };
      const must = (met: boolean, { status, body }: Answer): void => {
        if (!met) throw new Error(`${status} ${JSON.stringify(body)}`);
      };

      const chains = [1, 2].map(async (index) => {
        let { refresh_token: token = '' } = await people.signIn();
        // A lost or refused answer is asked for again: inside grace the same successor, never a refusal of the token.
        await loop(
          `refresh ${index}`,
          () => people.refresh(token),
          (answer) => {
            must(answer.status === 200, answer);
            token = String(answer.body['refresh_token']);
          },
        );
      });
      const { access_token: alive } = await people.signIn();
      const { access_token: dead, refresh_token: ended = '' } = await people.signIn();
      expect((await people.revoke(ended)).status).toBe(200);
      const introspections = [
        loop(
          'introspect',
          () => people.introspection(alive),
          (answer) => must(answer.body['active'] === true, answer),
        ),
        loop(
          'introspect a dead one',
          () => people.introspection(dead),
          (answer) => must(answer.body['active'] === false, answer),
        ),
      ];
      const token = await adminToken(front.url, cluster);
      const created: string[] = [];
      let made = 0;
      const writes = loop(
        'create',
        async () => {
          const response = await fetch(`${front.url}/admin/v1/users`, {
            method: 'POST',
            headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
            body: JSON.stringify({ username: `user-${++made}` }),
          });
          const body = (await response.json()) as Record<string, unknown>;
          return { status: response.status, headers: response.headers, body };
        },
        (answer) => {
          must(answer.status === 201, answer);
          created.push(String(answer.body['id']));
        },
      );
      const needless = ['/jwks', '/.well-known/openid-configuration', '/health/live'].map((path) =>
        loop(
          path,
          async () => {
            const { status, headers } = await fetch(front.url + path);
            return { status: status === 503 ? 500 : status, headers, body: {} };
          },
          (answer) => must(answer.status === 200, answer),
        ),
      );

      const needing = ['refresh 1', 'refresh 2', 'introspect', 'introspect a dead one', 'create'];
      /** Resolves when each kind of request was answered a few times more than it is now. */
      const more = async (kinds: string[], how: 'good' | 'refused'): Promise<void> => {
        await until('load', () => kinds.every((kind) => answered[kind]));
        const before = new Map(kinds.map((kind) => [kind, answered[kind]![how]]));
        await until(`${how}: ${kinds.join()}`, () =>
          kinds.every((kind) => answered[kind]![how] >= before.get(kind)! + 3),
        );
      };
      for (let round = 0; round < rounds(1); round++) {
        for (const mode of ['fast', 'immediate'] as const) {
          await more(needing, 'good');
          await database.stop(mode);
          await more(needing, 'refused');
          await more(['/jwks', '/.well-known/openid-configuration', '/health/live'], 'good');
          await database.start();
        }
      }
      await more(needing, 'good');
      running = false;
      await Promise.all([...chains, ...introspections, writes, ...needless]);
      expect(wrong).toEqual([]);
      for (const id of created) await administer(front.url, cluster, 'GET', `/users/${id}`);
      for (const { process: child } of front.nodes) expect(child.exitCode).toBeNull();
      if (process.env['SOAK']) console.info(`restarts of PostgreSQL: ${JSON.stringify(answered)}`);
    },
    120_000 * rounds(1),
  );
});
