/** Headers that every answer carries. Pages have no inline script or style, and load nothing from elsewhere. */
import type { Context, Middleware, Next } from 'koa';

/**
 * `form-action` is left out: Chromium applies it to the whole redirect chain, and a sign-in ends at the client.
 * `script-src` stays a directive of its own: the engine adds its form_post page's hash to it, and `'none'` means
 * something alone only.
 */
const CSP = [
  "default-src 'none'",
  "script-src 'none'",
  "style-src 'self'",
  "img-src 'self' data:",
  "base-uri 'none'",
  "frame-ancestors 'none'",
].join('; ');

const YEAR = 365 * 24 * 3600;

/** @param secure the issuer is https */
export function createSecurityHeaders(secure: boolean): Middleware {
  const headers = Object.entries({
    'content-security-policy': CSP,
    'x-content-type-options': 'nosniff',
    'x-frame-options': 'DENY',
    'referrer-policy': 'no-referrer',
    'cross-origin-opener-policy': 'same-origin',
    'cross-origin-resource-policy': 'same-origin',
    'permissions-policy': 'camera=(), geolocation=(), microphone=()',
    ...(secure ? { 'strict-transport-security': `max-age=${YEAR}` } : {}),
  });
  return async function securityHeaders(ctx: Context, next: Next): Promise<void> {
    for (const [name, value] of headers) ctx.res.setHeader(name, value);
    await next();
    const policy = ctx.response.get('content-security-policy');
    if (policy.includes("script-src 'none' "))
      ctx.set('content-security-policy', policy.replace("script-src 'none' ", 'script-src '));
    // An API's answer to a page of another origin is governed by CORS alone.
    if (ctx.response.get('access-control-allow-origin')) ctx.remove('cross-origin-resource-policy');
  };
}
