/** A span for each request of the public port. Who may continue a trace: whoever may speak for others (context.ts). */
import type { Middleware } from 'koa';
import type { Tracing } from '../telemetry/tracing.ts';
import { factsOf } from './context.ts';

export function createTraces(tracing: Tracing, issuer: string): Middleware {
  const { protocol, hostname } = new URL(issuer);
  return function traces(ctx, next) {
    const trusted = (name: string): string | undefined =>
      factsOf(ctx).proxied ? ctx.get(name) || undefined : undefined;
    return tracing.request(
      {
        method: ctx.method,
        scheme: protocol.slice(0, -1),
        host: hostname,
        traceparent: trusted('traceparent'),
        tracestate: trusted('tracestate'),
      },
      next,
      () => ({ route: (ctx.state as { route?: string }).route, status: ctx.status }),
    );
  };
}
