/** Real server processes on one database, and what a test does to them. */
import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freshDatabase, type DatabaseKind, type FreshDatabase } from '../../support/databases.ts';
import { basicAuth, freePort } from '../../support/server.ts';

const MAIN = fileURLToPath(new URL('../../../src/main.ts', import.meta.url));

/** A process that serves. */
export interface Node {
  readonly url: string;
  readonly management: string;
  readonly process: ChildProcess;
  /** What it has printed so far. */
  readonly output: string[];
  /** Resolves to the exit code, or the signal that ended it. */
  ended(): Promise<number | string | null>;
}

export interface Cluster {
  readonly databaseUrl: string;
  readonly admin: { readonly id: string; readonly secret: string };
  /** Starts one more, and waits until it is ready. */
  start(env?: Record<string, string>): Promise<Node>;
  /** Kills what still runs, and drops the database. */
  close(): Promise<void>;
}

/** Waits for a condition. @throws what it was at last, after `timeout` milliseconds */
export async function until(
  what: string,
  condition: () => Promise<boolean> | boolean,
  timeout = 30_000,
): Promise<void> {
  const end = performance.now() + timeout;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`never came true: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

/**
 * @param on a kind of database, or one that is there
 * @param env settings of every node; without `PORTCULLIS_ISSUER` each is its own
 */
export async function openCluster(
  on: DatabaseKind | FreshDatabase,
  env: Record<string, string>,
): Promise<Cluster> {
  const database = typeof on === 'string' ? await freshDatabase(on) : on;
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-nodes-'));
  const nodes: Node[] = [];
  const admin = { id: 'admin', secret: `pcs_${randomBytes(32).toString('base64url')}` };
  const common = {
    PATH: process.env['PATH'],
    DATABASE_URL: database.url,
    PORTCULLIS_DATA_DIR: folder,
    PORTCULLIS_SECRET_KEYS: randomBytes(32).toString('base64url'),
    PORTCULLIS_BOOTSTRAP_CLIENT_ID: admin.id,
    PORTCULLIS_BOOTSTRAP_CLIENT_SECRET: admin.secret,
    HOST: '127.0.0.1',
    ...env,
  };
  return {
    databaseUrl: database.url,
    admin,
    async start(own = {}) {
      const [port, managementPort] = [await freePort(), await freePort()];
      const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', MAIN], {
        env: {
          PORTCULLIS_ISSUER: `http://127.0.0.1:${port}`,
          ...common,
          PORT: String(port),
          PORTCULLIS_MANAGEMENT_PORT: String(managementPort),
          ...own,
        },
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      const output: string[] = [];
      for (const stream of [child.stdout, child.stderr]) {
        stream.setEncoding('utf8').on('data', (text: string) => output.push(text));
      }
      const exit = once(child, 'exit') as Promise<[number | null, string | null]>;
      const node: Node = {
        url: `http://127.0.0.1:${port}`,
        management: `http://127.0.0.1:${managementPort}`,
        process: child,
        output,
        ended: async () => {
          const [code, signal] = await exit;
          return signal ?? code;
        },
      };
      nodes.push(node);
      await until(`${output.join('')} ready`, async () => {
        if (child.exitCode !== null) throw new Error(`ended: ${output.join('')}`);
        return (await fetch(`${node.management}/health/ready`).catch(() => undefined))?.status === 200;
      });
      return node;
    },
    async close() {
      for (const { process: child } of nodes) child.kill('SIGKILL');
      await Promise.all(nodes.map((node) => node.ended()));
      await database.drop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** An access token for the admin API, from one node. */
export async function adminToken(url: string, { admin }: Pick<Cluster, 'admin'>): Promise<string> {
  const response = await fetch(`${url}/token`, {
    method: 'POST',
    headers: { authorization: basicAuth(admin.id, admin.secret) },
    body: new URLSearchParams({ grant_type: 'client_credentials', resource: 'urn:portcullis:admin' }),
  });
  return ((await response.json()) as { access_token: string }).access_token;
}

/** Calls the admin API of one node. @throws when it refuses */
export async function administer<T = Record<string, unknown>>(
  url: string,
  cluster: Pick<Cluster, 'admin'>,
  method: string,
  path: string,
  body?: object,
): Promise<T> {
  const response = await fetch(`${url}/admin/v1${path}`, {
    method,
    headers: {
      authorization: `Bearer ${await adminToken(url, cluster)}`,
      ...(body ? { 'content-type': 'application/json' } : {}),
    },
    ...(body ? { body: JSON.stringify(body) } : {}),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
  return (text === '' ? undefined : JSON.parse(text)) as T;
}
