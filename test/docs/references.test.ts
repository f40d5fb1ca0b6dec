/** What the documentation refers to is there: files, headings, tests by their name, commands with their options. */
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { describe, expect, it } from 'vitest';
import { portcullis } from '../cli/run.ts';
import { blocksOf, tableBelow } from './support/markdown.ts';

const ROOT = join(import.meta.dirname, '../..');
const CHECKLIST = 'test/http/README.md';
const documents = ['README.md', 'CONTRIBUTING.md', CHECKLIST, ...globSync('docs/*.md', { cwd: ROOT })].sort();
const read = (name: string): string => readFileSync(join(ROOT, name), 'utf8');

/** As GitHub makes an anchor of a heading. */
const anchors = (markdown: string): string[] =>
  [...markdown.matchAll(/^#+ (.+)$/gm)].map(([, title = '']) =>
    title
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );

/** Tests that a text names: a path below `test/`, and the titles that stand behind it in “ ”. */
function testsIn(text: string): { path: string; title?: string }[] {
  return [...text.matchAll(/`(?:test\/)?((?:[\w-]+\/)+[\w-]+\.test\.ts)`((?:,? “[^”]+”)*)/g)].flatMap(
    ([, path = '', titles = '']) => [
      { path },
      ...[...titles.matchAll(/“([^”]+)”/g)].map(([, title = '']) => ({ path, title })),
    ],
  );
}

/** The text of a test file; of one that only runs a suite, the suite's too. */
function textOfTest(path: string): string {
  const file = join(ROOT, 'test', path);
  const text = readFileSync(file, 'utf8');
  const suites = [...text.matchAll(/from '(\.\/support\/[\w-]+\.ts)'/g)];
  return [text, ...suites.map(([, from = '']) => readFileSync(join(dirname(file), from), 'utf8'))].join('\n');
}

describe.each(documents)('%s', (name) => {
  const text = read(name);

  it('links to what is there', () => {
    for (const [, target = ''] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https?:/.test(target)) continue;
      const [path = '', anchor = ''] = target.split('#');
      const file = path === '' ? name : relative(ROOT, join(ROOT, dirname(name), path));
      expect(existsSync(join(ROOT, file)), target).toBe(true);
      expect(['', ...(anchor === '' ? [] : anchors(read(file)))], target).toContain(anchor);
    }
  });

  it('names tests that are there', () => {
    for (const { path, title = '' } of testsIn(text)) expect(textOfTest(path), path).toContain(title);
  });

  it('shows commands that exist, with options that they have', async () => {
    const lines = blocksOf(text)
      .filter(({ language }) => language === 'sh')
      .flatMap((block) => block.text.split('\n'));
    for (const line of lines) {
      for (const [, command = ''] of line.replaceAll(/"[^"]*"/g, 'X').matchAll(/npx portcullis ([^|<>;)]+)/g))
        await expectCommand(command.trim());
    }
  });
});

async function expectCommand(command: string): Promise<void> {
  const words = command.split(/\s+/);
  const leading = words.slice(0, words.findIndex((word) => word.startsWith('-')) + 1 || undefined);
  for (let length = Math.min(3, leading.length); length > 0; length--) {
    const verb = words.slice(0, length);
    const { code, stdout } = await portcullis([...verb, '--help']);
    if (code !== 0 || !stdout.startsWith(`Usage: portcullis ${verb.join(' ')} `)) continue;
    const [usage = ''] = stdout.split('\n');
    for (const option of words.filter((word) => word.startsWith('--')))
      expect(stdout, command).toMatch(new RegExp(`^ .*${option}\\b`, 'm'));
    expect(usage, command).not.toContain('[command]');
    return;
  }
  expect.unreachable(`there is no such command: ${command}`);
}

describe('the list of requirements', () => {
  const rows = tableBelow(read(CHECKLIST), 'The list');

  it('holds each of the 85 lines once, in order', () => {
    expect(rows.map(([number]) => number)).toEqual(
      Array.from({ length: 85 }, (_, index) => String(index + 1)),
    );
  });

  it('names a test for each, or says that it is open and why', () => {
    const without = rows.filter(
      ([, , shown = '']) => !testsIn(shown).some(({ title }) => title !== undefined),
    );
    for (const [number, , shown] of without) expect(shown, number).toMatch(/^(Open|Not applicable): .{20}/);
  });
});
