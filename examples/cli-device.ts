/**
 * A command-line program that signs its user in on another device's browser (RFC 8628). It needs a public client:
 *
 *   npx portcullis clients create --id tool --public --scope "openid profile orders:read" \
 *     --grant-type urn:ietf:params:oauth:grant-type:device_code --grant-type refresh_token
 *   node examples/cli-device.ts
 */
import {
  allowInsecureRequests,
  discovery,
  fetchUserInfo,
  initiateDeviceAuthorization,
  None,
  pollDeviceAuthorizationGrant,
  refreshTokenGrant,
} from 'openid-client';

const { ISSUER = 'http://localhost:3000', CLIENT_ID = 'tool' } = process.env;
const server = await discovery(new URL(ISSUER), CLIENT_ID, undefined, None(), {
  // oxlint-disable-next-line typescript/no-deprecated -- marked so that it stands out: http is for this machine only
  execute: ISSUER.startsWith('http:') ? [allowInsecureRequests] : [],
});

const started = await initiateDeviceAuthorization(server, { scope: 'openid profile orders:read' });
console.log(`Open ${started.verification_uri} and enter ${started.user_code}`);
console.log(`or open ${started.verification_uri_complete}`);

// Polls as often as the server allows, until the person has decided or the code has run out.
const tokens = await pollDeviceAuthorizationGrant(server, started);
const { sub = '' } = tokens.claims() ?? {};
const { name } = await fetchUserInfo(server, tokens.access_token, sub);
console.log(`Signed in as ${name ?? sub}, for ${tokens.expires_in} seconds`);

// Later: the refresh token works once. Its successor is stored in its place before anything else is done.
const next = await refreshTokenGrant(server, tokens.refresh_token ?? '');
console.log(`Refreshed: ${next.refresh_token === tokens.refresh_token ? 'the same' : 'a new'} refresh token`);
