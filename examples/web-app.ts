/**
 * A web application with a server of its own: sign-in, refresh and sign-out by openid-client, tokens kept on the server.
 *
 *   npx portcullis clients create --id web --redirect-uri http://localhost:8080/callback \
 *     --post-logout-redirect-uri http://localhost:8080/ --scope "openid profile orders:read" \
 *     --grant-type authorization_code --grant-type refresh_token
 *   CLIENT_SECRET=… node examples/web-app.ts
 */
import { randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import * as oidc from 'openid-client';

const { ISSUER = 'http://localhost:3000', PORT = '8080' } = process.env;
const { CLIENT_ID = 'web', CLIENT_SECRET = '' } = process.env;
const HOME = `http://localhost:${PORT}/`;
const server = await oidc.discovery(new URL(ISSUER), CLIENT_ID, CLIENT_SECRET, undefined, {
  // oxlint-disable-next-line typescript/no-deprecated -- marked so that it stands out: http is for this machine only
  execute: ISSUER.startsWith('http:') ? [oidc.allowInsecureRequests] : [],
});

interface Session {
  tokens: oidc.TokenEndpointResponse;
  readonly sub: string;
  readonly idToken: string;
  refreshing?: Promise<void> | undefined;
}
const sessions = new Map<string, Session>();

/** Refreshes once, however many requests ask at the same time: a refresh token that is used twice ends its family. */
async function refresh(session: Session): Promise<void> {
  session.refreshing ??= oidc
    .refreshTokenGrant(server, session.tokens.refresh_token ?? '')
    .then((tokens) => void (session.tokens = tokens))
    .finally(() => (session.refreshing = undefined));
  await session.refreshing;
}

const cookie = (name: string, value: string, seconds: number): string =>
  `${name}=${value}; HttpOnly; SameSite=Lax; Path=/; Max-Age=${seconds}`;

async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(request.url ?? '/', HOME);
  const cookies = new URLSearchParams(request.headers.cookie?.replaceAll('; ', '&'));
  const session = sessions.get(cookies.get('app') ?? '');
  const go = (to: string, ...set: string[]): void =>
    void response.writeHead(303, { location: to, 'set-cookie': set }).end();
  if (url.pathname === '/login') {
    const [state, nonce, verifier] = [oidc.randomState(), oidc.randomNonce(), oidc.randomPKCECodeVerifier()];
    const code_challenge = await oidc.calculatePKCECodeChallenge(verifier);
    const wanted = { redirect_uri: `${HOME}callback`, scope: 'openid profile orders:read' };
    const checks = { state, nonce, code_challenge, code_challenge_method: 'S256' };
    const to = oidc.buildAuthorizationUrl(server, { ...wanted, ...checks });
    return go(to.href, cookie('sign-in', `${state}.${nonce}.${verifier}`, 600)); // ties the answer to this browser
  }
  if (url.pathname === '/callback') {
    const [state = '', nonce = '', verifier = ''] = (cookies.get('sign-in') ?? '').split('.');
    const checks = { expectedState: state, expectedNonce: nonce, pkceCodeVerifier: verifier };
    const tokens = await oidc.authorizationCodeGrant(server, url, checks);
    const id = randomBytes(32).toString('base64url'); // a new one at each sign-in
    sessions.set(id, { tokens, sub: tokens.claims()?.sub ?? '', idToken: tokens.id_token ?? '' });
    return go('/', cookie('app', id, 86_400), cookie('sign-in', '', 0));
  }
  if (!session) return void response.end('Nobody is signed in: go to /login\n');
  if (url.pathname === '/logout') {
    sessions.delete(cookies.get('app') ?? '');
    const parameters = { post_logout_redirect_uri: HOME, id_token_hint: session.idToken };
    return go(oidc.buildEndSessionUrl(server, parameters).href, cookie('app', '', 0));
  }
  if (url.pathname === '/refresh') await refresh(session);
  const { name } = await oidc.fetchUserInfo(server, session.tokens.access_token, session.sub);
  return void response.end(`Signed in as ${name}: go to /refresh or /logout\n`);
}

createServer((request, response) => {
  handle(request, response).catch(() => response.writeHead(400).end('That did not work: go to /login\n'));
}).listen(Number(PORT), '127.0.0.1', () => console.log(`listening on ${HOME}`));
