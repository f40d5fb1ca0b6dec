/**
 * Grant and RefreshToken in the engine's words, both one family row.
 * Trap (`actions/revocation.js`): revoking a single access token calls `RefreshToken.revokeByGrantId`, so only
 * `Grant.destroy` ends a family, and every `revokeByGrantId` and `RefreshToken.destroy` leaves it alone.
 */
import type { Adapter, AdapterPayload } from 'oidc-provider';
import { familyOfRefreshToken } from '../grants/refresh-token.ts';
import { toSeconds } from '../lib/clock.ts';
import { equalBytes } from '../lib/crypto.ts';
import type { Family } from '../storage/families.ts';
import { optionsOf } from './client-adapter.ts';
import type { ProviderDependencies } from './dependencies.ts';
import { currentContext, currentState, type Origin } from './request-state.ts';

/** The family, read once for each request. */
export function familyOnce(deps: ProviderDependencies, id: string): Promise<Family | undefined> {
  const { families } = currentState();
  const known = families.get(id);
  if (known) return known;
  const reading = deps.storage.families.read(id);
  families.set(id, reading);
  return reading;
}

const nothing = async (): Promise<void> => {};
const never = (what: string) => (): never => {
  throw new Error(`the engine is not expected to ${what}`);
};

/** The moment after which nothing of the family can be alive, in epoch seconds. */
const lastMoment = ({ endsAt, accessEndsAt }: Family): number =>
  toSeconds(Math.max(endsAt, accessEndsAt ?? 0)) + 1;

/** Whether `hash` is what the family's `stored` column holds. */
export const isHash = (hashes: readonly Uint8Array[], stored: Uint8Array | undefined): boolean =>
  stored !== undefined && hashes.some((hash) => equalBytes(hash, stored));

/**
 * Whether a token that was rotated `sinceRotation` ms ago (the database's clock) is inside a window of seconds.
 * A database whose clock was set back cannot hold the window open for longer than that again.
 */
export const inGrace = (family: Family, seconds: number): boolean =>
  family.sinceRotation !== undefined && Math.abs(family.sinceRotation) < seconds * 1000;

export function createGrantAdapter(deps: ProviderDependencies): Adapter {
  return {
    async find(id) {
      const state = currentState();
      const { verified } = state;
      // A verified access token has had its one query; only /userinfo needs what was granted.
      if (verified?.grantId === id && currentContext()?.oidc.route !== 'userinfo') {
        return {
          clientId: verified.clientId,
          accountId: verified.sub,
          iat: verified.iat,
          exp: verified.exp + 1,
        };
      }
      const family = await familyOnce(deps, id);
      return family?.alive ? { ...family.grant, jti: id, exp: lastMoment(family) } : undefined;
    },
    // Trap (`actions/end_session.js`): logout destroys the grants that the session remembers; ours end with it by
    // themselves, or live on.
    async destroy(id) {
      const ctx = currentContext();
      const { origin, families } = currentState();
      if (ctx?.oidc.route === 'token') {
        const refresh = ctx.oidc.params?.['grant_type'] === 'refresh_token';
        const family = await familyOnce(deps, id);
        await (refresh ? killForReuse : killForCodeReuse)(deps, origin, id, family);
      } else if (ctx?.oidc.route === 'revocation') {
        const family = await families.get(id);
        const client = ctx.oidc.client?.clientId;
        await deps.storage.families.kill(id, 'token revoked', {
          type: 'token.revoked',
          ...origin,
          ...(client ? { clientId: client, actor: `client:${client}` } : {}),
          ...(family ? { userId: family.userId } : {}),
          grantId: id,
          detail: { kind: 'refresh_token' },
        });
      }
    },
    upsert: never('save a grant'),
    consume: never('consume a grant'),
    findByUid: never('find a grant by uid'),
    findByUserCode: never('find a grant by user code'),
    revokeByGrantId: nothing,
  };
}

const subjectOf = (id: string, family: Family | undefined) => ({
  grantId: id,
  ...(family ? { clientId: family.clientId, userId: family.userId } : {}),
});

/** Ends the family of a replayed refresh token, with its audit row. */
export async function killForReuse(
  deps: ProviderDependencies,
  origin: Origin,
  id: string,
  family: Family | undefined,
): Promise<void> {
  await deps.storage.families.kill(id, 'refresh token reuse', {
    type: 'token.reuse_detected',
    ...origin,
    ...subjectOf(id, family),
    detail: { ms_since_rotation: family?.sinceRotation ?? null },
  });
}

/** Ends the family whose code was used twice, with its audit row. */
export async function killForCodeReuse(
  deps: ProviderDependencies,
  origin: Origin,
  id: string,
  family: Family | undefined,
): Promise<void> {
  await deps.storage.families.kill(id, 'code reuse', {
    type: 'code.reuse_detected',
    ...origin,
    ...subjectOf(id, family),
    detail: {},
  });
}

export function createRefreshTokenAdapter(deps: ProviderDependencies): Adapter {
  const { families } = deps.storage;
  return {
    async find(id) {
      const familyId = familyOfRefreshToken(deps.dataKeys.tagKeys, id);
      const family = familyId === undefined ? undefined : await familyOnce(deps, familyId);
      if (!family?.alive || !family.token) return undefined;
      const payload: AdapterPayload = { ...family.token, jti: id };
      // Access tokens may outlive the refresh token: who revokes it when it has expired or is spent ends them too.
      if (currentContext()?.oidc.route === 'revocation') return { ...payload, exp: lastMoment(family) };
      if (family.endsAt <= deps.clock.now()) return undefined;
      currentState().endsAt = family.endsAt;
      const hashes = families.tokenHashes(id);
      if (isHash(hashes, family.current)) return payload;
      // Elsewhere than at the token endpoint the previous token is as spent as any other.
      const { unit } = currentState();
      if (unit && isHash(hashes, family.previous)) {
        const client = await deps.clients.get(family.clientId);
        if (client && inGrace(family, optionsOf(client, deps.settings).rotationGrace)) return payload;
      }
      return { ...payload, consumed: toSeconds(deps.clock.now()) };
    },
    async upsert(id, payload, expiresIn = 0) {
      const { unit } = currentState();
      const { jti: _jti, ...kept } = payload;
      const familyId = payload.grantId;
      if (!unit || familyId === undefined)
        throw new Error('a refresh token is only issued at the token endpoint');
      const family = await familyOnce(deps, familyId);
      if (!family) throw new Error('a refresh token without a family');
      const client = await deps.clients.get(family.clientId);
      // Whole seconds, as the engine counts them: the columns say what the token's own `exp` says.
      const now = toSeconds(deps.clock.now());
      const { refreshMaxTtl } = client ? optionsOf(client, deps.settings) : { refreshMaxTtl: 0 };
      unit.issued = {
        id,
        familyId,
        endsAt: (now + refreshMaxTtl) * 1000,
        expiresIn,
        step: { hash: families.hashToken(id), payload: kept, idleEndsAt: (now + expiresIn) * 1000 },
      };
    },
    async consume(id) {
      const { unit } = currentState();
      if (!unit) throw new Error('a refresh token is only consumed at the token endpoint');
      unit.consumed = id;
    },
    destroy: nothing,
    findByUid: never('find a refresh token by uid'),
    findByUserCode: never('find a refresh token by user code'),
    revokeByGrantId: nothing,
  };
}
