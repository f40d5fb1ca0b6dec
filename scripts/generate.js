// Makes the two Prisma clients from prisma/schema.prisma: the SQLite variant of the schema is derived here.
// npm runs it as `prepare`, also on the oldest Node that Prisma supports: hence plain JavaScript.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const at = (...path) => join(root, ...path);
const postgresqlSchema = at('prisma', 'schema.prisma');
const sqliteSchema = at('prisma', 'generated', 'schema.sqlite.prisma');
const stamp = at('prisma', 'generated', 'stamp');
const clients = ['postgresql', 'sqlite'].map((name) => at('src', 'storage', 'generated', name, 'client.ts'));

function stop(message) {
  console.error(`portcullis: ${message}`);
  process.exit(1);
}

function findCli() {
  try {
    const manifest = createRequire(import.meta.url).resolve('prisma/package.json');
    const { bin, version } = JSON.parse(readFileSync(manifest, 'utf8'));
    return { path: join(dirname(manifest), bin.prisma), version };
  } catch {
    return undefined;
  }
}

/** Replaces exactly one occurrence, so that a change of the schema's head cannot go unnoticed. */
function replaceOnce(text, from, to) {
  if (text.split(from).length !== 2) stop(`prisma/schema.prisma must contain ${from} exactly once`);
  return text.replace(from, to);
}

function deriveSqlite(schema) {
  const output = replaceOnce(
    schema,
    '"../src/storage/generated/postgresql"',
    '"../../src/storage/generated/sqlite"',
  );
  return replaceOnce(output, 'provider = "postgresql"', 'provider = "sqlite"');
}

/** Resolves to undefined when the client was made, else to what the CLI printed. */
function generate(cli, schema) {
  const child = spawn(process.execPath, [cli.path, 'generate', '--no-hints', '--schema', schema], {
    cwd: root,
    env: { ...process.env, CHECKPOINT_DISABLE: '1', PRISMA_HIDE_UPDATE_MESSAGE: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk));
  return new Promise((resolve) => {
    child.on('error', (error) => resolve(error.message));
    child.on('close', (code) => resolve(code === 0 ? undefined : output.trim() || `exit code ${code}`));
  });
}

const [major, minor] = process.versions.node.split('.').map(Number);
if (!(major >= 24 || (major === 22 && minor >= 12) || (major === 20 && minor >= 19))) {
  stop(`Node ${process.versions.node} is too old: install with Node 20.19+, 22.12+ or 24+`);
}

const schema = readFileSync(postgresqlSchema, 'utf8');
const cli = findCli();
const made = clients.every((path) => existsSync(path));
if (!cli) {
  if (!made)
    stop('the database clients are not generated and the prisma CLI is not installed: run `npm install`');
  console.log('portcullis: database clients are there; without the prisma CLI they are taken as they are');
  process.exit(0);
}

const state = createHash('sha256')
  .update([cli.version, schema, readFileSync(fileURLToPath(import.meta.url))].join('\0'))
  .digest('hex');
if (made && existsSync(stamp) && readFileSync(stamp, 'utf8') === state) {
  console.log('portcullis: database clients are up to date');
  process.exit(0);
}

mkdirSync(dirname(sqliteSchema), { recursive: true });
rmSync(stamp, { force: true });
writeFileSync(
  sqliteSchema,
  `// Derived from ../schema.prisma by scripts/generate.js: do not edit.\n${deriveSqlite(schema)}`,
);
const failures = (await Promise.all([generate(cli, postgresqlSchema), generate(cli, sqliteSchema)])).filter(
  Boolean,
);
if (failures.length > 0) stop(`generating the database clients failed\n${failures.join('\n')}`);
writeFileSync(stamp, state);
console.log('portcullis: database clients generated (PostgreSQL, SQLite)');
