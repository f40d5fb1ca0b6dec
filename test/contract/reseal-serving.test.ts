/** From one secret key to another without a pause: what clients, users and admins hold stays good. */
import { randomBytes } from 'node:crypto';
import { expect, it, describe } from 'vitest';
import { fingerprint } from '../../src/lib/crypto.ts';
import { openStorage } from '../../src/storage/open.ts';
import { reseal } from '../../src/storage/reseal.ts';
import { ask } from '../http/support/authorization.ts';
import { databaseKinds, freshDatabase } from '../support/databases.ts';
import { startWorld, type Tokens, type World } from '../support/fixtures.ts';
import { startReceiver } from '../support/receiver.ts';
import { startTestServer } from '../support/server.ts';

const [OLD, NEW] = [randomBytes(32), randomBytes(32)];
const text = (...keys: Buffer[]): string => keys.map((key) => key.toString('base64url')).join();
const clock = { now: Date.now };

/** What `portcullis reseal` does, beside a server that is told of each step. */
async function resealBeside({ app, databaseUrl }: World): Promise<string> {
  const secretKeys = [NEW, OLD];
  const listeners = { onEvent: () => {}, onBump: () => {} };
  const { database, changes, dataKeys } = await openStorage({
    url: databaseUrl,
    secretKeys,
    clock,
    listeners,
  });
  const everyServerKnows = () => app.domain.storage.dataKeys.reload();
  const rest = () => Promise.resolve();
  const done = await reseal({ database, changes, dataKeys, secretKeys, clock, everyServerKnows, rest });
  await database.close();
  return done.sealingKey;
}

describe.each(databaseKinds)('a server on %s', (kind) => {
  it('goes on refreshing while its keys are moved; then the old secret key can be dropped', async () => {
    const { url: databaseUrl, drop } = await freshDatabase(kind);
    const receiver = await startReceiver();
    const env = { PORTCULLIS_FETCH_ALLOW: receiver.host };
    const world = await startWorld({ databaseUrl, secretKeys: text(OLD), env });
    // Each server in its turn, at the same place as the first.
    const same = { ...env, PORT: new URL(world.url).port, PORTCULLIS_ISSUER: world.url };
    const restart = (secretKeys: string) => startTestServer({ databaseUrl, secretKeys, env: same });

    // What clients, users and admins hold.
    const scope = 'openid offline_access orders:read';
    const browser = world.browser();
    const held: Tokens[] = [];
    for (let i = 0; i < 4; i++) held.push(await world.tokens(world.web, { browser, params: { scope } }));
    const opaque = await world.tokens(world.web, { browser, params: { scope: 'openid phones:read' } });
    const code = await world.authorize(world.web, { browser });
    const bearer = {
      authorization: `Bearer ${await world.adminToken()}`,
      'content-type': 'application/json',
    };
    const body = JSON.stringify({ url: receiver.url, events: ['user.created'] });
    const hook = await fetch(`${world.url}/admin/v1/webhooks`, { method: 'POST', headers: bearer, body });
    const { id: webhook } = (await hook.json()) as { id: string };
    const jwks = await (await fetch(`${world.url}/jwks`)).json();

    await world.app.close();
    const both = await restart(text(NEW, OLD));
    let refreshes = 0;
    const state = { moved: false };
    const newest = held.map(({ refresh_token: token = '' }) => token);
    const load = newest.map(async (first, index) => {
      let [token, rounds] = [first, 0];
      while (!state.moved || rounds < 3) {
        const answer = await world.refresh(world.web, token);
        expect(answer.status, JSON.stringify(answer.body)).toBe(200);
        expect(await world.introspect(answer.body.access_token)).toMatchObject({ active: true });
        token = answer.body.refresh_token ?? '';
        rounds += 1;
        refreshes += 1;
      }
      newest[index] = token;
    });
    const sealingKey = await resealBeside({ ...world, app: both.app });
    state.moved = true;
    await Promise.all(load);
    expect(refreshes).toBeGreaterThanOrEqual(12);
    expect(both.app.domain.storage.dataKeys.sealingKey).toBe(sealingKey);
    expect(both.log.filter((line) => /"level":(50|"error")/.test(line))).toEqual([]);
    await both.close();

    await expect(restart(text(OLD))).rejects.toThrow(fingerprint(NEW));

    const server = await restart(text(NEW));
    expect(await (await fetch(`${world.url}/jwks`)).json()).toEqual(jwks);
    for (const { access_token: token } of [...held, opaque]) {
      expect(await world.introspect(token)).toMatchObject({ active: true });
    }
    for (const token of newest) expect((await world.refresh(world.web, token)).status).toBe(200);
    // A spent one is still known for what it is.
    expect((await world.refresh(world.web, held[0]?.refresh_token ?? '')).body).toMatchObject({
      error: 'invalid_grant',
    });
    expect((await world.refresh(world.web, newest[0] ?? '')).status).toBe(400);
    const exchanged = await world.post(
      '/token',
      {
        grant_type: 'authorization_code',
        code: code.code,
        redirect_uri: world.web.redirect,
        code_verifier: code.verifier,
      },
      world.web,
    );
    expect(exchanged.status).toBe(200);
    const { result } = await ask(world, world.web, { prompt: 'none' }, browser);
    expect(result.get('code')).toBeTruthy();
    expect((await browser.go('/account')).page).toBe('account');
    const test = await fetch(`${world.url}/admin/v1/webhooks/${webhook}/test`, {
      method: 'POST',
      headers: { authorization: bearer.authorization },
    });
    expect(await test.json()).toMatchObject({ delivered: true });
    await server.close();
    await receiver.close();
    await drop();
  });
});
