/** Lifetimes to the second, by the clock of the node that is asked; and caps on a user's families. */
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { openArena, type Arena } from '../race/support/arena.ts';
import { databaseKinds } from '../support/databases.ts';
import type { TestClient } from '../support/fixtures.ts';

const clientOf = (client_id: string, more: object = {}) => ({
  client_id,
  redirect_uris: [`https://${client_id}.example/cb`],
  grant_types: ['authorization_code', 'refresh_token'],
  scope: 'openid offline_access orders:read phones:read',
  ...more,
});

describe.each(databaseKinds)('lifetimes on %s', (kind) => {
  let arena: Arena;
  let brief: TestClient;
  beforeAll(async () => {
    arena = await openArena({
      kind,
      env: {
        PORTCULLIS_SESSION_IDLE_TTL: '1000',
        PORTCULLIS_SESSION_MAX_TTL: '1500',
        PORTCULLIS_MAX_FAMILIES_PER_USER: '4',
      },
    });
    brief = await arena.world.client(
      clientOf('brief', {
        access_token_ttl: 1,
        refresh_token_idle_ttl: 10,
        refresh_token_max_ttl: 25,
      }),
    );
    vi.useFakeTimers({ toFake: ['Date'] });
  });
  afterAll(async () => {
    vi.useRealTimers();
    await arena?.close();
  });
  /** A whole second, and a browser that is new to it: sessions of before have ended meanwhile. */
  beforeEach(() => {
    vi.setSystemTime((Math.floor(Date.now() / 1000) + 10_000) * 1000);
  });
  const wait = (seconds: number) => vi.setSystemTime(Date.now() + seconds * 1000);
  const begin = (as: TestClient, scope = 'openid orders:read', more: Record<string, string> = {}) =>
    arena.family(as, { browser: arena.world.browser(), params: { scope, ...more } });
  const alive = (token: string | undefined, as = arena.world.gateway) => arena.anyAlive(as, [token]);
  const userinfo = async (token: string) => (await arena.world.userinfo(token)).status;
  const refused = async (as: TestClient, token: string) => {
    const { status, body } = await arena.refresh(0, as, token);
    expect([status, body.error]).toEqual([400, 'invalid_grant']);
  };

  it.each(['openid orders:read', 'openid phones:read'])(
    'an access token of one second is inactive after that second: %s',
    async (scope) => {
      const { access } = await begin(brief, scope);
      wait(0.999);
      expect([await alive(access), await userinfo(access)]).toEqual([true, 200]);
      wait(0.001);
      expect([await alive(access), await userinfo(access)]).toEqual([false, 401]);
    },
  );

  it.each(['openid orders:read', 'openid phones:read'])(
    'a second begins where the clock’s second begins, not where the token was made: %s',
    async (scope) => {
      wait(0.9);
      const { access } = await begin(brief, scope);
      expect([await alive(access), await userinfo(access)]).toEqual([true, 200]);
      wait(0.1);
      expect([await alive(access), await userinfo(access)]).toEqual([false, 401]);
    },
  );

  it('a client’s own token ends to the second as well', async () => {
    const own = await arena.world.client({
      client_id: 'own',
      redirect_uris: [],
      grant_types: ['client_credentials'],
      access_token_ttl: 1,
      scope: 'orders:read',
    });
    const form = { grant_type: 'client_credentials', scope: 'orders:read' };
    const { body } = await arena.post<{ access_token: string }>(0, '/token', form, own);
    wait(0.999);
    expect(await alive(body.access_token)).toBe(true);
    wait(0.001);
    expect(await alive(body.access_token)).toBe(false);
  });

  it('an unused refresh token ends to the second, and a use begins its time anew', async () => {
    const { refresh } = await begin(brief);
    wait(9.999);
    expect(await alive(refresh, brief)).toBe(true);
    const { body } = await arena.refresh(0, brief, refresh);
    wait(9);
    expect(await alive(body.refresh_token, brief)).toBe(true);
    wait(0.001);
    expect(await alive(body.refresh_token, brief)).toBe(false);
    await refused(brief, body.refresh_token ?? '');
  });

  it('rotation never extends the absolute end', async () => {
    let { refresh } = await begin(brief);
    const left: (number | undefined)[] = [];
    for (let n = 0; n < 4; n++) {
      wait(6);
      const { body } = await arena.refresh(0, brief, refresh);
      left.push(body.refresh_token_expires_in);
      refresh = body.refresh_token ?? '';
    }
    expect(left).toEqual([10, 10, 7, 1]);
    wait(0.999);
    expect(await alive(refresh, brief)).toBe(true);
    wait(0.001);
    expect(await alive(refresh, brief)).toBe(false);
    await refused(brief, refresh);
  });

  it('rotation in the last fraction of a second does not reach past the end either', async () => {
    let { refresh } = await begin(brief);
    for (const seconds of [9, 9, 6.9]) {
      wait(seconds); // 0.1 s are left at last
      const { status, body } = await arena.refresh(0, brief, refresh);
      expect(status).toBe(200);
      refresh = body.refresh_token ?? '';
    }
    wait(0.1);
    expect(await alive(refresh, brief)).toBe(false);
    await refused(brief, refresh);
  });

  it('families of one second work, and end', async () => {
    const second = await arena.world.client(
      clientOf('second', { access_token_ttl: 60, refresh_token_idle_ttl: 1, refresh_token_max_ttl: 1 }),
    );
    const { refresh } = await begin(second);
    const { status, body } = await arena.refresh(0, second, refresh);
    expect([status, body.refresh_token_expires_in]).toEqual([200, 1]);
    wait(1);
    await refused(second, body.refresh_token ?? '');
    await refused(second, refresh);
  });

  it('a replay after the end changes nothing: access tokens that are left live to their own end', async () => {
    const lasting = await arena.world.client(
      clientOf('lasting', { access_token_ttl: 60, refresh_token_idle_ttl: 10 }),
    );
    const family = await begin(lasting);
    const { body } = await arena.refresh(0, lasting, family.refresh);
    wait(10);
    await refused(lasting, family.refresh);
    expect(await arena.audited(family.id)).toEqual([]);
    expect(await alive(body.access_token)).toBe(true);
    // Whoever signs out ends them all the same, with the expired token or a spent one.
    await arena.post(0, '/revoke', { token: family.refresh }, lasting);
    expect(await alive(body.access_token)).toBe(false);
    expect(await arena.audited(family.id)).toMatchObject([{ type: 'token.revoked' }]);
  });

  it('a retry inside the grace window is told what is left of the successor', async () => {
    const graceful = await arena.world.client(
      clientOf('graceful', { rotation_grace: 60, refresh_token_idle_ttl: 100 }),
    );
    wait(0.9);
    const { refresh } = await begin(graceful);
    expect((await arena.refresh(0, graceful, refresh)).body.refresh_token_expires_in).toBe(100);
    expect((await arena.refresh(0, graceful, refresh)).body.refresh_token_expires_in).toBe(100);
    wait(30);
    const { body } = await arena.refresh(0, graceful, refresh);
    expect(body.refresh_token_expires_in).toBe(70);
    expect((await arena.world.introspect(body.refresh_token ?? '', graceful))['exp']).toBe(
      Math.floor(Date.now() / 1000) + 70,
    );
  });

  it('a session’s end is its families’ end; those with offline_access live on', async () => {
    const browser = arena.world.browser();
    const more = { browser, params: { scope: 'openid orders:read' } };
    const bound = await arena.family(arena.world.web, more);
    const offline = await arena.family(arena.world.web, {
      browser,
      params: { scope: 'openid orders:read offline_access', prompt: 'consent' },
    });
    const late = async () => (await arena.family(arena.world.web, more)).access;
    wait(999);
    const last = await late(); // the browser came by: the session lives on
    wait(500);
    expect([await alive(last), await alive(bound.refresh, arena.world.web)]).toEqual([true, true]);
    wait(1); // 1500 s since the sign-in
    expect([await alive(last), await alive(bound.refresh, arena.world.web)]).toEqual([false, false]);
    await refused(arena.world.web, bound.refresh);
    expect((await arena.refresh(0, arena.world.web, offline.refresh)).status).toBe(200);
  });

  it('the oldest family ends when a user has more than the setting allows, over all clients', async () => {
    const username = 'collector';
    await arena.world.user(username);
    const browser = arena.world.browser();
    const other = await arena.world.client(clientOf('other'));
    const families = [];
    for (const client of [other, arena.world.web, other, arena.world.web, other]) {
      families.push(await arena.family(client, { browser, username }));
      wait(1);
    }
    const living = await Promise.all(families.map(({ access }) => alive(access)));
    expect(living).toEqual([false, true, true, true, true]);
    expect(await arena.audited(families[0]?.id ?? '')).toMatchObject([
      { type: 'grant.revoked', ip: '127.0.0.1', detail: { reason: 'max_families' } },
    ]);
    await refused(other, families[0]?.refresh ?? '');
    for (const { id } of families.slice(1)) expect(await arena.audited(id)).toEqual([]);
  });

  it('a client may allow fewer, and a refresh ends none', async () => {
    const few = await arena.world.client(clientOf('few', { max_families_per_user: 1 }));
    const username = 'modest';
    await arena.world.user(username);
    const browser = arena.world.browser();
    const elsewhere = await arena.family(arena.world.web, { browser, username });
    const first = await arena.family(few, { browser, username });
    wait(1);
    const second = await arena.family(few, { browser, username });
    expect((await arena.refresh(0, few, second.refresh)).status).toBe(200);
    const living = await Promise.all([elsewhere, first, second].map(({ access }) => alive(access)));
    expect(living).toEqual([true, false, true]);
  });
});
