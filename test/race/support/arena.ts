/** Where races are run: one or several nodes over one database, with what a test needs to look behind the answers. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DatabaseKind } from '../../support/databases.ts';
import {
  startWorld,
  type Answer,
  type AuthorizeOptions,
  type TestClient,
  type Tokens,
  type World,
} from '../../support/fixtures.ts';
import type { Browser } from '../../support/browser.ts';
import { basicAuth, freePort, type TestServerOptions } from '../../support/server.ts';

/** Multiplies the rounds of every race; `npm run soak` sets it. */
export const rounds = (usual: number): number => usual * Number(process.env['SOAK'] ?? 1);

/** A refused token request; a token response. */
export type TokenAnswer = Answer<Partial<Tokens> & { readonly error?: string }>;

export interface Audited {
  readonly type: string;
  readonly ip: string | null;
  readonly requestId: string | null;
  readonly detail: Record<string, unknown>;
}

export interface Arena {
  readonly world: World;
  /** Base URLs of the nodes that take part; the issuer is the world's. */
  readonly nodes: readonly string[];
  /** A form to one node. */
  post<T = Record<string, unknown>>(
    node: number,
    path: string,
    form: Record<string, string>,
    as?: TestClient,
    headers?: Record<string, string>,
  ): Promise<Answer<T>>;
  /** As many requests at once, spread over the nodes. */
  volley<T>(count: number, shoot: (node: number, index: number) => Promise<T>): Promise<T[]>;
  refresh(
    node: number,
    as: TestClient,
    token: string,
    headers?: Record<string, string>,
  ): Promise<TokenAnswer>;
  /** A new family by a browser that is signed in already (one for each client). */
  family(as: TestClient, options?: AuthorizeOptions): Promise<Family>;
  code(as: TestClient, options?: AuthorizeOptions): Promise<Code>;
  exchange(node: number, as: TestClient, code: Code, headers?: Record<string, string>): Promise<TokenAnswer>;
  /** Whether any of these access and refresh tokens is active, as the owner sees it. */
  anyAlive(as: TestClient, tokens: readonly (string | undefined)[]): Promise<boolean>;
  /** Audit rows about one family, oldest first, without `grant.created`. */
  audited(familyId: string): Promise<Audited[]>;
  close(): Promise<void>;
}

export interface Code {
  readonly code: string;
  readonly verifier: string;
  readonly browser: Browser;
}

export interface Family {
  readonly id: string;
  readonly access: string;
  readonly refresh: string;
  readonly code: Code;
}

/** The family that a refresh token names in its first 16 bytes. */
export const familyIdOf = (refreshToken: string): string =>
  Buffer.from(refreshToken.slice('pcr_'.length), 'base64url').subarray(0, 16).toString('base64url');

/** Sends a form and reads the JSON answer. */
export async function postForm<T>(
  url: string,
  form: Record<string, string>,
  as?: TestClient,
  headers: Record<string, string> = {},
): Promise<Answer<T>> {
  const body = new URLSearchParams(form);
  const auth: Record<string, string> =
    as?.secret === undefined ? {} : { authorization: basicAuth(as.id, as.secret) };
  if (as && as.secret === undefined) body.set('client_id', as.id);
  const response = await fetch(url, { method: 'POST', body, headers: { ...auth, ...headers } });
  return { status: response.status, headers: response.headers, body: (await response.json()) as T };
}

/** @param nodesOf makes the nodes over the world's database; without it the world is the only node */
export async function openArena(
  options: TestServerOptions,
  nodesOf?: (world: World) => Promise<Nodes>,
): Promise<Arena> {
  const world = await startWorld(options);
  const extra = await nodesOf?.(world);
  const nodes = extra?.urls ?? [world.url];
  const { database } = world.app.domain.storage;
  const browsers = new Map<string, Browser>();
  const browserOf = async (as: TestClient): Promise<Browser> => {
    const known = browsers.get(as.id);
    if (known) return known;
    const { browser } = await world.authorize(as);
    browsers.set(as.id, browser);
    return browser;
  };
  const arena: Arena = {
    world,
    nodes,
    post: (node, path, form, as, headers) =>
      postForm(`${nodes[node % nodes.length]}${path}`, form, as, headers),
    volley: (count, shoot) => Promise.all(Array.from({ length: count }, (_, index) => shoot(index, index))),
    refresh: (node, as, token, headers) =>
      arena.post(node, '/token', { grant_type: 'refresh_token', refresh_token: token }, as, headers),
    async code(as, more = {}) {
      const used = more.browser ?? (await browserOf(as));
      const { code, verifier, result } = await world.authorize(as, { ...more, browser: used });
      if (code === '') throw new Error(`no code: ${result.toString()}`);
      return { code, verifier, browser: used };
    },
    exchange: (node, as, { code, verifier }, headers) =>
      arena.post(
        node,
        '/token',
        { grant_type: 'authorization_code', code, redirect_uri: as.redirect, code_verifier: verifier },
        as,
        headers,
      ),
    async family(as, more) {
      const code = await arena.code(as, more);
      const { status, body } = await arena.exchange(0, as, code);
      const { access_token: access, refresh_token: refresh } = body;
      if (access === undefined || refresh === undefined)
        throw new Error(`no tokens: ${status} ${JSON.stringify(body)}`);
      return { id: familyIdOf(refresh), access, refresh, code };
    },
    async anyAlive(as, tokens) {
      const known = tokens.filter((token) => token !== undefined);
      // A public client cannot introspect: its access tokens are seen by their API, its refresh tokens by using them.
      const answers = await Promise.all(
        known.map((token) => world.introspect(token, as.secret === undefined ? world.gateway : as)),
      );
      return answers.some(({ active }) => active === true);
    },
    async audited(familyId) {
      const rows = await database.sql.read<Omit<Audited, 'detail'> & { detail: string }>(
        'test.audited',
        `SELECT type, ip, request_id AS "requestId", detail FROM audit_events
         WHERE grant_id = $1 AND type <> 'grant.created' ORDER BY id`,
        [familyId],
      );
      return rows.map((row) => ({ ...row, detail: JSON.parse(row.detail) as Record<string, unknown> }));
    },
    async close() {
      await extra?.close();
      await world.close();
    },
  };
  return arena;
}

export interface Nodes {
  readonly urls: readonly string[];
  close(): Promise<void>;
}

/** A server process of its own. */
export interface Node {
  readonly url: string;
  readonly process: ChildProcess;
  /** What it has printed. */
  readonly output: () => string;
}

const ROOT = join(import.meta.dirname, '../../..');

/**
 * Starts `src/main.ts` over the world's database, and waits until it is ready.
 * @throws Error with what it printed, when it ends by itself
 */
export async function startNode(
  world: Pick<World, 'url' | 'databaseUrl' | 'secretKeys'>,
  env: Record<string, string> = {},
  wantedPort?: number,
): Promise<Node> {
  const port = wantedPort ?? (await freePort());
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-node-'));
  const child = spawn(process.execPath, ['src/main.ts'], {
    cwd: ROOT,
    env: {
      PATH: process.env['PATH'],
      PORT: String(port),
      PORTCULLIS_MANAGEMENT_PORT: '0',
      PORTCULLIS_ISSUER: world.url,
      PORTCULLIS_DATA_DIR: folder,
      DATABASE_URL: world.databaseUrl,
      PORTCULLIS_SECRET_KEYS: world.secretKeys,
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => (output = (output + text).slice(-20_000)));
  }
  child.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  const url = `http://127.0.0.1:${port}`;
  const ready = { stopped: false };
  const ended = once(child, 'exit').then(() => {
    ready.stopped = true;
  });
  for (;;) {
    if (ready.stopped) throw new Error(`the node ended by itself: ${output}`);
    const up = await fetch(`${url}/health/ready`).then(
      (answer) => answer.ok,
      () => false,
    );
    if (up) break;
    await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, 20))]);
  }
  return { url, process: child, output: () => output };
}

/** Several server processes over the world's database. */
export async function startNodes(world: World, count: number, env?: Record<string, string>): Promise<Nodes> {
  const started = await Promise.all(Array.from({ length: count }, () => startNode(world, env)));
  return {
    urls: started.map(({ url }) => url),
    async close() {
      await Promise.all(
        started.map(async ({ process: child }) => {
          if (child.exitCode !== null || child.signalCode !== null) return;
          const ended = once(child, 'exit');
          child.kill('SIGTERM');
          await ended;
        }),
      );
    },
  };
}

/** One node, in this process. */
export const inProcess = (kind: DatabaseKind, env: Record<string, string> = {}): Promise<Arena> =>
  openArena({ kind, env });
