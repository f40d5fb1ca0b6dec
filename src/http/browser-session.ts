/** The browser's session outside of an authorization request: who is signed in, and signing in without a client. */
import type { Context } from 'koa';
import { toSeconds, type Clock } from '../lib/clock.ts';
import { randomId } from '../lib/ids.ts';
import type { Settings } from '../config/schema.ts';
import type { EngineProvider } from '../provider/build.ts';
import type { SessionRecord, Sessions, SessionSave } from '../storage/sessions.ts';
import { factsOf, originOf } from './context.ts';
import type { Login } from './sign-in.ts';

/** A session with somebody signed in. */
export type SignedIn = SessionRecord & { readonly userId: string };

export interface BrowserSessions {
  current(ctx: Context): Promise<SignedIn | undefined>;
  /** Whoever is signed in was here: what they are shown of their devices. */
  seen(ctx: Context, session: SignedIn): Promise<void>;
  /** Begins a session, in the form that the engine keeps them; a session that there was is ended by nobody else. */
  begin(ctx: Context, login: Login): Promise<void>;
  /** The same person has confirmed that it is they: a new id, and what they proved is the session's from now on. */
  renew(ctx: Context, session: SignedIn, login: Login): Promise<void>;
  /** Ends it, with the families that hang on it. */
  end(ctx: Context, session: SignedIn): Promise<void>;
}

const placeOf = (ctx: Context): Pick<SessionSave, 'ip' | 'userAgent'> => ({
  ip: factsOf(ctx).clientIp,
  userAgent: ctx.get('user-agent').slice(0, 200) || undefined,
});

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
    seen: (ctx, { uid }) => sessions.seen(uid, placeOf(ctx)),
    async end(ctx, { uid, userId }) {
      const who = { ...originOf(ctx), actor: `user:${userId}`, userId };
      await sessions.end(uid, { type: 'logout.completed', ...who, detail: {} });
    },
    async begin(ctx, login) {
      const before = ctx.cookies.get(cookieName(), { signed: true });
      if (before !== undefined) await sessions.destroy(before); // a new id at sign-in: no fixation
      const uid = randomId(16);
      await save(ctx, login, { uid, payload: { kind: 'Session', uid }, existed: false });
    },
    async renew(ctx, { uid, payload }, login) {
      await save(ctx, login, { uid, payload, existed: true });
    },
  };

  /** Saves it in the form that the engine keeps sessions in, under a new id. */
  async function save(
    ctx: Context,
    { accountId, acr, amr, generation, loginTs = toSeconds(clock.now()) }: Login,
    session: Pick<SessionSave, 'uid' | 'payload' | 'existed'>,
  ): Promise<void> {
    const now = clock.now();
    const left = loginTs + settings.sessionMaxTtl - toSeconds(now);
    const expiresAt = now + Math.max(1, Math.min(settings.sessionIdleTtl, left)) * 1000;
    const [iat, exp] = [toSeconds(now), toSeconds(expiresAt)];
    const id = randomId(32);
    await sessions.save({
      ...session,
      id,
      payload: { ...session.payload, accountId, loginTs, acr, amr: [...amr], iat, exp },
      userId: accountId,
      userGeneration: generation,
      expiresAt,
      ...placeOf(ctx),
    });
    ctx.cookies.set(cookieName(), id, {
      signed: true,
      httpOnly: true,
      sameSite: 'lax',
      path: '/',
      expires: new Date(expiresAt),
    });
  }
}
