/** AccessToken and ClientCredentials in the engine's words: JWTs without a row, opaque ones with one. */
import type { Adapter, AdapterPayload } from 'oidc-provider';
import { isOfApi } from '../clients/apis.ts';
import type { ProviderDependencies } from './dependencies.ts';
import { familyOnce } from './family-adapter.ts';
import { OPAQUE_PREFIX, presentedToken, type VerifiedToken } from './jwt-access-tokens.ts';
import { currentContext, currentState } from './request-state.ts';

type Kind = 'AccessToken' | 'ClientCredentials';

const never = (what: string) => (): never => {
  throw new Error(`the engine is not expected to ${what}`);
};

/** Whether the token's audience still exists: the tokens of a deleted API are inactive, whatever has its name now. */
const audienceExists = async (
  { apis, settings }: ProviderDependencies,
  aud: unknown,
  generation: unknown,
): Promise<boolean> =>
  typeof aud === 'string' && isOfApi(await apis.get(aud), settings.defaultApi, generation);

export function createAccessTokenAdapter(kind: Kind, deps: ProviderDependencies): Adapter {
  const { accessTokens, artifacts } = deps.storage;

  /** Claims requested for /userinfo (OIDC Core 5.5) are kept with the grant. */
  const forUserinfo = async (payload: AdapterPayload): Promise<AdapterPayload> => {
    // Trap (`actions/userinfo.js`): the engine refuses a token with an audience there.
    const { aud: _aud, ...rest } = payload;
    const family = payload.grantId === undefined ? undefined : await familyOnce(deps, payload.grantId);
    const claims = family?.grant['requested_claims'];
    return claims ? { ...rest, claims: claims } : rest;
  };

  const fromJwt = async (token: VerifiedToken): Promise<AdapterPayload | undefined> => {
    const { jti, iat, exp, aud, clientId, scope, grantId, sid, jkt, extra } = token;
    if (!(await audienceExists(deps, aud, token.apiGeneration))) return undefined;
    const payload: AdapterPayload = {
      kind,
      jti,
      iat,
      exp,
      aud,
      clientId,
      ...(scope === undefined ? {} : { scope }),
      ...(jkt === undefined ? {} : { jkt }),
    };
    if (kind === 'ClientCredentials') {
      const generation = token.clientGeneration;
      if (grantId !== undefined || generation === undefined) return undefined;
      return (await accessTokens.clientAlive(clientId, generation, jti)) ? payload : undefined;
    }
    if (grantId === undefined) return undefined;
    const owner = await accessTokens.ownerOf(grantId, jti);
    if (!owner || owner.userId !== token.sub || owner.clientId !== clientId) return undefined;
    return { ...payload, accountId: token.sub, grantId, extra, ...(sid === undefined ? {} : { sid }) };
  };

  const fromRow = async (id: string): Promise<AdapterPayload | undefined> => {
    const artifact = await artifacts.find(kind, id);
    if (!artifact) return undefined;
    const payload = { ...artifact.payload, jti: id } as AdapterPayload & {
      clientGeneration?: string;
      apiGeneration?: number;
    };
    if (!(await audienceExists(deps, payload.aud, payload.apiGeneration))) return undefined;
    const { grantId, clientId } = payload;
    if (grantId !== undefined) return (await familyOnce(deps, grantId))?.alive ? payload : undefined;
    if (!clientId || !payload.clientGeneration) return undefined;
    return (await accessTokens.clientAlive(clientId, payload.clientGeneration, undefined))
      ? payload
      : undefined;
  };

  return {
    async find(id) {
      const state = currentState();
      let found: AdapterPayload | undefined;
      if (id.startsWith(OPAQUE_PREFIX)) found = await fromRow(id);
      else {
        const token = presentedToken(id, state, deps.verify);
        found = token && (await fromJwt(token));
      }
      return found && currentContext()?.oidc.route === 'userinfo' ? forUserinfo(found) : found;
    },
    async upsert(id, payload, expiresIn = 0) {
      const { unit, apiGenerations } = currentState();
      const { jti: _jti, ...rest } = payload;
      const kept = { ...rest, apiGeneration: apiGenerations.get(String(payload.aud)) };
      const client = payload.clientId === undefined ? undefined : await deps.clients.get(payload.clientId);
      const opaque = {
        kind,
        id,
        payload: payload.grantId === undefined ? { ...kept, clientGeneration: client?.generation } : kept,
        expiresAt: payload.exp === undefined ? deps.clock.now() + expiresIn * 1000 : payload.exp * 1000,
        grantId: payload.grantId,
      };
      if (!unit) throw new Error('an access token is only issued at the token endpoint');
      unit.opaque = opaque;
    },
    async destroy(jti) {
      const state = currentState();
      const { verified } = state;
      const client = currentContext()?.oidc.client?.clientId;
      const event = {
        type: 'token.revoked' as const,
        ...state.origin,
        ...(client ? { clientId: client, actor: `client:${client}` } : {}),
        detail: { kind: 'access_token' as const },
      };
      if (verified?.jti === jti) {
        const owner =
          verified.grantId === undefined ? {} : { grantId: verified.grantId, userId: verified.sub };
        await accessTokens.deny(jti, verified.exp * 1000, { ...event, ...owner });
      } else {
        const found = currentContext()?.oidc.entities[kind] as
          { grantId?: string; accountId?: string } | undefined;
        const { grantId, accountId: userId } = found ?? {};
        await accessTokens.destroyOpaque(kind, jti, { ...event, grantId, userId });
      }
    },
    async revokeByGrantId() {}, // the family's row decides
    consume: never('consume an access token'),
    findByUid: never('find an access token by uid'),
    findByUserCode: never('find an access token by user code'),
  };
}
