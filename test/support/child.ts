/** Runs a piece of TypeScript in a process of its own: for what must be shown across processes, or survive a kill. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

/** A running child and the lines that it prints. */
export interface Child {
  readonly process: ChildProcess;
  readonly lines: AsyncIterable<string>;
  /** Everything that it prints, once it has ended by itself with exit code 0. */
  finished(): Promise<string[]>;
}

/** @param source an ES module; its import specifiers start at the folder of `from`, an import.meta.url */
export function startChild(source: string, from: string): Child {
  const resolved = source.replace(
    /from '(\.[^']+)'/g,
    (_, path: string) => `from '${new URL(path, from).href}'`,
  );
  const child = spawn(process.execPath, ['--input-type=module', '--eval', resolved], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const closed = once(child, 'close');
  const lines = createInterface(child.stdout);
  return {
    process: child,
    lines,
    finished: async () => {
      const printed: string[] = [];
      for await (const line of lines) printed.push(line);
      const [code] = (await closed) as [number | null];
      if (code !== 0) throw new Error(`the child ended with exit code ${code}`);
      return printed;
    },
  };
}
