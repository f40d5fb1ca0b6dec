/** How options and arguments become members of a document or of a query. */
import { isObject } from '../lib/documents.ts';
import { readFileSync } from 'node:fs';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { badUsage, codeOf } from './failure.ts';
import { type Document, parseJson } from './json.ts';
import { readAll } from './prompt.ts';
import type { Terminal } from './terminal.ts';

type Reader = (text: string, previous: unknown) => unknown;

/** One option, and the member that it sets. */
export interface Field {
  /** As commander takes them: `--name <text>`. */
  readonly flags: string;
  readonly member: string;
  readonly help: string;
  /** From the option's text to the member's value; without one the text itself (or true, for a switch). */
  readonly read?: Reader;
  /** The fixed value that a switch stands for. */
  readonly value?: unknown;
  readonly choices?: readonly string[];
}

/** What commander parsed, by the option's name. */
export type Options = Readonly<Record<string, unknown>>;

/** An option with text. */
export const option = (flags: string, member: string, help: string, read?: Reader): Field => ({
  flags,
  member,
  help,
  ...(read ? { read } : {}),
});

/** An option that stands for one value of a member. */
export const fixed = (flags: string, member: string, value: unknown, help: string): Field => ({
  flags,
  member,
  help,
  value,
});

/** A switch, with its `--no-` form. */
export const toggle = (name: string, member: string, help: string): readonly Field[] => [
  fixed(`--${name}`, member, true, help),
  fixed(`--no-${name}`, member, false, `the contrary of --${name}`),
];

/** An option that may be repeated: its texts, in a list. */
export const list = (flags: string, member: string, help: string, read?: (text: string) => unknown): Field =>
  option(flags, member, `${help}; repeat it for more`, (text, previous) => [
    ...((previous as readonly unknown[] | undefined) ?? []),
    read ? read(text) : text,
  ]);

/** An option with one of some words. */
export const choice = (flags: string, member: string, help: string, choices: readonly string[]): Field => ({
  flags,
  member,
  help,
  choices,
});

/** Reads a whole number. */
export const number: Reader = (text) => {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError('It must be a whole number.');
  return Number(text);
};

/** Reads JSON. */
export const json: Reader = (text) => {
  const value = parseJson(text);
  if (value === undefined) throw new InvalidArgumentError('It must be JSON.');
  return value;
};

/** Takes members away (RFC 7396: null removes). Its texts are names of members. */
export const UNSET = list('--unset <member>', '', 'a member to take away, access_token_ttl for one');

/** Declares the options of fields. */
export function addFields(command: Command, fields: readonly Field[]): void {
  for (const { flags, help, read, choices } of fields) {
    const declared = new Option(flags, help);
    if (read) declared.argParser(read);
    if (choices) declared.choices(choices);
    command.addOption(declared);
  }
}

/** The members that the given options set. */
export function membersOf(fields: readonly Field[], options: Options): Record<string, unknown> {
  const members: Record<string, unknown> = {};
  for (const field of fields) {
    const declared = new Option(field.flags);
    const given = options[declared.attributeName()];
    if (given === undefined || (given === false) !== declared.negate) continue;
    members[field.member] = field.value === undefined ? given : field.value;
  }
  return members;
}

/**
 * A whole document from a file, or from standard input when `file` is `-`.
 * @throws Failure when it cannot be read, or is no JSON object
 */
export async function readDocument(terminal: Terminal, file: string): Promise<Document> {
  const value = parseJson(file === '-' ? await readAll(terminal) : readText(file));
  if (!isObject(value)) throw badUsage(`${file === '-' ? 'standard input' : file} is not a JSON object`);
  return value;
}

/** @throws Failure when the file cannot be read */
export function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw badUsage(`${file} cannot be read (${codeOf(error)})`);
  }
}
