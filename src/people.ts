/** What people see: sign-in, consent, account and device pages, and what these share. The app makes it. */
import type { ApiRegistry } from './clients/apis.ts';
import type { ClientMetadata } from './clients/metadata.ts';
import type { ClientRegistry } from './clients/registry.ts';
import type { Settings } from './config/schema.ts';
import type { GrantAdministration } from './grants/administration.ts';
import { createAccountPages, type AccountPages } from './http/account.ts';
import { createBrowserSessions } from './http/browser-session.ts';
import { createCsrf } from './http/csrf.ts';
import { createDevicePages, type DevicePages } from './http/device.ts';
import { createInteractions, type Interactions } from './http/interactions.ts';
import { createKnownAccounts } from './http/known-accounts.ts';
import { createKnownDevices } from './http/known-devices.ts';
import { createMailing, offersOf, type Mailing } from './http/mailing.ts';
import type { ShowPage } from './http/pages.ts';
import type { Views } from './http/views.ts';
import { createVisitorSignIn } from './http/visitor-sign-in.ts';
import { createVisitors } from './http/visitor.ts';
import type { Clock } from './lib/clock.ts';
import type { EngineProvider } from './provider/build.ts';
import { createDeviceDecisions } from './provider/device-codes.ts';
import { createAuditLog } from './storage/audit.ts';
import type { Storage } from './storage/open.ts';
import type { Logger } from './telemetry/logger.ts';
import type { Metrics } from './telemetry/metrics.ts';
import type { Accounts } from './users/accounts.ts';
import type { SecondFactors } from './users/second-factors.ts';
import { createThrottle } from './users/throttle.ts';

export interface PeopleDependencies {
  readonly settings: Settings;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly storage: Storage<ClientMetadata>;
  readonly accounts: Accounts;
  readonly secondFactors: SecondFactors;
  readonly clients: ClientRegistry;
  readonly apis: ApiRegistry;
  readonly grants: GrantAdministration;
  readonly provider: () => EngineProvider;
  readonly show: ShowPage;
  readonly text: Views['text'];
}

export interface People {
  readonly interactions: Interactions;
  readonly account: AccountPages;
  readonly device: DevicePages;
  /** Mails that wait are sent by the node that holds the lease. */
  readonly duties: Mailing['duties'];
}

/** Makes the pages with everything that they alone need. */
export function createPeople(deps: PeopleDependencies): People {
  const { settings, clock, storage, provider, text } = deps;
  const { dataKeys, users, changes } = storage;
  const basePath = new URL(settings.issuer).pathname.replace(/\/$/, '');
  const secure = settings.issuer.startsWith('https:');
  const csrf = createCsrf(dataKeys.derived('csrf'));
  const throttle = createThrottle(storage.throttles, dataKeys, clock);
  const mailing = createMailing({ ...deps, throttle });
  const pages = {
    ...deps,
    csrf,
    basePath,
    browserSessions: createBrowserSessions(provider, storage.sessions, clock, settings),
    throttle,
    devices: createKnownDevices(dataKeys.derived('known devices'), secure),
    known: createKnownAccounts(users, dataKeys, secure),
    dataKeys,
    changes,
  };
  const visitorSignIn = createVisitorSignIn(pages);
  return {
    interactions: createInteractions({ ...pages, users, consents: storage.consents }),
    account: createAccountPages({
      ...pages,
      audit: createAuditLog(storage.database),
      addresses: storage.addresses,
      users,
      visitorSignIn,
      visitors: createVisitors(csrf, basePath),
      mailing,
      offers: offersOf(settings),
      text,
    }),
    device: createDevicePages({
      ...pages,
      visitors: visitorSignIn,
      decisions: createDeviceDecisions({ ...storage, apis: deps.apis, clock, settings }),
    }),
    duties: mailing.duties,
  };
}
