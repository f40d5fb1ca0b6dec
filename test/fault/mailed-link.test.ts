/** The database failing at each step of the use of a mailed link: nothing has changed, and the link is good still. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { databaseKinds } from '../support/databases.ts';
import { startWorld, type World } from '../support/fixtures.ts';
import { delivered, mailTo } from '../http/support/mail.ts';
import { withPassword } from '../http/support/second-factor.ts';
import { tappedDatabase, unavailable } from './support/tapped-database.ts';

describe.each(databaseKinds)('a mailed link on %s', { timeout: 120_000 }, (kind) => {
  const tapped = tappedDatabase();
  let world: World;
  beforeAll(async () => {
    world = await startWorld({ kind, wrapDatabase: tapped.wrap });
    tapped.watch(world.app.koa);
  });
  afterAll(() => world?.close());

  it.each([
    ['that confirms an address', 'profile', 'ada@mail.example', {}],
    ['that changes an address', 'email', 'bob@new.example', { email: 'bob@new.example' }],
  ])('%s', async (_, section, email, fields) => {
    const username = email.slice(0, 3);
    const first = `${username}@mail.example`;
    const id = await world.user(username, { email: first, email_verified: section === 'email' });
    const browser = world.browser();
    await withPassword(world, username, browser);
    const path = `/account/${section}`;
    await browser.submit(await browser.go(`${world.url}${path}`), fields, path);
    const { link } = await mailTo(world, email);
    const page = await browser.go(link);
    const use = () => browser.submit(page, {}, '/account/verify');
    const { accounts, storage } = world.app.domain;
    const state = async () => {
      const { prisma } = storage.database;
      const audit = await prisma.auditEvent.count({ where: { userId: id } });
      return { user: await accounts.get(id), audit, mails: await prisma.mail.count() };
    };
    await delivered(world);
    const before = await state();
    /** Fails at the step of this number; what the server keeps in memory for a while may come or not. */
    let failed = true;
    const seen: string[] = [];
    for (let at = 0; failed; at++) {
      for (const when of ['before', 'after'] as const) {
        let step = -1;
        failed = false;
        tapped.tap = {
          [when]: (name: string) => {
            step += 1;
            if (step !== at || failed) return;
            failed = true;
            seen.push(name);
            throw unavailable();
          },
        };
        const { status } = await use();
        tapped.tap = {};
        if (!failed) {
          expect(status).toBe(200); // no step is left to fail at
          break;
        }
        expect(status, `${when} ${seen.at(-1)}`).toBe(503);
        expect(await state(), `${when} ${seen.at(-1)}`).toEqual(before);
      }
    }
    expect(seen).toEqual(expect.arrayContaining(['prisma Artifact.updateMany', 'prisma User.updateMany']));
    expect(await accounts.get(id)).toMatchObject({ email, emailVerified: true });
    expect((await state()).audit).toBe(before.audit + 1);
    expect((await use()).status).toBe(400);
  });
});
