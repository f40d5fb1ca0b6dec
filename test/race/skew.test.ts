/** Nodes whose clocks disagree by a minute: wrong by their skew and no more, and never of two minds. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { databaseKinds } from '../support/databases.ts';
import type { TestClient } from '../support/fixtures.ts';
import { openArena, startNodes, type Arena } from './support/arena.ts';

/** Seconds. */
const SKEW = 60;

/** Node options that set a process's clock ahead by so many milliseconds. */
const ahead = (ms: number): string => {
  const source = `const Real = Date; const shift = ${ms};
    globalThis.Date = class extends Real {
      constructor(...given) { given.length === 0 ? super(Real.now() + shift) : super(...given); }
      static now() { return Real.now() + shift; }
    };`;
  return `--import=data:text/javascript,${encodeURIComponent(source)}`;
};

// Needs PostgreSQL: nodes of different clocks do not share a file; `.ci/run` brings a server.
describe.skipIf(!databaseKinds.includes('postgresql'))('nodes a minute apart', () => {
  let arena: Arena;
  const [NOW, LATE, EARLY] = [0, 1, 2];
  const introspect = async (node: number, token: string, as = arena.world.gateway) =>
    (await arena.post<{ active: boolean }>(node, '/introspect', { token }, as)).body.active;
  const client = (id: string, more: object) =>
    arena.world.client({
      client_id: id,
      redirect_uris: [`https://${id}.example/cb`],
      grant_types: ['authorization_code', 'refresh_token'],
      scope: 'openid orders:read phones:read',
      ...more,
    });
  let brief: TestClient;
  let lasting: TestClient;
  beforeAll(async () => {
    arena = await openArena({ kind: 'postgresql' }, async (world) => {
      const [late, early] = await Promise.all([
        startNodes(world, 1, { NODE_OPTIONS: ahead(SKEW * 1000) }),
        startNodes(world, 1, { NODE_OPTIONS: ahead(-SKEW * 1000) }),
      ]);
      return {
        urls: [world.url, ...late.urls, ...early.urls],
        close: async () => void (await Promise.all([late.close(), early.close()])),
      };
    });
    brief = await client('brief', { access_token_ttl: 30, refresh_token_idle_ttl: 30 });
    lasting = await client('lasting', { access_token_ttl: 300, rotation_grace: 30 });
  });
  afterAll(() => arena?.close());

  it.each(['openid orders:read', 'openid phones:read'])(
    'an access token of half a minute has expired where it is a minute later, and stays so: %s',
    async (scope) => {
      const { access } = await arena.family(brief, { params: { scope } });
      for (let again = 0; again < 3; again++) {
        expect(await introspect(LATE, access)).toBe(false);
        expect(await introspect(NOW, access)).toBe(true);
        expect(await introspect(EARLY, access)).toBe(true);
      }
    },
  );

  it('one that lives longer than the skew is alive everywhere, whoever issued it', async () => {
    for (const issuer of [NOW, LATE, EARLY]) {
      const { body } = await arena.post<{ access_token: string }>(
        issuer,
        '/token',
        { grant_type: 'client_credentials', scope: 'orders:read' },
        arena.world.machine,
      );
      for (const node of [NOW, LATE, EARLY]) {
        expect(await introspect(node, body.access_token), `${issuer} to ${node}`).toBe(true);
      }
    }
  });

  it('a refresh token that has expired there is refused there, which changes nothing here', async () => {
    const family = await arena.family(brief);
    const { body } = await arena.refresh(NOW, brief, family.refresh);
    for (const token of [body.refresh_token ?? '', family.refresh]) {
      const refused = await arena.refresh(LATE, brief, token); // the second is spent as well
      expect([refused.status, refused.body.error]).toEqual([400, 'invalid_grant']);
    }
    expect(await arena.audited(family.id)).toEqual([]);
    expect((await arena.refresh(NOW, brief, body.refresh_token ?? '')).status).toBe(200);
  });

  it('a code that has expired there is no code used twice', async () => {
    const code = await arena.code(lasting);
    const refused = await arena.exchange(LATE, lasting, code);
    expect([refused.status, refused.body.error]).toEqual([400, 'invalid_grant']);
    expect((await arena.exchange(NOW, lasting, code)).status).toBe(200);
  });

  it('the grace window is the same for all: the database’s clock judges it', async () => {
    const family = await arena.family(lasting);
    const successors = new Set<unknown>();
    for (const node of [LATE, EARLY, NOW]) {
      const { status, body } = await arena.refresh(node, lasting, family.refresh);
      expect(status).toBe(200);
      successors.add(body.refresh_token);
    }
    expect(successors.size).toBe(1);
  });

  it('what is revoked here is revoked there', async () => {
    const family = await arena.family(lasting);
    await arena.post(NOW, '/revoke', { token: family.refresh }, lasting);
    for (const node of [NOW, LATE, EARLY]) expect(await introspect(node, family.access)).toBe(false);
  });
});
