/** A whole server for a test: its own database, its own port, everything real. */
import { createServer, type AddressInfo } from 'node:net';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { randomBytes } from 'node:crypto';
import { createApp, type App, type Overrides } from '../../src/app.ts';
import { parseSettings } from '../../src/config/schema.ts';
import { createLogger } from '../../src/telemetry/logger.ts';
import { freshDatabase, type DatabaseKind } from './databases.ts';

export interface TestServerOptions extends Overrides {
  readonly kind?: DatabaseKind;
  /** Environment, beside what a test server always sets. */
  readonly env?: Record<string, string>;
  /** Name of the issuer, by default 127.0.0.1: browsers take passkeys at a name only. */
  readonly host?: 'localhost';
  /** Path of the issuer, such as `/auth`. */
  readonly path?: string;
  /** A database that is there already; it is not dropped. */
  readonly databaseUrl?: string;
  readonly secretKeys?: string;
}

export interface TestServer {
  /** The issuer. */
  readonly url: string;
  readonly app: App;
  readonly admin: { readonly id: string; readonly secret: string };
  /** The lines of the log so far. */
  readonly log: string[];
  readonly databaseUrl: string;
  readonly dataDir: string;
  readonly secretKeys: string;
  /** An access token for the admin API. */
  adminToken(scope?: string): Promise<string>;
  close(): Promise<void>;
}

/** A port that is free now. */
export async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve));
  const { port } = probe.address() as AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

export const basicAuth = (id: string, secret: string): string =>
  `Basic ${Buffer.from(`${encodeURIComponent(id)}:${encodeURIComponent(secret)}`).toString('base64')}`;

export async function startTestServer(options: TestServerOptions = {}): Promise<TestServer> {
  const { kind = 'sqlite', env = {}, host = '127.0.0.1', path = '', databaseUrl, ...overrides } = options;
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-server-'));
  const database = databaseUrl === undefined ? await freshDatabase(kind) : undefined;
  const port = await freePort();
  const url = `http://${host}:${port}${path}`;
  const admin = { id: 'admin', secret: `pcs_${randomBytes(32).toString('base64url')}` };
  const secretKeys = options.secretKeys ?? randomBytes(32).toString('base64url');
  const used = databaseUrl ?? database?.url ?? '';
  const settings = parseSettings(
    {
      PORT: String(port),
      PORTCULLIS_MANAGEMENT_PORT: '0',
      PORTCULLIS_ISSUER: url,
      PORTCULLIS_DATA_DIR: folder,
      DATABASE_URL: used,
      PORTCULLIS_SECRET_KEYS: secretKeys,
      PORTCULLIS_BOOTSTRAP_CLIENT_ID: admin.id,
      PORTCULLIS_BOOTSTRAP_CLIENT_SECRET: admin.secret,
      ...env,
    },
    { readFile: () => '', cores: () => 1 },
  );
  const log: string[] = [];
  const logger = createLogger({
    environment: 'production',
    level: 'debug',
    destination: { write: (line: string) => void log.push(line) },
  });
  const app = await createApp(settings, { logger, ...overrides });
  await app.listen();
  return {
    url,
    app,
    admin,
    log,
    databaseUrl: used,
    dataDir: folder,
    secretKeys,
    async adminToken(scope) {
      const response = await fetch(`${url}/token`, {
        method: 'POST',
        headers: { authorization: basicAuth(admin.id, admin.secret) },
        body: new URLSearchParams({
          grant_type: 'client_credentials',
          resource: 'urn:portcullis:admin',
          ...(scope === undefined ? {} : { scope }),
        }),
      });
      const body = (await response.json()) as { access_token?: string };
      if (body.access_token === undefined) throw new Error(`no admin token: ${JSON.stringify(body)}`);
      return body.access_token;
    },
    async close() {
      await app.close();
      await database?.drop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
