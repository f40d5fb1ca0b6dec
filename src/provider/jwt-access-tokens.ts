/**
 * JWT access tokens that can be introspected, revoked and used at /userinfo although no row is written for them.
 * Trap (`shared/reject_structured_tokens.js` of the engine): its /introspect and /revoke refuse anything that looks
 * like a JWT. So the form's `token` is replaced by a handle, and the adapter's `find` resolves the handle from the
 * verified claims and one query.
 */
import { decodeProtectedHeader, jwtVerify } from 'jose';
import type { Clock } from '../lib/clock.ts';
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

/** Verifies access tokens of this server: `undefined` for whatever is not one, alive or not. */
export type TokenVerifier = (token: string) => Promise<VerifiedToken | undefined>;

/** The key that a JWT names; undefined for what is none. */
export function kidOf(token: string): string | undefined {
  try {
    return decodeProtectedHeader(token).kid;
  } catch {
    return undefined;
  }
}

/** @param issuer the `iss` that a token must carry */
export function createTokenVerifier(
  ring: Pick<KeyRing, 'verifier'>,
  issuer: string,
  clock: Clock,
): TokenVerifier {
  return async (token) => {
    try {
      const { kid, alg } = decodeProtectedHeader(token);
      const found = kid === undefined ? undefined : ring.verifier(kid);
      if (!found || found.alg !== alg) return undefined;
      const { payload } = await jwtVerify(token, found.key, {
        issuer,
        typ: 'at+jwt',
        algorithms: [found.alg],
        requiredClaims: ['jti', 'exp', 'iat', 'sub', 'aud', 'client_id'],
        currentDate: new Date(clock.now()),
      });
      const { jti, iat, exp, sub, aud } = payload;
      const clientId = text(payload['client_id']);
      if (!jti || iat === undefined || exp === undefined || !sub || typeof aud !== 'string' || !clientId) {
        return undefined;
      }
      const cnf = payload['cnf'] as { jkt?: unknown } | undefined;
      const extra = Object.fromEntries(
        (['auth_time', 'acr', 'amr'] as const)
          .filter((name) => name in payload)
          .map((name) => [name, payload[name]]),
      );
      return {
        jti,
        iat,
        exp,
        sub,
        aud,
        clientId,
        scope: text(payload['scope']),
        grantId: text(payload[GRANT_CLAIM]),
        clientGeneration: text(payload[GENERATION_CLAIM]),
        apiGeneration: payload[API_CLAIM],
        sid: text(payload['sid']),
        jkt: text(cnf?.jkt),
        extra,
      };
    } catch {
      return undefined;
    }
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
): Promise<VerifiedToken | undefined> {
  const value = id === HANDLE ? state.presented : id;
  if (value === undefined || value.split('.').length !== 3) return Promise.resolve(undefined);
  state.verified ??= verify(value);
  return state.verified;
}
