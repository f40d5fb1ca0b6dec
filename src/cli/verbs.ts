/** Verbs of the admin API as data: what a table of them says. `commands.ts` makes commands of it. */
import type { Command, Option } from 'commander';
import type { Field, Options } from './fields.ts';
import type { Column } from './table.ts';
import type { Terminal } from './terminal.ts';

/** The arguments of one call by name, `client` for `/clients/{client}`. */
export type Arguments = Readonly<Record<string, string>>;

/** One verb: one request to the admin API. */
export interface Verb {
  readonly name: string;
  readonly summary: string;
  readonly scope: string;
  readonly method: 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE';
  /** Below `/admin/v1`; each `{name}` is an argument of the command. */
  readonly path: string;
  /** More arguments: members of the document. */
  readonly takes?: readonly { readonly member: string; readonly help: string }[];
  readonly body?: readonly Field[];
  readonly query?: readonly Field[];
  /** It makes something: `--quiet` prints its secret alone, or its id. */
  readonly makes?: true;
  /** A list: the columns that people see. */
  readonly columns?: readonly Column[];
  /** Asked before anything is done; `{name}` stands for an argument. */
  readonly question?: string;
  /** Asked only when this option is given. */
  readonly questionWith?: string;
  /** Said when the API answers nothing. */
  readonly done?: string;
  /** Members that come from elsewhere, a prompt for one; runs before the request. */
  readonly collect?: (terminal: Terminal, options: Options, args: Arguments) => Promise<Options>;
  /** Options that only `collect` reads. */
  readonly extra?: readonly Option[];
  /**
   * Asked first, with the same document, where the API does not say whether there was anything to do. A caller without
   * its scope does without.
   */
  readonly look?: {
    readonly scope: string;
    readonly path: string;
    /** Why there is nothing to do. */
    readonly refusal: (answer: unknown) => string | undefined;
  };
  /** What is said after a success, if it depends. */
  readonly remark?: (sent: Options, answer: unknown) => string | undefined;
}

/** Verbs on one kind of thing. */
export interface Group {
  readonly name: string;
  readonly summary: string;
  readonly verbs: readonly Verb[];
  readonly groups?: readonly Group[];
  /** Declares verbs that are more than one request. */
  readonly more?: (command: Command, terminal: Terminal) => void;
  /** Shown by `--help`; each is a command without the name of the program. */
  readonly examples: readonly string[];
}

/** The names in braces of a path. */
export const namesIn = (path: string): string[] =>
  [...path.matchAll(/\{(\w+)\}/g)].map((match) => match[1] ?? '');
