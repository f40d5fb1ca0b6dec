// The engine's own ceiling: oidc-provider as it comes, in memory, with the same client, API and grants.
import crypto from 'node:crypto';
import http from 'node:http';
import { Provider } from 'oidc-provider';

const port = Number(process.argv[2]);
const api = 'https://orders.example/api';
const pair = (type, options, alg) => ({
  ...crypto.generateKeyPairSync(type, options).privateKey.export({ format: 'jwk' }),
  alg,
  use: 'sig',
  kid: alg,
});
const day = () => 86_400;
const secret = 'bench-secret-bench-secret-bench-secret-x';
const client = {
  client_id: 'bench',
  client_secret: secret,
  grant_types: ['authorization_code', 'refresh_token', 'client_credentials'],
  response_types: ['code'],
  redirect_uris: ['https://shop.example/cb'],
};
const format = process.argv[3] ?? 'jwt';
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [client],
  cookies: { keys: ['x'] },
  jwks: {
    keys: [pair('ec', { namedCurve: 'P-256' }, 'ES256'), pair('rsa', { modulusLength: 2048 }, 'RS256')],
  },
  responseTypes: ['code'],
  scopes: ['openid', 'offline_access'],
  rotateRefreshToken: true,
  issueRefreshToken: async () => true,
  expiresWithSession: async () => false,
  findAccount: async (_ctx, id) => ({ accountId: id, claims: async () => ({ sub: id }) }),
  routes: { token: '/token', introspection: '/introspect', revocation: '/revoke', jwks: '/jwks' },
  ttl: {
    AccessToken: day,
    AuthorizationCode: day,
    ClientCredentials: day,
    Grant: day,
    IdToken: day,
    Interaction: day,
    RefreshToken: day,
    Session: day,
  },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    revocation: { enabled: true, allowedPolicy: async () => true },
    introspection: { enabled: true, allowedPolicy: async () => true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => api,
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({
        scope: 'openid orders:read',
        audience: api,
        accessTokenFormat: format,
        accessTokenTTL: 600,
        ...(format === 'jwt' ? { jwt: { sign: { alg: 'ES256' } } } : {}),
      }),
    },
  },
});
const found = await provider.Client.find(client.client_id);
const newGrant = async () => {
  const accountId = crypto.randomUUID();
  const grant = new provider.Grant({ accountId, clientId: client.client_id });
  grant.addOIDCScope('openid');
  grant.addResourceScope(api, 'openid orders:read');
  const grantId = await grant.save();
  return { accountId, client: found, grantId, gty: 'authorization_code', scope: 'openid orders:read' };
};
const code = async () => {
  const code_verifier = crypto.randomBytes(32).toString('base64url');
  const redirect_uri = client.redirect_uris[0];
  const value = await new provider.AuthorizationCode({
    ...(await newGrant()),
    claims: {},
    resource: api,
    authTime: Math.floor(Date.now() / 1000),
    redirectUri: redirect_uri,
    codeChallenge: crypto.createHash('sha256').update(code_verifier).digest('base64url'),
    codeChallengeMethod: 'S256',
  }).save();
  return { grant_type: 'authorization_code', code: value, redirect_uri, code_verifier };
};
const seed = async () => {
  const common = await newGrant();
  const refresh_token = await new provider.RefreshToken({
    ...common,
    claims: {},
    resource: api,
    authTime: Math.floor(Date.now() / 1000),
  }).save();
  const access_token = await new provider.AccessToken(common).save();
  return { refresh_token, access_token };
};
http
  .createServer((req, res) => {
    if (req.url === '/seed') void seed().then((tokens) => res.end(JSON.stringify(tokens)));
    else if (req.url === '/client') res.end(JSON.stringify(client));
    else if (req.url === '/code') void code().then((form) => res.end(JSON.stringify(form)));
    else void provider.callback()(req, res);
  })
  .listen(port, '127.0.0.1', () => console.log('up'));
