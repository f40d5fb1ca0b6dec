/** Everything that administration works on, over a fresh database, with a clock that the test sets. */
import { randomBytes } from 'node:crypto';
import { createClientAdministration } from '../../src/clients/administration.ts';
import { createApiAdministration } from '../../src/clients/api-administration.ts';
import { ADMIN_SCOPES, createApiRegistry } from '../../src/clients/apis.ts';
import type { ClientMetadata } from '../../src/clients/metadata.ts';
import { createClientRegistry } from '../../src/clients/registry.ts';
import { createSecretAdministration } from '../../src/clients/secret-administration.ts';
import { createGrantAdministration } from '../../src/grants/administration.ts';
import { PortcullisError } from '../../src/lib/errors.ts';
import { randomId } from '../../src/lib/ids.ts';
import { createAuditLog } from '../../src/storage/audit.ts';
import type { Cached } from '../../src/storage/changes.ts';
import { createClientSecretStore } from '../../src/storage/client-secrets.ts';
import { createDataKeys } from '../../src/storage/data-keys.ts';
import { createGrantLists } from '../../src/storage/grant-lists.ts';
import { openStorage } from '../../src/storage/open.ts';
import { sweepBatch } from '../../src/storage/sweep.ts';
import type { AuditEvent } from '../../src/telemetry/events.ts';
import { createAccounts } from '../../src/users/accounts.ts';
import { createPasswords } from '../../src/users/passwords.ts';
import { createThrottle } from '../../src/users/throttle.ts';
import { openFresh, type DatabaseKind } from '../support/databases.ts';

export const DEFAULT_API = 'https://as.example/api';
export const admin = {
  actor: 'client:admin',
  ip: '192.0.2.1',
  requestId: 'request-1',
  scopes: ADMIN_SCOPES.map(({ name }) => name),
};
const web = {
  client_name: 'Web',
  redirect_uris: ['https://app.example/cb'],
  grant_types: ['authorization_code', 'refresh_token'],
  token_endpoint_auth_method: 'client_secret_basic',
};

export const MINUTE = 60_000;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

export type World = Awaited<ReturnType<typeof openWorld>>;

export async function openWorld(kind: DatabaseKind) {
  const fresh = await openFresh(kind);
  const time = { now: Date.parse('2030-01-01T00:00:00Z') };
  const clock = { now: () => time.now };
  const events: AuditEvent[] = [];
  const bumps: Cached[] = [];
  const secretKeys = [randomBytes(32)];
  // A copy of a migrated template: its first migration, which makes the data keys, is long past.
  await fresh.database.transaction((tx) => createDataKeys(tx, secretKeys, clock));
  const storage = await openStorage<ClientMetadata>({
    url: fresh.url,
    secretKeys,
    clock,
    listeners: { onEvent: (event) => events.push(event), onBump: (what) => bumps.push(what) },
  });
  const { database, dataKeys, changes } = storage;
  const secretStore = createClientSecretStore(database, clock, changes);
  const registry = createClientRegistry(storage.clients, { now: clock.now });
  const apiRegistry = createApiRegistry(storage.apis, { defaultApi: DEFAULT_API }, { now: clock.now });
  const lists = createGrantLists(database, dataKeys, clock, changes);
  const clients = createClientAdministration({
    store: storage.clients,
    apis: apiRegistry,
    keys: dataKeys,
    clock,
    fetchAllow: [],
  });
  const world = {
    ...storage,
    url: fresh.url,
    secretKeys,
    time,
    clock,
    events,
    bumps,
    secretStore,
    registry,
    apiRegistry,
    lists,
    audit: createAuditLog(database),
    admin: {
      clients,
      secrets: createSecretAdministration({
        store: secretStore,
        clients: storage.clients,
        keys: dataKeys,
        clock,
      }),
      apis: createApiAdministration(storage.apis, apiRegistry, () => Promise.resolve()),
      grants: createGrantAdministration(lists, storage.sessions, storage.consents),
    },
    accounts: createAccounts(storage.users, createPasswords()),
    throttle: createThrottle(storage.throttles, dataKeys, clock),
    /** @param auditDays how long audit events are kept */
    sweep: (auditDays?: number) => sweepBatch(database, clock, storage.sessions, auditDays),
    close: async () => {
      await database.close();
      await fresh.close();
    },
    /** Takes away every row but the data keys. */
    clear: async () => {
      const {
        client,
        clientSecret,
        user,
        session,
        consent,
        family,
        artifact,
        deniedToken,
        throttle,
        auditEvent,
      } = database.prisma;
      await Promise.all([
        client.deleteMany(),
        clientSecret.deleteMany(),
        user.deleteMany(),
        session.deleteMany(),
        consent.deleteMany(),
        family.deleteMany(),
        artifact.deleteMany(),
        deniedToken.deleteMany(),
        throttle.deleteMany(),
        auditEvent.deleteMany(),
      ]);
      events.length = 0;
    },
    /** The types of the audit rows so far, oldest first, and what they are about. */
    async audited() {
      const { data } = await world.audit.list({}, { limit: 200 });
      return data.toReversed();
    },
    /** A client and its id. */
    client: async (document: object = {}) => {
      const made = await clients.create({ ...web, ...document }, admin);
      return { id: made.client.id, ...made };
    },
    /** A user without a password, straight from the store. */
    user: (username: string) => {
      const id = randomId();
      return storage.users.create(
        { id, username, email: undefined, emailVerified: false, name: undefined, claims: {} },
        undefined,
        { type: 'user.created', userId: id, detail: {} },
      );
    },
    /** A signed-in browser. */
    async session(user: { id: string; generation: string }, ttl = DAY) {
      const [id, uid] = [randomId(), randomId()];
      await storage.sessions.save({
        id,
        uid,
        payload: { accountId: user.id },
        userId: user.id,
        userGeneration: user.generation,
        expiresAt: time.now + ttl,
        ip: '192.0.2.7',
        userAgent: 'Browser/1',
        existed: false,
      });
      return uid;
    },
    /** A family that has had its first token; null: without a refresh token. */
    async family(
      user: { id: string },
      clientId: string,
      options: { sessionUid?: string; idleTtl?: number | null; maxTtl?: number; accessTtl?: number } = {},
    ) {
      const { sessionUid, idleTtl = 14 * DAY, maxTtl = 90 * DAY, accessTtl = 10 * MINUTE } = options;
      const [id, code] = [randomId(), randomId()];
      const [owner, client, consent] = await Promise.all([
        storage.users.findById(user.id),
        storage.clients.find(clientId),
        storage.consents.find(user.id, clientId),
      ]);
      await storage.families.create(
        {
          id,
          userId: user.id,
          clientId,
          sessionUid,
          clientGeneration: client?.generation ?? '',
          userGeneration: owner?.generation ?? '',
          consentGeneration: consent?.generation,
          newConsentGeneration: randomId(),
          grant: { openid: { scope: 'openid email' }, resources: { [DEFAULT_API]: 'read write' } },
          endsAt: time.now + MINUTE,
        },
        { kind: 'AuthorizationCode', id: code, payload: {}, expiresAt: time.now + MINUTE },
        { type: 'grant.created', userId: user.id, clientId, grantId: id, detail: {} },
      );
      await storage.families.first({
        familyId: id,
        code: { kind: 'AuthorizationCode', id: code },
        token: idleTtl === null ? undefined : token(time.now + idleTtl),
        endsAt: time.now + maxTtl,
        accessEndsAt: time.now + accessTtl,
        opaque: undefined,
      });
      return id;
    },
    alive: async (familyId: string) => (await storage.families.read(familyId))?.alive ?? false,
  };
  return world;
}

const token = (idleEndsAt: number) => ({ hash: randomBytes(32), payload: {}, idleEndsAt });

/** What a promise is refused with: status and code. */
export async function refusal(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    if (error instanceof PortcullisError) return `${error.status} ${error.code}`;
    throw error;
  }
  return 'not refused';
}
