/**
 * The admin API: dispatches below `/admin/v1`. Every route is data; this is the one place where requests to them are
 * authenticated, authorised, read and answered. The composition root makes it.
 */
import { Readable } from 'node:stream';
import type { Context, Middleware } from 'koa';
import { z } from 'zod';
import type { ClientAdministration } from '../../clients/administration.ts';
import type { ApiAdministration } from '../../clients/api-administration.ts';
import type { ClientRegistry } from '../../clients/registry.ts';
import type { SecretAdministration } from '../../clients/secret-administration.ts';
import type { WebhookAdministration } from '../../delivery/webhooks.ts';
import type { LogoutNotices } from '../../storage/logout-notices.ts';
import type { GrantAdministration } from '../../grants/administration.ts';
import type { KeyAdministration } from '../../keys/rotation.ts';
import { faultsOf } from '../../lib/documents.ts';
import { PortcullisError } from '../../lib/errors.ts';
import type { AdminBearer } from '../../provider/admin-bearer.ts';
import type { TokenInspector } from '../../provider/token-inspector.ts';
import type { AuditLog } from '../../storage/audit.ts';
import type { Changes } from '../../storage/changes.ts';
import { originOf } from '../../storage/origin.ts';
import type { Accounts } from '../../users/accounts.ts';
import type { SecondFactors } from '../../users/second-factors.ts';
import { publish, sendPublished } from '../published.ts';
import { readForm, readJson } from '../request-body.ts';
import { apiRoutes } from './apis.ts';
import { auditRoutes } from './audit.ts';
import { callerOf, requireScope } from './caller.ts';
import { createClientGuard } from './client-guard.ts';
import { clientRoutes } from './clients.ts';
import { etagOf, refuseTags } from './conditional.ts';
import { grantRoutes } from './grants.ts';
import { keyRoutes } from './keys.ts';
import { createOpenApi, OPENAPI_PATH } from './openapi.ts';
import type { BodySpec, Route } from './route.ts';
import { allowed, createRouter } from './router.ts';
import { secretRoutes } from './secrets.ts';
import { tokenRoutes } from './tokens.ts';
import { userRoutes } from './users.ts';
import { logoutNoticeRoutes } from './logout-notices.ts';
import { webhookRoutes } from './webhooks.ts';

export interface AdminDependencies {
  readonly issuer: string;
  readonly bearer: AdminBearer;
  readonly registry: Pick<ClientRegistry, 'get'>;
  readonly clients: ClientAdministration;
  readonly secrets: SecretAdministration;
  readonly apis: ApiAdministration;
  readonly accounts: Accounts;
  readonly secondFactors: SecondFactors;
  readonly grants: GrantAdministration;
  readonly tokens: TokenInspector;
  readonly keys: KeyAdministration;
  readonly webhooks: WebhookAdministration;
  readonly logoutNotices: Pick<LogoutNotices, 'list'>;
  readonly audit: AuditLog;
  readonly changes: Pick<Changes, 'record'>;
}

const PREFIX = '/admin/v1';
const NDJSON = 'application/x-ndjson';
/** Seconds that the OpenAPI document may be cached. */
const OPENAPI_MAX_AGE = 300;

export function createAdminApi(deps: AdminDependencies): Middleware {
  const guard = createClientGuard(deps.registry);
  const routes: Route[] = [
    ...clientRoutes(deps.clients, guard),
    ...logoutNoticeRoutes(deps.clients, deps.logoutNotices),
    ...secretRoutes(deps.secrets, guard),
    ...apiRoutes(deps.apis),
    ...userRoutes(deps.accounts, deps.secondFactors),
    ...grantRoutes(deps.grants),
    ...auditRoutes(deps.audit),
    ...tokenRoutes(deps.tokens),
    ...keyRoutes(deps.keys),
    ...webhookRoutes(deps.webhooks),
  ];
  const find = createRouter(routes);
  const openapi = publish(createOpenApi(routes, deps.issuer));

  return async function admin(ctx: Context): Promise<void> {
    ctx.set('cache-control', 'no-store');
    const path = ctx.path.slice(PREFIX.length);
    const method = ctx.method === 'HEAD' ? 'GET' : ctx.method;
    if (path === OPENAPI_PATH) {
      if (method !== 'GET') throw wrongMethod(ctx, ['GET']);
      return sendPublished(ctx, openapi, OPENAPI_MAX_AGE);
    }
    const found = find(path);
    (ctx.state as { route?: string }).route = PREFIX + found.path;
    const route = found.methods.get(method);
    if (!route) throw wrongMethod(ctx, found.methods.keys());
    const by = await callerOf(ctx, deps.bearer);
    try {
      requireScope(ctx, by, route.scope);
      const query = readQuery(ctx, route);
      const body = await readBody(ctx, route.body);
      const ifMatch = ctx.get('if-match') || undefined;
      if (method !== 'GET' && !route.conditional) refuseTags(ifMatch);
      if (route.lines && ctx.accepts('application/json', NDJSON) === NDJSON) {
        return await sendLines(ctx, route.lines.of(query));
      }
      send(ctx, route, await route.handle({ params: found.params, query, body, ifMatch, by }));
    } catch (error) {
      if (error instanceof PortcullisError && error.status === 403) {
        const reason = error.details.reason ?? error.message;
        const detail = { reason, method: route.method, path: PREFIX + route.path };
        await deps.changes.record({ type: 'admin.denied', ...originOf(by), clientId: by.clientId, detail });
      }
      throw error;
    }
  };

  function send(ctx: Context, route: Route, shown: unknown): void {
    ctx.status = route.status;
    if (!route.answer) return;
    if (route.tagged) ctx.set('etag', etagOf(route.tagged(shown)));
    if (route.location) ctx.set('location', deps.issuer + PREFIX + route.location(shown));
    ctx.type = 'application/json';
    ctx.body = JSON.stringify(shown);
  }
}

const NO_QUERY = z.strictObject({});

function wrongMethod(ctx: Context, methods: Iterable<string>): PortcullisError {
  ctx.set('allow', allowed(methods));
  return new PortcullisError('invalid_request', 405, 'This address does not answer to that method.');
}

/** @throws PortcullisError 422; a name that is not known, or is repeated, is a fault */
function readQuery(ctx: Context, { query }: Route): unknown {
  const given = new URLSearchParams(ctx.querystring);
  const values = [...new Set(given.keys())].map((name) => {
    const all = given.getAll(name);
    return [name, all.length === 1 ? all[0] : all] as const;
  });
  const result = (query ?? NO_QUERY).safeParse(Object.fromEntries(values));
  if (result.success) return result.data;
  throw new PortcullisError('invalid_query', 422, 'The query is not valid.', {
    errors: faultsOf(result.error),
  });
}

async function readBody(ctx: Context, spec: BodySpec | undefined): Promise<unknown> {
  if (!spec) return undefined;
  if (!spec.form || !ctx.is('application/x-www-form-urlencoded')) return readJson(ctx.req);
  return { ...(await readForm(ctx.req, 'token')) }; // only tokens are asked about by form
}

/** Streams documents, one a line. What goes wrong before the first is still a problem document. */
async function sendLines(ctx: Context, documents: AsyncIterable<unknown>): Promise<void> {
  const iterator = documents[Symbol.asyncIterator]();
  let current = await iterator.next();
  async function* lines(): AsyncGenerator<string> {
    for (; !current.done; current = await iterator.next()) yield `${JSON.stringify(current.value)}\n`;
  }
  ctx.status = 200;
  ctx.type = NDJSON;
  ctx.body = Readable.from(lines());
}
