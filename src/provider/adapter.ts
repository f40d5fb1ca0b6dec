/** The engine's storage: one adapter for each of its models. */
import { errors, type Adapter, type AdapterFactory, type AdapterPayload } from 'oidc-provider';
import { toSeconds } from '../lib/clock.ts';
import { randomId } from '../lib/ids.ts';
import { createAccessTokenAdapter } from './access-token-adapter.ts';
import { createClientAdapter } from './client-adapter.ts';
import type { ProviderDependencies } from './dependencies.ts';
import { createDeviceCodeAdapter } from './device-codes.ts';
import { createGrantAdapter, createRefreshTokenAdapter } from './family-adapter.ts';
import { API_GENERATIONS, currentContext, currentState } from './request-state.ts';
import { createInteractionAdapter } from './interaction-adapter.ts';
import { createSessionAdapter } from './session-adapter.ts';

/** Codes whose use is part of POST /token's one commit. */
const CODES = new Set(['AuthorizationCode', 'DeviceCode']);

/** Saves an authorization code together with the family that it will open, in one transaction. */
async function saveCode(
  deps: ProviderDependencies,
  kind: string,
  id: string,
  payload: AdapterPayload,
  expiresAt: number,
): Promise<void> {
  const ctx = currentContext();
  const { client, account, grant } = ctx?.oidc ?? {};
  const state = currentState();
  const record = client && state.clients.get(client.clientId);
  if (!record || !account || !grant || payload.grantId === undefined) {
    throw new Error('a code without client, account or grant');
  }
  const offline = (payload.scope ?? '').split(' ').includes('offline_access');
  const { jti: _jti, ...kept } = payload;
  await deps.storage.families.create(
    {
      id: payload.grantId,
      userId: account.accountId,
      clientId: record.id,
      sessionUid: offline ? undefined : payload['sessionUid'],
      clientGeneration: record.generation,
      userGeneration: (account as unknown as { generation: string }).generation,
      consentGeneration: state.consentGeneration,
      newConsentGeneration: randomId(),
      grant: {
        accountId: account.accountId,
        clientId: record.id,
        openid: grant.openid,
        resources: grant.resources,
        [API_GENERATIONS]: Object.fromEntries(state.apiGenerations),
        ...(payload.claims ? { requested_claims: payload.claims } : {}),
      },
      endsAt: expiresAt,
    },
    { kind, id, payload: kept, expiresAt },
    {
      type: 'grant.created',
      ...state.origin,
      actor: `user:${account.accountId}`,
      clientId: record.id,
      userId: account.accountId,
      grantId: payload.grantId,
      detail: { scope: payload.scope ?? '' },
    },
  );
}

function createArtifactAdapter(kind: string, deps: ProviderDependencies): Adapter {
  const { artifacts } = deps.storage;
  const restored = (
    id: string | undefined,
    found: Awaited<ReturnType<typeof artifacts.find>>,
  ): AdapterPayload | undefined =>
    found && {
      ...found.payload,
      ...(id === undefined ? {} : { jti: id }), // ids are stored hashed only
      ...(found.consumedAt === undefined ? {} : { consumed: toSeconds(found.consumedAt) }),
    };
  return {
    async upsert(id, payload, expiresIn = 0) {
      const expiresAt = deps.clock.now() + expiresIn * 1000;
      if (kind === 'AuthorizationCode') return saveCode(deps, kind, id, payload, expiresAt);
      const { jti: _jti, ...kept } = payload;
      const { grantId, userCode } = payload;
      return artifacts.save(kind, id, kept, { expiresAt, grantId, userCode });
    },
    find: async (id) => restored(id, await artifacts.find(kind, id)),
    findByUserCode: async (code) => restored(undefined, await artifacts.findByUserCode(kind, code)),
    findByUid: async () => undefined,
    async consume(id) {
      const { unit } = currentState();
      if (unit && CODES.has(kind)) unit.code = { kind, id };
      else if (!(await artifacts.consume(kind, id))) throw consumedError(kind);
    },
    async destroy(id) {
      await artifacts.destroy(kind, id);
    },
    async revokeByGrantId() {}, // what hangs on a family asks the family
  };
}

/** What the RFC of a single-use record calls its second use. */
const consumedError = (kind: string): Error =>
  kind === 'PushedAuthorizationRequest'
    ? new errors.InvalidRequestUri('request_uri is invalid, expired, or was already used') // RFC 9126, 2.2
    : new errors.InvalidGrant(`${kind} already consumed`);

/** The adapter factory that the engine calls once for each model. */
export function createAdapterFactory(deps: ProviderDependencies): AdapterFactory {
  return (name) => {
    switch (name) {
      case 'Client':
        return createClientAdapter(deps);
      case 'Grant':
        return createGrantAdapter(deps);
      case 'RefreshToken':
        return createRefreshTokenAdapter(deps);
      case 'AccessToken':
      case 'ClientCredentials':
        return createAccessTokenAdapter(name, deps);
      case 'DeviceCode':
        return createDeviceCodeAdapter(deps);
      case 'Interaction':
        return createInteractionAdapter(createArtifactAdapter(name, deps), deps);
      case 'Session':
        return createSessionAdapter(deps);
      default:
        return createArtifactAdapter(name, deps);
    }
  };
}
