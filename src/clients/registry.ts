/** The clients as requests see them: from memory for seconds, forgotten when any client changes on any node. */
import type { ClientRecord, ClientStore } from '../storage/clients.ts';
import { createCache } from './cache.ts';
import type { ClientMetadata } from './metadata.ts';

/** A client with its validated metadata and its secrets. */
export type Client = ClientRecord<ClientMetadata>;

export interface ClientRegistry {
  /** The client, disabled or not. */
  get(id: string): Promise<Client | undefined>;
  /** Whether any enabled client has registered this origin: what a CORS preflight, which names no client, goes by. */
  originRegistered(origin: string): Promise<boolean>;
  /** To be called when the clients have changed. */
  forget(): void;
}

/** How much is kept, and for how long. */
export interface RegistryOptions {
  /** Epoch milliseconds. */
  readonly now: () => number;
  readonly ttlMs?: number;
  readonly max?: number;
}

/** Longest `client_id` that can be registered, in characters: longer ones are not worth remembering. */
const ID_MAX = 128;

export function createClientRegistry(
  store: Pick<ClientStore<ClientMetadata>, 'find' | 'withOrigins'>,
  { now, ttlMs = 30_000, max = 1_000 }: RegistryOptions,
): ClientRegistry {
  const missTtlMs = Math.min(ttlMs, 5_000);
  const clients = createCache((id) => store.find(id), { now, ttlMs, missTtlMs, max });
  const origins = createCache(
    async () => new Set((await store.withOrigins()).flatMap((metadata) => metadata.allowed_origins)),
    { now, ttlMs, missTtlMs, max: 1 },
  );
  return {
    get: async (id) => (id.length > ID_MAX ? undefined : clients.get(id)),
    originRegistered: async (origin) => (await origins.get('all'))?.has(origin) ?? false,
    forget() {
      clients.forget();
      origins.forget();
    },
  };
}
