/** `portcullis backup`. */
import { secretKeysOf } from '../config/development.ts';
import type { Settings } from '../config/schema.ts';
import { fingerprint } from '../lib/crypto.ts';
import { makeBackup, manifestOf, verifyBackup } from '../storage/backup.ts';
import { openDatabase } from '../storage/database.ts';
import { migrationStatus } from '../storage/migrate.ts';
import { badUsage } from './failure.ts';
import { dumpCommand } from './postgresql-tools.ts';
import { record } from './table.ts';
import { print, printJson, say, type Terminal } from './terminal.ts';

/**
 * Copies the database, or checks a copy. For PostgreSQL it prints the command that makes one.
 * @throws StartError in one line
 */
export async function runBackup(
  terminal: Terminal,
  settings: Settings,
  file: string,
  { force, verify, json }: { readonly force?: true; readonly verify?: true; readonly json?: true },
): Promise<void> {
  const { databaseUrl } = settings;
  if (!databaseUrl.startsWith('file:')) {
    if (verify) throw badUsage('--verify is for copies of SQLite', 'Use pg_restore --list for a dump.');
    await explainDump(terminal, databaseUrl, file, json === true);
    return;
  }
  const show = (shown: object): void =>
    json ? printJson(terminal, shown) : print(terminal, record({ ...shown }));
  if (!verify) {
    const made = await makeBackup(databaseUrl, file, { force: force === true, now: terminal.clock.now() });
    show({ file, ...made });
    say(
      terminal,
      `Keep ${manifestOf(file)} with it, and the secret keys apart from both: they are not in it.`,
    );
    return;
  }
  const { pending, ...found } = await verifyBackup(file);
  const missing = missingSecretKeys(settings, found.secret_keys);
  show({ file, ...found, pending, missing_secret_keys: missing });
  for (const each of missing) {
    say(
      terminal,
      `PORTCULLIS_SECRET_KEYS lacks the key with fingerprint ${each}: without it the copy is worthless.`,
    );
  }
  say(terminal, 'The copy is sound, and what it was when it was made.');
}

/** Fingerprints of the keys that these settings lack. */
export function missingSecretKeys(settings: Settings, needed: readonly string[]): string[] {
  const held = secretKeysOf(settings).map(fingerprint);
  return needed.filter((each) => !held.includes(each));
}

async function explainDump(terminal: Terminal, url: string, file: string, json: boolean): Promise<void> {
  const database = await openDatabase({ url });
  try {
    const { applied, pending } = await migrationStatus(database);
    const command = dumpCommand(url, file);
    const schema = applied.at(-1) ?? null;
    if (json) printJson(terminal, { made: false, command, schema, pending });
    else print(terminal, command);
    say(
      terminal,
      `No copy was made: PostgreSQL has its own tool. The command above copies schema ${schema ?? 'none'}.`,
    );
    say(terminal, 'The password is not in it: put it into ~/.pgpass or PGPASSWORD.');
    if (pending.length > 0) say(terminal, `Pending in this release: ${pending.join(', ')}.`);
  } finally {
    await database.close();
  }
}
