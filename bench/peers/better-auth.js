// better-auth's OAuth provider on SQLite, with the same client, API and grants.
import http from 'node:http';
import { DatabaseSync } from 'node:sqlite';
import { createHash, randomBytes } from 'node:crypto';
import { oauthProvider } from '@better-auth/oauth-provider';
import { betterAuth } from 'better-auth';
import { getMigrations } from 'better-auth/db/migration';
import { toNodeHandler } from 'better-auth/node';
import { jwt } from 'better-auth/plugins';

const port = Number(process.argv[2]);
const url = `http://127.0.0.1:${port}`;
const api = 'https://orders.example/api';
const redirect_uri = 'https://shop.example/cb';
const scope = 'openid offline_access orders:read';
const database = new DatabaseSync(process.argv[3]);
database.exec('PRAGMA journal_mode = WAL');
const auth = betterAuth({
  baseURL: url,
  secret: randomBytes(32).toString('base64url'),
  database,
  emailAndPassword: { enabled: true },
  rateLimit: { enabled: false },
  telemetry: { enabled: false },
  plugins: [
    jwt({ jwks: { keyPairConfig: { alg: 'ES256' } } }),
    oauthProvider({
      loginPage: '/login',
      consentPage: '/consent',
      scopes: scope.split(' '),
      resources: [api],
      clientPrivileges: () => true,
      enforcePerClientResources: false,
      silenceWarnings: { oauthAuthServerConfig: true, openidConfig: true },
    }),
  ],
});
await (await getMigrations(auth.options)).runMigrations();
const { headers } = await auth.api.signUpEmail({
  body: { email: 'bench@shop.example', password: 'violet-harbour-kettle-19', name: 'Bench' },
  returnHeaders: true,
});
const cookie = headers
  .getSetCookie()
  .map((each) => each.split(';')[0])
  .join('; ');
const client = await auth.api.adminCreateOAuthClient({
  headers: { cookie },
  body: {
    redirect_uris: [redirect_uri],
    grant_types: ['authorization_code', 'refresh_token', 'client_credentials'],
    scope,
    client_credentials_scopes: ['orders:read'],
    skip_consent: true,
  },
});
const form = (fields) => ({
  method: 'POST',
  headers: {
    authorization: `Basic ${Buffer.from(`${client.client_id}:${client.client_secret}`).toString('base64')}`,
    'content-type': 'application/x-www-form-urlencoded',
  },
  body: new URLSearchParams(fields),
});
const code = async () => {
  const code_verifier = randomBytes(32).toString('base64url');
  const query = new URLSearchParams({
    client_id: client.client_id,
    redirect_uri,
    response_type: 'code',
    scope,
    resource: api,
    state: 'x',
    code_challenge: createHash('sha256').update(code_verifier).digest('base64url'),
    code_challenge_method: 'S256',
  });
  const answer = await fetch(`${url}/api/auth/oauth2/authorize?${query}`, {
    headers: { cookie },
    redirect: 'manual',
  });
  const { url: to } = await answer.json();
  const given = new URL(to).searchParams.get('code');
  return { grant_type: 'authorization_code', code: given, redirect_uri, code_verifier, resource: api };
};
const seed = async () => (await fetch(`${url}/token`, form(await code()))).json();
const own = { '/code': code, '/seed': seed, '/client': async () => client };
const PATHS = { '/token': '/oauth2/token', '/introspect': '/oauth2/introspect', '/revoke': '/oauth2/revoke' };
const handler = toNodeHandler(auth);
http
  .createServer((req, res) => {
    const made = own[req.url];
    if (made) return void made().then((value) => res.end(JSON.stringify(value)));
    if (!req.url.startsWith('/api/auth')) req.url = `/api/auth${PATHS[req.url] ?? req.url}`;
    void handler(req, res);
  })
  .listen(port, '127.0.0.1', () => console.log('up'));
