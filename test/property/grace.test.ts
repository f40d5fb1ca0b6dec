/** Rotation grace: a retry of the token that was just rotated gets the same successor, and nothing else does. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openArena, type Arena, type Family } from '../race/support/arena.ts';
import { databaseKinds } from '../support/databases.ts';
import type { TestClient } from '../support/fixtures.ts';

const clientOf = (client_id: string, more: object = {}) => ({
  client_id,
  redirect_uris: [`https://${client_id}.example/cb`],
  grant_types: ['authorization_code', 'refresh_token'],
  scope: 'openid orders:read orders:write phones:read',
  ...more,
});

describe.each(databaseKinds)('rotation grace on %s', (kind) => {
  let arena: Arena;
  let graceful: TestClient;
  beforeAll(async () => {
    arena = await openArena({ kind, env: { PORTCULLIS_ROTATION_GRACE: '30' } });
    graceful = await arena.world.client(clientOf('graceful'));
  });
  afterAll(() => arena?.close());

  const refresh = (token: string, as = graceful, headers?: Record<string, string>) =>
    arena.refresh(0, as, token, headers);
  const next = async (token: string, as = graceful): Promise<string> => {
    const { status, body } = await refresh(token, as);
    expect([status, body.error]).toEqual([200, undefined]);
    return body.refresh_token ?? '';
  };
  const reuse = async (token: string, as = graceful): Promise<void> => {
    const { status, body } = await refresh(token, as);
    expect([status, body.error]).toEqual([400, 'invalid_grant']);
  };
  /** Lets time pass for the database, whose clock judges the window. */
  const age = (family: Family, ms: number) =>
    arena.world.app.domain.storage.database.sql.write(
      'test.age',
      `UPDATE families SET rotated_at = rotated_at - $2 WHERE id = $1`,
      [family.id, ms],
    );
  const row = async (family: Family) => {
    const found = await arena.world.app.domain.storage.families.read(family.id);
    if (!found) throw new Error('no such family');
    return found;
  };

  it('gives every retry the same successor, with an access token of its own', async () => {
    const family = await arena.family(graceful);
    const answers = [];
    for (let n = 0; n < 5; n++) answers.push((await refresh(family.refresh)).body);
    const successors = new Set(answers.map(({ refresh_token: token }) => token));
    expect(successors.size).toBe(1);
    const access = answers.map(({ access_token: token }) => token);
    expect(new Set(access).size).toBe(5);
    for (const token of access) expect(await arena.anyAlive(graceful, [token])).toBe(true);
    expect(await arena.audited(family.id)).toEqual([]);
  });

  it('works for APIs with opaque tokens too', async () => {
    const family = await arena.family(graceful, { params: { scope: 'openid phones:read' } });
    const [one, two] = [(await refresh(family.refresh)).body, (await refresh(family.refresh)).body];
    expect(one.refresh_token).toBe(two.refresh_token);
    expect(one.access_token).toMatch(/^pca_/);
    expect(one.access_token).not.toBe(two.access_token);
    for (const token of [family.access, one.access_token, two.access_token]) {
      expect(await arena.anyAlive(graceful, [token])).toBe(true);
    }
  });

  it('narrows the scope of a retry as that of any refresh', async () => {
    const family = await arena.family(graceful, { params: { scope: 'openid orders:read orders:write' } });
    const successor = await next(family.refresh);
    const form = { grant_type: 'refresh_token', refresh_token: family.refresh, scope: 'orders:read' };
    const { body } = await arena.post<{ scope: string; refresh_token: string }>(0, '/token', form, graceful);
    expect(body).toMatchObject({ scope: 'orders:read', refresh_token: successor });
  });

  it('closes when the successor is used: the old token is reuse from then on', async () => {
    const family = await arena.family(graceful);
    const successor = await next(family.refresh);
    expect(await next(family.refresh)).toBe(successor);
    const third = await next(successor);
    await reuse(family.refresh);
    await reuse(third);
    expect(await arena.anyAlive(graceful, [family.access])).toBe(false);
    expect(await arena.audited(family.id)).toMatchObject([{ type: 'token.reuse_detected' }]);
  });

  it("closes after its seconds by the database's clock, and the audit row says how long ago it was", async () => {
    const family = await arena.family(graceful);
    const successor = await next(family.refresh);
    await age(family, 20_000);
    expect(await next(family.refresh)).toBe(successor);
    await age(family, 10_000);
    await reuse(family.refresh);
    await reuse(successor);
    const [audited] = await arena.audited(family.id);
    const ms = Number(audited?.detail['ms_since_rotation']);
    expect(ms).toBeGreaterThanOrEqual(30_000);
    expect(ms).toBeLessThan(90_000);
  });

  it('holds for the token that was rotated last, not for one before it', async () => {
    const family = await arena.family(graceful);
    const second = await next(family.refresh);
    await next(second);
    await reuse(family.refresh);
  });

  it('opens no window when a database sets its clock back', async () => {
    const family = await arena.family(graceful);
    await next(family.refresh);
    await age(family, -3_600_000);
    await reuse(family.refresh);
  });

  it('shows the old token as inactive to everybody but the token endpoint', async () => {
    const family = await arena.family(graceful);
    await next(family.refresh);
    expect(await arena.world.introspect(family.refresh, graceful)).toEqual({ active: false });
  });

  it('gives nothing to another client, and does not count that as reuse', async () => {
    const family = await arena.family(graceful);
    const successor = await next(family.refresh);
    await reuse(family.refresh, arena.world.web);
    expect(await next(family.refresh)).toBe(successor);
    expect(await arena.audited(family.id)).toEqual([]);
  });

  it('gives nothing once the family has been revoked', async () => {
    const family = await arena.family(graceful);
    await next(family.refresh);
    await arena.post(0, '/revoke', { token: family.refresh }, graceful);
    await reuse(family.refresh);
    expect(await arena.audited(family.id)).toMatchObject([{ type: 'token.revoked' }]);
  });

  it('is each client’s own matter: 0 is strict, whatever the setting says', async () => {
    const strict = await arena.world.client(clientOf('strict', { rotation_grace: 0 }));
    const family = await arena.family(strict);
    await next(family.refresh, strict);
    expect((await row(family)).successor).toBeUndefined();
    await reuse(family.refresh, strict);
  });

  it('does not reach back when it is raised: what was rotated without it is spent', async () => {
    const raised = await arena.world.client(clientOf('raised', { rotation_grace: 0 }));
    const family = await arena.family(raised);
    await next(family.refresh, raised);
    const { clients } = arena.world.app.domain;
    await clients.change(raised.id, { rotation_grace: 60 }, { actor: 'test', scopes: ['clients:write'] });
    await reuse(family.refresh, raised);
  });

  it('keeps the successor where neither the database, nor its keys, nor the old token alone open it', async () => {
    const family = await arena.family(graceful);
    const successor = await next(family.refresh);
    const { dataKeys } = arena.world.app.domain.storage;
    const sealed = Buffer.from((await row(family)).successor ?? []);
    expect(sealed.length).toBeGreaterThan(successor.length);
    const inner = await dataKeys.open(sealed, 'successor');
    for (const bytes of [sealed, inner]) expect(bytes.includes(successor.slice(0, 20))).toBe(false);
    const third = await next(successor);
    const replaced = Buffer.from((await row(family)).successor ?? []);
    expect(replaced.equals(sealed)).toBe(false);
    expect(third).not.toBe(successor);
  });

  it('is counted, apart from reuse', async () => {
    const count = async (decision: string): Promise<number> => {
      const text = await arena.world.app.metrics.render();
      const line = new RegExp(`^portcullis_refresh_reuse_total\\{decision="${decision}"\\} (\\d+)$`, 'm');
      return Number(line.exec(text)?.[1] ?? 0);
    };
    const [grace, revoked] = [await count('grace'), await count('revoked')];
    const family = await arena.family(graceful);
    await next(family.refresh);
    await next(family.refresh);
    expect([await count('grace'), await count('revoked')]).toEqual([grace + 1, revoked]);
    await age(family, 60_000);
    await reuse(family.refresh);
    expect([await count('grace'), await count('revoked')]).toEqual([grace + 1, revoked + 1]);
  });
});
