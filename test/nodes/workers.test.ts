import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { databaseKinds } from '../support/databases.ts';
import { basicAuth } from '../support/server.ts';
import { invite, type People } from './support/people.ts';
import { openCluster, until, type Cluster, type Node } from './support/processes.ts';

const PARALLEL = 4;

/** Requests that never rest, as long as the server says that it is ready: how many were answered, and what failed. */
function startLoad(node: Node, cluster: Cluster) {
  const failures: string[] = [];
  let [answered, running] = [0, true];
  const one = async (): Promise<void> => {
    while (running) {
      try {
        const response = await fetch(`${node.url}/token`, {
          method: 'POST',
          headers: { authorization: basicAuth(cluster.admin.id, cluster.admin.secret) },
          body: new URLSearchParams({ grant_type: 'client_credentials' }),
          // A connection on its way to a process that is killed is never answered.
          signal: AbortSignal.timeout(10_000),
        });
        const text = await response.text();
        if (response.status === 200) answered++;
        else failures.push(`${response.status} ${text}`);
      } catch (error) {
        failures.push(String((error as { cause?: unknown }).cause ?? error));
      }
      await new Promise((resolve) => setTimeout(resolve, 5)); // a light load: starts need the machine too
    }
  };
  const balancer = async (): Promise<void> => {
    while (running) {
      const ready = await fetch(`${node.url}/health/ready`).catch(() => undefined);
      if (ready?.status === 503) running = false;
      // A balancer asks in intervals: nothing tells it of an event.
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  };
  const loops = [balancer(), ...Array.from({ length: PARALLEL }, one)];
  return {
    failures,
    answered: () => answered,
    ended: () => Promise.all(loops),
    async stop() {
      running = false;
      await Promise.all(loops);
    },
  };
}

/** Process ids of the workers in the order of their start. */
const workersOf = (node: Node): number[] =>
  [...node.output.join('').matchAll(/event=worker\.started pid=(\d+)/g)].map(([, pid]) => Number(pid));
const ISSUED = /^portcullis_tokens_issued_total\{grant_type="client_credentials"\} (\d+)/m;
const issued = async (node: Node): Promise<number> =>
  Number(ISSUED.exec(await (await fetch(`${node.management}/metrics`)).text())?.[1]);

describe('one process', () => {
  it('ends on SIGTERM without a failed request', async () => {
    const cluster = await openCluster('sqlite', {});
    try {
      const node = await cluster.start();
      const load = startLoad(node, cluster);
      await until('some load', () => load.answered() > 20);
      node.process.kill('SIGTERM');
      await load.ended();
      expect(await node.ended()).toBe(0);
      expect(load.failures).toEqual([]);
    } finally {
      await cluster.close();
    }
  }, 120_000);
});

describe('workers that cannot start', () => {
  it('end the primary with the reason, in one line', async () => {
    const cluster = await openCluster('sqlite', { PORTCULLIS_WORKERS: '2' });
    try {
      const { url } = await cluster.start();
      const { port } = new URL(url);
      const late = cluster.start({ PORT: port });
      await expect(late).rejects.toThrow(`port ${port} is in use: set PORT\n`);
    } finally {
      await cluster.close();
    }
  }, 120_000);

  it('end when the settings are wrong by now; the others stay, and the next SIGHUP tries again', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'portcullis-settings-'));
    const file = join(folder, 'smtp');
    writeFileSync(file, 'smtp://127.0.0.1:1');
    const cluster = await openCluster('sqlite', {
      PORTCULLIS_WORKERS: '2',
      PORTCULLIS_SMTP_URL_FILE: file,
      PORTCULLIS_MAIL_FROM: 'id@example.com',
    });
    try {
      const node = await cluster.start();
      await until('both serve', () => workersOf(node).length === 2);
      const said = () => node.output.join('');
      rmSync(file);
      node.process.kill('SIGHUP');
      await until('given up', () => said().includes('event=worker.failed'), 60_000);
      expect(said()).toContain('PORTCULLIS_SMTP_URL_FILE');
      expect((await fetch(`${node.url}/jwks`)).status).toBe(200);
      writeFileSync(file, 'smtp://127.0.0.1:1');
      node.process.kill('SIGHUP');
      await until('all are new', () => said().includes('workers.restarted'), 90_000);
      expect(new Set(workersOf(node)).size).toBe(4);
    } finally {
      await cluster.close();
      rmSync(folder, { recursive: true, force: true });
    }
  }, 180_000);
});

describe('two workers', () => {
  let cluster: Cluster;
  let node: Node;
  beforeEach(async () => {
    cluster = await openCluster('sqlite', { PORTCULLIS_WORKERS: '2' });
    node = await cluster.start();
    await until('both serve', () => workersOf(node).length === 2);
  });
  afterEach(() => cluster.close());

  it('are replaced one by one on SIGHUP, and end on SIGTERM, without a failed request', async () => {
    const load = startLoad(node, cluster);
    await until('some load', () => load.answered() > 20);
    node.process.kill('SIGHUP');
    await until('replaced', () => node.output.join('').includes('workers.restarted'), 90_000);
    expect(new Set(workersOf(node)).size).toBe(4);
    const before = load.answered();
    await until('load on the new ones', () => load.answered() > before + 20);
    await load.stop();
    // What was counted by processes that are gone is still counted.
    expect(await issued(node)).toBe(load.answered());

    const more = startLoad(node, cluster);
    await until('some load', () => more.answered() > 20);
    node.process.kill('SIGTERM');
    await more.ended();
    expect(await node.ended()).toBe(0);
    expect([...load.failures, ...more.failures]).toEqual([]);
  }, 180_000);

  it('one that is killed is replaced, and reported; only its own requests are lost', async () => {
    const load = startLoad(node, cluster);
    await until('some load', () => load.answered() > 20);
    process.kill(workersOf(node)[0]!, 'SIGKILL');
    await until('replaced', () => workersOf(node).length === 3, 60_000);
    await load.stop();
    expect(load.failures.length).toBeLessThanOrEqual(PARALLEL);
    expect(node.output.join('')).toContain('a worker ended by itself');
  }, 120_000);
});

describe.each(databaseKinds)('two workers on %s', (kind) => {
  let cluster: Cluster;
  let node: Node;
  let people: People;
  beforeAll(async () => {
    cluster = await openCluster(kind, { PORTCULLIS_WORKERS: '2' });
    node = await cluster.start();
    await until('both serve', () => workersOf(node).length === 2);
    people = await invite(node.url, cluster);
  });
  afterAll(() => cluster.close());

  it('use one refresh token at once: one wins, and the family ends', async () => {
    for (let round = 0; round < 3; round++) {
      const { refresh_token: token = '' } = await people.signIn();
      const answers = await Promise.all(Array.from({ length: 16 }, () => people.refresh(token)));
      const won = answers.filter(({ status }) => status === 200);
      expect(won).toHaveLength(1);
      expect(new Set(answers.filter((each) => !won.includes(each)).map(({ body }) => body['error']))).toEqual(
        new Set(['invalid_grant']),
      );
      expect((await people.refresh(String(won[0]?.body['refresh_token']))).status).toBe(400);
    }
  }, 120_000);

  it('write at once without an error', async () => {
    const chain = async (): Promise<void> => {
      let { refresh_token: token = '' } = await people.signIn();
      for (let step = 0; step < 10; step++) {
        const { status, body } = await people.refresh(token);
        expect({ status, body }).toMatchObject({ status: 200 });
        token = String(body['refresh_token']);
      }
    };
    await Promise.all(Array.from({ length: 6 }, chain));
  }, 120_000);
});
