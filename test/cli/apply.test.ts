import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { mergePatch } from '../../src/lib/documents.ts';
import { type FakeServer, startFakeServer } from './fake-server.ts';
import { portcullis, type Surroundings } from './run.ts';

type Thing = Record<string, unknown>;

/** What the fake server holds; it creates, merges and deletes like the admin API. */
let state: { apis: Thing[]; clients: Thing[]; users: Thing[] };
let server: FakeServer;
/** Which requests are refused. */
let refuse: (seen: { method: string; target: string }) => boolean;

const KEYS = { apis: 'identifier', clients: 'client_id', users: 'id' } as const;

beforeEach(async () => {
  state = {
    apis: [],
    clients: [{ client_id: 'admin', scope: 'clients:write' }],
    users: [],
  };
  refuse = () => false;
  server = await startFakeServer(({ method, target, json }) => {
    if (refuse({ method, target })) return { status: 409, body: { title: 'is taken', status: 409 } };
    const [kind, id] = new URL(target, 'http://x').pathname.slice(1).split('/') as [
      keyof typeof state,
      string?,
    ];
    const things = state[kind];
    if (method === 'GET') return { body: { data: things, next: null } };
    if (method === 'POST') {
      const made: Thing = {
        ...(json as Thing),
        created_at: '2026-01-01T00:00:00Z',
        name: (json as Thing)['name'] ?? null,
      };
      if (kind === 'users') made['id'] = `id-${things.length}`;
      things.push(made);
      return { status: 201, body: kind === 'clients' ? { ...made, client_secret: 'pcs_x' } : made };
    }
    const index = things.findIndex((each) => each[KEYS[kind]] === decodeURIComponent(id ?? ''));
    if (index < 0) return undefined;
    if (method === 'DELETE') things.splice(index, 1);
    else things[index] = mergePatch(things[index], json) as Thing;
    return { status: 204 };
  });
});
afterEach(() => server[Symbol.asyncDispose]());

const run = (argv: readonly string[], given: Surroundings = {}) =>
  portcullis(argv, {
    ...given,
    env: { PORTCULLIS_URL: server.url, PORTCULLIS_CLIENT_ID: 'admin', PORTCULLIS_CLIENT_SECRET: 'secret' },
  });
const changes = () =>
  server.calls.filter(({ method }) => method !== 'GET').map(({ method, target }) => `${method} ${target}`);

const FILE = `
apis:
  - identifier: https://orders.example
    name: Orders
    scopes: [{ name: orders:read, description: See orders }]
clients:
  - client_id: web
    client_name: Web
    redirect_uris: [https://web.example/cb]
    scope: openid orders:read
users:
  - username: ada
    email: ada@example.com
    claims: { given_name: Ada }
`;
const apply = (text: string, ...argv: string[]) => run(['apply', '-', ...argv], { input: text });

describe('apply', () => {
  it('creates what is missing, APIs first, and shows new secrets once', async () => {
    const { code, stdout, stderr } = await apply(FILE);
    expect(code).toBe(0);
    expect(changes()).toEqual(['POST /apis', 'POST /clients', 'POST /users']);
    expect(stdout).toContain('client_secret of web  pcs_x');
    expect(stderr).toContain('cannot be shown again');
  });

  it('changes nothing the second time', async () => {
    await apply(FILE);
    server.calls.length = 0;
    const { code, stderr } = await apply(FILE);
    expect({ code, changes: changes() }).toEqual({ code: 0, changes: [] });
    expect(stderr).toContain('as the file says');
  });

  it('sends only what differs; null takes a member away, what is left out stays', async () => {
    await apply(FILE);
    server.calls.length = 0;
    await apply(
      JSON.stringify({
        clients: [{ client_id: 'web', client_name: 'Shop', scope: 'openid orders:read', tos_uri: null }],
      }),
    );
    await apply(JSON.stringify({ users: [{ username: 'ada', email: null, claims: { family_name: 'L' } }] }));
    expect(changes()).toEqual(['PATCH /clients/web', 'PATCH /users/id-0']);
    expect(state.clients[1]).toMatchObject({ client_name: 'Shop', scope: 'openid orders:read' });
    expect(state.users[0]).toEqual(expect.not.objectContaining({ email: expect.anything() as unknown }));
    expect(state.users[0]!['claims']).toEqual({ given_name: 'Ada', family_name: 'L' });
  });

  it('only shows the plan with --dry-run, and asks for no scope to write', async () => {
    const { stdout } = await apply(FILE, '--dry-run', '--json');
    expect(changes()).toEqual([]);
    expect(JSON.parse(stdout)).toEqual({
      actions: [
        { action: 'create', kind: 'apis', id: 'https://orders.example' },
        { action: 'create', kind: 'clients', id: 'web' },
        { action: 'create', kind: 'users', id: 'ada' },
      ],
    });
    expect(server.tokenRequests[0]!.form.get('scope')).toBe('apis:read clients:read users:read');
  });

  it('deletes only with --prune, after asking, and only of the kinds that the file has', async () => {
    await apply(FILE);
    server.calls.length = 0;
    const less = 'apis: []\nclients: []\n';
    await apply(less);
    expect(changes()).toEqual([]);
    expect(await apply(less, '--prune')).toMatchObject({ code: 2 });
    expect(changes()).toEqual([]);
    await apply(less, '--prune', '--yes');
    expect(changes()).toEqual(['DELETE /clients/web', 'DELETE /apis/https%3A%2F%2Forders.example']);
    expect(state.clients).toEqual([{ client_id: 'admin', scope: 'clients:write' }]); // the client in use
    expect(state.users).toHaveLength(1);
  });

  it.each([
    ['', []],
    ['with --dry-run', ['--dry-run']],
  ])('judges the whole file before it writes anything %s', async (_, flags) => {
    const { code, stderr } = await apply(
      `
apis:
  - { identifier: https://a.example, name: A, scopes: [{ name: a, description: A }] }
  - { identifier: https://b.example, scopes: [{ name: a, description: A }] }
clients:
  - { client_id: good, redirect_uris: [https://good.example/cb], scope: openid a }
  - { client_id: bad, redirect_uris: [http://bad.example/cb], scope: openid nothing, colour: red }
users:
  - { username: ada, email: nowhere }
  - { username: ADA }
`,
      ...flags,
    );
    expect(code).toBe(1);
    expect(changes()).toEqual([]);
    expect(stderr.replaceAll(/^ +/gm, '').trim().split('\n')).toEqual([
      expect.stringContaining('the file cannot be applied; nothing was changed'),
      'apis https://a.example /scopes/0/name: is a scope of https://b.example',
      expect.stringMatching(/^apis https:\/\/b\.example \/name: /),
      'apis https://b.example /scopes/0/name: is a scope of https://a.example',
      expect.stringMatching(/^clients bad \/redirect_uris\/0: /),
      expect.stringMatching(/^clients bad \/colour: /),
      'clients bad /scope: nothing is not a known scope',
      expect.stringMatching(/^users ada \/email: /),
      expect.stringMatching(/^users ada \/username: is that of another user/),
      expect.stringMatching(/^users ADA \/username: is that of another user/),
    ]);
  });

  it('says what was refused after all and how far it went, and shows the secrets made until then', async () => {
    refuse = ({ method, target }) => method === 'POST' && target === '/users';
    const { code, stdout, stderr } = await apply(FILE, '--json');
    expect(code).toBe(1);
    expect(stderr).toContain('create users ada');
    expect(stderr).toContain('2 of 3 were done before');
    expect(stdout).toContain('pcs_x');
  });

  it.each([
    ['a list', '- x', 'must hold an object'],
    ['no YAML', 'a: [', 'neither YAML nor JSON'],
    ['an unknown kind', 'client: []', 'client: is not apis, clients or users'],
    ['a kind that is no list', 'clients: {}', 'clients: must be a list'],
    ['a thing without a name', 'clients: [{ client_name: x }]', 'clients[0]: must have client_id'],
    [
      'a thing that is there twice',
      'users: [{ username: a }, { username: a }]',
      'users[1]: a is there twice',
    ],
    ['a password', 'users: [{ username: a, password: x }]', 'users set-password'],
    ['a secret', 'clients: [{ client_id: a, client_secret: x }]', 'client_secret cannot be declared'],
  ])('refuses %s before anything is sent', async (_, text, reason) => {
    const { code, stderr } = await apply(text);
    expect(code).toBe(2);
    expect(stderr).toContain(reason);
    expect(server.tokenRequests).toEqual([]);
  });
});

describe('export', () => {
  it('writes what apply reads, so that applying it changes nothing', async () => {
    await apply(FILE);
    server.calls.length = 0;
    const { stdout } = await run(['export']);
    expect(stdout).not.toMatch(/pcs_x|created_at|id-0|admin/);
    expect(await apply(stdout)).toMatchObject({ code: 0 });
    expect(changes()).toEqual([]);
  });

  it('writes JSON with --json, likewise', async () => {
    await apply(FILE);
    server.calls.length = 0;
    const { stdout } = await run(['export', '--json']);
    expect(Object.keys(JSON.parse(stdout) as object)).toEqual(['apis', 'clients', 'users']);
    expect(await apply(stdout)).toMatchObject({ code: 0 });
    expect(changes()).toEqual([]);
  });
});
