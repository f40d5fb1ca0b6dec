/** Single use, exactly once, over two server processes on one SQLite file: the file's lock is all that they share. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TestClient } from '../support/fixtures.ts';
import { openArena, rounds, startNodes, type Arena, type TokenAnswer } from './support/arena.ts';

describe('two processes on one SQLite file', { timeout: rounds(120_000) }, () => {
  let arena: Arena;
  let client: TestClient;
  beforeAll(async () => {
    arena = await openArena({ kind: 'sqlite' }, (world) => startNodes(world, 2));
    client = await arena.world.client({
      client_id: 'strict',
      redirect_uris: ['https://race.example/cb'],
      grant_types: ['authorization_code', 'refresh_token'],
      scope: 'openid orders:read',
    });
  });
  afterAll(() => arena?.close());

  /** One winner; the others are told nothing but that it is not good; and what was won is taken back. */
  const oneWon = async (answers: readonly TokenAnswer[], before: readonly string[] = []): Promise<void> => {
    const outcomes = answers.map(({ status, body }) => `${status} ${body.error ?? ''}`).sort();
    expect(outcomes).toEqual([
      '200 ',
      ...Array.from({ length: answers.length - 1 }, () => '400 invalid_grant'),
    ]);
    const issued = answers.flatMap(({ body }) => [body.access_token, body.refresh_token]);
    expect(await arena.anyAlive(client, [...before, ...issued])).toBe(false);
  };

  it('give one of 20 uses of a refresh token tokens, and then take them back', async () => {
    for (let round = 0; round < rounds(5); round++) {
      const family = await arena.family(client);
      const answers = await arena.volley(20, (node) => arena.refresh(node, client, family.refresh));
      await oneWon(answers, [family.access, family.refresh]);
      expect(await arena.audited(family.id)).toMatchObject([{ type: 'token.reuse_detected' }]);
    }
  });

  it('give one of 10 uses of a code tokens, and then take them back', async () => {
    for (let round = 0; round < rounds(5); round++) {
      const code = await arena.code(client);
      await oneWon(await arena.volley(10, (node) => arena.exchange(node, client, code)));
    }
  });
});
