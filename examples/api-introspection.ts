/**
 * An API that asks the server about each token: it learns of a revocation at once, and takes opaque tokens too.
 * It needs a confidential client that serves the API:
 *
 *   npx portcullis clients create --id orders-api --grant-type client_credentials --serves https://orders.example/api
 *   CLIENT_SECRET=… node examples/api-introspection.ts
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

const {
  ISSUER = 'http://localhost:3000',
  AUDIENCE = 'https://orders.example/api',
  PORT = '8082',
} = process.env;
const { CLIENT_ID = 'orders-api', CLIENT_SECRET = '' } = process.env;
const basic = Buffer.from([CLIENT_ID, CLIENT_SECRET].map(encodeURIComponent).join(':')).toString('base64');

/** What RFC 7662 answers; everything else is left out when the token is not alive, or not for an API of this client. */
interface Introspection {
  readonly active: boolean;
  readonly aud?: string;
  readonly sub?: string;
  readonly scope?: string;
}

/** @throws when the server cannot be asked */
async function introspect(token: string): Promise<Introspection> {
  const response = await fetch(`${ISSUER}/introspect`, {
    method: 'POST',
    headers: { authorization: `Basic ${basic}` },
    body: new URLSearchParams({ token }),
  });
  if (!response.ok) throw new Error(`the server answers ${response.status}`);
  return (await response.json()) as Introspection;
}

const server = createServer((request, response) => {
  const answer = (status: number, body: object, challenge = ''): void => {
    if (challenge) response.setHeader('www-authenticate', `Bearer error="${challenge}"`);
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  };
  const token = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '')?.[1] ?? '';
  introspect(token).then(
    ({ active, aud, sub, scope = '' }) => {
      if (!active || aud !== AUDIENCE) answer(401, { error: 'invalid_token' }, 'invalid_token');
      else if (!scope.split(' ').includes('orders:read'))
        answer(403, { error: 'insufficient_scope' }, 'insufficient_scope');
      else answer(200, { orders: [], of: sub });
    },
    () => answer(503, { error: 'temporarily_unavailable' }), // never let a request in because nobody could be asked
  );
});
server.listen(Number(PORT), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});
