/** The `portcullis` command: `bin/portcullis.js` imports this, and it runs. Nothing else imports it. */
import process from 'node:process';
import { systemClock } from '../lib/clock.ts';
import { loadEnvironment } from '../config/load.ts';
import { run } from './program.ts';

let interruption: AbortController | undefined;

/** From the first call on, an interrupt no longer ends the process by itself; a second one does. */
function interrupted(): AbortSignal {
  if (interruption === undefined) {
    interruption = new AbortController();
    const { signal } = interruption;
    for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => interruption?.abort());
    return signal;
  }
  return interruption.signal;
}

// The reader of a pipe may leave early: `portcullis clients list | head -1`.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit(0);
});

const { stdin, stdout, stderr } = process;
process.exitCode = await run(process.argv.slice(2), {
  env: loadEnvironment(),
  clock: systemClock,
  stdin,
  stdout,
  stderr,
  interrupted,
});
// A worker that could not start lives as long as its primary can reach it.
if (process.exitCode !== 0) process.disconnect?.();
