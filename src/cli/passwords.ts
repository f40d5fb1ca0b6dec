/** How a password reaches the command: typed, or by standard input; never as an argument. */
import { Option } from 'commander';
import { badUsage, Failure } from './failure.ts';
import type { Options } from './fields.ts';
import { text } from './json.ts';
import { askSecret, readAll } from './prompt.ts';
import type { Terminal } from './terminal.ts';

/** The options that say where the password comes from. */
export const passwordOptions: readonly Option[] = [
  new Option('--password-stdin', 'read the password from standard input'),
  new Option('--password <password>').hideHelp(), // declared to be refused with an explanation
];

/** As `passwordOptions`, where a password may be left out. */
export const optionalPassword: readonly Option[] = [
  ...passwordOptions,
  new Option('--no-password', 'without a password, and without asking for one'),
];

/**
 * `{ password }`, or nothing when it was left out.
 * @param required a missing password is refused
 */
export async function collectPassword(
  terminal: Terminal,
  options: Options,
  required: boolean,
): Promise<Options> {
  if (typeof options['password'] === 'string') {
    throw badUsage(
      'a password is not taken as an argument',
      'Arguments stay in the shell’s history, and every process of this machine can read them.',
      'Type it when asked, or send it by --password-stdin.',
    );
  }
  if (options['passwordStdin'] === true) {
    if (options['jsonFile'] === '-') throw badUsage('standard input cannot be both document and password');
    const password = await readAll(terminal);
    if (password === '') throw badUsage('standard input holds no password');
    return { password };
  }
  if (options['password'] === false) return {};
  const label = required ? 'New password' : 'Password (empty: none)';
  const typed = await askSecret(terminal, label, true);
  if (typed) return { password: typed };
  if (!required) return {};
  if (typed === '') throw new Failure('an empty password is none; nothing was changed');
  throw badUsage('there is no terminal to ask on: send the password by --password-stdin');
}

/** Reminds of what a user without a password cannot do. */
export const withoutPassword = (sent: Options, answer: unknown): string | undefined =>
  sent['password'] === undefined
    ? `The user has no password yet: portcullis users set-password ${text(answer, 'id') ?? ''}`
    : undefined;
