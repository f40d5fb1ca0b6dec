import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  accessSync,
  constants,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';

const source = fileURLToPath(new URL('../../bin/portcullis.js', import.meta.url));
const OLD_NODE = ['--no-strip-types']; // what an older Node cannot do, this one is told not to do
const folders: string[] = [];

afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

/** Starts a copy of the command, with `cli` as its src/cli/main.ts, in a package of its own. */
function start(
  cli: string,
  { flags = [], args = [], bundled = true }: { flags?: string[]; args?: string[]; bundled?: boolean } = {},
): ChildProcessWithoutNullStreams {
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-bin-'));
  folders.push(folder);
  const files = {
    'package.json': '{"type":"module"}',
    'src/cli/main.ts': `const value: number = 1;\n${cli}`,
  };
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), content);
  }
  cpSync(source, join(folder, 'bin/portcullis.js'));
  if (bundled) {
    mkdirSync(join(folder, 'node_modules/node/bin'), { recursive: true });
    symlinkSync(process.execPath, join(folder, 'node_modules/node/bin/node'));
  }
  return spawn(process.execPath, [...flags, join(folder, 'bin/portcullis.js'), ...args]);
}

async function finish(
  child: ChildProcessWithoutNullStreams,
): Promise<{ code: unknown; out: string; err: string }> {
  const [out, err, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')]);
  return { code, out, err };
}

describe('the portcullis command', () => {
  it('can be executed', () => {
    expect(() => accessSync(source, constants.X_OK)).not.toThrow();
  });

  it('runs in the process that was started when its Node runs TypeScript', async () => {
    const child = start('console.log(process.pid);', { bundled: false });
    expect(await finish(child)).toEqual({ code: 0, out: `${child.pid}\n`, err: '' });
  });

  it('continues on the bundled Node when its own cannot run TypeScript', async () => {
    const child = start('console.log(process.ppid, process.argv.slice(2).join());', {
      flags: OLD_NODE,
      args: ['a', '--b'],
    });
    expect(await finish(child)).toEqual({ code: 0, out: `${child.pid} a,--b\n`, err: '' });
  });

  it('says in one line what to do when there is no Node that runs TypeScript', async () => {
    const { code, out, err } = await finish(start('', { flags: OLD_NODE, bundled: false }));
    expect({ code, out }).toEqual({ code: 1, out: '' });
    expect(err).toMatch(/^portcullis: Node \S+ is too old: [^\n]+\n$/);
  });

  it.each([
    ['its own Node', []],
    ['the bundled Node', OLD_NODE],
  ])('on %s keeps compiled code beside the dependencies, where no other user can write', async (_, flags) => {
    const child = start(`console.log(import.meta.dirname, process.env.NODE_COMPILE_CACHE);`, { flags });
    const { code, out } = await finish(child);
    expect(code).toBe(0);
    const [folder = '', cache = ''] = out.trim().split(' ');
    expect(cache).toBe(join(realpathSync(folder), '../../node_modules/.cache/compiled'));
    expect(readdirSync(cache)).not.toEqual([]);
  });

  it.each([
    ['its own Node', []],
    ['the bundled Node', OLD_NODE],
  ])('on %s keeps streams and exit code, and no experimental warning', async (_, flags) => {
    const child = start(
      `process.stdin.pipe(process.stdout);
      process.emitWarning('first', 'ExperimentalWarning');
      process.emitWarning('second', { type: 'ExperimentalWarning' });
      process.emitWarning('third');
      process.exitCode = 7;`,
      { flags },
    );
    child.stdin.end('hello');
    const { code, out, err } = await finish(child);
    expect({ code, out }).toEqual({ code: 7, out: 'hello' });
    expect(err).toMatch(/Warning: third/);
    expect(err).not.toMatch(/first|second/);
  });

  it.each(['SIGTERM', 'SIGINT', 'SIGHUP'] as const)('passes %s on to the bundled Node', async (signal) => {
    const child = start(
      `process.once('${signal}', () => { console.log('drained'); process.exit(3); });
      process.stdin.resume();
      console.log('ready');`,
      { flags: OLD_NODE },
    );
    const finished = finish(child);
    child.stdout.once('data', () => child.kill(signal));
    expect(await finished).toEqual({ code: 3, out: 'ready\ndrained\n', err: '' });
  });

  it('reports a bundled Node that a signal ended as a shell does', async () => {
    const child = start("process.kill(process.pid, 'SIGKILL');", { flags: OLD_NODE });
    expect(await finish(child)).toEqual({ code: 137, out: '', err: '' });
  });
});

describe('the Node that installs', () => {
  it('is refused by npm before anything is fetched when it is older than Prisma takes', async () => {
    const read = (path: string): Promise<string> =>
      readFile(new URL(`../../${path}`, import.meta.url), 'utf8');
    const manifest = JSON.parse(await read('package.json')) as {
      engines: { node: string };
      devEngines: { runtime: unknown };
    };
    const floor = manifest.engines.node;
    expect(manifest.devEngines.runtime).toEqual({ name: 'node', version: floor, onFail: 'error' });
    const prisma = JSON.parse(await read('node_modules/prisma/package.json')) as {
      engines: { node: string };
    };
    expect(prisma.engines.node.replaceAll(/\.0\b/g, '')).toBe(floor.replaceAll(/\.0\b/g, ''));
  });
});
