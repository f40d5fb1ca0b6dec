/** The browser's session outside of an authorization request: who is signed in, and signing in without a client. */
import type { Context } from 'koa';
import { toSeconds, type Clock } from '../lib/clock.ts';
import { randomId } from '../lib/ids.ts';
import type { Settings } from '../config/schema.ts';
import type { EngineProvider } from '../provider/build.ts';
import type { SessionRecord, Sessions } from '../storage/sessions.ts';
import { factsOf, originOf } from './context.ts';
import type { Login } from './sign-in.ts';

/** A session with somebody signed in. */
export type SignedIn = SessionRecord & { readonly userId: string };

export interface BrowserSessions {
  current(ctx: Context): Promise<SignedIn | undefined>;
  /** Begins a session, in the form that the engine keeps them; a session that there was is ended by nobody else. */
  begin(ctx: Context, login: Login): Promise<void>;
  /** Ends it, with the families that hang on it. */
  end(ctx: Context, session: SignedIn): Promise<void>;
}

export function createBrowserSessions(
  provider: () => EngineProvider,
  sessions: Sessions,
  clock: Clock,
  settings: Pick<Settings, 'sessionIdleTtl' | 'sessionMaxTtl'>,
): BrowserSessions {
  const cookieName = (): string => provider().cookieName('session');
  return {
    async current(ctx) {
      const id = ctx.cookies.get(cookieName(), { signed: true });
      const found = id === undefined ? undefined : await sessions.find(id);
      return found?.userId === undefined ? undefined : { ...found, userId: found.userId };
    },
    async end(ctx, { uid, userId }) {
      const who = { ...originOf(ctx), actor: `user:${userId}`, userId };
      await sessions.end(uid, { type: 'logout.completed', ...who, detail: {} });
    },
    async begin(ctx, { accountId, acr, amr, generation }) {
      const before = ctx.cookies.get(cookieName(), { signed: true });
      if (before !== undefined) await sessions.destroy(before); // a new id at sign-in: no fixation
      const now = clock.now();
      const seconds = Math.min(settings.sessionIdleTtl, settings.sessionMaxTtl);
      const expiresAt = now + seconds * 1000;
      const [id, uid] = [randomId(32), randomId(16)];
      await sessions.save({
        id,
        uid,
        payload: {
          kind: 'Session',
          uid,
          accountId,
          loginTs: toSeconds(now),
          acr,
          amr: [...amr],
          iat: toSeconds(now),
          exp: toSeconds(expiresAt),
        },
        userId: accountId,
        userGeneration: generation,
        expiresAt,
        ip: factsOf(ctx).clientIp,
        userAgent: ctx.get('user-agent').slice(0, 200) || undefined,
        existed: false,
      });
      ctx.cookies.set(cookieName(), id, {
        signed: true,
        httpOnly: true,
        sameSite: 'lax',
        path: '/',
        expires: new Date(expiresAt),
      });
    },
  };
}
