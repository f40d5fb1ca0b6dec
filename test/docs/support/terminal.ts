/** A reader's terminals: a folder that looks like a fresh clone after `npm install`, and shells in it. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';

const ROOT = join(import.meta.dirname, '../../..');

/** What npx does for the two commands that the documentation runs by it, without npx's two seconds. */
const NPX = `#!/bin/sh
case $1 in
  portcullis) shift; exec node bin/portcullis.js "$@" ;;
  node) shift; exec node "$@" ;;
esac
echo "npx $1 is not expected" >&2
exit 1
`;

export type Environment = Readonly<Record<string, string | undefined>>;

export interface Running {
  /** Everything that it has printed. */
  readonly output: () => string;
  /** Resolves when it has printed what `pattern` matches. @throws when it ends before */
  printed(pattern: RegExp): Promise<string>;
  stop(): Promise<void>;
}

export interface Folder {
  readonly path: string;
  /** Runs lines in a shell that keeps its variables from call to call. */
  shell(env: Environment): Shell;
  /** Starts what runs until it is stopped. */
  start(command: string, env: Environment): Running;
  close(): Promise<void>;
}

export interface Shell {
  /** Output and errors, in order. @throws when a command fails */
  run(lines: string): Promise<string>;
}

/** A folder with everything of the repository in it but its data. */
export function openFolder(): Folder {
  const path = realpathSync(mkdtempSync(join(tmpdir(), 'portcullis-docs-')));
  for (const name of readdirSync(ROOT)) {
    if (!['.git', 'data'].includes(name)) symlinkSync(join(ROOT, name), join(path, name));
  }
  mkdirSync(join(path, '.shims'));
  writeFileSync(join(path, '.shims/npx'), NPX, { mode: 0o755 });
  const inherited = Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) => !/^(PORT|HOST|NODE_ENV|DATABASE_URL|PORTCULLIS_.*)$/.test(name),
    ),
  );
  const search = [join(path, '.shims'), dirname(process.execPath), process.env['PATH']].join(delimiter);
  const running: ChildProcess[] = [];

  const launch = (program: string, args: string[], env: Environment, input: 'pipe' | 'ignore') => {
    const child = spawn(program, args, {
      cwd: path,
      env: { ...inherited, ...env, PATH: search },
      stdio: [input, 'pipe', 'ignore'], // errors go into the output, in order
      detached: true, // a group of its own, so that it can be stopped as a whole
    });
    running.push(child);
    let output = '';
    let ended = false;
    const waiting = new Set<() => void>();
    child.stdout?.on('data', (chunk: Buffer) => {
      output += chunk.toString();
      for (const look of waiting) look();
    });
    child.once('close', () => {
      ended = true;
      for (const look of waiting) look();
    });
    const printed = (pattern: RegExp): Promise<string> =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          if (pattern.test(output)) resolve(output);
          else if (ended) reject(new Error(`it ended, and printed: ${output}`));
          else return;
          waiting.delete(look);
        };
        waiting.add(look);
        look();
      });
    return { child, output: () => output, printed };
  };

  const stop = async (child: ChildProcess): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
    process.kill(-child.pid, 'SIGTERM');
    await once(child, 'close');
  };

  return {
    path,
    start(command, env) {
      const { child, output, printed } = launch('bash', ['-c', `exec 2>&1; ${command}`], env, 'ignore');
      return { output, printed, stop: () => stop(child) };
    },
    shell(env) {
      const { child, output, printed } = launch('bash', ['--noprofile', '--norc'], env, 'pipe');
      child.stdin?.write('exec 2>&1\n');
      let runs = 0;
      return {
        async run(lines) {
          const file = join(path, `.shims/run-${++runs}`);
          writeFileSync(file, `${lines}\n`);
          const before = output().length;
          const done = `== ${runs} ended with`;
          child.stdin?.write(
            `set -o pipefail; failed=0; trap 'failed=$?' ERR; . '${file}' </dev/null; trap - ERR; echo; echo "${done} $failed"\n`,
          );
          const printedAll = (await printed(new RegExp(`^${done} \\d+$`, 'm'))).slice(before);
          const [text = '', status = ''] = printedAll.split(`\n${done} `);
          if (status.trim() !== '0') throw new Error(`${lines}\nended with ${status.trim()}:\n${text}`);
          return text;
        },
      };
    },
    async close() {
      await Promise.all(running.map(stop));
      rmSync(path, { recursive: true, force: true });
    },
  };
}
