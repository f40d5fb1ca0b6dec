/** `portcullis bootstrap`: a way back in for whoever runs the server, when the admin client is lost. */
import { renameSync, writeFileSync } from 'node:fs';
import { ADMIN_SCOPES, createApiRegistry } from '../clients/apis.ts';
import { createClientAdministration } from '../clients/administration.ts';
import type { ClientMetadata } from '../clients/metadata.ts';
import { createSecretAdministration } from '../clients/secret-administration.ts';
import { adminFile, secretKeysOf } from '../config/development.ts';
import type { Settings } from '../config/schema.ts';
import { createClientSecretStore } from '../storage/client-secrets.ts';
import { openStorage } from '../storage/open.ts';
import { codeOf, Failure } from './failure.ts';
import { confirm } from './prompt.ts';
import { record } from './table.ts';
import { print, printJson, say, type Terminal } from './terminal.ts';

const scopes = ADMIN_SCOPES.map(({ name }) => name);

const document = {
  client_name: 'Administration',
  enabled: true,
  grant_types: ['client_credentials'],
  token_endpoint_auth_method: 'client_secret_basic',
  scope: scopes.join(' '),
};

/**
 * Makes an admin client with every admin scope, or replaces the secret of the one there is.
 * In development the credential goes into the data folder's `admin.json`, else to standard output.
 * @throws Failure when the user says no, or the id belongs to another kind of client
 */
export async function runBootstrap(
  terminal: Terminal,
  settings: Settings,
  options: { readonly id?: string; readonly json?: true; readonly yes?: true },
): Promise<void> {
  const id = options.id ?? settings.bootstrapClient?.id ?? 'portcullis-admin';
  const made = await makeAdmin(terminal, settings, id, options.yes === true);
  const credential = { url: settings.issuer, client_id: id, client_secret: made };
  if (settings.environment === 'development') {
    const file = adminFile(settings.dataDir);
    try {
      writeFileSync(`${file}.new`, `${JSON.stringify(credential, null, 2)}\n`, { mode: 0o600 });
      renameSync(`${file}.new`, file);
    } catch (error) {
      throw new Failure(`${file} cannot be written (${codeOf(error)}): run it again, the secret is lost`);
    }
    say(terminal, `The credential is in ${file}, where the other verbs find it.`);
    if (!options.json) return;
  } else {
    say(terminal, 'Store the client_secret now: it cannot be shown again.');
  }
  if (options.json) printJson(terminal, credential);
  else print(terminal, record(credential));
}

/** Answers the secret. */
async function makeAdmin(terminal: Terminal, settings: Settings, id: string, yes: boolean): Promise<string> {
  const { clock } = terminal;
  const storage = await openStorage<ClientMetadata>({
    url: settings.databaseUrl,
    secretKeys: secretKeysOf(settings),
    clock,
    listeners: { onEvent: () => {}, onBump: () => {} },
  });
  try {
    const { database, changes, clients: store, dataKeys: keys } = storage;
    const apis = createApiRegistry(storage.apis, settings, { now: () => clock.now() });
    const clients = createClientAdministration({ store, apis, keys, clock, fetchAllow: settings.fetchAllow });
    const admin = { actor: 'system', scopes };
    const there = await store.find(id);
    if (!there) {
      const { secret } = await clients.create({ ...document, client_id: id }, admin);
      if (!secret) throw new Error('a confidential client was made without a secret');
      return secret.value;
    }
    const held = (there.metadata.scope ?? '').split(' ');
    if (!held.some((scope) => scopes.includes(scope))) {
      throw new Failure(`the client ${id} exists and is not an admin client`, [
        'Choose another id with --id.',
      ]);
    }
    await confirm(terminal, `The client ${id} exists. Replace its secret, and end what it holds?`, yes);
    await clients.change(id, document, admin);
    const secrets = createSecretAdministration({
      store: createClientSecretStore(database, clock, changes),
      clients: store,
      keys,
      clock,
    });
    const { value } = await secrets.rotate(id, { expire_old: 'now', name: 'bootstrap' }, admin);
    await clients.revoke(id, admin);
    return value;
  } finally {
    await storage.database.close();
  }
}
