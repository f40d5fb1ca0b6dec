/**
 * JWT access tokens that can be introspected, revoked and used at /userinfo although no row is written for them.
 * Trap (`shared/reject_structured_tokens.js` of the engine): its /introspect and /revoke refuse anything that looks
 * like a JWT. So the form's `token` is replaced by a handle, and the adapter's `find` resolves the handle from the
 * verified claims and one query.
 */
import type { Clock } from '../lib/clock.ts';
import { verifyToken } from '../keys/jws.ts';
import type { KeyRing } from '../keys/ring.ts';
import { looksLikeRefreshToken } from '../grants/refresh-token.ts';
import type { RequestState } from './request-state.ts';

/** Claims of an access token of ours, verified: signature, issuer, type and time. */
export interface VerifiedToken {
  readonly jti: string;
  readonly iat: number;
  readonly exp: number;
  readonly sub: string;
  readonly aud: string;
  readonly clientId: string;
  readonly scope: string | undefined;
  /** The family (grant); undefined for a client's own token. */
  readonly grantId: string | undefined;
  /** The client's generation, in a client's own token. */
  readonly clientGeneration: string | undefined;
  /** The API's generation; undefined for the default API's. */
  readonly apiGeneration: unknown;
  readonly sid: string | undefined;
  readonly jkt: string | undefined;
  /** auth_time, acr, amr. */
  readonly extra: Record<string, unknown>;
}

/** Private claims: the grant, the client's generation in tokens without one, and the API's. */
export const GRANT_CLAIM = 'gid';
export const GENERATION_CLAIM = 'gen';
export const API_CLAIM = 'apg';

/** What stands in for the presented value; never a valid opaque token, for ':' is outside the alphabet. */
const HANDLE = 'at+jwt:presented';

/** Prefix of opaque access tokens. */
export const OPAQUE_PREFIX = 'pca_';

/** A value that the engine may see as it is. */
const isOpaque = (value: string): boolean => looksLikeRefreshToken(value) || value.startsWith(OPAQUE_PREFIX);

const text = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);

const seconds = (value: unknown): number | undefined =>
  typeof value === 'number' && Number.isFinite(value) ? value : undefined;

/** Verifies access tokens of this server: `undefined` for whatever is not one, alive or not. */
export type TokenVerifier = (token: string) => VerifiedToken | undefined;

/** @param issuer the `iss` that a token must carry */
export function createTokenVerifier(
  ring: Pick<KeyRing, 'verifier'>,
  issuer: string,
  clock: Clock,
): TokenVerifier {
  return (token) => {
    const claims = verifyToken(token, 'at+jwt', ring.verifier);
    if (claims?.['iss'] !== issuer) return undefined;
    const [iat, exp, nbf] = ['iat', 'exp', 'nbf'].map((name) => seconds(claims[name]));
    const [jti, sub, aud, clientId] = ['jti', 'sub', 'aud', 'client_id'].map((name) => text(claims[name]));
    if (!jti || iat === undefined || exp === undefined || !sub || !aud || !clientId) return undefined;
    const now = Math.floor(clock.now() / 1000);
    if (exp <= now || (nbf ?? now) > now) return undefined; // RFC 7519, 4.1.4 and 4.1.5
    const cnf = claims['cnf'] as { jkt?: unknown } | undefined;
    const extra = Object.fromEntries(
      (['auth_time', 'acr', 'amr'] as const)
        .filter((name) => name in claims)
        .map((name) => [name, claims[name]]),
    );
    return {
      jti,
      iat,
      exp,
      sub,
      aud,
      clientId,
      scope: text(claims['scope']),
      grantId: text(claims[GRANT_CLAIM]),
      clientGeneration: text(claims[GENERATION_CLAIM]),
      apiGeneration: claims[API_CLAIM],
      sid: text(claims['sid']),
      jkt: text(cnf?.jkt),
      extra,
    };
  };
}

/** Puts the handle in the place of a presented token that the engine would refuse to look at. */
export function presentToken(form: Record<string, unknown>, state: RequestState): void {
  const { token } = form;
  if (typeof token !== 'string' || token === '' || isOpaque(token)) return;
  state.presented = token;
  form['token'] = HANDLE;
}

/** The verified token behind `id`: the handle of this request, or (at /userinfo) the JWT itself. */
export function presentedToken(
  id: string,
  state: RequestState,
  verify: TokenVerifier,
): VerifiedToken | undefined {
  const value = id === HANDLE ? state.presented : id;
  if (value === undefined) return undefined;
  if (state.verified === undefined) state.verified = verify(value) ?? null;
  return state.verified ?? undefined;
}
