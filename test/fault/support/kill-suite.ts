/** `kill -9` under load: what was acknowledged is there, and the next start works as if nothing had happened. */
import { once } from 'node:events';
import { randomInt } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../../src/lib/clock.ts';
import { openStorage } from '../../../src/storage/open.ts';
import { equalBytes } from '../../../src/lib/crypto.ts';
import { familyIdOf, postForm, rounds, startNode, type Node } from '../../race/support/arena.ts';
import { freshDatabase, type DatabaseKind, type FreshDatabase } from '../../support/databases.ts';
import { startWorld, type TestClient, type Tokens } from '../../support/fixtures.ts';

const FAMILIES = 8;
const ROUNDS = rounds(20);

/** One client of the load: refreshes as fast as it gets answers. */
interface Load {
  /** The last refresh token that was acknowledged. */
  acknowledged: string;
  /** Whether it has been sent again since, without an answer. */
  underWay: boolean;
}

/** The rounds on one database: each in a file of its own, so that they run beside each other. */
export function killed(kind: DatabaseKind): void {
  describe(`a server on ${kind} that is killed under load`, () => {
    let database: FreshDatabase;
    let place: { url: string; databaseUrl: string; secretKeys: string };
    let client: TestClient;
    const loads: Load[] = [];
    let node: Node | undefined;
    const totals = { rounds: 0, refreshes: 0, revocations: 0, underWay: 0 };

    beforeAll(async () => {
      database = await freshDatabase(kind);
      const world = await startWorld({ kind, databaseUrl: database.url });
      place = { url: world.url, databaseUrl: world.databaseUrl, secretKeys: world.secretKeys };
      client = world.web;
      const { browser } = await world.authorize(client);
      for (let n = 0; n < FAMILIES + ROUNDS; n++) {
        const { refresh_token: token = '' } = await world.tokens(client, { browser });
        loads.push({ acknowledged: token, underWay: false });
      }
      await world.close();
    }, 120_000);
    afterAll(async () => {
      if (process.env['SOAK']) console.info(`killed on ${kind}: ${JSON.stringify(totals)}; none lost`);
      node?.process.kill('SIGKILL');
      await database?.drop();
    });

    /** What the database holds, seen by nobody else. */
    async function stored(tokens: readonly string[]): Promise<('current' | 'previous' | 'lost')[]> {
      const storage = await openStorage({
        url: place.databaseUrl,
        secretKeys: place.secretKeys.split(',').map((key) => Buffer.from(key, 'base64url')),
        clock: systemClock,
        listeners: { onEvent: () => {}, onBump: () => {} },
      });
      const { families } = storage;
      const seen = await Promise.all(
        tokens.map(async (token) => {
          const family = await families.read(familyIdOf(token));
          const is = (column: Uint8Array | undefined): boolean =>
            column !== undefined && families.tokenHashes(token).some((hash) => equalBytes(hash, column));
          if (!family?.alive) return 'lost' as const;
          return is(family.current) ? 'current' : is(family.previous) ? 'previous' : 'lost';
        }),
      );
      await storage.database.close();
      return seen;
    }

    it(
      'loses no acknowledged write and opens again, round after round',
      async () => {
        const revoked: string[] = [];
        const port = Number(new URL(place.url).port);
        for (let round = 0; round < ROUNDS; round++) {
          const running = await startNode(place, {}, port);
          node = running;
          // What was revoked before the last kill is still revoked.
          for (const token of revoked.splice(0)) {
            const { body } = await postForm(`${running.url}/introspect`, { token }, client);
            expect(body).toEqual({ active: false });
          }
          const active = loads.slice(0, FAMILIES);
          const goOn = { yes: true };
          const work = active.map(async (load, index) => {
            while (goOn.yes) {
              load.underWay = true;
              const form = { grant_type: 'refresh_token', refresh_token: load.acknowledged };
              const answer = await postForm<Tokens>(`${running.url}/token`, form, client).catch(
                () => undefined,
              );
              if (!answer) return;
              expect(answer.status).toBe(200);
              load.acknowledged = answer.body.refresh_token ?? '';
              load.underWay = false;
              totals.refreshes++;
              if (index % 2 === 1) continue;
              const token = answer.body.access_token;
              const done = await postForm(`${running.url}/revoke`, { token }, client).catch(() => undefined);
              if (!done) return;
              expect(done.status).toBe(200);
              revoked.push(token);
              totals.revocations++;
            }
          });
          // Not a wait for anything: the kill must fall at a moment that nothing in the server leads up to.
          await new Promise((resolve) => setTimeout(resolve, randomInt(100, 500)));
          const ended = once(running.process, 'exit');
          running.process.kill('SIGKILL');
          await ended;
          goOn.yes = false;
          await Promise.all(work);
          totals.rounds++;

          const held = await stored(active.map(({ acknowledged }) => acknowledged));
          for (const [index, load] of active.entries()) {
            // A refresh that was under way may have committed: then its answer is lost, never the one before.
            expect(load.underWay ? ['current', 'previous'] : ['current']).toContain(held[index]);
            if (held[index] === 'current') continue;
            totals.underWay++;
            loads.splice(loads.indexOf(load), 1);
          }
        }
        expect(totals.refreshes).toBeGreaterThan(ROUNDS);
        expect(totals.revocations).toBeGreaterThan(0);
      },
      ROUNDS * 20_000,
    );
  });
}
