/**
 * Logout tokens (OpenID Connect Back-Channel Logout 1.0, 2.4).
 * Ours, not the engine's feature (`actions/end_session.js`): that one sends inside the request for /logout, once, and
 * knows of no other end of a session.
 */
import { SignJWT } from 'jose';
import type { ClientRegistry } from '../clients/registry.ts';
import type { KeyRing } from '../keys/ring.ts';
import { toSeconds, type Clock } from '../lib/clock.ts';
import { randomId } from '../lib/ids.ts';

const EVENT = 'http://schemas.openid.net/event/backchannel-logout';
/** Seconds; the specification recommends two minutes at most. */
const LIFE = 120;

/** Whom a token is for, and which session of whom has ended. */
export interface LogoutOf {
  readonly clientId: string;
  readonly userId: string;
  readonly sid: string;
}

/**
 * Makes the token for a client, and says where to send it; undefined: it is disabled, gone, or not to be told.
 * `sid` is always there beside `sub`: a client that heard of the user alone would end sessions that go on.
 */
export function createLogoutTokens(dependencies: {
  readonly issuer: string;
  readonly clients: Pick<ClientRegistry, 'get'>;
  readonly ring: Pick<KeyRing, 'jwks'>;
  readonly clock: Clock;
}) {
  const { issuer, clients, ring, clock } = dependencies;
  return async ({ clientId, userId, sid }: LogoutOf) => {
    const client = await clients.get(clientId);
    const url = client?.metadata.backchannel_logout_uri;
    if (!client?.enabled || url === undefined) return undefined;
    const alg = client.metadata.id_token_signed_response_alg;
    const key = ring.jwks.keys.find((jwk) => jwk.alg === alg); // the signing key comes first
    if (!key) throw new Error(`there is no key for ${alg}`);
    const now = toSeconds(clock.now());
    const token = await new SignJWT({ sid, events: { [EVENT]: {} } })
      .setProtectedHeader({ alg, kid: key.kid as string, typ: 'logout+jwt' })
      .setIssuer(issuer)
      .setAudience(clientId)
      .setSubject(userId)
      .setJti(randomId())
      .setIssuedAt(now)
      .setExpirationTime(now + LIFE)
      .sign(key);
    return { url, token };
  };
}
