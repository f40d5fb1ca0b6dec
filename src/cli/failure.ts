/** How a verb ends badly: what was refused, what goes with it, and what to do next. */

/** Ends the command. `message` is one line; the exit code is 1 for refused, 2 for bad usage. */
export class Failure extends Error {
  override readonly name = 'Failure';
  /** More lines, shown indented below the message. */
  readonly notes: readonly string[];
  readonly exitCode: 1 | 2;

  constructor(message: string, notes: readonly string[] = [], exitCode: 1 | 2 = 1) {
    super(message);
    this.notes = notes;
    this.exitCode = exitCode;
  }
}

/** A `Failure` for wrong usage. */
export const badUsage = (message: string, ...notes: string[]): Failure => new Failure(message, notes, 2);

/** The system's code of a failed operation, such as ENOENT. */
export function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown error';
  if ('code' in error && typeof error.code === 'string') return error.code;
  return error.cause === undefined ? error.name : codeOf(error.cause);
}
