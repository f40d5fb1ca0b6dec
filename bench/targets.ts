/** The servers that are measured, each in a process of its own, with the same API, client and grants. */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Browser, newPkce, type Seen } from '../test/support/browser.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
export const API = 'https://orders.example/api';

/** A server under measurement. */
export interface Target {
  readonly name: string;
  readonly url: string;
  /** Its process, and its database's where that is another. */
  readonly pids: readonly number[];
  readonly client: { readonly id: string; readonly secret: string };
  /** Refresh tokens of as many families, and an access token of each. */
  seed(count: number): Promise<{ refresh: string[]; access: string[] }>;
  /** Forms that each exchange a code of its own. */
  codes(count: number): Promise<Record<string, string>[]>;
  /** A sign-in with the password in a new browser, up to the tokens. */
  signIn?(): Promise<void>;
  /** Its database, where it has one. */
  readonly databaseUrl?: string;
  /** Set where the budgets are judged: a server of one process. */
  readonly budget?: 'sqlite' | 'postgresql';
  stop(): Promise<void>;
}

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve));
  const { port } = probe.address() as AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

function start(args: readonly string[], env: Record<string, string>): ChildProcess {
  return spawn(process.execPath, args, {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
}

async function up(url: string): Promise<void> {
  const deadline = performance.now() + 20_000;
  for (;;) {
    const answered = await fetch(url).then(
      (response) => response.arrayBuffer().then(() => true),
      () => false,
    );
    if (answered) return;
    if (performance.now() > deadline) throw new Error(`${url} does not come up`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

const stopped = (child: ChildProcess): Promise<void> =>
  new Promise((resolve) => {
    if (child.exitCode !== null) return resolve();
    child.once('exit', () => resolve());
    child.kill('SIGTERM');
  });

export async function startFloor(): Promise<Target> {
  const port = await freePort();
  const child = start(['bench/peers/floor.js', String(port)], {});
  const url = `http://127.0.0.1:${port}`;
  await up(url);
  return {
    name: 'floor',
    url,
    pids: [child.pid ?? 0],
    client: { id: 'bench', secret: 'x' },
    seed: () => Promise.resolve({ refresh: [], access: [] }),
    codes: () => Promise.resolve([]),
    stop: () => stopped(child),
  };
}

export const startBare = (format: 'jwt' | 'opaque'): Promise<Target> =>
  startPeer(`bare ${format}`, 'bare.js', format);

/** Installs it first, where that was not done before. */
export async function startBetterAuth(): Promise<Target> {
  const peers = join(root, 'bench/peers');
  if (!existsSync(join(peers, 'node_modules'))) {
    const args = [
      'install',
      '--ignore-scripts',
      '--no-audit',
      '--no-fund',
      '--no-package-lock',
      '--legacy-peer-deps', // releases of its plugin name exact ones of packages that it has newer itself
    ];
    execFileSync('npm', args, { cwd: peers, stdio: ['ignore', 'ignore', 'inherit'] });
  }
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-bench-'));
  const target = await startPeer('better-auth, SQLite', 'better-auth.js', join(folder, 'peer.db'));
  return {
    ...target,
    async stop() {
      await target.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** A peer that tells its client, seeds families and makes codes at paths of its own. */
async function startPeer(name: string, program: string, argument: string): Promise<Target> {
  const port = await freePort();
  const child = start([`bench/peers/${program}`, String(port), argument], {});
  const url = `http://127.0.0.1:${port}`;
  await up(`${url}/jwks`);
  const client = (await (await fetch(`${url}/client`)).json()) as {
    client_id: string;
    client_secret: string;
  };
  return {
    name,
    url,
    pids: [child.pid ?? 0],
    client: { id: client.client_id, secret: client.client_secret },
    async seed(count) {
      const refresh: string[] = [];
      const access: string[] = [];
      for (let i = 0; i < count; i++) {
        const made = (await (await fetch(`${url}/seed`)).json()) as {
          refresh_token: string;
          access_token: string;
        };
        refresh.push(made.refresh_token);
        access.push(made.access_token);
      }
      return { refresh, access };
    },
    async codes(count) {
      const forms: Record<string, string>[] = [];
      while (forms.length < count)
        forms.push((await (await fetch(`${url}/code`)).json()) as Record<string, string>);
      return forms;
    },
    stop: () => stopped(child),
  };
}

const json = { 'content-type': 'application/json' };
const basic = (id: string, secret: string): string =>
  `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`;

/**
 * @param database `file:…` is made when left out; a PostgreSQL URL names an empty database
 * @param options workers and the secret key, as the settings; where a CPU profile is left
 */
export async function startPortcullis(
  name: string,
  database?: { url: string; pids: readonly number[] },
  options: { workers?: string; profile?: string; secretKey?: string } = {},
): Promise<Target> {
  const [port, managementPort] = [await freePort(), await freePort()];
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-bench-'));
  const url = `http://127.0.0.1:${port}`;
  const admin = { id: 'admin', secret: randomBytes(32).toString('base64url') };
  const profile = options.profile ? ['--cpu-prof', `--cpu-prof-dir=${options.profile}`] : [];
  const databaseUrl = database?.url ?? `file:${join(folder, 'portcullis.db')}`;
  const child = start([...profile, 'src/main.ts'], {
    PORTCULLIS_WORKERS: options.workers ?? '1',
    PORT: String(port),
    PORTCULLIS_MANAGEMENT_PORT: String(managementPort),
    PORTCULLIS_ISSUER: url,
    PORTCULLIS_DATA_DIR: folder,
    PORTCULLIS_BOOTSTRAP_CLIENT_ID: admin.id,
    PORTCULLIS_BOOTSTRAP_CLIENT_SECRET: admin.secret,
    DATABASE_URL: databaseUrl,
    ...(options.secretKey ? { PORTCULLIS_SECRET_KEYS: options.secretKey } : {}),
  });
  await up(`${url}/health/ready`);
  const token = (await (
    await fetch(`${url}/token`, {
      method: 'POST',
      headers: { authorization: basic(admin.id, admin.secret) },
      body: new URLSearchParams({ grant_type: 'client_credentials', resource: 'urn:portcullis:admin' }),
    })
  ).json()) as { access_token: string };
  const post = async <T>(path: string, body: object): Promise<T> => {
    const response = await fetch(`${url}/admin/v1${path}`, {
      method: 'POST',
      headers: { ...json, authorization: `Bearer ${token.access_token}` },
      body: JSON.stringify(body),
    });
    if (response.status !== 201) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return (await response.json()) as T;
  };
  await post('/apis', {
    identifier: API,
    name: 'Orders',
    scopes: [{ name: 'orders:read', description: 'See orders' }],
  });
  const password = 'violet-harbour-kettle-19';
  await post('/users', { username: 'bench', password });
  const made = await post<{ client_secret: string }>('/clients', {
    client_id: 'bench',
    first_party: true,
    redirect_uris: ['https://shop.example/cb'],
    grant_types: ['authorization_code', 'refresh_token', 'client_credentials'],
    scope: 'openid orders:read',
    serves: [API],
  });
  const client = { id: 'bench', secret: made.client_secret };
  const authorize = async (browser: Browser): Promise<Record<string, string>> => {
    const { verifier, challenge } = newPkce();
    const query = new URLSearchParams({
      client_id: client.id,
      redirect_uri: 'https://shop.example/cb',
      response_type: 'code',
      scope: 'openid orders:read',
      code_challenge: challenge,
      code_challenge_method: 'S256',
    });
    let seen: Seen = await browser.go(`${url}/authorize?${query.toString()}`);
    if (seen.page === 'login') seen = await browser.submit(seen, { username: 'bench', password }, '/login');
    return {
      grant_type: 'authorization_code',
      code: new URL(seen.url).searchParams.get('code') ?? '',
      redirect_uri: 'https://shop.example/cb',
      code_verifier: verifier,
    };
  };
  const exchange = async (
    form: Record<string, string>,
  ): Promise<{ refresh_token: string; access_token: string }> => {
    const response = await fetch(`${url}/token`, {
      method: 'POST',
      headers: { authorization: basic(client.id, client.secret) },
      body: new URLSearchParams(form),
    });
    const tokens = (await response.json()) as { refresh_token: string; access_token: string };
    if (response.status !== 200) throw new Error(`no tokens: ${JSON.stringify(tokens)}`);
    return tokens;
  };
  return {
    name,
    url,
    pids: [child.pid ?? 0, ...(database?.pids ?? [])],
    client,
    databaseUrl,
    ...(options.workers === undefined ? { budget: database ? 'postgresql' : 'sqlite' } : {}),
    async seed(count) {
      const browser = new Browser(url);
      const refresh: string[] = [];
      const access: string[] = [];
      for (let i = 0; i < count; i++) {
        const tokens = await exchange(await authorize(browser));
        refresh.push(tokens.refresh_token);
        access.push(tokens.access_token);
      }
      return { refresh, access };
    },
    async codes(count) {
      const browser = new Browser(url);
      const forms: Record<string, string>[] = [];
      while (forms.length < count) forms.push(await authorize(browser));
      return forms;
    },
    async signIn() {
      await exchange(await authorize(new Browser(url)));
    },
    async stop() {
      await stopped(child);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
