import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));
const text = readFileSync(join(root, 'Dockerfile'), 'utf8');

interface Instruction {
  readonly name: string;
  readonly value: string;
}

/** The instructions of each stage; continued lines are joined and comments dropped. */
const stages: Instruction[][] = [];
for (const line of text
  .replaceAll(/^#.*\n/gm, '')
  .replaceAll(/\\\n\s*/g, '')
  .split('\n')
  .filter((line) => line !== '')) {
  const [, name = '', value = ''] = /^([A-Z]+) +(.+)$/.exec(line) ?? [];
  if (name === 'FROM') stages.push([]);
  stages.at(-1)?.push({ name, value });
}
const last = stages.at(-1) ?? [];
const valuesOf = (instructions: Instruction[], name: string): string[] =>
  instructions.filter((instruction) => instruction.name === name).map(({ value }) => value);
const all = stages.flat();

describe('the image', () => {
  it('is built in stages from a Node whose major version is pinned', () => {
    expect(stages.length).toBeGreaterThan(1);
    for (const base of valuesOf(all, 'FROM')) expect(base).toMatch(/^node:26-slim( AS [a-z]+)?$/);
  });

  it('installs from the lock file and runs no install script', () => {
    const installs = valuesOf(all, 'RUN').filter((command) => command.includes('npm '));
    expect(installs).toHaveLength(2);
    for (const command of installs) expect(command).toMatch(/^npm ci --ignore-scripts /);
    expect(text).not.toMatch(/npm (install|i) /);
  });

  it('holds only the packages that production needs', () => {
    const source = /^--from=(\w+) \/app\/node_modules /.exec(
      valuesOf(last, 'COPY').find((value) => value.includes('node_modules')) ?? '',
    )?.[1];
    const stage = stages.find((instructions) => instructions[0]?.value.endsWith(` AS ${source}`)) ?? [];
    expect(valuesOf(stage, 'RUN').join()).toMatch(/npm ci .*--omit=dev --omit=optional/);
  });

  it('copies named paths that exist, and no credential or data', () => {
    const copied = valuesOf(all, 'COPY')
      .filter((value) => !value.startsWith('--from='))
      .flatMap((value) => value.split(' ').slice(0, -1));
    for (const path of copied)
      expect({ path, exists: existsSync(join(root, path)) }).toEqual({ path, exists: true });
    expect(copied).not.toContain('.');
    expect(valuesOf(all, 'ADD')).toEqual([]);
    expect(valuesOf(all, 'ARG')).toEqual([]);
    for (const value of valuesOf(all, 'ENV')) expect(value).not.toMatch(/SECRET|KEY|PASSWORD|DATABASE_URL/);
  });

  it('takes nothing into the build that it does not copy', () => {
    const lines = readFileSync(join(root, '.dockerignore'), 'utf8').split('\n');
    const rules = lines.filter((line) => line !== '' && !line.startsWith('#'));
    const kept = rules.filter((rule) => rule.startsWith('!')).map((rule) => rule.slice(1));
    const copied = valuesOf(all, 'COPY')
      .filter((value) => !value.startsWith('--from='))
      .flatMap((value) => value.split(' ').slice(0, -1));
    expect(rules[0]).toBe('*');
    expect(new Set(copied.map((path) => path.split('/')[0]))).toEqual(new Set(kept));
  });

  it('runs in production, as a user without privileges, and writes to its volume alone', () => {
    expect(valuesOf(last, 'ENV').join(' ')).toContain('NODE_ENV=production');
    expect(valuesOf(last, 'USER')).toEqual(['1000:1000']);
    expect(valuesOf(last, 'VOLUME')).toEqual(['/data']);
    expect(valuesOf(last, 'ENV').join(' ')).toContain('PORTCULLIS_DATA_DIR=/data');
    expect(last.slice(last.findIndex(({ name }) => name === 'USER')).map(({ name }) => name)).not.toContain(
      'RUN',
    );
  });

  it('gets signals itself, and its files exist', () => {
    expect(valuesOf(last, 'STOPSIGNAL')).toEqual(['SIGTERM']);
    const commands = ['ENTRYPOINT', 'CMD', 'HEALTHCHECK'].flatMap((name) => valuesOf(last, name));
    expect(commands).toHaveLength(3);
    for (const command of commands) {
      const words = JSON.parse(/\[.*\]$/.exec(command)?.[0] ?? '') as string[]; // the exec form: no shell between
      for (const word of words.filter((part) => part.includes('/'))) {
        expect({ word, exists: existsSync(join(root, word)) }).toEqual({ word, exists: true });
      }
    }
  });

  it('tells its health by the server’s own command', () => {
    expect(valuesOf(last, 'HEALTHCHECK')).toEqual([
      expect.stringContaining('CMD ["node", "bin/portcullis.js", "health"]'),
    ]);
  });
});
