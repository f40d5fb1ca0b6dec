import { spawnSync } from 'node:child_process';
import {
  cpSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Each area imports only what stands before its own line. */
const ORDER = [
  ['lib'],
  ['config'],
  ['telemetry'],
  ['storage'],
  ['keys', 'clients', 'users', 'grants', 'delivery'],
  ['provider'],
  ['http'],
  ['background', 'people', 'administration'],
  ['app'],
  ['workers'],
  ['start'],
  ['main', 'cli'],
];
const AREAS = ORDER.flat();
const FILES = new Set(['background', 'people', 'administration', 'app', 'workers', 'start', 'main']); // areas that are one file

const PACKAGES: readonly { readonly name: RegExp; readonly areas: readonly string[] }[] = [
  { name: /^(@prisma\/|pg$|pg\/|node:sqlite$)/, areas: ['storage'] },
  { name: /^oidc-provider$/, areas: ['provider'] },
  { name: /^oidc-provider\//, areas: [] },
  {
    name: /^(koa|@koa\/.*)$/,
    areas: ['http', 'background', 'people', 'administration', 'app', 'workers', 'start', 'main'],
  },
];

const WORDS: readonly { readonly text: RegExp; readonly allowed: RegExp }[] = [
  {
    text: /\bDate\s*\.\s*now\b|\bnew Date\(\s*\)|\bnew Date\b(?!\()|(?<!new )\bDate\(/,
    allowed: /^src\/lib\//,
  },
  { text: /\bMath\s*\.\s*random\b/, allowed: /^src\/lib\// },
  {
    text: /\bprocess\s*\??\.\s*env\b|\bprocess\[|\benv\b[^;]*\bfrom 'node:process'/,
    allowed: /^src\/config\/load\.ts$/,
  },
];

const rank = (area: string): number => ORDER.findIndex((areas) => areas.includes(area));
const areaOf = (file: string): string => /^src\/([^/]+?)(\.ts|\/.*)$/.exec(file)?.[1] ?? '';
const withoutComments = (source: string): string =>
  source.replace(
    /("(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`)|\/\*[^]*?\*\/|\/\/[^\n]*/g,
    (_, text: string | undefined) => text ?? '',
  );
const importsOf = (source: string): string[] =>
  [...source.matchAll(/(?:\bfrom|\bimport|\bimport\(|\brequire\()\s*['"]([^'"]+)['"]/g)].map(
    (match) => match[1]!,
  );

function mayImport(file: string, specifier: string): boolean {
  const area = areaOf(file);
  if (!specifier.startsWith('.')) {
    return PACKAGES.every(({ name, areas }) => !name.test(specifier) || areas.includes(area));
  }
  const target = relative(root, resolve(root, dirname(file), specifier));
  if (target === 'package.json') return true;
  const other = areaOf(target);
  if (target.includes('/generated/') && area !== 'storage') return false;
  return other === area || (rank(other) >= 0 && rank(other) < rank(area));
}

/** What in one file of src/ breaks the table. */
function faultsOf(file: string, text: string): string[] {
  const source = withoutComments(text);
  const faults = importsOf(source).filter((specifier) => !mayImport(file, specifier));
  if (rank(areaOf(file)) < 0) faults.push('has no place in the order');
  for (const { text: word, allowed } of WORDS) {
    if (!allowed.test(file)) faults.push(...(source.match(word) ?? []));
  }
  return faults.map((fault) => `${file}: ${fault}`);
}

describe('the import order', () => {
  it('holds in every file of src', () => {
    const files = globSync('src/**/*.ts', { cwd: root }).filter((file) => !file.includes('/generated/'));
    expect(files.length).toBeGreaterThan(0);
    expect(files.flatMap((file) => faultsOf(file, readFileSync(join(root, file), 'utf8')))).toEqual([]);
  });

  it.each([
    ['src/lib/a.ts', "import { b } from '../config/b.ts';"],
    ['src/keys/a.ts', "import type { b } from '../users/b.ts';"],
    ['src/keys/deep/a.ts', "export * from '../../users/b.ts';"],
    ['src/config/a.ts', "const b = await import('../storage/b.ts');"],
    ['src/http/a.ts', "import '../app.ts';"],
    ['src/main.ts', "import { b } from './cli/main.ts';"],
    ['src/cli/main.ts', "import { b } from '../main.ts';"],
    ['src/http/a.ts', "import { PrismaClient } from '../storage/generated/sqlite/client.ts';"],
    ['src/http/a.ts', "import { Provider } from 'oidc-provider';"],
    // What must be refused; nothing imports it.
    ['src/provider/a.ts', "import { b } from 'oidc-provider/lib/b.js';"],
    ['src/provider/a.ts', "import Koa from 'koa';"],
    ['src/users/a.ts', "import { b } from '../../test/support/b.ts';"],
    ['src/misc/a.ts', ''],
    ['src/users/a.ts', 'const url = `http://x`; const b = Date.now();'],
    ['src/users/a.ts', 'const b = new Date();'],
    ['src/users/a.ts', 'const b = new Date;'],
    ['src/users/a.ts', 'const b = Math.random();'],
    ['src/users/a.ts', 'const b = globalThis.process.env;'],
    ['src/users/a.ts', "import { env } from 'node:process';"],
  ])('does not hold for %s with %s', (file, source) => {
    expect(faultsOf(file, source)).toHaveLength(1);
  });

  it.each([
    ['src/http/admin/a.ts', "import { b } from '../../keys/b.ts'; import Router from '@koa/router';"],
    ['src/app.ts', "import { b } from './http/b.ts'; import { c } from './lib/c.ts';"],
    ['src/config/load.ts', 'const b = process.env;'],
    ['src/users/a.ts', 'const b = new Date(1).toISOString(); // Date.now() is the clock'],
  ])('holds for %s with %s', (file, source) => {
    expect(faultsOf(file, source)).toEqual([]);
  });
});

describe('the linter', () => {
  interface Diagnostic {
    readonly code: string;
    readonly filename: string;
    readonly labels: readonly { readonly span: { readonly line: number } }[];
  }
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-lint-'));
  const packages = [
    '@prisma/client',
    'pg',
    'node:sqlite',
    'oidc-provider',
    'oidc-provider/a',
    'koa',
    '@koa/router',
    'zod',
  ];
  const specifiers = (file: string): string[] =>
    AREAS.filter((area) => area !== areaOf(file))
      .map((area) => relative(dirname(file), FILES.has(area) ? `src/${area}.ts` : `src/${area}/b.ts`))
      .map((path) => (path.startsWith('.') ? path : `./${path}`))
      .concat(packages);
  const importers = [
    ...AREAS.map((area) => (FILES.has(area) ? `src/${area}.ts` : `src/${area}/a.ts`)),
    'src/http/admin/a.ts',
  ];
  const broken = {
    'src/users/clock.ts': 'export const a = [Date.now(), Math.random()];',
    'src/users/environment.ts': 'export const { env } = process;',
    'src/users/console.ts': "console.log('a');",
    'src/users/any.ts': 'export const a = (b: any) => b;',
    'src/users/equal.ts': 'export const a = (b: string) => b == null;',
    'src/users/floating.ts': 'export const a = (b: () => Promise<void>) => { b(); };',
    'src/users/misused.ts':
      'export const a = (b: () => Promise<boolean>) => { if (b()) throw new Error(); };',
    'src/users/type-import.ts': "import { B } from './b.ts';\nexport const a = (b: B) => b;",
    'src/users/NotKebab.ts': 'export const a = 1;',
    'src/users/long.ts': '// a\n'.repeat(301),
    'test/long.test.ts': '// a\n'.repeat(501),
    'test/deep.test.ts': "import 'oidc-provider/lib/x.js';",
  };
  const fine = {
    'src/lib/clock.ts': 'export const a = [Date.now(), Math.random()];',
    'src/config/load.ts': 'export const { env } = process;',
    'src/cli/console.ts': "console.log('a');",
    'src/storage/generated/a.ts': 'export const a = (b: any) => b == null;',
  };
  let diagnostics: readonly Diagnostic[] = [];
  const codesOf = (file: string): string[] =>
    diagnostics.filter(({ filename }) => filename === file).map(({ code }) => code);

  beforeAll(() => {
    const write = (file: string, text: string): void => {
      mkdirSync(dirname(join(folder, file)), { recursive: true });
      writeFileSync(join(folder, file), text);
    };
    for (const file of ['.oxlintrc.json', 'tsconfig.json']) cpSync(join(root, file), join(folder, file));
    symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
    for (const file of importers) {
      write(
        file,
        specifiers(file)
          .map((specifier) => `export type * from '${specifier}';\n`)
          .join(''),
      );
    }
    for (const [file, text] of Object.entries({ ...broken, ...fine })) write(file, text);
    const oxlint = join(root, 'node_modules/oxlint/bin/oxlint');
    const { stdout } = spawnSync(
      process.execPath,
      [oxlint, '--type-aware', '--format', 'json', 'src', 'test'],
      {
        cwd: folder,
        encoding: 'utf8',
      },
    );
    diagnostics = (JSON.parse(stdout) as { diagnostics: Diagnostic[] }).diagnostics;
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  it.each(importers)('refuses in %s exactly the imports that the table refuses', (file) => {
    const refused = diagnostics
      .filter(({ code, filename }) => filename === file && code.includes('no-restricted-imports'))
      .map(({ labels }) => specifiers(file)[labels[0]!.span.line - 1]!);
    expect(refused.toSorted()).toEqual(
      specifiers(file)
        .filter((name) => !mayImport(file, name))
        .toSorted(),
    );
  });

  it.each([
    ['src/users/clock.ts', 'no-restricted-properties'],
    ['src/users/environment.ts', 'no-restricted-properties'],
    ['src/users/console.ts', 'no-console'],
    ['src/users/any.ts', 'no-explicit-any'],
    ['src/users/equal.ts', 'eqeqeq'],
    ['src/users/floating.ts', 'no-floating-promises'],
    ['src/users/misused.ts', 'no-misused-promises'],
    ['src/users/type-import.ts', 'consistent-type-imports'],
    ['src/users/NotKebab.ts', 'filename-case'],
    ['src/users/long.ts', 'max-lines'],
    ['test/long.test.ts', 'max-lines'],
    ['test/deep.test.ts', 'no-restricted-imports'],
  ])('refuses %s by %s', (file, rule) => {
    expect(codesOf(file)).toContainEqual(expect.stringContaining(`(${rule})`));
  });

  it.each(Object.keys(fine))('lets %s pass', (file) => {
    expect(codesOf(file)).toEqual([]);
  });
});
