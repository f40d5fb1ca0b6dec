/** Which URIs a client may register: the reason against one, or undefined. Used by `client-schema.ts` and `client-rules.ts`. */

const LOOPBACK = /^http:\/\/(?:localhost|127\.0\.0\.1|\[::1\])(?::\d{1,5})?(?=[/?]|$)/i;
const HTTPS_LOOPBACK = /^https:\/\/(?:localhost|127\.0\.0\.1|\[::1\])(?::\d{1,5})?(?=[/?]|$)/i;
/** RFC 3986, 2, without `#` and `*`: URIs are compared as strings, so they are to be written in one way. */
const URI_CHARACTERS = /^[A-Za-z0-9\-._~:/?[\]@!$&'()+,;=%]+$/;
/** A reversed domain name (RFC 8252, 7.1). */
const PRIVATE_USE = /^[a-z][a-z0-9+-]*(?:\.[a-z0-9+-]+)+:/i;

/** What rules out a redirect URI for every type of client (RFC 9700, 2.6 and 4.1.3; RFC 8252, 7). */
export function redirectUriFault(uri: string): string | undefined {
  if (uri.includes('#')) return 'must have no fragment';
  if (uri.includes('*')) return 'must have no wildcard: redirect URIs are compared as exact strings';
  const url = URL.parse(uri);
  if (!url || !URI_CHARACTERS.test(uri) || url.hostname.includes('*')) return 'must be an absolute URI';
  if (url.username || url.password) return 'must carry no user name or password';
  switch (url.protocol) {
    case 'https:':
      return /^https:\/\/[^/]/i.test(uri) ? undefined : 'must be an absolute URI';
    case 'http:':
      return LOOPBACK.test(uri) ? undefined : 'may be http on localhost, 127.0.0.1 and [::1] only';
    default:
      return PRIVATE_USE.test(uri) && uri.length > url.protocol.length
        ? undefined
        : 'must be https, http on a loopback host, or a private-use scheme with a dot (com.example.app:/path)';
  }
}

/** What rules out an otherwise good redirect URI for this type of client. */
export function redirectTypeFault(uri: string, type: 'web' | 'native'): string | undefined {
  if (type === 'web' && PRIVATE_USE.test(uri)) return 'may have a private-use scheme for native clients only';
  // The host's name proves nothing about who answers there (RFC 8252, 7.2).
  if (type === 'native' && HTTPS_LOOPBACK.test(uri)) return 'must be http on a loopback host';
  return undefined;
}

/** An origin as browsers send it (RFC 6454, 6.2): nothing behind the port, no default port. */
export function originFault(origin: string): string | undefined {
  const exact = URL.parse(origin)?.origin === origin && !origin.includes('*');
  if (!exact || !(origin.startsWith('https://') || LOOPBACK.test(origin))) {
    return 'must be an exact https origin (https://app.example.com), or http on a loopback host';
  }
  return undefined;
}

/** Neither in a URL (RFC 3986, 2), whatever a parser makes of them; PostgreSQL takes no NUL, and JSON no half pair. */
const NEVER = /[\s\\\p{Cc}\p{Cs}]/u;

/** A link that people follow. */
export function webUrlFault(uri: string): string | undefined {
  const url = URL.parse(uri);
  return url && /^https?:\/\//i.test(uri) && !NEVER.test(uri) && !url.username && !url.password
    ? undefined
    : 'must be an http or https URL';
}

/** A page of the client's that starts a sign-in (OpenID Connect Core 1.0, 4). */
export const httpsUrlFault = (uri: string): string | undefined =>
  /^https:/i.test(uri) ? webUrlFault(uri) : 'must be an https URL';

/** A URL that this server calls; whether http is allowed there is for the rules. */
export const fetchUrlFault = (uri: string): string | undefined =>
  uri.includes('#') ? 'must have no fragment' : webUrlFault(uri);
