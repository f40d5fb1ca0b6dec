/** Runs the command in this process, with streams that tests read. */
import { PassThrough, Writable } from 'node:stream';
import { run } from '../../src/cli/program.ts';
import { systemClock } from '../../src/lib/clock.ts';

/** How a run ended. */
export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** What a run is given. */
export interface Surroundings {
  readonly env?: Readonly<Record<string, string>>;
  /** Standard input. */
  readonly input?: string;
  /** Answers of a person at a terminal, in order; each is typed when something is asked. */
  readonly typed?: readonly string[];
  /** Width of the terminal. */
  readonly columns?: number;
  readonly signal?: AbortSignal;
  /** Told of each write to standard output. */
  readonly onOutput?: (text: string) => void;
  /** Told of each write to the error stream. */
  readonly onMessage?: (text: string) => void;
}

/** Collects what is written. */
function sink(onWrite: (text: string) => void = () => {}) {
  let text = '';
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      text += chunk.toString();
      onWrite(chunk.toString());
      done();
    },
  });
  return { stream, text: () => text };
}

/** Runs `portcullis …argv`. */
export async function portcullis(argv: readonly string[], given: Surroundings = {}): Promise<Outcome> {
  const {
    env = {},
    input,
    typed,
    columns,
    signal = new AbortController().signal,
    onOutput,
    onMessage,
  } = given;
  const stdin = Object.assign(new PassThrough(), { isTTY: typed !== undefined });
  const answers = [...(typed ?? [])];
  const stdout = sink(onOutput);
  const stderr = sink((text) => {
    onMessage?.(text);
    if (typed !== undefined && /(: |\] )$/.test(text))
      setImmediate(() => stdin.write(`${answers.shift() ?? ''}\r`));
  });
  if (typed === undefined) stdin.end(input ?? '');
  const code = await run(argv, {
    env,
    clock: systemClock,
    stdin,
    stdout: Object.assign(stdout.stream, columns === undefined ? {} : { isTTY: true, columns }),
    stderr: Object.assign(stderr.stream, { isTTY: typed !== undefined }),
    interrupted: () => signal,
  });
  return { code, stdout: stdout.text(), stderr: stderr.text() };
}
