/** `portcullis restore`. */
import { secretKeysOf } from '../config/development.ts';
import type { Settings } from '../config/schema.ts';
import { putBack, verifyBackup } from '../storage/backup.ts';
import { invalidateEverything, type Invalidated } from '../storage/invalidate.ts';
import { openStorage } from '../storage/open.ts';
import { missingSecretKeys } from './backup.ts';
import { badUsage, Failure } from './failure.ts';
import { restoreCommand } from './postgresql-tools.ts';
import { confirm } from './prompt.ts';
import { print, printJson, say, type Terminal } from './terminal.ts';

interface Options {
  readonly invalidateSessions?: true;
  readonly yes?: true;
  readonly json?: true;
}

/** Milliseconds that one statement may take: it touches every family. */
const PATIENCE = 3_600_000;

const WARNING =
  'A restore revives what was revoked since the backup, and families that were refreshed since are taken for ' +
  'stolen at their next refresh. --invalidate-sessions ends all of them.';

/**
 * Puts a backup back, ends everything that was issued, or both: then no server ever sees what is alive in the backup.
 * @throws StartError in one line; Failure when the user says no
 */
export async function runRestore(
  terminal: Terminal,
  settings: Settings,
  file: string | undefined,
  options: Options,
): Promise<void> {
  const { databaseUrl } = settings;
  const { invalidateSessions } = options;
  const [yes, json] = [options.yes === true, options.json === true];
  const end = (url: string) => invalidate(terminal, settings, url);
  if (file === undefined) {
    if (!invalidateSessions) throw badUsage('restore needs a file, or --invalidate-sessions');
    await confirm(terminal, 'End every session, grant, code and access token?', yes);
    report(terminal, { ended: await end(databaseUrl) }, json);
    return;
  }
  if (!databaseUrl.startsWith('file:')) {
    const command = restoreCommand(databaseUrl, file);
    if (json) printJson(terminal, { restored: false, command });
    else print(terminal, command);
    say(terminal, 'Nothing was restored: stop every server, and run the command above.');
    say(terminal, 'The password is not in it: put it into ~/.pgpass or PGPASSWORD.');
    say(terminal, `${WARNING} Before the start: portcullis restore --invalidate-sessions`);
    return;
  }
  const { secret_keys: needed, made_at: madeAt } = await verifyBackup(file);
  const [missing] = missingSecretKeys(settings, needed);
  if (missing !== undefined) {
    throw new Failure(`${file} needs the secret key with fingerprint ${missing}`, [
      'PORTCULLIS_SECRET_KEYS does not hold it: no server could start.',
    ]);
  }
  if (!invalidateSessions) say(terminal, WARNING);
  await confirm(terminal, `Replace the database by the backup of ${madeAt}?`, yes);
  let ended: Invalidated | undefined;
  const before = async (copy: string): Promise<void> => {
    if (invalidateSessions) ended = await end(copy);
  };
  const kept = await putBack(databaseUrl, file, { before, now: terminal.clock.now() });
  report(terminal, { restored: file, kept, ended }, json);
}

function report(
  terminal: Terminal,
  done: {
    readonly restored?: string;
    readonly kept?: string | undefined;
    readonly ended: Invalidated | undefined;
  },
  json: boolean,
): void {
  const { restored, kept, ended } = done;
  if (json) return printJson(terminal, done);
  if (restored !== undefined) print(terminal, `The database is that of ${restored} now.`);
  if (kept !== undefined) print(terminal, `What was there before is in ${kept}.`);
  if (ended) {
    print(
      terminal,
      `Ended: ${ended.families} grants, ${ended.sessions} sessions, and every code and access token.`,
    );
  }
}

async function invalidate(terminal: Terminal, settings: Settings, url: string): Promise<Invalidated> {
  const { clock } = terminal;
  const storage = await openStorage({
    url,
    secretKeys: secretKeysOf(settings),
    clock,
    statementTimeout: PATIENCE,
    listeners: { onEvent: () => {}, onBump: () => {} },
  });
  try {
    return await invalidateEverything(storage.changes, clock, 'restored');
  } finally {
    await storage.database.close();
  }
}
