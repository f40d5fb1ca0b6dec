/** CORS of what single page apps call: for the origins that clients have registered, without credentials. */
import type { Context } from 'koa';

/** What a preflight allows: no more than the endpoints read. */
export const PREFLIGHT_HEADERS = 'authorization, content-type, dpop';
const EXPOSED_HEADERS = 'WWW-Authenticate, DPoP-Nonce';
/** Seconds that a browser may remember a preflight. */
const PREFLIGHT_MAX_AGE = '600';

export interface Cors {
  /** Answers OPTIONS; whether an origin is registered with *this* client shows in the request itself only. */
  preflight(ctx: Context, methods: readonly string[]): Promise<void>;
  /** Runs `work`, which answers, and sets what its answer lets the browser's page read. */
  around(ctx: Context, work: () => Promise<void>): Promise<void>;
  /** Runs `work` as if the request came from no page, and lets none read the answer. */
  without(ctx: Context, work: () => Promise<void>): Promise<void>;
}

const HEADER = 'access-control-allow-origin';

function clear(ctx: Context): void {
  for (const name of Object.keys(ctx.response.headers))
    if (name.startsWith('access-control-')) ctx.remove(name);
}

/** @param originRegistered whether any enabled client has the origin among its `allowed_origins` */
export function createCors(originRegistered: (origin: string) => Promise<boolean>): Cors {
  const registeredOrigin = async (ctx: Context): Promise<string | undefined> => {
    ctx.vary('Origin');
    const origin = ctx.get('origin');
    return origin !== '' && (await originRegistered(origin)) ? origin : undefined;
  };
  const allow = (ctx: Context, origin: string): void => {
    ctx.set({ [HEADER]: origin, 'access-control-expose-headers': EXPOSED_HEADERS });
  };
  return {
    async preflight(ctx, methods) {
      ctx.status = 204;
      ctx.set('allow', methods.join(', '));
      const origin = await registeredOrigin(ctx);
      if (origin === undefined) return;
      ctx.set({
        [HEADER]: origin,
        'access-control-allow-methods': methods.filter((method) => method !== 'OPTIONS').join(', '),
        'access-control-allow-headers': PREFLIGHT_HEADERS,
        'access-control-max-age': PREFLIGHT_MAX_AGE,
      });
    },
    // Trap (`shared/cors.js`): until the engine knows the client it lets every origin read the answer, an unknown
    // client's for good, and without Origin it answers `*`.
    async around(ctx, work) {
      const origin = await registeredOrigin(ctx);
      try {
        await work();
      } catch (error) {
        clear(ctx);
        if (origin !== undefined) allow(ctx, origin);
        throw error;
      }
      const allowed = origin !== undefined && ctx.response.get(HEADER) === origin;
      clear(ctx);
      if (allowed) allow(ctx, origin);
    },
    async without(ctx, work) {
      delete ctx.req.headers.origin;
      await work();
      clear(ctx);
    },
  };
}
