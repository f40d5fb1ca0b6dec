/** Accounts in the engine's words: who a `sub` is, and which claims it releases. */
import type { Account, AccountClaims, KoaContextWithOIDC } from 'oidc-provider';
import { toSeconds } from '../lib/clock.ts';
import type { UserRecord } from '../storage/user-record.ts';
import { recordOf } from './client-adapter.ts';
import type { ProviderDependencies } from './dependencies.ts';
import { familyOnce } from './family-adapter.ts';
import { createFirstKeyCheck } from './first-keys.ts';
import { stateOf } from './request-state.ts';

/** All standard claims of a user (OIDC Core 5.1). */
function standardClaims(user: UserRecord): Record<string, unknown> {
  return {
    preferred_username: user.username,
    ...(user.name === undefined ? {} : { name: user.name }),
    ...(user.email === undefined ? {} : { email: user.email, email_verified: user.emailVerified }),
    updated_at: toSeconds(user.updatedAt),
    ...user.claims,
  };
}

/** Claims asked for one by one for the ID token (OIDC Core 5.5). */
function askedForIdToken(claims: unknown): Set<string> {
  return new Set(typeof claims === 'object' && claims !== null ? Object.keys(claims) : []);
}

export function createFindAccount(deps: ProviderDependencies) {
  const refuse = createFirstKeyCheck(deps);
  const load = async (ctx: KoaContextWithOIDC, id: string, grantId: string | undefined) => {
    const { families, signedIn } = stateOf(ctx);
    // A family that this request has read brought its user along.
    const family =
      grantId !== undefined && families.has(grantId) ? await familyOnce(deps, grantId) : undefined;
    const user = family?.user?.id === id ? family.user : await deps.storage.users.findById(id);
    if (!user?.enabled) return undefined;
    const login = ctx.oidc.result?.login as { accountId?: string; generation?: string } | undefined;
    // Signed in with a password that has been changed since, just now or in the session that was read before: what
    // is issued would carry the new generation, and live.
    if (login?.accountId === id) return login.generation === user.generation ? user : undefined;
    return signedIn?.userId === id && signedIn.generation !== user.generation ? undefined : user;
  };
  return async (
    ctx: KoaContextWithOIDC,
    id: string,
    token?: { readonly grantId?: string | undefined },
  ): Promise<Account | undefined> => {
    const user = await load(ctx, id, token?.grantId);
    if (!user) return undefined; // `null` would be a 500
    return {
      accountId: user.id,
      generation: user.generation,
      username: user.username,
      name: user.name,
      async claims(use, _scope, claims) {
        if (use === 'id_token') refuse(ctx); // the client's algorithm may have changed since the code was issued
        const all: AccountClaims = { sub: user.id, ...standardClaims(user) };
        const { client } = ctx.oidc;
        if (use !== 'id_token' || (client && recordOf(client).metadata.claims_in_id_token)) return all;
        // Claims of a scope come from /userinfo (OIDC Core 5.4); those asked for one by one come here.
        const asked = askedForIdToken(claims);
        return {
          sub: user.id,
          ...Object.fromEntries(Object.entries(all).filter(([name]) => asked.has(name))),
        };
      },
    };
  };
}
