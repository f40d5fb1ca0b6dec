/**
 * Random interleavings of everything that a client, a thief and time do to one family, against a small model of what
 * the contract promises. The grace window is aged in the database, whose clock judges it; lifetimes by the node's.
 */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { familyIdOf, openArena, rounds, type Arena, type Code } from '../race/support/arena.ts';
import { databaseKinds } from '../support/databases.ts';
import type { TestClient } from '../support/fixtures.ts';

/** Seconds. */
const [ACCESS, IDLE, ABSOLUTE, CODE, GRACE] = [20, 60, 150, 60, 60];

type Command =
  | { readonly kind: 'refresh' | 'retry' | 'replay code' | 'cut off' }
  | { readonly kind: 'refresh at once'; readonly times: number }
  | { readonly kind: 'replay' | 'revoke refresh token' | 'revoke access token'; readonly which: number }
  /** Seconds by the node's clock; by the database's, since the rotation. */
  | { readonly kind: 'wait' | 'age'; readonly seconds: number };

const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 8, arbitrary: fc.constant<Command>({ kind: 'refresh' }) },
  { weight: 4, arbitrary: fc.constant<Command>({ kind: 'retry' }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('refresh at once' as const),
      times: fc.integer({ min: 2, max: 4 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('replay' as const), which: fc.nat(20) }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('revoke access token' as const), which: fc.nat(20) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('revoke refresh token' as const), which: fc.nat(20) }),
  },
  { weight: 1, arbitrary: fc.constant<Command>({ kind: 'replay code' }) },
  { weight: 1, arbitrary: fc.constant<Command>({ kind: 'cut off' }) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('wait' as const),
      seconds: fc.constantFrom(1, 10, 19, 20, 40, 59, 60),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('age' as const), seconds: fc.constantFrom(20, 60) }),
  },
);

/** What the contract says the family is. */
interface Model {
  dead: boolean;
  /** As they were issued; the last is the one that works. */
  readonly refresh: string[];
  readonly access: { readonly token: string; readonly exp: number; revoked: boolean }[];
  /** Seconds by the database's clock since the last rotation. */
  sinceRotation: number;
  /** Epoch seconds. */
  readonly endsAt: number;
  idleEndsAt: number;
  readonly codeEndsAt: number;
  readonly reuse: string[];
}

interface Answered {
  readonly status: number;
  readonly body: {
    access_token?: string;
    refresh_token?: string;
    refresh_token_expires_in?: number;
    error?: string;
  };
}

describe.each(databaseKinds)('a family on %s', (kind) => {
  let arena: Arena;
  const clients: Record<number, TestClient> = {};
  beforeAll(async () => {
    arena = await openArena({ kind });
    for (const grace of [0, GRACE]) {
      clients[grace] = await arena.world.client({
        client_id: `grace-${grace}`,
        redirect_uris: [`https://grace-${grace}.example/cb`],
        grant_types: ['authorization_code', 'refresh_token'],
        scope: 'openid orders:read',
        access_token_ttl: ACCESS,
        refresh_token_idle_ttl: IDLE,
        refresh_token_max_ttl: ABSOLUTE,
        rotation_grace: grace,
      });
    }
    vi.useFakeTimers({ toFake: ['Date'] });
  });
  afterAll(async () => {
    vi.useRealTimers();
    await arena?.close();
  });
  const now = (): number => Math.floor(Date.now() / 1000);

  async function begin(client: TestClient): Promise<{ model: Model; code: Code; id: string }> {
    vi.setSystemTime((now() + 1) * 1000); // a whole second: lifetimes are counted in them
    const { code, access, refresh, id } = await arena.family(client);
    const idleEndsAt = now() + IDLE;
    const model: Model = {
      dead: false,
      refresh: [refresh],
      access: [{ token: access, exp: now() + ACCESS, revoked: false }],
      sinceRotation: 0,
      endsAt: now() + ABSOLUTE,
      idleEndsAt,
      codeEndsAt: now() + CODE,
      reuse: [],
    };
    return { model, code, id };
  }

  async function run(grace: number, commands: readonly Command[]): Promise<void> {
    const client = clients[grace];
    if (!client) throw new Error('no such client');
    const { model, code, id } = await begin(client);
    const current = (): string => model.refresh.at(-1) ?? '';
    const ended = (): boolean => now() >= Math.min(model.idleEndsAt, model.endsAt);
    const send = (token: string): Promise<Answered> => arena.refresh(0, client, token);
    const refused = ({ status, body }: Answered): void =>
      expect([status, body.error]).toEqual([400, 'invalid_grant']);
    const issued = ({ status, body }: Answered): string => {
      expect(status).toBe(200);
      model.access.push({ token: body.access_token ?? '', exp: now() + ACCESS, revoked: false });
      expect(body.refresh_token_expires_in).toBe(Math.min(model.idleEndsAt, model.endsAt) - now());
      return body.refresh_token ?? '';
    };
    const rotated = (): void => {
      model.idleEndsAt = Math.min(now() + IDLE, model.endsAt);
      model.sinceRotation = 0;
    };
    const reuse = (type: string): void => {
      if (model.dead) return;
      model.dead = true;
      model.reuse.push(type);
    };
    const spent = (token: string | undefined): Promise<void> =>
      send(token ?? '').then((answer) => {
        refused(answer);
        if (!ended()) reuse('token.reuse_detected');
      });

    for (const each of commands) {
      switch (each.kind) {
        case 'refresh': {
          const answer = await send(current());
          if (model.dead || ended()) refused(answer);
          else {
            rotated();
            const next = issued(answer);
            expect(model.refresh).not.toContain(next);
            expect(familyIdOf(next)).toBe(id);
            model.refresh.push(next);
          }
          break;
        }
        case 'retry': {
          const previous = model.refresh.at(-2);
          if (previous === undefined) break;
          if (model.dead || ended() || model.sinceRotation >= grace) await spent(previous);
          else expect(issued(await send(previous))).toBe(current());
          break;
        }
        case 'refresh at once': {
          const answers = await Promise.all(Array.from({ length: each.times }, () => send(current())));
          if (model.dead || ended()) answers.forEach(refused);
          else {
            rotated();
            const winners = answers.filter(({ status }) => status === 200);
            const successors = new Set(winners.map(issued));
            expect(successors.size).toBe(1);
            model.refresh.push(...successors);
            expect(winners).toHaveLength(grace === 0 ? 1 : each.times);
            if (grace === 0) reuse('token.reuse_detected');
          }
          break;
        }
        case 'replay': {
          const old = model.refresh.slice(0, -2);
          if (old.length > 0) await spent(old[each.which % old.length]);
          break;
        }
        case 'replay code': {
          refused(await arena.exchange(0, client, code));
          if (now() < model.codeEndsAt) reuse('code.reuse_detected');
          break;
        }
        case 'revoke access token': {
          const chosen = model.access[each.which % model.access.length];
          if (!chosen) break;
          expect((await arena.post(0, '/revoke', { token: chosen.token }, client)).status).toBe(200);
          if (!model.dead && chosen.exp > now()) chosen.revoked = true;
          break;
        }
        case 'revoke refresh token': {
          const token = model.refresh[each.which % model.refresh.length] ?? '';
          expect((await arena.post(0, '/revoke', { token }, client)).status).toBe(200);
          model.dead = true;
          break;
        }
        case 'cut off': {
          const { clients: administration } = arena.world.app.domain;
          await administration.setEnabled(client.id, false, { actor: 'test' });
          await administration.setEnabled(client.id, true, { actor: 'test' });
          model.dead = true;
          break;
        }
        case 'wait':
          vi.setSystemTime(Date.now() + each.seconds * 1000);
          break;
        case 'age':
          await arena.world.app.domain.storage.database.sql.write(
            'test.age',
            `UPDATE families SET rotated_at = rotated_at - $2 WHERE id = $1`,
            [id, each.seconds * 1000],
          );
          model.sinceRotation += each.seconds;
          break;
      }
      await check(client, id, model, ended());
    }
  }

  /** What everybody sees is what the model says. */
  async function check(client: TestClient, id: string, model: Model, ended: boolean): Promise<void> {
    const active = async (token: string, as: TestClient): Promise<unknown> =>
      (await arena.world.introspect(token, as)).active;
    const [access, refresh, audited] = await Promise.all([
      Promise.all(model.access.map(({ token }) => active(token, arena.world.gateway))),
      Promise.all(model.refresh.map((token) => active(token, client))),
      arena.audited(id),
    ]);
    expect(access).toEqual(model.access.map(({ exp, revoked }) => !model.dead && !revoked && exp > now()));
    expect(refresh).toEqual(
      model.refresh.map((_, index) => !model.dead && !ended && index === model.refresh.length - 1),
    );
    expect(audited.map(({ type }) => type).filter((type) => type.endsWith('.reuse_detected'))).toEqual(
      model.reuse,
    );
  }

  it.each([0, GRACE])(
    'does what the contract says, whatever happens in whatever order, at a grace of %i seconds',
    async (grace) => {
      await fc.assert(
        fc.asyncProperty(fc.array(command, { minLength: 1, maxLength: 14 }), (commands) =>
          run(grace, commands),
        ),
        {
          numRuns: rounds(40),
          endOnFailure: false, // oxlint-disable-next-line typescript/no-deprecated -- its successor is newer than the oldest version allowed
          interruptAfterTimeLimit: rounds(50_000),
        },
      );
    },
    rounds(100_000),
  );
});
