/** What anybody may fetch and cache: the JWKS and both discovery documents, with ETag and Cache-Control. */
import { createHash } from 'node:crypto';
import type { Context } from 'koa';
import { PREFLIGHT_HEADERS } from './cors.ts';

/** A document ready to be sent. */
export interface Published {
  readonly body: string;
  readonly etag: string;
}

export function publish(document: unknown): Published {
  const body = JSON.stringify(document);
  return { body, etag: `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"` };
}

/** CORS for every origin, without credentials. */
function allowAnyOrigin(ctx: Context): void {
  ctx.set('access-control-allow-origin', '*');
  ctx.remove('cross-origin-resource-policy');
}

/**
 * Answers a GET or HEAD.
 * @param maxAge seconds
 */
export function sendPublished(ctx: Context, { body, etag }: Published, maxAge: number): void {
  allowAnyOrigin(ctx);
  ctx.set('cache-control', `public, max-age=${maxAge}`);
  ctx.set('etag', etag);
  ctx.status = 200;
  if (ctx.fresh) {
    ctx.status = 304;
    return;
  }
  ctx.type = 'application/json';
  ctx.body = body;
}

/** Answers a preflight for what every origin may fetch. */
export function preflightAny(ctx: Context): void {
  allowAnyOrigin(ctx);
  ctx.set({
    'access-control-allow-methods': 'GET, HEAD',
    'access-control-allow-headers': PREFLIGHT_HEADERS,
    'access-control-max-age': '3600',
  });
  ctx.status = 204;
}
