/** The public port: what happens to a request before and after the part that answers it. */
import Koa, { type Context, type Middleware } from 'koa';
import { PortcullisError } from '../lib/errors.ts';
import type { Settings } from '../config/schema.ts';
import { unseen, type Sight } from '../storage/following.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { Tracing } from '../telemetry/tracing.ts';
import { createContextMiddleware, factsOf } from './context.ts';
import { createTraces } from './traces.ts';
import type { Cors } from './cors.ts';
import { giveForm, type Engine } from './engine.ts';
import { createErrorHandler, sendOAuthError, sendProblem } from './errors.ts';
import { createOwnRoutes, type OwnRoutesDependencies } from './own-routes.ts';
import { errorPage, type ShowPage } from './pages.ts';
import { readForm, single, type Form } from './request-body.ts';
import { routeOf } from './routes.ts';
import { createSecurityHeaders } from './security-headers.ts';

export interface ServerDependencies extends Omit<OwnRoutesDependencies, 'basePath' | 'jwksMaxAge'> {
  readonly settings: Settings;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly tracing: Tracing | undefined;
  readonly engine: Engine;
  readonly cors: Cors;
  readonly show: ShowPage;
  readonly sight: Pick<Sight, 'current'>;
  /** Answers below /admin/v1. */
  readonly admin: Middleware;
}

/** Browsers ask for it at the root (W3C, A Well-Known URL for Changing Passwords). */
const CHANGE_PASSWORD = '/.well-known/change-password';
const WELL_KNOWN = ['/.well-known/oauth-authorization-server', '/.well-known/openid-configuration'];

/** The path below the issuer's path; undefined when a request is for something else. */
function pathBelow(basePath: string, path: string): string | undefined {
  if (path.startsWith('/health/')) return path; // probes know nothing of the issuer
  if (basePath === '' || path === CHANGE_PASSWORD) return path;
  const inserted = WELL_KNOWN.find((name) => path === name + basePath); // RFC 8414, 3.1 and 5
  if (inserted !== undefined) return inserted;
  if (path === basePath) return '/';
  return path.startsWith(`${basePath}/`) ? path.slice(basePath.length) : undefined;
}

/** What must not be in a URL, which logs and histories keep (RFC 6749, 2.3.1; OAuth 2.1, 5.2.3). */
const SECRET_PARAMETERS = [
  'client_secret',
  'client_assertion',
  'code',
  'device_code',
  'refresh_token',
  'token',
];

/** Bytes of a request line that every proxy takes; our own limit is twice that, headers included. */
const URL_LIMIT = 8000;

/** Without a range of text types HTML is never liked better: no need to weigh them. */
const wantsPage = (ctx: Context): boolean =>
  ctx.method !== 'OPTIONS' &&
  /text\//i.test(ctx.headers.accept ?? '') &&
  ctx.accepts('json', 'html') === 'html';

/** A POST with the same meaning as its GET becomes one, so that cookies stay SameSite=Lax (OIDC Core 3.1.2.1). */
function redirectToGet(ctx: Context, form: Form): void {
  const query = new URLSearchParams();
  for (const [name, values] of Object.entries(form))
    for (const value of [values].flat()) query.append(name, value ?? '');
  const location = `${ctx.path}?${query.toString()}`;
  if (location.length > URL_LIMIT)
    throw new PortcullisError(
      'invalid_request',
      413,
      'The request is too large: use a pushed authorization request.',
    );
  ctx.redirect(location);
  ctx.status = 303;
  ctx.set('cache-control', 'no-store');
}

/** @throws PortcullisError 400 */
function refuseSecretsInUrl(ctx: Context): void {
  const found = SECRET_PARAMETERS.find((name) => ctx.query[name] !== undefined);
  if (found !== undefined)
    throw new PortcullisError('invalid_request', 400, `${found} must not be sent in the URL`);
}

export function createServer(deps: ServerDependencies): Koa {
  const { settings, logger, metrics, engine, show } = deps;
  const { pathname, protocol } = new URL(settings.issuer);
  const basePath = pathname.replace(/\/$/, '');
  const own = createOwnRoutes({ ...deps, basePath, jwksMaxAge: settings.jwksMaxAge });
  const koa = new Koa({ proxy: true });
  koa.silent = true;
  koa.keys = engine.provider().keys as string[];
  koa.on('error', (error: unknown) => {
    // The caller went away before the answer was out.
    if ((error as { code?: string }).code === 'ECONNRESET' || (error as { code?: string }).code === 'EPIPE')
      return;
    logger.error({ err: error }, 'response failed');
  });

  const sendError = (ctx: Context, error: PortcullisError): void => {
    if (ctx.path.startsWith('/admin/')) sendProblem(ctx, error);
    else if (wantsPage(ctx)) show(ctx, errorPage(error), error.status);
    else sendOAuthError(ctx, error);
  };

  koa.use(createContextMiddleware(settings, metrics));
  if (deps.tracing) koa.use(createTraces(deps.tracing, settings.issuer));
  koa.use(async function observe(ctx, next) {
    const started = performance.now();
    const method = ctx.method;
    try {
      await next();
    } finally {
      const seconds = (performance.now() - started) / 1000;
      const { route } = ctx.state as { route?: string };
      metrics.httpRequest(method, route, ctx.status, seconds);
      logger.debug(
        {
          event: 'http.request',
          request_id: factsOf(ctx).requestId,
          ip: factsOf(ctx).clientIp,
          outcome: ctx.status,
          duration_ms: Math.round(seconds * 1000),
          method,
          route,
        },
        'request',
      );
    }
  });
  koa.use(createSecurityHeaders(protocol === 'https:'));
  koa.use(createErrorHandler(logger, sendError));
  koa.use(async function dispatch(ctx: Context, next) {
    const below = pathBelow(basePath, ctx.path);
    if (below === undefined) throw new PortcullisError('not_found', 404, 'There is nothing at this address.');
    const original = ctx.path;
    ctx.path = below;
    if (below.startsWith('/admin/v1')) {
      (ctx.state as { route?: string }).route = '/admin/v1';
      if (!deps.sight.current()) throw unseen();
      await deps.admin(ctx, next);
      return undefined;
    }
    const route = routeOf(below);
    if (!route) throw new PortcullisError('not_found', 404, 'There is nothing at this address.');
    (ctx.state as { route?: string }).route = route.pattern;
    if (!route.methods.includes(ctx.method)) {
      ctx.set('allow', route.methods.join(', '));
      throw new PortcullisError('invalid_request', 405, 'This address does not answer to that method.');
    }
    const answer = async (): Promise<void> => {
      if (!route.always && !deps.sight.current()) throw unseen();
      const form =
        route.body === 'form' && ctx.method === 'POST' ? await readForm(ctx.req, route.lenient) : undefined;
      if (!route.engine) {
        (ctx.state as { form?: Form }).form = form ?? {};
        await own(ctx, next);
        return;
      }
      if (form && (below === '/authorize' || below === '/logout')) {
        ctx.path = original;
        return redirectToGet(ctx, form);
      }
      if (form && below === '/logout/confirm') translateLogout(form);
      if (form) giveForm(ctx, form);
      // The engine takes what stands before the path for the mount's path.
      (ctx.req as { originalUrl?: string }).originalUrl = basePath + ctx.url;
      await engine.handle(ctx, next);
    };
    if (!route.api) return answer();
    const cors = route.methods.includes('OPTIONS');
    if (cors && ctx.method === 'OPTIONS') return deps.cors.preflight(ctx, route.methods);
    if (wantsPage(ctx)) ctx.req.headers.accept = 'application/json';
    ctx.set('cache-control', 'no-store');
    return (cors ? deps.cors.around : deps.cors.without)(ctx, () => {
      refuseSecretsInUrl(ctx);
      return answer();
    });
  });
  return koa;

  /** Our logout page posts `decision` and `csrf`; the engine knows them by other names. */
  function translateLogout(form: Form): void {
    form['xsrf'] = single(form, 'csrf');
    if (single(form, 'decision') === 'logout') form['logout'] = 'yes';
    delete form['csrf'];
    delete form['decision'];
  }
}
