/**
 * Measures the server beside the bare engine and a floor, alternating within one run, and prints tables and JSON
 * (`bench/output/latest.json`). docs/benchmarks.md tells how to read them.
 * Usage: npm run bench [-- --rounds 5 --requests 2000 --connections 8 --only refresh,jwks
 * --targets better-auth,sqlite,postgresql,sqlite-cores,postgresql-cores --profile]
 * Without `--requests`, as many as take about a second. `-cores`: one worker a core. `--profile` leaves a CPU profile
 * of each server in `bench/output`, for the developer tools of Chromium; the figures of such a run are higher.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { es256Verification, familyStatements, sizeOf, type Part } from './alone.ts';
import { casesOf, OPERATIONS, type Case } from './cases.ts';
import { startBenchPostgresql, type BenchDatabase } from './postgresql.ts';
import { budgetRows, operationRows, partRows } from './report.ts';
import { startBare, startBetterAuth, startFloor, startPortcullis, type Target } from './targets.ts';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    requests: { type: 'string' },
    connections: { type: 'string', default: '8' },
    only: { type: 'string', default: OPERATIONS.join() },
    targets: { type: 'string', default: 'better-auth,sqlite,postgresql,sqlite-cores,postgresql-cores' },
    profile: { type: 'boolean', default: false },
  },
});
const rounds = Number(values.rounds);
const connections = Number(values.connections);
const operations = OPERATIONS.filter((name) => values.only.split(',').includes(name));
const SAMPLE_SECONDS = 1;
const PART_COUNT = 3000;

/** What the bare engine does with tokens that it remembers; it is measured with JWTs in the rest. */
const REMEMBERED: readonly string[] = ['introspect', 'introspect_refresh', 'revoke'];

const cases: Case[] = [];
const parts: Part[] = [es256Verification()];
/** In the order in which they were started. */
const closers: (() => Promise<void>)[] = [];

async function add(target: Target, which: readonly string[]): Promise<void> {
  closers.push(() => target.stop());
  cases.push(...(await casesOf(target, which, connections)));
}

async function addTarget(what: string): Promise<void> {
  if (what === 'better-auth') {
    // It cannot revoke JWTs, and has no page to sign in at.
    const able = operations.filter((name) => name !== 'revoke' && name !== 'sign_in');
    return add(await startBetterAuth(), able);
  }
  const [kind, cores] = what.split('-');
  let database: BenchDatabase | undefined;
  if (kind === 'postgresql') {
    database = await startBenchPostgresql();
    if (!database) return console.error("PostgreSQL's programs are not found.");
    closers.push(database.remove);
  }
  const name = `portcullis, ${database ? 'PostgreSQL' : 'SQLite'}${cores ? ', a worker a core' : ''}`;
  const target = await startPortcullis(name, database, {
    ...(cores ? { workers: 'auto' } : {}),
    ...(values.profile ? { profile: 'bench/output' } : {}),
  });
  await add(target, operations);
  if (!target.budget || !target.databaseUrl) return;
  await target.seed(8); // the families that the statements alone work on
  const alone = await familyStatements(target.databaseUrl, database?.pids ?? []);
  closers.push(alone.close);
  parts.push(alone.read, alone.write);
}

/** How often a case is asked for a sample. */
async function calibrate(one: Case): Promise<number> {
  if (values.requests) {
    await one.measure(Math.min(Number(values.requests), 500));
    return Number(values.requests);
  }
  const { perSecond } = await one.measure(300);
  const requests = Math.ceil(perSecond * SAMPLE_SECONDS);
  await one.measure(2 * requests); // warm: compiled code is another thing than what runs first
  return requests;
}

/** Rows and bytes that 1,000 of an operation leave behind. */
async function growth(): Promise<object[]> {
  const found: object[] = [];
  for (const { operation, target, measure } of cases) {
    if (!target.databaseUrl || !target.budget) continue;
    if (operation !== 'refresh' && operation !== 'client_credentials') continue;
    const before = await sizeOf(target.databaseUrl);
    await measure(1000);
    const after = await sizeOf(target.databaseUrl);
    const [rows, bytes] = [after.rows - before.rows, after.bytes - before.bytes];
    found.push({ '1,000 of': operation, target: target.name, rows, bytes });
  }
  return found;
}

const load = (): string => (loadavg()[0] ?? 0).toFixed(1);
try {
  mkdirSync('bench/output', { recursive: true });
  const before = load();
  await add(
    await startFloor(),
    operations.filter((name) => name === 'client_credentials'),
  );
  await add(
    await startBare('jwt'),
    operations.filter((name) => !REMEMBERED.includes(name)),
  );
  await add(
    await startBare('opaque'),
    operations.filter((name) => REMEMBERED.includes(name)),
  );
  for (const what of values.targets.split(',')) await addTarget(what);

  const counts = new Map<Case, number>();
  for (const one of cases) counts.set(one, await calibrate(one));
  for (const part of parts) await part.measure(PART_COUNT); // warm
  for (let turn = 1; turn <= rounds; turn++) {
    console.error(`round ${turn} of ${rounds}`);
    for (const operation of operations) {
      for (const one of cases) {
        if (one.operation === operation) one.samples.push(await one.measure(counts.get(one) ?? 0));
      }
    }
    for (const part of parts) part.samples.push(await part.measure(PART_COUNT));
  }

  const [cpu] = cpus();
  const machine = `${cpus().length} × ${cpu?.model ?? '?'}; node ${process.version}; load ${before} before, ${load()} after`;
  const sample = values.requests ? `${values.requests} requests` : `${SAMPLE_SECONDS} s`;
  const how = `medians of ${rounds} rounds of ${sample}, ${connections} connections`;
  const output = {
    machine,
    how,
    operations: operationRows(cases),
    parts: partRows(parts),
    budgets: budgetRows(cases, parts),
    growth: await growth(),
  };
  console.log(`${machine}; ${how}`);
  for (const rows of [output.operations, output.parts, output.budgets, output.growth]) console.table(rows);
  writeFileSync('bench/output/latest.json', `${JSON.stringify(output, null, 2)}\n`);
} finally {
  for (const close of closers.toReversed()) await close();
}
