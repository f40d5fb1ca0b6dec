/** What the provider is built from. */
import type { Clock } from '../lib/clock.ts';
import type { ApiRegistry } from '../clients/apis.ts';
import type { ClientRegistry } from '../clients/registry.ts';
import type { Settings } from '../config/schema.ts';
import type { KeyRing } from '../keys/ring.ts';
import type { AccessTokens } from '../storage/access-tokens.ts';
import type { Artifacts } from '../storage/artifacts.ts';
import type { Changes } from '../storage/changes.ts';
import type { Consents } from '../storage/consents.ts';
import type { DataKeys } from '../storage/data-keys.ts';
import type { Families } from '../storage/families.ts';
import type { SecondFactorStore } from '../storage/second-factors.ts';
import type { Sessions } from '../storage/sessions.ts';
import type { UserRecord } from '../storage/user-record.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { TokenVerifier } from './jwt-access-tokens.ts';
import type { ProviderPages } from './pages.ts';

/** The parts of storage that the engine reads and writes through its adapter. */
export interface ProviderStorage {
  readonly accessTokens: AccessTokens;
  readonly artifacts: Artifacts;
  readonly changes: Changes;
  readonly consents: Consents;
  readonly families: Families;
  readonly secondFactors: Pick<SecondFactorStore, 'has'>;
  readonly sessions: Sessions;
  readonly users: { findById(id: string): Promise<UserRecord | undefined> };
}

export interface ProviderDependencies {
  readonly settings: Settings;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly dataKeys: DataKeys;
  readonly ring: KeyRing;
  readonly verify: TokenVerifier;
  readonly storage: ProviderStorage;
  readonly clients: ClientRegistry;
  readonly apis: ApiRegistry;
  readonly pages: ProviderPages;
  /** A client authenticated with this secret; may be called on every request. */
  readonly secretUsed: (clientId: string, secretId: string) => void;
}
