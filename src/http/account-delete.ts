/** `/account/delete`: ends an account for good, at the word of somebody who has just shown that it is theirs. */
import type { ClientRegistry } from '../clients/registry.ts';
import { usernameKey } from '../storage/users.ts';
import type { Accounts } from '../users/accounts.ts';
import type { Confirm } from './account-confirm.ts';
import { common, visitorOf, type AccountSection, type Visit } from './account-section.ts';
import type { KnownAccounts } from './known-accounts.ts';
import type { ShowPage } from './pages.ts';
import { single } from './request-body.ts';
import type { AccountDeletePage } from './views.ts';

export interface DeleteDependencies {
  readonly show: ShowPage;
  readonly accounts: Accounts;
  readonly known: KnownAccounts;
  readonly clients: ClientRegistry;
}

export function createDeleteSection(deps: DeleteDependencies, confirm: Confirm): AccountSection {
  const { show, accounts, known } = deps;
  const nameOf = async (clientId: string): Promise<string> =>
    (await deps.clients.get(clientId))?.metadata.client_name ?? clientId;
  const page = (visit: Visit, error?: AccountDeletePage['error']): void => {
    const { username, name } = visit.user;
    const account = { username, name };
    const status = error === undefined ? 200 : 422;
    show(visit.ctx, { ...common(visit), section: 'delete', account, error }, status);
  };
  return {
    async show(visit) {
      if (await confirm.done(visit)) page(visit);
      else confirm.ask(visit, 'delete');
    },
    async submit(visit, form) {
      if (!(await confirm.done(visit))) return confirm.ask(visit, 'delete');
      const { ctx, user } = visit;
      const typed = single(form, 'typed_username');
      if (typed === undefined) return page(visit, 'missing');
      if (usernameKey(typed) !== usernameKey(user.username)) return page(visit, 'different');
      const told = await accounts.remove(user.id, visitorOf(visit));
      await known.forget(ctx, user.id);
      const apps = await Promise.all(told.map(nameOf));
      return show(ctx, { page: 'signed-out', deleted: true, apps });
    },
  };
}
