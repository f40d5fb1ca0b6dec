/** Any token of this server, for admins: whether it is alive, whose it is, why not; and the end of it. */
import { isOfApi, type ApiRegistry } from '../clients/apis.ts';
import type { ClientRegistry } from '../clients/registry.ts';
import { familyOfRefreshToken } from '../grants/refresh-token.ts';
import { kidOf, verifierOf } from '../keys/jws.ts';
import type { KeyRing } from '../keys/ring.ts';
import { toSeconds, type Clock } from '../lib/clock.ts';
import { originOf, type Origin } from '../storage/origin.ts';
import type { EventOf } from '../telemetry/events.ts';
import type { ProviderStorage } from './dependencies.ts';
import { isHash } from './family-adapter.ts';
import { createTokenVerifier, OPAQUE_PREFIX, type VerifiedToken } from './jwt-access-tokens.ts';
import type { DataKeys } from '../storage/data-keys.ts';
import type { SigningKeys } from '../storage/signing-keys.ts';

export const inactiveReasons = [
  /** Not of this server, altered, signed with a retired key, or of something that is no longer kept. */
  'unknown',
  'expired',
  /** A refresh token that was used; its family may be alive. */
  'spent',
  'revoked',
  'client_disabled',
  'client_deleted',
  'user_disabled',
  'user_deleted',
  'api_deleted',
  /** The signing key was retired before its time, and what it signed with it. */
  'key_retired',
] as const;

export type InactiveReason = (typeof inactiveReasons)[number];

/** What is known of a token, in the words of RFC 7662, 2.2, and ours; never the token itself. */
export interface Inspection {
  readonly active: boolean;
  readonly inactive_reason?: InactiveReason | undefined;
  readonly kind?: 'access_token' | 'refresh_token' | undefined;
  readonly client_id?: string | undefined;
  readonly user_id?: string | undefined;
  readonly grant_id?: string | undefined;
  readonly scope?: string | undefined;
  readonly aud?: string | undefined;
  readonly iss?: string | undefined;
  readonly sub?: string | undefined;
  readonly jti?: string | undefined;
  readonly iat?: number | undefined;
  readonly exp?: number | undefined;
}

export interface TokenInspector {
  inspect(token: string): Promise<Inspection>;
  /** An access token becomes inactive, a refresh token ends its family, expired or not. What is not alive stays so. */
  revoke(token: string, by: Origin): Promise<void>;
}

type Facts = Omit<Inspection, 'active' | 'inactive_reason'>;

/** A token that this server made. */
interface Known {
  readonly facts: Facts;
  /** Not revoked in any way, whatever the time. */
  readonly alive: boolean;
  readonly spent?: boolean;
  /** Of its API, in an access token. */
  readonly apiGeneration?: unknown;
  readonly keyRetired?: boolean;
  end(event: EventOf<'token.revoked'>): Promise<unknown>;
}

/** The payload of an opaque access token. */
interface OpaquePayload {
  readonly apiGeneration?: number;
  readonly accountId?: string;
  readonly aud?: string;
  readonly clientGeneration?: string;
  readonly clientId: string;
  readonly exp: number;
  readonly grantId?: string;
  readonly iat: number;
  readonly scope?: string;
}

export function createTokenInspector(dependencies: {
  readonly issuer: string;
  readonly defaultApi: string;
  readonly clock: Clock;
  readonly ring: Pick<KeyRing, 'verifier'>;
  readonly dataKeys: Pick<DataKeys, 'tagKeys'>;
  readonly storage: Pick<ProviderStorage, 'accessTokens' | 'artifacts' | 'families' | 'users'> & {
    readonly signingKeys: Pick<SigningKeys, 'retired'>;
  };
  readonly clients: Pick<ClientRegistry, 'get'>;
  readonly apis: Pick<ApiRegistry, 'get'>;
}): TokenInspector {
  const { issuer, defaultApi, clock, ring, dataKeys, clients, apis } = dependencies;
  const { accessTokens, artifacts, families, signingKeys, users } = dependencies.storage;
  // At the epoch nothing has expired: an expired token is told apart from one that is not ours.
  const epoch = { now: () => 0 };
  const verify = createTokenVerifier(ring, issuer, epoch);
  /** What was signed with a key that has left the JWKS. */
  const verifyRetired = async (token: string): Promise<VerifiedToken | undefined> => {
    const kid = kidOf(token);
    const found = kid === undefined ? undefined : await signingKeys.retired(kid);
    if (!found) return undefined;
    const verifier = verifierOf(found.alg, found.publicJwk);
    return createTokenVerifier({ verifier: () => verifier }, issuer, epoch)(token);
  };

  /** @param jti undefined for an opaque token, which is destroyed instead of being denied */
  const isAlive = async (
    facts: Facts,
    jti: string | undefined,
    generation: string | undefined,
  ): Promise<boolean> => {
    const { client_id: clientId = '', grant_id: grantId, user_id: userId } = facts;
    if (grantId === undefined) {
      return generation !== undefined && accessTokens.clientAlive(clientId, generation, jti);
    }
    const owner = await accessTokens.ownerOf(grantId, jti);
    return owner?.clientId === clientId && owner.userId === userId;
  };

  async function knownJwt(token: string): Promise<Known | undefined> {
    const published = verify(token);
    const found = published ?? (await verifyRetired(token));
    if (!found) return undefined;
    const { jti, iat, exp, aud, sub, scope, clientId, grantId } = found;
    const facts: Facts = {
      kind: 'access_token',
      client_id: clientId,
      user_id: grantId === undefined ? undefined : sub,
      grant_id: grantId,
      scope,
      aud,
      iss: issuer,
      sub,
      jti,
      iat,
      exp,
    };
    return {
      facts,
      alive: await isAlive(facts, jti, found.clientGeneration),
      apiGeneration: found.apiGeneration,
      keyRetired: published === undefined,
      end: (event) => accessTokens.deny(jti, exp * 1000, event),
    };
  }

  async function knownOpaque(token: string): Promise<Known | undefined> {
    for (const kind of ['AccessToken', 'ClientCredentials']) {
      const found = await artifacts.find(kind, token);
      if (!found) continue;
      const { accountId, clientId, grantId, clientGeneration, apiGeneration, ...rest } =
        found.payload as unknown as OpaquePayload;
      const { scope, aud, iat, exp } = rest;
      const facts: Facts = {
        kind: 'access_token',
        client_id: clientId,
        user_id: accountId,
        grant_id: grantId,
        scope,
        aud,
        iss: issuer,
        sub: accountId ?? clientId,
        iat,
        exp,
      };
      return {
        facts,
        alive: await isAlive(facts, undefined, clientGeneration),
        apiGeneration,
        end: (event) => accessTokens.destroyOpaque(kind, token, event),
      };
    }
    return undefined;
  }

  async function knownRefreshToken(token: string, id: string): Promise<Known | undefined> {
    const family = await families.read(id);
    if (!family) return undefined;
    const scope = family.token?.['scope'];
    return {
      facts: {
        kind: 'refresh_token',
        client_id: family.clientId,
        user_id: family.userId,
        grant_id: id,
        scope: typeof scope === 'string' ? scope : undefined,
        iss: issuer,
        sub: family.userId,
        exp: toSeconds(Math.min(family.endsAt, family.idleEndsAt ?? family.endsAt)),
      },
      alive: family.alive,
      spent: !isHash(families.tokenHashes(token), family.current),
      end: (event) => families.kill(id, 'token revoked', event),
    };
  }

  const find = (token: string): Promise<Known | undefined> => {
    const familyId = familyOfRefreshToken(dataKeys.tagKeys, token);
    if (familyId !== undefined) return knownRefreshToken(token, familyId);
    return token.startsWith(OPAQUE_PREFIX) ? knownOpaque(token) : knownJwt(token);
  };

  async function reasonOf({
    facts,
    alive,
    spent,
    keyRetired,
    apiGeneration,
  }: Known): Promise<InactiveReason | undefined> {
    if ((facts.exp ?? 0) <= toSeconds(clock.now())) return 'expired';
    if (alive && keyRetired) return 'key_retired';
    if (alive && facts.aud !== undefined && !isOfApi(await apis.get(facts.aud), defaultApi, apiGeneration))
      return 'api_deleted';
    if (alive) return spent ? 'spent' : undefined;
    const client = await clients.get(facts.client_id ?? '');
    if (!client) return 'client_deleted';
    if (!client.enabled) return 'client_disabled';
    const user = facts.user_id === undefined ? undefined : await users.findById(facts.user_id);
    if (facts.user_id !== undefined && !user) return 'user_deleted';
    return user && !user.enabled ? 'user_disabled' : 'revoked';
  }

  return {
    async inspect(token) {
      const known = await find(token);
      if (!known) return { active: false, inactive_reason: 'unknown' };
      const reason = await reasonOf(known);
      return { active: reason === undefined, inactive_reason: reason, ...known.facts };
    },
    async revoke(token, by) {
      const known = await find(token);
      if (!known) return;
      // The family of a refresh token may outlive it: access tokens are alive until it ends.
      const ends = known.facts.kind === 'refresh_token' ? known.alive : (await reasonOf(known)) === undefined;
      if (!ends) return;
      const { kind = 'access_token', client_id: clientId, user_id: userId, grant_id: grantId } = known.facts;
      const event = {
        type: 'token.revoked',
        ...originOf(by),
        clientId,
        userId,
        grantId,
        detail: { kind },
      } as const;
      await known.end(event);
    },
  };
}
