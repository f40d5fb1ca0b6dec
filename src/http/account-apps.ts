/** `/account/apps`: the apps that have access, and taking it back. */
import type { ApiRegistry } from '../clients/apis.ts';
import type { ClientRegistry } from '../clients/registry.ts';
import type { GrantAdministration } from '../grants/administration.ts';
import { PortcullisError } from '../lib/errors.ts';
import { common, visitorOf, type AccountSection } from './account-section.ts';
import { scopesInWords } from './consent-page.ts';
import type { ShowPage } from './pages.ts';
import { single } from './request-body.ts';

export interface AppsDependencies {
  readonly show: ShowPage;
  readonly clients: ClientRegistry;
  readonly apis: ApiRegistry;
  readonly grants: GrantAdministration;
}

export function createAppsSection({ show, clients, apis, grants }: AppsDependencies): AccountSection {
  const nameOf = async (clientId: string): Promise<string> =>
    (await clients.get(clientId))?.metadata.client_name ?? clientId;
  const section: AccountSection = {
    async show(visit, notices) {
      const connected = await grants.connectedApps(visit.user.id);
      const apps = connected.map(async ({ clientId, scopes, since, lastUsedAt }) => ({
        clientId,
        client: { name: await nameOf(clientId) },
        scopes: await scopesInWords(apis, scopes),
        offline: scopes['']?.includes('offline_access') ?? false,
        since,
        lastUsed: lastUsedAt,
      }));
      show(visit.ctx, { ...common(visit, notices), section: 'apps', apps: await Promise.all(apps) });
    },
    async submit(visit, form) {
      const clientId = single(form, 'client_id');
      if (clientId === undefined) throw new PortcullisError('invalid_request', 400, 'Choose an app.');
      await grants.disconnect(visit.user.id, clientId, visitorOf(visit));
      await section.show(visit, [{ kind: 'access-removed', client: await nameOf(clientId) }]);
    },
  };
  return section;
}
