/** What every request gets first: an id, the caller's address, and a host that is the issuer's whatever it said. */
import type { Context, Middleware, Next } from 'koa';
import proxyaddr from 'proxy-addr';
import { randomId } from '../lib/ids.ts';
import type { Settings } from '../config/schema.ts';
import type { Metrics } from '../telemetry/metrics.ts';

/** What `context` leaves in `ctx.state`. */
export interface RequestFacts {
  readonly requestId: string;
  /** The address of the client, forwarded headers heeded only from trusted proxies. */
  readonly clientIp: string;
  /** Whether a trusted proxy sent it. */
  readonly proxied: boolean;
}

/** The facts of a request. */
export const factsOf = (ctx: { readonly state: unknown }): RequestFacts => ctx.state as RequestFacts;

/** Origin of a change, for its audit row. */
export const originOf = (ctx: { readonly state: unknown }): { ip: string; requestId: string } => {
  const { clientIp, requestId } = factsOf(ctx);
  return { ip: clientIp, requestId };
};

/** A trusted proxy's own request id is kept when it is one. */
const REQUEST_ID = /^[\w.-]{8,64}$/;

/** Who may speak for others through X-Forwarded-For: so many hops, or these addresses. */
function trustOf(trustProxy: Settings['trustProxy']): (address: string, hop: number) => boolean {
  if (typeof trustProxy === 'number') return (_address, hop) => hop < trustProxy;
  return proxyaddr.compile([...trustProxy]);
}

/** Host header lines among names and values. */
const hosts = (raw: readonly string[]): number =>
  raw.filter((text, index) => index % 2 === 0 && text.length === 4 && text.toLowerCase() === 'host').length;

const addressesIn = (header: string | string[] | undefined): number =>
  header === undefined || header.length === 0 ? 0 : header.toString().split(',').length;

/**
 * Pins host and protocol to the issuer's. Trap: the engine builds URLs and accepts audiences from the Host header;
 * a request under another name is served, never reflected.
 */
export function createContextMiddleware(
  settings: Pick<Settings, 'issuer' | 'trustProxy'>,
  metrics: Pick<Metrics, 'forwarded'>,
): Middleware {
  const { host, protocol } = new URL(settings.issuer);
  const trusted = trustOf(settings.trustProxy);
  return async function context(ctx: Context, next: Next): Promise<void> {
    const { headers } = ctx.req;
    const clientIp = proxyaddr(ctx.req, trusted);
    const sent = headers['x-request-id'];
    const fromProxy = trusted(ctx.req.socket.remoteAddress ?? '', 0);
    // Probes go past the proxies.
    if (!ctx.req.url?.startsWith('/health/'))
      metrics.forwarded(addressesIn(headers['x-forwarded-for']), fromProxy);
    const requestId = fromProxy && typeof sent === 'string' && REQUEST_ID.test(sent) ? sent : randomId(12);
    for (const name of Object.keys(headers)) {
      if (name.startsWith('x-forwarded-') || name === 'forwarded') delete headers[name];
    }
    // RFC 9112, 3.2.2: a target in absolute form names a host as well.
    const target = ctx.req.url?.startsWith('/') ? undefined : URL.parse(ctx.req.url ?? '');
    if (target) ctx.req.url = ctx.originalUrl = ctx.request.originalUrl = target.pathname + target.search;
    // RFC 9112, 3.2: two hosts are two servers' ideas of where this goes.
    const readable = target !== null && hosts(ctx.req.rawHeaders) <= 1;
    headers.host = host;
    headers['x-forwarded-host'] = host;
    headers['x-forwarded-proto'] = protocol.slice(0, -1);
    Object.assign(ctx.state, { requestId, clientIp, proxied: fromProxy } satisfies RequestFacts);
    ctx.set('x-request-id', requestId);
    if (readable) {
      await next();
      return;
    }
    ctx.status = 400; // nothing below could even read the path
    ctx.body = { error: 'invalid_request', error_description: 'The request target or Host is malformed.' };
  };
}
