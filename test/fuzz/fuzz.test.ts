/** A seeded fuzzer over every endpoint: whatever is sent, no answer is a server error, and memory stays flat. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { routeOf, routePatterns } from '../../src/http/routes.ts';
import { databaseKinds } from '../support/databases.ts';
import { startWorld, type World } from '../support/fixtures.ts';
import { AdminClient } from '../http/admin/support/admin-client.ts';
import { adminEndpoints, endpoints, type Endpoint } from './support/endpoints.ts';
import { rounds } from '../race/support/arena.ts';
import { knownOf } from './support/known.ts';
import { draw, type WireRequest } from './support/requests.ts';
import { send } from './support/send.ts';

/** `FUZZ_SEED=… npx vitest run test/fuzz` draws the same requests again. */
const SEED = Number(process.env['FUZZ_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
/** Over all databases. */
const TOTAL = rounds(20_000);
const PART = 1000;
const AT_ONCE = 16;
/** MiB that the heap may grow from the second part to the last. */
const GROWTH = 24;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;
const heap = (): number => {
  collect();
  return process.memoryUsage().heapUsed / 2 ** 20;
};

it('every path of the server is among those that are asked', () => {
  const asked = endpoints.map(({ path }) => routeOf(path.replaceAll(/\{\w+\}/g, 'x'))?.pattern ?? 'admin');
  expect(new Set(asked)).toEqual(new Set([...routePatterns, 'admin']));
});

describe.each(databaseKinds)('on %s', (kind) => {
  const total = Math.ceil(TOTAL / databaseKinds.length);
  let world: World;
  let all: readonly Endpoint[];
  beforeAll(async () => {
    const env = { PORTCULLIS_REGISTRATION: 'open', PORTCULLIS_TRUST_PROXY: '1' };
    world = await startWorld({ kind, env });
    all = [...endpoints, ...adminEndpoints((await AdminClient.connect(world)).document)];
  });
  afterAll(() => world.close());

  it(
    'no request is a server error, and none leaves anything in memory',
    { timeout: rounds(600_000) },
    async () => {
      const port = Number(new URL(world.url).port);
      const statuses = new Map<number, number>();
      const failures: string[] = [];
      const shoot = async (request: WireRequest, index: number): Promise<void> => {
        const status = await send(port, request).catch((error: unknown) => String(error));
        if (typeof status === 'number') statuses.set(status, (statuses.get(status) ?? 0) + 1);
        if (typeof status === 'number' && status < 500) return;
        failures.push(
          `${status}: request ${index}: ${JSON.stringify({ ...request, body: String(request.body) })}`,
        );
      };
      let early = 0;
      for (let done = 0, part = 0; done < total; done += PART, part++) {
        const known = await knownOf(world, part);
        const requests = draw(all, known, SEED + part, Math.min(PART, total - done)).entries();
        const shooter = async (): Promise<void> => {
          for (const [index, request] of requests) await shoot(request, done + index);
        };
        await Promise.all(Array.from({ length: AT_ONCE }, shooter));
        const errors = world.log.filter((line) => line.includes('"level":"error"'));
        expect([...failures, ...errors].slice(0, 5), `FUZZ_SEED=${SEED}`).toEqual([]);
        world.log.length = 0;
        if (part === 1) early = heap();
      }
      const late = heap();
      console.log(
        `FUZZ_SEED=${SEED}`,
        total,
        'requests;',
        JSON.stringify([...statuses].sort(([a], [b]) => a - b)),
        {
          early,
          late,
        },
      );
      expect(late - early, `MiB of heap, FUZZ_SEED=${SEED}`).toBeLessThan(GROWTH);
      // Not all are refused at the door.
      expect(statuses.get(200) ?? 0, `FUZZ_SEED=${SEED}`).toBeGreaterThan(total / 50);
    },
  );
});
