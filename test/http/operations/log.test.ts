/** What the log holds, and what it never does. */
import { expect, it, onTestFinished } from 'vitest';
import { startWorld } from '../../support/fixtures.ts';

const FIELDS = [
  'time',
  'level',
  'msg',
  'event',
  'request_id',
  'client_id',
  'user_id',
  'grant_id',
  'ip',
  'outcome',
  'duration_ms',
];

it('lines are JSON with the same names everywhere, and no credential or query string is in any', async () => {
  const world = await startWorld();
  onTestFinished(world.close);
  const tokens = await world.tokens(world.web, { params: { state: 'a-state-to-find' } });
  const refreshed = await world.refresh(world.web, tokens.refresh_token ?? '');
  await world.refresh(world.web, tokens.refresh_token ?? ''); // reuse
  await world.refresh({ ...world.web, secret: 'not-the-secret' }, refreshed.body.refresh_token ?? '');
  const lines = world.log.map((line) => JSON.parse(line) as Record<string, unknown>);
  for (const line of lines)
    expect(line).toMatchObject({
      time: expect.any(String) as string,
      level: expect.any(String) as string,
      msg: expect.any(String) as string,
    });
  const names = new Set(lines.flatMap((line) => Object.keys(line)));
  expect([...names]).toEqual(expect.arrayContaining(FIELDS));
  const requests = lines.filter(({ event }) => event === 'http.request');
  expect(requests.find(({ route }) => route === '/authorize')).toMatchObject({
    method: 'GET',
    outcome: expect.any(Number) as number,
  });
  expect(lines.find(({ event }) => event === 'token.reuse_detected')).toMatchObject({
    level: 'warn',
    client_id: 'web',
    user_id: world.userId,
  });
  const all = world.log.join('');
  const never = [
    'a-state-to-find',
    'code_challenge',
    'not-the-secret',
    world.web.secret,
    world.admin.secret,
    tokens.code,
    tokens.verifier,
    tokens.access_token,
    tokens.refresh_token,
    refreshed.body.access_token,
    refreshed.body.refresh_token,
  ];
  for (const secret of never) {
    expect(secret).toBeTruthy();
    expect(all).not.toContain(secret);
  }
});
