/** Declares the verbs that copy the database and put a copy back. */
import type { Command } from 'commander';
import type { Settings } from '../config/schema.ts';
import { addExamples } from './commands.ts';
import type { Terminal } from './terminal.ts';

interface BackupOptions {
  readonly force?: true;
  readonly verify?: true;
  readonly json?: true;
}

interface RestoreOptions {
  readonly invalidateSessions?: true;
  readonly yes?: true;
  readonly json?: true;
}

/** @param settings loads them, once a verb needs them */
export function addBackups(program: Command, terminal: Terminal, settings: () => Promise<Settings>): void {
  const backup = program
    .command('backup')
    .description(
      'copy the SQLite database into a file while servers run; for PostgreSQL, print the pg_dump command that does',
    )
    .argument('<file>', 'a new file; FILE.json beside it tells how to verify it')
    .option('--force', 'overwrite the file')
    .option('--verify', 'make nothing: check the file that is there')
    .option('--json', 'print JSON, for scripts')
    .action(async (file: string, options: BackupOptions) => {
      const { runBackup } = await import('./backup.ts');
      await runBackup(terminal, await settings(), file, options);
    });
  addExamples(backup, ['backup /var/backups/portcullis.db', 'backup --verify /var/backups/portcullis.db']);

  const restore = program
    .command('restore')
    .description(
      'put a backup in the place of the SQLite database, once every server is stopped; for PostgreSQL, print the pg_restore command',
    )
    .argument('[file]', 'the backup; without it the database stays as it is')
    .option(
      '--invalidate-sessions',
      'end every session, grant, code and access token: a restore revives what was revoked since',
    )
    .option('--yes', 'do not ask')
    .option('--json', 'print JSON, for scripts')
    .action(async (file: string | undefined, options: RestoreOptions) => {
      const { runRestore } = await import('./restore.ts');
      await runRestore(terminal, await settings(), file, options);
    });
  addExamples(restore, [
    'restore /var/backups/portcullis.db --invalidate-sessions',
    'restore --invalidate-sessions',
  ]);
}
