/**
 * An API that verifies JWT access tokens offline: it fetches the server's public keys once, and asks nobody afterwards.
 * A revoked token is refused from its expiry on, ten minutes at most; `api-introspection.ts` refuses it at once.
 *
 *   AUDIENCE=https://orders.example/api node examples/api-jose.ts
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createRemoteJWKSet, jwtVerify } from 'jose';

const {
  ISSUER = 'http://localhost:3000',
  AUDIENCE = 'https://orders.example/api',
  PORT = '8081',
} = process.env;
const keys = createRemoteJWKSet(new URL(`${ISSUER}/jwks`));

/** The claims of the request's token. @throws when there is none, or it is not for this API */
async function claimsOf(authorization = '') {
  const token = /^Bearer +(\S+)$/i.exec(authorization)?.[1] ?? '';
  const { payload } = await jwtVerify(token, keys, {
    issuer: ISSUER,
    audience: AUDIENCE,
    typ: 'at+jwt', // an access token, no other JWT of this server (RFC 9068, 4)
  });
  return payload;
}

const server = createServer((request, response) => {
  const answer = (status: number, body: object, challenge = ''): void => {
    if (challenge) response.setHeader('www-authenticate', `Bearer error="${challenge}"`);
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  };
  claimsOf(request.headers.authorization).then(
    ({ sub, scope }) => {
      if (String(scope).split(' ').includes('orders:read')) answer(200, { orders: [], of: sub });
      else answer(403, { error: 'insufficient_scope' }, 'insufficient_scope');
    },
    () => answer(401, { error: 'invalid_token' }, 'invalid_token'),
  );
});
server.listen(Number(PORT), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});
