/**
 * Device codes (RFC 8628): the engine issues them and exchanges them for tokens; the pages, and the decision of the
 * person in front of them, are ours. A decision opens the family in one transaction with the code.
 */
import { errors, type Adapter, type AdapterPayload } from 'oidc-provider';
import { generationOf, type ApiRegistry } from '../clients/apis.ts';
import type { Client } from '../clients/registry.ts';
import type { Settings } from '../config/schema.ts';
import { toSeconds, type Clock } from '../lib/clock.ts';
import { randomId } from '../lib/ids.ts';
import type { Artifact, Artifacts } from '../storage/artifacts.ts';
import type { Change, Changes } from '../storage/changes.ts';
import type { ConsentScopes, Consents } from '../storage/consents.ts';
import type { Families } from '../storage/families.ts';
import type { SessionRecord } from '../storage/sessions.ts';
import type { EventOf } from '../telemetry/events.ts';
import type { ProviderDependencies } from './dependencies.ts';
import { answeredAcr, judgeSignIn, type DeviceRequest } from './device-sign-in.ts';
import { OIDC_MEMBER, scopesByOwner } from './grants.ts';
import { API_GENERATIONS, currentContext, currentState, type Origin } from './request-state.ts';

const KIND = 'DeviceCode';
/** Milliseconds between two polls; RFC 8628, 3.5 has 5 s where the answer names none. */
const POLL_MS = 5_000;

/** The engine's device codes; a code that is polled too often answers `slow_down`, which the engine never sends. */
export function createDeviceCodeAdapter({ storage, clock }: ProviderDependencies): Adapter {
  const { artifacts } = storage;
  const restored = (found: Artifact | undefined): AdapterPayload | undefined =>
    found && {
      ...found.payload,
      ...(found.consumedAt === undefined ? {} : { consumed: toSeconds(found.consumedAt) }),
    };
  const never = (): never => {
    throw new Error('device codes are decided on by our own pages');
  };
  return {
    async find(id) {
      const found = restored(await artifacts.find(KIND, id));
      const pending = found && found.accountId === undefined && found.error === undefined;
      if (pending && currentContext()?.oidc.client?.clientId === found.clientId) {
        const now = clock.now();
        const inTime = await artifacts.insertOnce('DeviceCodePoll', id, now + POLL_MS);
        if (!inTime) throw new errors.SlowDown('the device polls too often');
      }
      return found;
    },
    // The id stays in the sealed payload: a person finds the code by the user code alone.
    upsert: (id, payload, expiresIn = 0) =>
      artifacts.save(KIND, id, payload, {
        expiresAt: clock.now() + expiresIn * 1000,
        userCode: payload.userCode,
      }),
    async consume(id) {
      const { unit } = currentState();
      if (!unit) throw new Error('a device code is only consumed at the token endpoint');
      unit.code = { kind: KIND, id };
    },
    async destroy(id) {
      await artifacts.destroy(KIND, id);
    },
    async revokeByGrantId() {}, // the family's row decides
    findByUid: never,
    findByUserCode: never,
  };
}

/** A code that waits for its person. */
export interface WaitingDevice extends DeviceRequest {
  readonly deviceCode: string;
  readonly clientId: string;
  readonly expiresAt: number;
  readonly payload: Readonly<Record<string, unknown>>;
}

/** Letters and digits as they are stored, whatever a person typed between them. */
export const normalizeUserCode = (typed: string): string => typed.toUpperCase().replace(/[^A-Z0-9]/g, '');

export interface DeviceDecisions {
  find(userCode: string): Promise<WaitingDevice | undefined>;
  /** What the device asks for. */
  requested(device: WaitingDevice): Promise<ConsentScopes>;
  /** Whether somebody signed in as the device asked for. */
  judge(device: WaitingDevice, person: SessionRecord): ReturnType<typeof judgeSignIn>;
  /** Lets the device in. Atomic: false when it was decided on already, or the sign-in is not what it asked for. */
  allow(
    device: WaitingDevice,
    client: Client,
    person: SessionRecord & { userId: string },
    origin: Origin,
  ): Promise<boolean>;
  /** Refuses the device. Atomic, as `allow`. */
  deny(device: WaitingDevice, event: EventOf<'consent.denied'>): Promise<boolean>;
}

export function createDeviceDecisions(deps: {
  readonly artifacts: Artifacts;
  readonly families: Families;
  readonly consents: Consents;
  readonly apis: ApiRegistry;
  readonly changes: Pick<Changes, 'raw'>;
  readonly clock: Clock;
  readonly settings: Pick<Settings, 'defaultApi'>;
}): DeviceDecisions {
  const { artifacts, families, consents, apis, changes, clock, settings } = deps;
  const generationsOf = async (identifiers: readonly string[]): Promise<Record<string, number>> => {
    const found = await Promise.all(identifiers.map((identifier) => apis.get(identifier)));
    const known = found.filter((api) => api !== undefined);
    return Object.fromEntries(known.map((api) => [api.identifier, generationOf(api, settings.defaultApi)]));
  };
  /** Does `work` in one transaction with the decision: whatever fails leaves the device undecided. */
  const decide = (
    { deviceCode, expiresAt }: WaitingDevice,
    work: (change: Change) => Promise<void>,
  ): Promise<boolean> =>
    changes.raw(async (change) => {
      if (!(await artifacts.insertOnce('DeviceCodeDecision', deviceCode, expiresAt, change.tx))) return false;
      await work(change);
      return true;
    });
  const requested = ({ params }: WaitingDevice): Promise<ConsentScopes> => scopesByOwner(apis, params);
  const judge: DeviceDecisions['judge'] = (device, person) =>
    judgeSignIn(device, person, toSeconds(clock.now()));
  return {
    requested,
    judge,
    async find(userCode) {
      const found = await artifacts.findByUserCode(KIND, userCode);
      const payload = found?.payload;
      if (!payload || payload['accountId'] !== undefined || payload['error'] !== undefined) return undefined;
      return {
        deviceCode: String(payload['jti']),
        clientId: String(payload['clientId']),
        expiresAt: Number(payload['exp']) * 1000,
        askedAt: Number(payload['iat']),
        params: payload['params'] as Record<string, unknown>,
        payload,
      };
    },
    async allow(device, client, person, origin) {
      if (judge(device, person) !== 'enough') return false;
      const scopes = await requested(device);
      const oidc = scopes[OIDC_MEMBER] ?? [];
      const apiScopes = Object.entries(scopes).filter(([member]) => member !== OIDC_MEMBER);
      const who = { ...origin, actor: `user:${person.userId}`, userId: person.userId, clientId: client.id };
      const names = Object.values(scopes).flat();
      const generations = await generationsOf(apiScopes.map(([identifier]) => identifier));
      const granted = { type: 'consent.granted', ...who, detail: { scopes: names } } as const;
      const grantId = randomId(16);
      const { loginTs, acr, amr } = person.payload as { loginTs?: number; acr?: string; amr?: string[] };
      return decide(device, async (change) => {
        await consents.allow(person.userId, client.id, scopes, granted, change);
        await families.create(
          {
            id: grantId,
            userId: person.userId,
            clientId: client.id,
            sessionUid: undefined, // a device outlives the browser that confirmed it
            clientGeneration: client.generation,
            userGeneration: person.userGeneration ?? '',
            consentGeneration: undefined, // as it is in this transaction
            newConsentGeneration: randomId(),
            grant: {
              accountId: person.userId,
              clientId: client.id,
              ...(oidc.length > 0 ? { openid: { scope: oidc.join(' ') } } : {}),
              resources: Object.fromEntries(
                apiScopes.map(([identifier, own]) => [identifier, [...oidc, ...own].join(' ')]),
              ),
              [API_GENERATIONS]: generations,
            },
            endsAt: device.expiresAt,
          },
          {
            kind: KIND,
            id: device.deviceCode,
            expiresAt: device.expiresAt,
            payload: {
              ...device.payload,
              accountId: person.userId,
              authTime: loginTs ?? toSeconds(clock.now()),
              acr: answeredAcr(device, acr),
              amr,
              grantId,
              scope: names.join(' '),
              resource: apiScopes.map(([identifier]) => identifier)[0],
            },
          },
          { type: 'grant.created', ...who, grantId, detail: { scope: names.join(' '), device: true } },
          change,
        );
      });
    },
    deny(device, event) {
      const payload = {
        ...device.payload,
        error: 'access_denied',
        errorDescription: 'the user denied the request',
      };
      const { deviceCode, expiresAt } = device;
      return decide(device, async ({ tx, record }) => {
        await artifacts.save(KIND, deviceCode, payload, { expiresAt }, tx);
        await record(event);
      });
    },
  };
}
