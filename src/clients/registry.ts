/** The clients as requests see them: from memory for seconds, forgotten when any client changes on any node. */
import type { ClientRecord, ClientStore } from '../storage/clients.ts';
import { createCache } from './cache.ts';
import type { ClientMetadata } from './metadata.ts';

/** A client with its validated metadata and its secrets. */
export type Client = ClientRecord<ClientMetadata>;

export interface ClientRegistry {
  /** The client, disabled or not. */
  get(id: string): Promise<Client | undefined>;
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

export function createClientRegistry(
  store: Pick<ClientStore<ClientMetadata>, 'find'>,
  { now, ttlMs = 30_000, max = 1_000 }: RegistryOptions,
): ClientRegistry {
  return createCache((id) => store.find(id), { now, ttlMs, missTtlMs: Math.min(ttlMs, 5_000), max });
}
