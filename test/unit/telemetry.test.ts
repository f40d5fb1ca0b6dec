import { describe, expect, it } from 'vitest';
import { PortcullisError } from '../../src/lib/errors.ts';
import { type AuditEvent, eventTypes, report } from '../../src/telemetry/events.ts';
import { createLogger } from '../../src/telemetry/logger.ts';
import { createMetrics, renderMerged } from '../../src/telemetry/metrics.ts';

function logTo(environment: 'development' | 'production') {
  const lines: string[] = [];
  const logger = createLogger({ environment, destination: { write: (line) => void lines.push(line) } });
  return { lines, logger, first: () => JSON.parse(lines[0] ?? '') as Record<string, unknown> };
}

describe('the log in production', () => {
  it('is one JSON object a line, with time, level and message', () => {
    const { lines, logger, first } = logTo('production');
    logger.child({ request_id: 'r1' }).info({ client_id: 'c1', duration_ms: 3 }, 'served');
    expect(lines).toHaveLength(1);
    expect(lines[0]?.endsWith('\n')).toBe(true);
    expect(first()).toEqual({
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
      level: 'info',
      msg: 'served',
      request_id: 'r1',
      client_id: 'c1',
      duration_ms: 3,
    });
  });

  it('writes no value whose key speaks of a secret, at any depth', () => {
    const { lines, logger } = logTo('production');
    const keys = [
      'password',
      'newPassword',
      'token',
      'access_token',
      'refreshToken',
      'client_secret',
      'secret',
      'code',
      'user_code',
      'code_verifier',
      'Authorization',
      'cookie',
      'set-cookie',
      'client_assertion',
    ];
    for (const key of keys) {
      logger.info({ [key]: 'hunter2' });
      logger.child({ a: [{ b: { [key]: 'hunter2' } }] }).info('x');
      logger.info({ body: { deep: { deeper: { [key]: { value: 'hunter2' } } } } });
    }
    expect(lines).toHaveLength(keys.length * 3);
    for (const line of lines) expect(line).toMatch(/\[redacted\]/);
    expect(lines.join('')).not.toContain('hunter2');
  });

  it('keeps what only looks like a secret key', () => {
    const { logger, first } = logTo('production');
    const fields = { secret_id: 's1', token_type: 'DPoP', error_code: 'ECONNREFUSED', status_code: 401 };
    logger.info(fields);
    expect(first()).toMatchObject(fields);
  });

  it('writes no token, even inside a message or an error', () => {
    const { lines, logger } = logTo('production');
    const jwt = 'eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl';
    const refresh = `pcr_${'Ab-_9'.repeat(15)}`;
    logger.info({ url: `/x?hint=${jwt}` }, `bad ${refresh}`);
    logger.error({ err: new Error(`cannot read ${jwt}`) }, 'failed');
    const text = lines.join('');
    expect(text).not.toContain(refresh);
    expect(text).not.toMatch(/eyJhbG|c2lnbm/);
  });

  it('writes of an error its type, message, code and private reason, and none of its other members', () => {
    const { lines, logger, first } = logTo('production');
    const cause = Object.assign(new Error('connection lost'), { code: 'ECONNRESET', query: 'hunter2' });
    const err = new PortcullisError('conflict', 409, 'Taken.', { reason: 'index users_key', cause });
    logger.error({ err }, 'refused');
    expect(first()['err']).toMatchObject({
      type: 'PortcullisError',
      message: 'Taken.',
      error_code: 'conflict',
      reason: 'index users_key',
      cause: { message: 'connection lost', error_code: 'ECONNRESET' },
    });
    expect(lines[0]).not.toContain('hunter2');
  });
});

describe('the log in development', () => {
  it('is readable, with the error below', () => {
    const { lines, logger } = logTo('development');
    logger.warn({ client_id: 'c1', note: 'two words' }, 'odd');
    logger.error({ err: new Error('broken') }, 'failed');
    expect(lines[0]).toMatch(/^\d\d:\d\d:\d\d WARN {2}odd client_id=c1 note="two words"\n$/);
    expect(lines[1]).toMatch(/ERROR failed\n {2}Error: broken\n {2} +at /);
  });

  it('cannot be forged with control characters', () => {
    const { lines, logger } = logTo('development');
    logger.info({ name: 'a\n12:00:00 INFO forged', 'k\u001b[2J': '\u009b2J' }, 'evil\r\nline\u001b[31m');
    // oxlint-disable-next-line no-control-regex -- they are what must not be there
    expect(lines.join('').slice(0, -1)).not.toMatch(/[\u0000-\u001f\u007f-\u009f]/);
  });
});

describe('metrics', () => {
  it('carry the documented names and labels', async () => {
    const metrics = createMetrics({ version: '1.2.3' });
    metrics.tokenIssued('authorization_code');
    metrics.tokenError('refresh_token', 'invalid_grant');
    metrics.introspection(false);
    metrics.revocation('access_token');
    metrics.refreshReuse('grace');
    metrics.grantsRevoked('user', 3);
    metrics.login('failed');
    metrics.clientAuth('private_key_jwt', 'succeeded');
    metrics.dbQuery('families.read', 0.002);
    metrics.httpRequest('POST', '/token', 200, 0.003);
    metrics.watchKeys(() => [{ kid: 'k1', status: 'active', ageSeconds: 60 }]);
    const text = await metrics.render();
    for (const line of [
      'portcullis_tokens_issued_total{grant_type="authorization_code"} 1',
      'portcullis_token_errors_total{grant_type="refresh_token",error="invalid_grant"} 1',
      'portcullis_introspections_total{active="false"} 1',
      'portcullis_revocations_total{kind="access_token"} 1',
      'portcullis_refresh_reuse_total{decision="grace"} 1',
      'portcullis_grants_revoked_total{reason="user"} 3',
      'portcullis_logins_total{outcome="failed"} 1',
      'portcullis_client_auth_total{method="private_key_jwt",outcome="succeeded"} 1',
      'portcullis_signing_key_age_seconds{kid="k1",status="active"} 60',
      'portcullis_db_query_duration_seconds_count{op="families.read"} 1',
      'portcullis_http_server_request_duration_seconds_count{http_request_method="POST",http_route="/token",http_response_status_code="200"} 1',
      'portcullis_build_info{version="1.2.3"} 1',
    ]) {
      expect(text.split('\n')).toContain(line);
    }
  });

  it('give a client no way to make new time series', async () => {
    const metrics = createMetrics({ version: '1' });
    for (let i = 0; i < 1000; i++) {
      metrics.tokenIssued(`g${i}`);
      metrics.tokenError(`g${i}`, `e${i}`);
      metrics.revocation(`k${i}`);
      metrics.login(`o${i}`);
      metrics.clientAuth(`m${i}`, 'failed');
      metrics.httpRequest(`M${i}`, `/r${i}`, 600 + i, 0);
      metrics.grantsRevoked(`r${i}`);
      metrics.dbQuery(`op${i}`, 0);
    }
    const lines = (await metrics.render()).split('\n');
    const series = (name: string) => lines.filter((line) => line.startsWith(`portcullis_${name}{`)).length;
    for (const name of ['tokens_issued_total', 'token_errors_total', 'revocations_total', 'logins_total']) {
      expect(series(name)).toBe(1);
    }
    expect(series('client_auth_total')).toBe(1);
    expect(series('http_server_request_duration_seconds_count')).toBe(301);
    expect(series('grants_revoked_total')).toBe(51);
    expect(series('db_query_duration_seconds_count')).toBe(201);
  });

  it('forget a signing key that has gone', async () => {
    const metrics = createMetrics({ version: '1' });
    metrics.watchKeys(() => [{ kid: 'old', status: 'retiring', ageSeconds: 1 }]);
    await metrics.render();
    metrics.watchKeys(() => [{ kid: 'new', status: 'active', ageSeconds: 1 }]);
    expect(await metrics.render()).not.toContain('kid="old"');
  });

  it('of several processes add up', async () => {
    const [a, b] = [createMetrics({ version: '1' }), createMetrics({ version: '1' })];
    a.tokenIssued('refresh_token');
    b.tokenIssued('refresh_token');
    const text = await renderMerged([await a.snapshot(), await b.snapshot()]);
    expect(text).toContain('portcullis_tokens_issued_total{grant_type="refresh_token"} 2');
    expect(text).toContain('portcullis_build_info{version="1"} 1');
  });
});

describe('a business event', () => {
  const subject = {
    actor: 'client:ops',
    clientId: 'c1',
    userId: 'u1',
    grantId: 'g1',
    ip: '::1',
    requestId: 'r1',
  };

  it('becomes a log line with who and what it is about', () => {
    const { logger, first } = logTo('production');
    const metrics = createMetrics({ version: '1' });
    report(
      { type: 'token.reuse_detected', ...subject, detail: { ms_since_rotation: 12 } },
      { logger, metrics },
    );
    expect(first()).toMatchObject({
      level: 'warn',
      msg: 'token reuse detected',
      event: 'token.reuse_detected',
      actor: 'client:ops',
      client_id: 'c1',
      user_id: 'u1',
      grant_id: 'g1',
      ip: '::1',
      request_id: 'r1',
      detail: { ms_since_rotation: 12 },
    });
  });

  it.each<[AuditEvent, string[]]>([
    [
      { type: 'token.reuse_detected', detail: { ms_since_rotation: null } },
      ['refresh_reuse_total{decision="revoked"} 1', 'grants_revoked_total{reason="token_reuse"} 1'],
    ],
    [{ type: 'code.reuse_detected', detail: {} }, ['grants_revoked_total{reason="code_reuse"} 1']],
    [{ type: 'grant.revoked', detail: { reason: 'user' } }, ['grants_revoked_total{reason="user"} 1']],
    [
      { type: 'grant.revoked', detail: { reason: 'cap', count: 4 } },
      ['grants_revoked_total{reason="cap"} 4'],
    ],
    [
      { type: 'token.revoked', detail: { kind: 'access_token' } },
      ['revocations_total{kind="access_token"} 1'],
    ],
    [
      { type: 'token.revoked', detail: { kind: 'refresh_token' } },
      ['revocations_total{kind="refresh_token"} 1', 'grants_revoked_total{reason="token_revoked"} 1'],
    ],
    [{ type: 'login.succeeded', detail: { amr: ['pwd'] } }, ['logins_total{outcome="succeeded"} 1']],
    [{ type: 'login.failed', detail: { reason: 'password' } }, ['logins_total{outcome="failed"} 1']],
    [{ type: 'login.throttled', detail: {} }, ['logins_total{outcome="throttled"} 1']],
  ])('counts: %j', async (event, expected) => {
    const metrics = createMetrics({ version: '1' });
    report(event, { logger: createLogger({ environment: 'production', level: 'silent' }), metrics });
    const counted = (await metrics.render())
      .split('\n')
      .filter((line) => /^portcullis_\w+_total.* [1-9]/.test(line))
      .map((line) => line.replace('portcullis_', ''));
    expect(counted.sort()).toEqual([...expected].sort());
  });

  it('exists for each documented type', () => {
    const documented = [
      ...['created', 'updated', 'disabled', 'enabled', 'deleted'].map((verb) => `client.${verb}`),
      ...['created', 'rotated', 'revoked'].map((verb) => `secret.${verb}`),
      ...['succeeded', 'failed', 'throttled'].map((verb) => `login.${verb}`),
      'consent.granted',
      'consent.denied',
      'grant.created',
      'grant.revoked',
      'token.revoked',
      'token.reuse_detected',
      'code.reuse_detected',
      'admin.denied',
      ...['created', 'activated', 'retired'].map((verb) => `key.${verb}`),
    ];
    expect(eventTypes).toEqual(expect.arrayContaining(documented));
  });
});
