#!/usr/bin/env node
// Starts the command line on any Node that npm could install it with. The sources are TypeScript, which Node runs
// from 22.18 on; an older one hands over to the Node that npm installed beside them.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import module from 'node:module';
import { constants } from 'node:os';
import process from 'node:process';
import { isatty } from 'node:tty';
import { fileURLToPath } from 'node:url';

const cli = new URL('../src/cli/main.ts', import.meta.url);

// Compiled code is kept beside the dependencies: a start takes less time and some 20 MB less memory. Not in the
// system's temporary folder, where Node would put it: whoever can write there could put code into this process.
const cache = fileURLToPath(new URL('../node_modules/.cache/compiled', import.meta.url));
process.env.NODE_COMPILE_CACHE ??= cache; // for the processes that this one starts

/** Keeps "… is an experimental feature" off the console: node:sqlite says so on some versions. */
function silenceExperimentalWarnings() {
  const emitWarning = process.emitWarning;
  process.emitWarning = (warning, ...rest) => {
    const type = typeof rest[0] === 'object' && rest[0] !== null ? rest[0].type : rest[0];
    if (type !== 'ExperimentalWarning') emitWarning.call(process, warning, ...rest);
  };
}

function fail(reason) {
  process.stderr.write(`portcullis: ${reason}\n`);
  process.exit(1);
}

function continueOn(node) {
  const args = ['--disable-warning=ExperimentalWarning', fileURLToPath(cli), ...process.argv.slice(2)];
  const child = spawn(node, args, { stdio: 'inherit' });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR2']) {
    // A terminal sends its own signals to the child as well: passed on, they would count twice.
    const fromTerminal = isatty(0) && signal !== 'SIGTERM' && signal !== 'SIGUSR2';
    process.on(signal, () => fromTerminal || child.kill(signal));
  }
  child.on('error', (error) => fail(`${node} does not start: ${error.message}`));
  child.on('exit', (code, signal) => process.exit(code ?? 128 + constants.signals[signal]));
}

if (process.features.typescript) {
  silenceExperimentalWarnings();
  module.enableCompileCache?.(process.env.NODE_COMPILE_CACHE);
  await import(cli.href);
} else {
  const name = process.platform === 'win32' ? 'node.exe' : 'node';
  const bundled = fileURLToPath(new URL(`../node_modules/node/bin/${name}`, import.meta.url));
  if (existsSync(bundled)) continueOn(bundled);
  else
    fail(
      `Node ${process.versions.node} is too old: run it with Node 22.18 or newer, or run \`npm install\` first`,
    );
}
