/** What the public port answers by itself, beside the engine and the admin API: pages, keys, health, assets. */
import { Router } from '@koa/router';
import type { Context, Middleware } from 'koa';
import { PortcullisError } from '../lib/errors.ts';
import type { AccountPages } from './account.ts';
import type { DevicePages } from './device.ts';
import type { Health } from './health.ts';
import type { Interactions } from './interactions.ts';
import { preflightAny, sendPublished, type Published } from './published.ts';
import type { Form } from './request-body.ts';
import type { Views } from './views.ts';

export interface OwnRoutesDependencies {
  readonly basePath: string;
  /** Seconds. */
  readonly jwksMaxAge: number;
  readonly jwks: () => Published;
  readonly interactions: Interactions;
  readonly account: AccountPages;
  readonly device: DevicePages;
  readonly views: Views;
  readonly health: Health;
}

const YEAR = 365 * 24 * 3600;

/** The form that was read before the route is reached. */
const formOf = (ctx: { readonly state: unknown }): Form => (ctx.state as { form?: Form }).form ?? {};

function sendAsset(ctx: Context, views: Views, name: string): void {
  const asset = views.asset(name);
  if (!asset) throw new PortcullisError('not_found', 404, 'There is nothing at this address.');
  ctx.set('cache-control', `public, max-age=${YEAR}, immutable`);
  ctx.set('etag', asset.etag);
  ctx.status = 200;
  if (ctx.fresh) {
    ctx.status = 304;
    return;
  }
  ctx.type = asset.type;
  ctx.body = asset.body;
}

/** Paths are below the issuer's path; `routes.ts` has let through known paths and methods only. */
export function createOwnRoutes(deps: OwnRoutesDependencies): Middleware {
  const { basePath, interactions, account, device } = deps;
  const router = new Router();
  router.get('/interaction/:uid', (ctx) => interactions.show(ctx, ctx.params['uid'] ?? ''));
  router.post('/interaction/:uid/:step', (ctx) =>
    interactions.submit(ctx, ctx.params['uid'] ?? '', ctx.params['step'] ?? '', formOf(ctx)),
  );
  router.get('/account{/:section}', (ctx) => account.show(ctx, ctx.params['section'] ?? ''));
  router.post('/account/:section', (ctx) => account.submit(ctx, ctx.params['section'] ?? '', formOf(ctx)));
  router.get('/device', (ctx) => device.show(ctx));
  router.post('/device', (ctx) => device.submit(ctx, formOf(ctx)));
  router.post('/device/switch', (ctx) => device.switchAccount(ctx, formOf(ctx)));
  router.get('/.well-known/change-password', (ctx) => ctx.redirect(`${basePath}/account/password`));
  router.get('/', (ctx) => ctx.redirect(`${basePath}/account`)); // where a person who comes by has something to see
  router.get('/assets/:name', (ctx) => sendAsset(ctx, deps.views, ctx.params['name'] ?? ''));
  router.get('/health/:probe', (ctx) => deps.health.answer(ctx, ctx.params['probe'] ?? ''));
  router.post('/register', (ctx) => {
    // Dynamic registration is not built: every initial access token is unknown (RFC 6750, 3.1).
    ctx.set('www-authenticate', 'Bearer error="invalid_token"');
    throw new PortcullisError('invalid_token', 401, 'Registration needs an initial access token.');
  });
  const routes = router.routes() as Middleware;
  return async (ctx, next) => {
    // What is asked for most takes the short way.
    if (ctx.path !== '/jwks') await routes(ctx, next);
    else if (ctx.method === 'OPTIONS') preflightAny(ctx);
    else sendPublished(ctx, deps.jwks(), deps.jwksMaxAge);
  };
}
