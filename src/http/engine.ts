/** The mount of the provider: it can be swapped while requests are in flight, and is shielded from raw bodies. */
import compose from 'koa-compose';
import type { Context, Middleware, Next } from 'koa';
import type { EngineProvider as Provider } from '../provider/build.ts';
import { publish, sendPublished, preflightAny, type Published } from './published.ts';
import type { Form } from './request-body.ts';

const DISCOVERY = new Set(['/.well-known/openid-configuration', '/.well-known/oauth-authorization-server']);

/** The provider as a middleware of the server. */
export interface Engine {
  readonly handle: Middleware;
  readonly provider: () => Provider;
  /** Requests that have begun go on with the provider that they began with. */
  swap(provider: Provider): void;
}

interface Mounted {
  readonly provider: Provider;
  readonly run: Middleware;
  discovery?: Published;
}

const mounted = (provider: Provider): Mounted => ({
  provider,
  run: compose(provider.middleware as unknown as Middleware[]),
});

/** @param maxAge seconds that discovery may be cached */
export function createEngine(first: Provider, maxAge: number): Engine {
  let current = mounted(first);
  return {
    provider: () => current.provider,
    swap(provider) {
      current = mounted(provider);
    },
    async handle(ctx: Context, next: Next): Promise<void> {
      const mount = current;
      if (!DISCOVERY.has(ctx.path)) {
        await mount.run(ctx, next);
        return undefined;
      }
      if (ctx.method === 'OPTIONS') return preflightAny(ctx);
      if (!mount.discovery) {
        await mount.run(ctx, next); // the engine builds it once; every URL in it comes from the issuer
        ctx.remove('vary');
        mount.discovery = publish(ctx.body);
      }
      return sendPublished(ctx, mount.discovery, maxAge);
    },
  };
}

/** Hands a form that was read already to the engine, by the property that it documents for that. */
export function giveForm(ctx: Context, form: Form): void {
  (ctx.req as { body?: Form }).body = form;
}
