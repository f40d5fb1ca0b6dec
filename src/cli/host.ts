/** Verbs that run on the host: they need the settings of the server, and some its database, loaded only then. */
import type { Command } from 'commander';
import type { Settings } from '../config/schema.ts';
import { addBackups } from './backup-commands.ts';
import { addExamples } from './commands.ts';
import { generateKeysFile } from './keys-file.ts';
import { record } from './table.ts';
import { print, printJson, type Terminal } from './terminal.ts';

/** Loaded only by the verbs that need it: the others start in half the time. */
async function settings(): Promise<Settings> {
  const { loadSettings } = await import('../config/load.ts');
  return loadSettings();
}

/** Declares them. */
export function addHost(program: Command, terminal: Terminal): void {
  program
    .command('start')
    .description('run the server, until it is told to stop')
    .action(async () => {
      const { startServer } = await import('../start.ts');
      await startServer(await settings(), terminal.env['npm_lifecycle_event'] === 'start');
    });

  const migrate = program
    .command('migrate')
    .description('bring the database to this release; a start does so too')
    .option('--status', 'only tell what is applied and what is pending')
    .option('--json', 'print JSON, for scripts')
    .action(async (options: { status?: true; json?: true }) => {
      const { runMigrate } = await import('./migrate.ts');
      await runMigrate(terminal, await settings(), options);
    });
  addExamples(migrate, ['migrate --status']);

  const bootstrap = program
    .command('bootstrap')
    .description(
      'make an admin client with every admin scope, or replace the secret of the one that was lost',
    )
    .option('--id <id>', 'its client_id (else PORTCULLIS_BOOTSTRAP_CLIENT_ID, else portcullis-admin)')
    .option('--yes', 'do not ask')
    .option('--json', 'print JSON, for scripts')
    .action(async (options: { id?: string; yes?: true; json?: true }) => {
      const { runBootstrap } = await import('./bootstrap.ts');
      await runBootstrap(terminal, await settings(), options);
    });
  addExamples(bootstrap, ['bootstrap', 'bootstrap --id second-admin --json']);

  const config = program.command('config').description('the settings, as the server reads them');
  addExamples(config, ['config check', 'config print --json']);
  config
    .command('check')
    .description('tell what is wrong with the settings, all at once')
    .action(async () => {
      const [{ createViews }, { readBrand }] = await Promise.all([
        import('../http/views.ts'),
        import('../http/views-brand.ts'),
      ]);
      createViews({ brand: readBrand((await settings()).brand) }); // a logo is read, and contrast looked at
      print(terminal, 'The settings are in order.');
    });
  config
    .command('print')
    .description('print every setting; secrets are left out')
    .option('--json', 'print JSON, for scripts')
    .action(async ({ json }: { json?: true }) => {
      const { describeSettings } = await import('../config/describe.ts');
      const described = describeSettings(await settings());
      if (json) printJson(terminal, described);
      else print(terminal, record(described));
    });

  const keysFile = program
    .command('keys-file')
    .description('the secret keys that wrap what the database holds');
  addExamples(keysFile, ['keys-file generate /etc/portcullis/secret-keys']);
  keysFile
    .command('generate')
    .description(
      'make a secret key, for PORTCULLIS_SECRET_KEYS or the file PORTCULLIS_SECRET_KEYS_FILE names',
    )
    .argument('[file]', 'a new file, readable by its owner only (else the key is printed)')
    .action((file?: string) => generateKeysFile(terminal, file));

  const reseal = program
    .command('reseal')
    .description(
      'move what the database holds to the first of PORTCULLIS_SECRET_KEYS, while servers run that have it too',
    )
    .option('--json', 'print JSON, for scripts')
    .action(async (options: { json?: true }) => {
      const { runReseal } = await import('./reseal.ts');
      await runReseal(terminal, await settings(), options);
    });
  addExamples(reseal, ['reseal', 'reseal --json']);

  addBackups(program, terminal, settings);

  const doctor = program
    .command('doctor')
    .description(
      'look over settings, database, keys, clock, issuer, proxy headers and file modes, and say what to do',
    )
    .option('--json', 'print JSON, for scripts')
    .action(async (options: { json?: true }) => {
      const { runDoctor } = await import('./doctor/doctor.ts');
      await runDoctor(terminal, settings, options);
    });
  addExamples(doctor, ['doctor', 'doctor --json']);

  program
    .command('health')
    .description('ask the server on this machine whether it is ready; for a container’s health check')
    .action(async () => {
      const { checkHealth } = await import('./health.ts');
      await checkHealth(terminal, await settings());
    });
}
