/**
 * The database failing at each step of a token request. Before the commit: nothing was issued, nothing has changed,
 * and the same request works when the database is back. In the commit: the row itself is asked what happened.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { databaseKinds } from '../support/databases.ts';
import { startWorld, type Answer, type TestClient, type Tokens, type World } from '../support/fixtures.ts';
import { contentOf, stepsOf, withFault } from './support/faults.ts';
import { tappedDatabase, unavailable } from './support/tapped-database.ts';

const clientOf = (client_id: string, more: object = {}) => ({
  client_id,
  redirect_uris: [`https://${client_id}.example/cb`],
  grant_types: ['authorization_code', 'refresh_token'],
  scope: 'openid orders:read phones:read',
  ...more,
});

type Sent = Answer<Partial<Tokens> & { error?: string }>;

/** A request that can be sent again, and what shows that it has been answered. */
interface Attempt {
  send(): Promise<Sent>;
}

describe.each(databaseKinds)('a token request on %s', { timeout: 120_000 }, (kind) => {
  const tapped = tappedDatabase();
  let world: World;
  let strict: TestClient;
  let graceful: TestClient;
  let bare: TestClient;
  let capped: TestClient;
  beforeAll(async () => {
    world = await startWorld({ kind, wrapDatabase: tapped.wrap });
    tapped.watch(world.app.koa);
    strict = await world.client(clientOf('strict'));
    graceful = await world.client(clientOf('graceful', { rotation_grace: 60 }));
    bare = await world.client(clientOf('bare', { grant_types: ['authorization_code'] }));
    capped = await world.client(clientOf('capped', { max_families_per_user: 1 }));
  });
  afterAll(() => world?.close());

  const sql = () => world.app.domain.storage.database.sql;
  /** What there is, now and whenever it is asked for again. */
  const snapshot = async () => {
    const until = Date.now() + 20_000;
    const content = () => contentOf((name, text) => sql().read(name, text), until);
    return { content, before: await content() };
  };
  const browsers = new Map<string, Awaited<ReturnType<World['authorize']>>['browser']>();
  const code = async (client: TestClient, scope: string): Promise<Attempt> => {
    const known = browsers.get(client.id);
    const done = await world.authorize(client, {
      params: { scope },
      ...(known ? { browser: known } : {}),
    });
    browsers.set(client.id, done.browser);
    const form = {
      grant_type: 'authorization_code',
      code: done.code,
      redirect_uri: client.redirect,
      code_verifier: done.verifier,
    };
    return { send: () => world.post('/token', form, client) };
  };
  const firstToken = async (client: TestClient, scope: string): Promise<string> => {
    const { body } = await (await code(client, scope)).send();
    if (body.refresh_token === undefined) throw new Error(`no refresh token: ${JSON.stringify(body)}`);
    return body.refresh_token;
  };
  const refresh = async (client: TestClient, scope: string): Promise<Attempt> => {
    const token = await firstToken(client, scope);
    return { send: () => world.refresh(client, token) };
  };
  const retryInGrace = async (scope: string): Promise<Attempt> => {
    const token = await firstToken(graceful, scope);
    await world.refresh(graceful, token);
    return { send: () => world.refresh(graceful, token) };
  };
  const [JWT, OPAQUE] = ['openid orders:read', 'openid phones:read'];

  const unavailableAnswer = ({ status, body, headers }: Sent) => {
    expect([status, body.error, headers.get('retry-after')]).toEqual([503, 'temporarily_unavailable', '1']);
    expect(headers.get('cache-control')).toBe('no-store');
    expect(body).not.toHaveProperty('access_token');
  };

  describe.each<[string, () => Promise<Attempt>]>([
    ['a refresh', () => refresh(strict, JWT)],
    ['a refresh with an opaque access token', () => refresh(strict, OPAQUE)],
    ['a refresh with a grace window', () => refresh(graceful, JWT)],
    ['a retry inside the grace window', () => retryInGrace(JWT)],
    ['a retry inside the grace window with an opaque access token', () => retryInGrace(OPAQUE)],
    ['a code exchange', () => code(strict, JWT)],
    ['a code exchange with an opaque access token', () => code(strict, OPAQUE)],
    [
      'a code exchange that ends another family for a cap',
      async () => {
        await (await code(capped, JWT)).send();
        return code(capped, JWT);
      },
    ],
    ['a code exchange without a refresh token', () => code(bare, JWT)],
  ])('%s', (name, prepare) => {
    it('changes nothing when any step before the commit fails, and works afterwards', async () => {
      const { send } = await prepare();
      const steps = await stepsOf(tapped, async () => expect((await send()).status).toBe(200));
      const commit = steps.lastIndexOf('commit');
      /** The step that makes it so; what follows a read-only retry changes nothing either. */
      const decides = commit === -1 ? steps.length - 1 : commit;
      for (const [step, what] of steps.entries()) {
        for (const when of ['before', 'after'] as const) {
          if (when === 'after' && step === decides) continue;
          for (const lasting of [false, true]) {
            const attempt = await prepare();
            const { content, before } = await snapshot();
            unavailableAnswer(await withFault(tapped, { step, when, lasting }, attempt.send));
            expect(await content(), `${when} ${what}`).toBe(before);
            expect((await attempt.send()).status, `then, after a failure ${when} ${what}`).toBe(200);
          }
        }
      }
      expect(steps.length, name).toBeGreaterThan(1);
    });

    it('is a 500 without a trace when something else fails, and works afterwards', async () => {
      const { send } = await prepare();
      const steps = await stepsOf(tapped, send);
      for (const [step, what] of steps.entries()) {
        const attempt = await prepare();
        const { content, before } = await snapshot();
        const error = () => new TypeError('a defect');
        const { status, body } = await withFault(tapped, { step, when: 'before', error }, attempt.send);
        expect([status, body.error], what).toEqual([500, 'server_error']);
        expect(JSON.stringify(body)).not.toContain('defect');
        expect(await content(), what).toBe(before);
        expect((await attempt.send()).status).toBe(200);
      }
    });
  });

  describe.each<[string, () => Promise<Attempt>]>([
    ['a refresh', () => refresh(strict, JWT)],
    ['a refresh with an opaque access token', () => refresh(strict, OPAQUE)],
    ['a code exchange', () => code(strict, JWT)],
    ['a code exchange with an opaque access token', () => code(strict, OPAQUE)],
  ])('%s whose commit loses its answer', (_, prepare) => {
    const last = async (): Promise<number> => {
      const { send } = await prepare();
      const steps = await stepsOf(tapped, send);
      return steps.length - 1;
    };

    it('asks the row, and answers', async () => {
      const step = await last();
      const { send } = await prepare();
      const { status, body } = await withFault(tapped, { step, when: 'after' }, send);
      expect(status).toBe(200);
      expect(body.refresh_token_expires_in).toBeGreaterThan(0);
      expect(await world.introspect(body.access_token ?? '')).toMatchObject({ active: true });
      expect((await world.refresh(strict, body.refresh_token ?? '')).status).toBe(200);
    });

    it('is unavailable when the row cannot be asked; sending it again is reuse', async () => {
      const step = await last();
      const { send } = await prepare();
      unavailableAnswer(await withFault(tapped, { step, when: 'after', lasting: true }, send));
      const again = await send();
      expect([again.status, again.body.error]).toEqual([400, 'invalid_grant']);
    });
  });

  it('that exchanges a code without a refresh token and loses the answer of its commit: 503, the code is spent', async () => {
    const send = async (): Promise<Attempt> => code(bare, JWT);
    const steps = await stepsOf(tapped, (await send()).send);
    const attempt = await send();
    unavailableAnswer(await withFault(tapped, { step: steps.length - 1, when: 'after' }, attempt.send));
    const again = await attempt.send();
    expect([again.status, again.body.error]).toEqual([400, 'invalid_grant']);
    // A new sign-in is all it takes.
    expect((await (await send()).send()).status).toBe(200);
  });

  it('whose refresh commits and loses its answer gets the successor inside the grace window', async () => {
    const { send } = await refresh(graceful, JWT);
    unavailableAnswer(await withFault(tapped, { step: 1, when: 'after', lasting: true }, send));
    const again = await send();
    expect(again.status).toBe(200);
    expect((await world.refresh(graceful, again.body.refresh_token ?? '')).status).toBe(200);
  });

  it('that is a replay ends the family with its audit row, or does neither and ends it the next time', async () => {
    const replay = async () => {
      const token = await firstToken(strict, JWT);
      const { body } = await world.refresh(strict, token);
      return { send: () => world.refresh(strict, token) as Promise<Sent>, access: body.access_token ?? '' };
    };
    const audited = async () => (await snapshot()).before.split('token.reuse_detected').length - 1;
    const { send } = await replay();
    const steps = await stepsOf(tapped, send);
    expect(steps).toEqual(['families.read', 'begin', 'families.kill', 'audit.insert', 'commit']);
    for (const [step, what] of steps.entries()) {
      const attempt = await replay();
      const [{ content, before }, count] = [await snapshot(), await audited()];
      unavailableAnswer(await withFault(tapped, { step, when: 'before' }, attempt.send));
      expect(await content(), what).toBe(before);
      expect(await world.introspect(attempt.access)).toMatchObject({ active: true });
      expect((await attempt.send()).status).toBe(400);
      expect(await world.introspect(attempt.access)).toEqual({ active: false });
      expect(await audited()).toBe(count + 1);
    }
    const attempt = await replay();
    const count = await audited();
    await withFault(tapped, { step: steps.length - 1, when: 'after' }, attempt.send);
    expect(await world.introspect(attempt.access)).toEqual({ active: false });
    expect((await attempt.send()).status).toBe(400);
    expect(await audited()).toBe(count + 1);
  });

  it('is refused, never a 500, when the client goes away while the database is asked', async () => {
    const token = await firstToken(graceful, JWT);
    const leaving = new AbortController();
    tapped.tap = { after: (step) => void (step === 'families.rotate' && leaving.abort()) };
    const gone = fetch(`${world.url}/token`, {
      method: 'POST',
      signal: leaving.signal,
      headers: {
        authorization: `Basic ${Buffer.from(`${graceful.id}:${graceful.secret ?? ''}`).toString('base64')}`,
      },
      body: new URLSearchParams({ grant_type: 'refresh_token', refresh_token: token }),
    });
    await expect(gone).rejects.toThrow();
    tapped.tap = {};
    const again = await world.refresh(graceful, token);
    expect(again.status).toBe(200);
    expect((await world.refresh(graceful, again.body.refresh_token ?? '')).status).toBe(200);
  });

  it('is unavailable while the client cannot be looked up, and works afterwards', async () => {
    const fresh = await world.client({
      ...clientOf('fresh', { grant_types: ['client_credentials'] }),
      redirect_uris: [],
    });
    const send = (): Promise<Sent> => world.post('/token', { grant_type: 'client_credentials' }, fresh);
    for (const away of ['prisma Client.findUnique', 'prisma ClientSecret.findMany']) {
      tapped.tap = {
        before(step) {
          if (step === away) throw unavailable();
        },
      };
      unavailableAnswer(await send());
    }
    tapped.tap = {};
    expect((await send()).status).toBe(200);
  });

  it('leaves introspection and revocation unavailable, not wrong, while the database is away', async () => {
    const token = await firstToken(strict, JWT);
    for (const path of ['/introspect', '/revoke']) {
      const away = { step: 0, when: 'before', lasting: true, error: unavailable } as const;
      const { status, headers } = await withFault(tapped, away, () => world.post(path, { token }, strict));
      expect([path, status, headers.get('retry-after')]).toEqual([path, 503, '1']);
    }
    expect(await world.introspect(token, strict)).toMatchObject({ active: true });
  });
});
