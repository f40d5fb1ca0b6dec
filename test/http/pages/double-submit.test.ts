/** A form that is sent several times at once: an interaction ends once, and nobody sees a failure of ours. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { databaseKinds } from '../../support/databases.ts';
import type { Browser, Seen } from '../../support/browser.ts';
import { PASSWORD, startWorld, type TestClient, type World } from '../../support/fixtures.ts';
import { ask } from '../support/authorization.ts';

const TIMES = 4;

describe.each(databaseKinds)('a form that is sent %s times at once', (kind) => {
  let world: World;
  let firstParty: TestClient;
  let people = 0;
  beforeAll(async () => {
    world = await startWorld({ kind });
    firstParty = await world.client({
      client_id: 'own',
      redirect_uris: ['https://own.example/cb'],
      grant_types: ['authorization_code', 'refresh_token'],
      first_party: true,
      scope: 'openid orders:read',
    });
  });
  afterAll(() => world.close());

  const begin = async (client: TestClient) => {
    const username = `twice-${people++}`;
    await world.user(username);
    const browser = world.browser();
    const { seen } = await ask(world, client, { scope: 'openid orders:read' }, browser);
    return { browser, login: seen, fields: { username, password: PASSWORD } };
  };
  const atOnce = (browser: Browser, page: Seen, fields: Record<string, string>, action: string) =>
    Promise.all(Array.from({ length: TIMES }, () => browser.submit(page, fields, action)));
  const codesOf = (answers: readonly Seen[]): string[] =>
    answers.flatMap(({ url }) => new URL(url).searchParams.getAll('code'));
  /** What the others saw. */
  const othersOf = (answers: readonly Seen[]) =>
    new Set(
      answers
        .filter(({ url }) => !new URL(url).searchParams.has('code'))
        .map(({ status, page }) => `${status} ${page}`),
    );

  it('signs in: one code at most, and a page that explains for the others', async () => {
    let codes = 0;
    for (let round = 0; round < 5; round++) {
      const { browser, login, fields } = await begin(firstParty);
      const answers = await atOnce(browser, login, fields, '/login');
      expect([...othersOf(answers)].filter((seen) => seen !== '400 error')).toEqual([]);
      expect(codesOf(answers).length).toBeLessThanOrEqual(1);
      codes += codesOf(answers).length;
    }
    expect(codes).toBeGreaterThan(0);
  });

  it('allows: one code, whatever the number of answers', async () => {
    for (let round = 0; round < 5; round++) {
      const { browser, login, fields } = await begin(world.web);
      const consent = await browser.submit(login, fields, '/login');
      expect(consent.page).toBe('consent');
      const answers = await atOnce(browser, consent, { decision: 'allow' }, '/consent');
      expect([...othersOf(answers)].filter((seen) => seen !== '400 error')).toEqual([]);
      expect(codesOf(answers)).toHaveLength(1);
    }
  });

  it('allows and denies at once: one of both', async () => {
    for (let round = 0; round < 5; round++) {
      const { browser, login, fields } = await begin(world.web);
      const consent = await browser.submit(login, fields, '/login');
      const answers = await Promise.all(
        ['allow', 'deny', 'allow', 'deny'].map((decision) =>
          browser.submit(consent, { decision }, '/consent'),
        ),
      );
      const left = answers.filter(({ url }) => url.startsWith(world.web.redirect));
      expect(left).toHaveLength(1);
      for (const { status } of answers) expect(status).toBeLessThan(500);
    }
  });
});
