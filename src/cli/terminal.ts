/** Where the command reads and writes: an argument everywhere, so that tests bring their own. */
import type { Readable, Writable } from 'node:stream';
import type { Env } from '../config/schema.ts';
import type { Clock } from '../lib/clock.ts';

/** The surroundings of one run of the command. */
export interface Terminal {
  readonly env: Env;
  readonly clock: Clock;
  readonly stdin: Readable & { readonly isTTY?: boolean };
  /** Data only: what `--json` promises. */
  readonly stdout: Writable & { readonly isTTY?: boolean; readonly columns?: number };
  /** Everything that is said to people beside the data. */
  readonly stderr: Writable & { readonly isTTY?: boolean };
  /** Aborts when the user interrupts; from the first call on, an interrupt no longer ends the process. */
  interrupted(): AbortSignal;
}

/** Control characters, which could drive the reader's terminal, and marks that reorder text. */
const UNSAFE = /[\p{Cc}\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;

/** `text` on one line without control characters; what the server stores was typed by others. */
export const plain = (text: string): string => text.replace(UNSAFE, '\ufffd');

/** Writes a line of data. */
export function print(terminal: Terminal, text: string): void {
  terminal.stdout.write(`${text}\n`);
}

/** Writes a line for people, to the error stream. */
export function say(terminal: Terminal, text: string): void {
  terminal.stderr.write(`${text}\n`);
}

/** Writes JSON, indented. */
export const printJson = (terminal: Terminal, value: unknown): void =>
  print(terminal, JSON.stringify(value, null, 2));
