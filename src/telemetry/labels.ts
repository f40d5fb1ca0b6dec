/** Closed sets of label values, so that no client can make a new time series. Used by `metrics.ts` only. */

const closed =
  (...values: string[]) =>
  (value: string): string =>
    values.includes(value) ? value : 'other';

/** Maps a value to itself when it is in the closed set of that label, else to `other`. */
export const oneOf = {
  grantType: closed(
    'authorization_code',
    'refresh_token',
    'client_credentials',
    'urn:ietf:params:oauth:grant-type:device_code',
    'urn:ietf:params:oauth:grant-type:token-exchange',
    'urn:ietf:params:oauth:grant-type:jwt-bearer',
    'urn:openid:params:grant-type:ciba',
  ),
  /** RFC 6749 5.2, RFC 8628 3.5, RFC 8707 2, RFC 9449 5, and what the server says when it cannot. */
  oauthError: closed(
    'invalid_request',
    'invalid_client',
    'invalid_grant',
    'unauthorized_client',
    'unsupported_grant_type',
    'invalid_scope',
    'invalid_target',
    'access_denied',
    'authorization_pending',
    'slow_down',
    'expired_token',
    'invalid_dpop_proof',
    'use_dpop_nonce',
    'invalid_authorization_details',
    'server_error',
    'temporarily_unavailable',
  ),
  tokenKind: closed('access_token', 'refresh_token', 'unknown'),
  loginOutcome: closed('succeeded', 'failed', 'throttled'),
  authMethod: closed('none', 'client_secret_basic', 'client_secret_post', 'private_key_jwt'),
  httpMethod: closed('GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'),
} as const;

/** For values that come from our own code: takes the first `limit` different ones, then `other`. */
export function atMost(limit: number): (value: string) => string {
  const seen = new Set<string>();
  return (value) => {
    if (seen.has(value)) return value;
    if (seen.size >= limit) return 'other';
    seen.add(value);
    return value;
  };
}
