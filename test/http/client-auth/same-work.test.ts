/** Who is unknown costs as much as who is known: the same statements, the same hashes. Time follows from work. */
import { createHook } from 'node:async_hooks';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stepsOf } from '../../fault/support/faults.ts';
import { tappedDatabase } from '../../fault/support/tapped-database.ts';
import { Browser } from '../../support/browser.ts';
import { databaseKinds } from '../../support/databases.ts';
import { startWorld, type World } from '../../support/fixtures.ts';
import { authorizationQuery } from '../support/authorization.ts';

describe.each(databaseKinds)('a refusal on %s', (kind) => {
  const tapped = tappedDatabase();
  let world: World;
  let hosts = 0;
  beforeAll(async () => {
    world = await startWorld({ kind, wrapDatabase: tapped.wrap, env: { PORTCULLIS_TRUST_PROXY: '1' } });
    tapped.watch(world.app.koa);
    await world.user('asleep');
    await world.app.domain.storage.database.sql.write(
      'test.disable',
      `UPDATE users SET enabled = FALSE WHERE username = 'asleep'`,
      [],
    );
  });
  afterAll(() => world.close());

  /** Statements, and hashes of passwords: each is a task of argon2's. */
  const workOf = async (work: () => Promise<unknown>): Promise<{ steps: string[]; hashes: number }> => {
    let hashes = 0;
    const hook = createHook({
      init(_id, type) {
        if (type === 'argon2:HashWorker') hashes++;
      },
    }).enable();
    try {
      return { steps: await stepsOf(tapped, work), hashes };
    } finally {
      hook.disable();
    }
  };

  it.each([
    ['a client’s page', () => `/authorize?${authorizationQuery(world.web)}`, '/login'],
    ['the account’s page', () => '/account', '/account/login'],
  ])('takes the same work for known and unknown users at %s', async (_, path, action) => {
    const attempt = async (username: string) => {
      const browser = new Browser(world.url, { 'x-forwarded-for': `198.18.7.${++hosts}` });
      const page = await browser.go(world.url + path());
      let seen = page;
      const work = await workOf(async () => {
        seen = await browser.submit(page, { username, password: 'not the password' }, action);
      });
      // The page says what was typed as the name, and when; nothing else may differ.
      expect(seen.page).toBe('login');
      return { ...work, status: seen.status };
    };
    const known = await attempt('alice');
    expect(known.hashes).toBe(1);
    expect(known.steps.length).toBeGreaterThan(0);
    expect(await attempt('nobody')).toEqual(known);
    expect(await attempt('asleep')).toEqual(known);
  });

  it('takes no hash of a password for any client, and at most the look-up of its row', async () => {
    const attempt = (id: string) =>
      workOf(() =>
        world.post('/token', { grant_type: 'client_credentials' }, { ...world.machine, id, secret: 'x' }),
      );
    await attempt('machine');
    for (const id of ['machine', 'nobody', 'spa']) {
      const { steps, hashes } = await attempt(id);
      expect(hashes, id).toBe(0);
      expect(steps.length, `${id}: ${steps.join()}`).toBeLessThanOrEqual(1);
    }
  });
});
