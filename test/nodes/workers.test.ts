import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { databaseKinds } from '../support/databases.ts';
import { basicAuth } from '../support/server.ts';
import { openCluster, until, type Cluster, type Node } from './support/processes.ts';

/** Requests that never rest: how many were answered with a token, and what went wrong. */
function startLoad(node: Node, cluster: Cluster, parallel = 4) {
  const failures: string[] = [];
  let [answered, running] = [0, true];
  const one = async (): Promise<void> => {
    while (running) {
      try {
        const response = await fetch(`${node.url}/token`, {
          method: 'POST',
          headers: { authorization: basicAuth(cluster.admin.id, cluster.admin.secret) },
          body: new URLSearchParams({ grant_type: 'client_credentials' }),
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
  const loops = Array.from({ length: parallel }, one);
  return {
    failures,
    answered: () => answered,
    async stop() {
      running = false;
      await Promise.all(loops);
    },
  };
}

const pids = (node: Node): number[] =>
  [...node.output.join('').matchAll(/"pid":(\d+)/g)].map(([, pid]) => Number(pid));
const metric = async (node: Node, line: RegExp): Promise<number> => {
  const text = await (await fetch(`${node.management}/metrics`)).text();
  return Number(line.exec(text)?.[1] ?? Number.NaN);
};
const ISSUED = /^portcullis_tokens_issued_total\{grant_type="client_credentials"\} (\d+)/m;

describe.each(databaseKinds)('several workers on %s', (kind) => {
  let cluster: Cluster;
  let node: Node;
  beforeEach(async () => {
    cluster = await openCluster(kind, { PORTCULLIS_WORKERS: '2' });
    node = await cluster.start();
  });
  afterEach(() => cluster.close());

  it('are replaced one by one on SIGHUP, and stop on SIGTERM, without a failed request', async () => {
    const t0 = performance.now();
    const load = startLoad(node, cluster);
    await until('some load', () => load.answered() > 20);
    node.process.kill('SIGHUP');
    await until('replaced', () => node.output.join('').includes('workers.restarted'));
    console.log('rolled', performance.now() - t0, load.answered(), load.failures.length);
    await load.stop();
    expect(load.failures).toEqual([]);
    // What was counted by processes that are gone is still counted.
    expect(await metric(node, ISSUED)).toBe(load.answered());
    node.process.kill('SIGTERM');
    expect(await node.ended()).toBe(0);
    console.log('ended', performance.now() - t0);
  }, 90_000);
});
