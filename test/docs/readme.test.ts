/**
 * Runs README.md: every command in its order, in a folder like a fresh clone, against the server that the README's
 * first command starts. Ports are replaced by free ones, and in the part on production the database by one that is
 * there. Not run: `npm install`, for the test runs inside an installed tree, and `npm test`, which is this run.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { settingsTable } from '../../src/config/definitions.ts';
import { Browser } from '../support/browser.ts';
import { databaseKinds, freshDatabase, type FreshDatabase } from '../support/databases.ts';
import { passPages } from '../support/fixtures.ts';
import { freePort } from '../support/server.ts';
import { blocksOf, isAsDocumented, masked, tableBelow, type Block } from './support/markdown.ts';
import { openFolder, type Environment, type Folder, type Running, type Shell } from './support/terminal.ts';

const readme = readFileSync(join(import.meta.dirname, '../../README.md'), 'utf8');
const blocks = blocksOf(readme);
const PRODUCTION = 'Going to production';

/** Ports that the README names, and those that the test uses. */
const ports = new Map<string, string>();
const toFree = (text: string): string =>
  text.replaceAll(/(?<=:)(3000|3001|8080)\b/g, (port) => ports.get(port) ?? '');
const toDocumented = (text: string): string =>
  [...ports].reduce((now, [documented, used]) => now.replaceAll(`:${used}`, `:${documented}`), text);

function expectDocumented(output: string, { output: documented, text }: Block): void {
  if (documented === undefined) return;
  const real = toDocumented(output);
  if (!isAsDocumented(real, documented)) expect(masked(real), text).toBe(masked(documented));
}

let folder: Folder;
let environment: Environment;
let shell: Shell;
let server: Running;

beforeAll(async () => {
  for (const port of ['3000', '3001', '8080']) ports.set(port, String(await freePort()));
  environment = { PORT: ports.get('3000'), PORTCULLIS_MANAGEMENT_PORT: ports.get('3001') };
  folder = openFolder();
  shell = folder.shell(environment);
});
afterAll(() => folder.close());

/** Ada signs in to the example application, and allows it what it asks for. */
async function signIn(): Promise<void> {
  const home = toFree('http://localhost:8080');
  const [app, ada] = [new Browser(home), new Browser(toFree('http://localhost:3000'))];
  const { url } = await app.go(`${home}/login`);
  const back = await passPages(ada, await ada.go(url), 'ada', 'correct horse battery');
  expect((await app.go(back.url)).text).toMatch(/^Signed in as Ada Lovelace/);
}

async function startServer(block: Block, env: Environment, ready: RegExp): Promise<void> {
  server = folder.start(block.text.replace('npm install && ', ''), env);
  expectDocumented(await server.printed(ready), block);
}

async function follow(block: Block): Promise<void> {
  if (block.text === 'npm install && npm start') {
    await startServer(block, environment, /--help\n\n/);
  } else if (block.text.includes('node examples/web-app.ts')) {
    const env = { ...environment, PORT: ports.get('8080'), ISSUER: toFree('http://localhost:3000') };
    const app = folder.start(block.text, env);
    expectDocumented(await app.printed(/\n/), block);
    await signIn();
  } else {
    expectDocumented(await shell.run(toFree(block.text)), block);
  }
}

const THIS_RUN = 'npm install && npm test';
const runnable = ({ language, text }: Block): boolean =>
  (language === 'sh' && text !== THIS_RUN) || language === 'js';

describe('README', () => {
  it('holds only blocks that are run, that are compared, or that are known not to be', () => {
    const others = blocks.filter((block) => !runnable(block) && block.language !== 'text');
    expect(others.map(({ language }) => language)).toEqual(['sh', 'java', 'ini']);
    expect(others[2]?.text).toContain('DATABASE_URL=postgresql://'); // replaced below
    expect(others[0]?.output).toContain('\ntests: … passed, 0 failed');
  });

  describe('as a newcomer follows it', () => {
    for (const block of blocks.filter((each) => runnable(each) && each.heading !== PRODUCTION)) {
      const [first = ''] = block.text.split('\n');
      it(`${block.heading}: ${first.slice(0, 70)}`, async () => {
        if (block.language === 'sh') return follow(block);
        const name = first.replace('// ', '');
        expect(name).toMatch(/^[\w-]+\.mjs$/);
        writeFileSync(join(folder.path, name), toFree(block.text));
      });
    }

    it('npx finds the command in this folder', async () => {
      const bare = folder.start('PATH=${PATH#*:} npx portcullis --version', environment);
      expect(await bare.printed(/\n/)).toMatch(/^\d+\.\d+\.\d+\n$/);
    }, 60_000);

    it('the server stops when it is told to', async () => {
      await server.stop();
      expect(server.output()).toContain('stopping on SIG');
    });
  });

  describe.each(databaseKinds)('as an operator follows it on %s', (kind) => {
    let database: FreshDatabase;
    let production: Environment;
    beforeAll(async () => {
      await folder.close();
      folder = openFolder();
      database = await freshDatabase(kind);
      const ini = blocks.find(({ language }) => language === 'ini')?.text ?? '';
      const settings = Object.fromEntries(ini.split('\n').map((line) => line.split(/=(.*)/)));
      production = { ...environment, ...settings, DATABASE_URL: database.url };
      shell = folder.shell(production);
    });
    afterAll(() => database.drop());

    for (const block of blocks.filter((each) => runnable(each) && each.heading === PRODUCTION)) {
      it(`${PRODUCTION}: ${block.text}`, async () => {
        if (block.text !== 'npm start') return follow(block);
        await startServer(block, production, /listening on/);
        const response = await fetch(toFree('http://localhost:3000/.well-known/openid-configuration'));
        expect(await response.json()).toMatchObject({ issuer: 'https://id.example.com' });
      });
    }
  });

  it('lists every setting, as the code defines it', () => {
    const documented = tableBelow(readme, 'Settings');
    expect(documented).toEqual(
      settingsTable.map((row) => [
        `\`${row.name}\`${row.secret ? ' \\*' : ''}`,
        row.default,
        row.description,
      ]),
    );
  });
});
