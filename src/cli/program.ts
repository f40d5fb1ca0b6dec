/** Assembles the command and runs it once: from arguments to an exit code. */
import { Command, CommanderError } from 'commander';
import { StartError } from '../lib/errors.ts';
import { VERSION } from '../lib/version.ts';
import { damaged, isDamaged } from '../storage/failures.ts';
import { addApply } from './apply/command.ts';
import { apis } from './apis.ts';
import { audit } from './audit.ts';
import { clients } from './clients.ts';
import { addExamples, addGroup } from './commands.ts';
import { Failure } from './failure.ts';
import { grants, sessions } from './grants.ts';
import { addHost } from './host.ts';
import { keys } from './keys.ts';
import { say, type Terminal } from './terminal.ts';
import { tokens } from './tokens.ts';
import { addTry } from './try.ts';
import { users } from './users.ts';
import { webhooks } from './webhooks.ts';

/**
 * Runs the command.
 * @param argv the arguments, without the names of interpreter and program
 * @returns the exit code: 0 done, 1 refused, 2 bad usage
 */
export async function run(argv: readonly string[], terminal: Terminal): Promise<number> {
  try {
    await assemble(terminal).parseAsync(argv, { from: 'user' });
    return 0;
  } catch (error) {
    return report(terminal, error);
  }
}

function assemble(terminal: Terminal): Command {
  const program = new Command('portcullis')
    .description('OAuth 2.0 / OpenID Connect authorization server: the server itself, and its administration')
    .version(VERSION)
    .exitOverride()
    .showSuggestionAfterError()
    .configureOutput({
      writeOut: (text) => void terminal.stdout.write(text),
      writeErr: (text) => void terminal.stderr.write(text),
      getOutHelpWidth: () => terminal.stdout.columns ?? 100,
      getErrHelpWidth: () => terminal.stdout.columns ?? 100,
    });
  addExamples(program, ['start', 'try', 'clients list', 'users create --username ada']);
  program.commandsGroup('On the host (with the settings of the server):');
  addHost(program, terminal);
  program.commandsGroup(
    'Over the admin API (PORTCULLIS_URL, PORTCULLIS_CLIENT_ID, PORTCULLIS_CLIENT_SECRET):',
  );
  for (const group of [
    clients,
    apis,
    users,
    grants,
    sessions,
    keys,
    tokens,
    webhooks,
    audit(terminal.clock),
  ]) {
    addGroup(program, group, terminal);
  }
  addApply(program, terminal);
  addTry(program, terminal);
  return program;
}

function report(terminal: Terminal, error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2; // it has said why
  if (error instanceof Failure) {
    say(terminal, [`error: ${error.message}`, ...error.notes.map((note) => `  ${note}`)].join('\n'));
    return error.exitCode;
  }
  if (isDamaged(error)) say(terminal, `error: ${damaged(error).message}`);
  else if (error instanceof StartError) say(terminal, `error: ${error.message}`);
  else
    say(
      terminal,
      `error: this should not have happened: ${error instanceof Error ? error.stack : String(error)}`,
    );
  return 1;
}
