/** Session in the engine's words. */
import type { Adapter } from 'oidc-provider';
import type { ProviderDependencies } from './dependencies.ts';
import { currentContext, currentState } from './request-state.ts';

const never = (what: string) => (): never => {
  throw new Error(`the engine is not expected to ${what}`);
};

/** Longest user agent that is kept, in characters. */
const USER_AGENT_MAX = 200;

export function createSessionAdapter({ storage, clock, logger }: ProviderDependencies): Adapter {
  const { sessions } = storage;
  return {
    async find(id) {
      const found = await sessions.find(id);
      if (!found) return undefined;
      const { uid, userId, userGeneration: generation } = found;
      const state = currentState();
      state.sessionUid = uid;
      if (userId !== undefined) state.signedIn = { userId, generation };
      return { ...found.payload, jti: id };
    },
    async findByUid(uid) {
      return (await sessions.findByUid(uid))?.payload;
    },
    async upsert(id, payload, expiresIn = 0) {
      const ctx = currentContext();
      const { origin, sessionUid } = currentState();
      const { jti: _jti, ...kept } = payload;
      const uid = payload.uid;
      if (uid === undefined) throw new Error('a session without a uid');
      const login = (ctx?.oidc.result as { login?: { generation?: string } } | undefined)?.login;
      const saved = await sessions.save({
        id,
        uid,
        payload: kept,
        userId: payload.accountId,
        userGeneration: login?.generation,
        expiresAt: clock.now() + expiresIn * 1000,
        ip: origin.ip,
        userAgent: ctx?.get('user-agent').slice(0, USER_AGENT_MAX) || undefined,
        existed: sessionUid === uid,
      });
      if (!saved)
        logger.info({ event: 'session.ended_meanwhile' }, 'a session ended while a request used it');
    },
    async destroy(id) {
      const ctx = currentContext();
      const session = ctx?.oidc.session;
      // Trap (`models/session.js`): a session that gets a new id destroys the old one before it saves itself; here
      // both are one row, found by uid.
      if (session && session.jti !== id) return;
      if (session?.accountId === undefined) return sessions.destroy(id);
      const { origin } = currentState();
      const user = { actor: `user:${session.accountId}`, userId: session.accountId };
      const told = await sessions.end(session.uid, {
        type: 'logout.completed',
        ...origin,
        ...user,
        detail: {},
      });
      if (told) currentState().told = told;
    },
    consume: never('consume a session'),
    findByUserCode: never('find a session by user code'),
    async revokeByGrantId() {},
  };
}
