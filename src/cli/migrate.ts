/** `portcullis migrate`. */
import { secretKeysOf } from '../config/development.ts';
import type { Settings } from '../config/schema.ts';
import { createDataKeys } from '../storage/data-keys.ts';
import { openDatabase } from '../storage/database.ts';
import { migrate, migrationStatus } from '../storage/migrate.ts';
import { print, printJson, say, type Terminal } from './terminal.ts';

/**
 * Brings the database to this release, or says what that would do.
 * @throws StartError in one line
 */
export async function runMigrate(
  terminal: Terminal,
  settings: Settings,
  { status, json }: { readonly status?: true; readonly json?: true },
): Promise<void> {
  const secretKeys = secretKeysOf(settings);
  const database = await openDatabase({ url: settings.databaseUrl });
  try {
    if (status) {
      const found = await migrationStatus(database);
      if (json) return printJson(terminal, found);
      for (const name of found.applied) print(terminal, `applied  ${name}`);
      for (const name of found.pending) print(terminal, `pending  ${name}`);
      return;
    }
    const { applied } = await migrate(database, {
      onFirst: (tx) => createDataKeys(tx, secretKeys, terminal.clock),
      log: (name) => {
        if (!json) print(terminal, `applied  ${name}`);
      },
    });
    if (json) printJson(terminal, { applied });
    else if (applied.length === 0) say(terminal, 'The database is up to date.');
  } finally {
    await database.close();
  }
}
