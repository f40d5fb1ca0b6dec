/** Makes commands of the tables of verbs. */
import { type Command, Option } from 'commander';
import { runVerb } from './call.ts';
import { addFields, number, UNSET } from './fields.ts';
import type { Terminal } from './terminal.ts';
import { type Group, namesIn, type Verb } from './verbs.ts';

/** Declares a group below `parent`. */
export function addGroup(parent: Command, group: Group, terminal: Terminal): Command {
  const command = parent.command(group.name).description(group.summary);
  addExamples(command, group.examples);
  for (const verb of group.verbs) addVerb(command, verb, terminal);
  group.more?.(command, terminal);
  for (const each of group.groups ?? []) addGroup(command, each, terminal);
  return command;
}

/** Adds examples to the help of a command. */
export function addExamples(command: Command, examples: readonly string[]): void {
  const lines = examples.map((example) => `  $ portcullis ${example}`);
  command.addHelpText('after', `\nExamples:\n${lines.join('\n')}`);
}

/** The options of every command that speaks to a server. */
export function addConnection(command: Command): Command {
  return command
    .option('--url <url>', 'the server (else PORTCULLIS_URL, else that of the admin credential)')
    .option('--json', 'print JSON, for scripts');
}

/** The options of every list. */
function addPaging(command: Command): Command {
  return command
    .addOption(new Option('--limit <n>', 'at most that many').argParser(number).default(50))
    .addOption(new Option('--all', 'every one'))
    .option('--after <cursor>', 'go on where a list ended')
    .addOption(new Option('--ndjson', 'print one JSON object a line').conflicts('json'));
}

function addVerb(parent: Command, verb: Verb, terminal: Terminal): void {
  const command = addConnection(parent.command(verb.name).description(verb.summary));
  for (const name of namesIn(verb.path)) command.argument(`<${name}>`);
  for (const { member, help } of verb.takes ?? []) command.argument(`<${member}>`, help);
  addFields(command, [...(verb.body ?? []), ...(verb.query ?? [])]);
  for (const each of verb.extra ?? []) command.addOption(each);
  if (verb.body)
    command.option('--json-file <file>', 'a whole document; options go over it; - is standard input');
  if (verb.method === 'PATCH') addFields(command, [UNSET]);
  if (verb.makes) command.option('--quiet', 'print the new secret alone, or else the new id');
  if (verb.question !== undefined) command.option('--yes', 'do not ask');
  if (verb.columns) addPaging(command);
  command.action(async () => {
    const names = [...namesIn(verb.path), ...(verb.takes ?? []).map(({ member }) => member)];
    const args = Object.fromEntries(names.map((name, index) => [name, command.args[index] ?? '']));
    await runVerb(terminal, verb, args, command.opts());
  });
}
