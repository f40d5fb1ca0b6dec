import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type FakeServer, type Handler, startFakeServer } from './fake-server.ts';
import { portcullis, type Surroundings } from './run.ts';

let server: FakeServer;
let handler: Handler;

beforeEach(async () => {
  server = await startFakeServer((seen) => handler(seen));
});
afterEach(() => server[Symbol.asyncDispose]());

const admin = (argv: readonly string[], given: Surroundings = {}) =>
  portcullis(argv, {
    ...given,
    env: { PORTCULLIS_URL: server.url, PORTCULLIS_CLIENT_ID: 'admin', PORTCULLIS_CLIENT_SECRET: 'secret' },
  });

const user = (id: number) => ({
  id: `u${id}`,
  username: `user-${id}`,
  email: null,
  name: 'Ada Lovelace, Countess',
  enabled: id % 2 === 0,
  created_at: '2026-01-02T03:04:05.678Z',
});

/** A list of `total` users, paged as the admin API does. */
const paged =
  (total: number): Handler =>
  ({ target }) => {
    const query = new URL(target, 'http://x').searchParams;
    const start = Number(query.get('after') ?? 0);
    const end = Math.min(total, start + Number(query.get('limit')));
    const data = Array.from({ length: end - start }, (_, index) => user(start + index));
    return { body: { data, next: end < total ? String(end) : null } };
  };

describe('a list', () => {
  it('is a table for people, with a hint when there is more', async () => {
    handler = paged(3);
    const { stdout, stderr } = await admin(['users', 'list', '--limit', '2']);
    expect(stdout).toBe(
      [
        'ID  USERNAME  EMAIL  NAME                    ENABLED  CREATED AT',
        'u0  user-0    -      Ada Lovelace, Countess  yes      2026-01-02 03:04:05Z',
        'u1  user-1    -      Ada Lovelace, Countess  no       2026-01-02 03:04:05Z',
        '',
      ].join('\n'),
    );
    expect(stderr).toContain('--after 2');
  });

  it('goes on where another ended', async () => {
    handler = paged(3);
    const { stdout, stderr } = await admin(['users', 'list', '--after', '2']);
    expect(stdout).toContain('user-2');
    expect(stdout).not.toContain('user-1');
    expect(stderr).toBe('');
  });

  it('never grows wider than the terminal', async () => {
    handler = paged(1);
    const { stdout } = await admin(['users', 'list'], { columns: 60 });
    const lines = stdout.trimEnd().split('\n');
    expect(Math.max(...lines.map((line) => line.length))).toBe(60);
    expect(lines[1]).toMatch(/^u0 .*…/);
  });

  it('shows no control character of what others typed', async () => {
    handler = () => ({ body: { data: [{ ...user(1), name: 'a\u001b]0;x\u0007\nb\u202ec' }], next: null } });
    const { stdout } = await admin(['users', 'list']);
    expect(stdout).toContain('a\ufffd]0;x\ufffd\ufffdb\ufffdc');
    expect(stdout.split('\n')).toHaveLength(3);
  });

  it('is exactly the JSON of the API with --json', async () => {
    handler = paged(3);
    const { stdout } = await admin(['users', 'list', '--json', '--limit', '2']);
    expect(JSON.parse(stdout)).toEqual({ data: [user(0), user(1)], next: '2' });
  });

  it('follows every page with --all', async () => {
    handler = paged(450);
    const { stdout } = await admin(['users', 'list', '--all', '--json']);
    expect((JSON.parse(stdout) as { data: unknown[] }).data).toEqual(
      Array.from({ length: 450 }, (_, i) => user(i)),
    );
    expect(server.calls.map(({ target }) => target)).toEqual([
      '/users?limit=200',
      '/users?limit=200&after=200',
      '/users?limit=200&after=400',
    ]);
  });

  it('asks for no more than the limit, over pages too', async () => {
    handler = paged(450);
    const { stdout } = await admin(['users', 'list', '--limit', '250', '--ndjson']);
    expect(
      stdout
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as unknown),
    ).toEqual(Array.from({ length: 250 }, (_, i) => user(i)));
    expect(server.calls.map(({ target }) => target)).toEqual([
      '/users?limit=200',
      '/users?limit=50&after=200',
    ]);
  });
});

describe('one thing', () => {
  const client = {
    client_id: 'web',
    redirect_uris: ['https://a/', 'https://b/'],
    first_party: false,
    jwks: { keys: [] },
  };

  it('is a line for each member, for people', async () => {
    handler = () => ({ body: client });
    const { stdout } = await admin(['clients', 'get', 'web']);
    expect(stdout).toBe(
      [
        'client_id      web',
        'redirect_uris  https://a/, https://b/',
        'first_party    no',
        'jwks           {"keys":[]}',
        '',
      ].join('\n'),
    );
  });

  it('is exactly the JSON of the API with --json', async () => {
    handler = () => ({ body: client });
    expect(JSON.parse((await admin(['clients', 'get', 'web', '--json'])).stdout)).toEqual(client);
  });

  it('leaves standard output empty when the API answers nothing', async () => {
    handler = () => ({ status: 204 });
    const { stdout, stderr } = await admin(['clients', 'delete', 'web', '--yes', '--json']);
    expect({ stdout, stderr }).toEqual({ stdout: '', stderr: 'client web is deleted\n' });
  });

  it('may be several: keys of every algorithm', async () => {
    handler = () => ({ status: 201, body: { data: [{ kid: 'a' }, { kid: 'b' }] } });
    expect((await admin(['keys', 'rotate'])).stdout).toBe('kid  a\nkid  b\n');
  });
});

describe('a new secret', () => {
  const made = { client_id: 'web', client_secret: 'pcs_x', secret: { id: 's1', name: null } };

  beforeEach(() => {
    handler = () => ({ status: 201, body: made });
  });

  it('is shown with the warning that it is shown once', async () => {
    const { stdout, stderr } = await admin(['clients', 'create']);
    expect(stdout).toContain('client_secret  pcs_x');
    expect(stderr).toContain('cannot be shown again');
  });

  it('stands alone on standard output with --quiet', async () => {
    const { stdout, stderr } = await admin(['clients', 'create', '--quiet']);
    expect(stdout).toBe('pcs_x\n');
    expect(stderr).toContain('cannot be shown again');
  });

  it('keeps the warning out of the JSON', async () => {
    expect(JSON.parse((await admin(['clients', 'create', '--json'])).stdout)).toEqual(made);
  });

  it('gives way to the id with --quiet when there is none', async () => {
    handler = () => ({ status: 201, body: { client_id: 'spa' } });
    expect(await admin(['clients', 'create', '--public', '--quiet'])).toEqual({
      code: 0,
      stdout: 'spa\n',
      stderr: '',
    });
  });
});

describe('audit', () => {
  const event = (id: number) => ({
    id: `e${id}`,
    time: new Date(1_767_322_000_000 + id).toISOString(),
    type: 'login.failed',
    client_id: 'web',
    user_id: null,
    detail: { reason: 'password' },
  });

  it('takes --since as how long ago, and sends an instant', async () => {
    handler = () => ({ body: { data: [], next: null } });
    await admin(['audit', 'list', '--since', '1h']);
    await admin(['audit', 'list', '--since', '2026-01-02T00:00:00+01:00']);
    const [ago, at] = server.calls.map(
      ({ target }) => new URL(target, 'http://x').searchParams.get('since') ?? '',
    );
    expect(ago).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
    expect(at).toBe('2026-01-01T23:00:00.000Z');
  });

  it('follows: past ones first, then each new one once, oldest first, until it is interrupted', async () => {
    const interruption = new AbortController();
    const rounds = [
      [2, 1],
      [4, 3, 2, 1, 0],
      [5, 4, 3],
    ];
    handler = () => ({ body: { data: (rounds.shift() ?? []).map(event), next: null } });
    let seen = 0;
    const { code, stdout } = await admin(['audit', 'tail', '--json', '--lines', '2', '--interval', '0'], {
      signal: interruption.signal,
      onOutput: () => {
        seen += 1;
        if (seen === 5) interruption.abort();
      },
    });
    expect(code).toBe(0);
    expect(
      stdout
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as unknown),
    ).toEqual([1, 2, 3, 4, 5].map(event));
    const [first, second] = server.calls.map(({ target }) => new URL(target, 'http://x').searchParams);
    expect(first!.get('limit')).toBe('2');
    expect(Date.parse(second!.get('since')!)).toBeLessThan(Date.parse(event(2).time));
  });

  it('follows in words for people', async () => {
    const interruption = new AbortController();
    handler = () => ({ body: { data: [event(0)], next: null } });
    const { stdout } = await admin(['audit', 'tail', '--interval', '0', '--type', 'login.failed'], {
      signal: interruption.signal,
      onOutput: () => interruption.abort(),
    });
    expect(stdout).toBe('2026-01-02 02:46:40Z  login.failed  client_id=web  reason=password\n');
    expect(server.calls[0]!.target).toContain('type=login.failed');
  });

  it('gets itself a new token when the old one has ended', async () => {
    const answers = [{ status: 401, body: {} }, { body: { data: [], next: null } }];
    handler = () => answers.shift();
    expect(await admin(['audit', 'list'])).toMatchObject({ code: 0 });
    expect(server.tokenRequests).toHaveLength(2);
  });
});
