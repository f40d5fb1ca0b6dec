/**
 * Measures the server beside the bare engine and a floor, alternating within one run, and prints a table and JSON.
 * CPU is the servers' own and, with PostgreSQL, the database's. Usage: npm run bench [-- --rounds 5 --requests 2000]
 * With BENCH_DATABASE_URL (an empty PostgreSQL database) and BENCH_DATABASE_PID the server is measured on it too.
 */
import { spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { cpuMicros, rssMiB } from './cpu.ts';
import type { Job, Result } from './load.ts';
import { startBare, startFloor, startPortcullis, type Target } from './targets.ts';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    requests: { type: 'string', default: '2000' },
    connections: { type: 'string', default: '8' },
    only: { type: 'string' },
  },
});
const rounds = Number(values.rounds);
const requests = Number(values.requests);
const connections = Number(values.connections);

const loadProgram = fileURLToPath(new URL('load.ts', import.meta.url));

function load(job: Job): Promise<Result> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [loadProgram, '--job'], { stdio: ['pipe', 'pipe', 'inherit'] });
    let out = '';
    child.stdout.setEncoding('utf8');
    child.stdout.on('data', (chunk: string) => (out += chunk));
    child.on('exit', (code) =>
      code === 0 ? resolve(JSON.parse(out) as Result) : reject(new Error(`load failed: ${code}`)),
    );
    child.stdin.end(JSON.stringify(job));
  });
}

interface Sample {
  readonly micros: number;
  readonly perSecond: number;
  readonly p50: number;
  readonly p99: number;
}

const median = (numbers: readonly number[]): number =>
  numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN;

/** One operation on one target; keeps what the next round needs. */
interface Case {
  readonly operation: string;
  readonly target: Target;
  job(): Job;
  after?(result: Result): void;
  readonly samples: Sample[];
}

const form = (target: Target, body: Record<string, string>): Pick<Job, 'method' | 'headers' | 'bodies'> => ({
  method: 'POST',
  headers: {
    'content-type': 'application/x-www-form-urlencoded',
    authorization: `Basic ${Buffer.from(`${target.client.id}:${target.client.secret}`).toString('base64')}`,
  },
  bodies: [new URLSearchParams(body).toString().replace('%7Brefresh%7D', '{refresh}')],
});

const common = { requests, connections };

async function casesOf(target: Target, operations: readonly string[]): Promise<Case[]> {
  const cases: Case[] = [];
  const seeded = await target.seed(connections);
  let tokens: readonly string[] = seeded.refresh;
  const add = (operation: string, job: () => Job, after?: (result: Result) => void): void => {
    if (operations.includes(operation))
      cases.push({ operation, target, job, ...(after ? { after } : {}), samples: [] });
  };
  add('client_credentials', () => ({
    url: `${target.url}/token`,
    ...form(target, { grant_type: 'client_credentials', scope: 'orders:read' }),
    ...common,
  }));
  add('introspect', () => ({
    url: `${target.url}/introspect`,
    ...form(target, { token: seeded.access[0] ?? '' }),
    ...common,
  }));
  add(
    'refresh',
    () => ({
      url: `${target.url}/token`,
      ...form(target, { grant_type: 'refresh_token', refresh_token: '{refresh}' }),
      refreshTokens: tokens,
      ...common,
    }),
    (result) => (tokens = result.refreshTokens),
  );
  add('jwks', () => ({ url: `${target.url}/jwks`, method: 'GET', headers: {}, bodies: [], ...common }));
  add('discovery', () => ({
    url: `${target.url}/.well-known/openid-configuration`,
    method: 'GET',
    headers: {},
    bodies: [],
    ...common,
  }));
  return cases;
}

async function measure(one: Case, count: number): Promise<Sample> {
  const before = cpuMicros(one.target.pids);
  const result = await load({ ...one.job(), requests: count });
  const micros = (cpuMicros(one.target.pids) - before) / result.requests;
  if (result.failures > 0)
    throw new Error(`${one.operation} on ${one.target.name}: ${result.failures} failures`);
  one.after?.(result);
  return { micros, perSecond: result.requests / result.seconds, p50: result.p50, p99: result.p99 };
}

const ALL = ['client_credentials', 'introspect', 'refresh', 'jwks', 'discovery'];
const operations = values.only ? values.only.split(',') : ALL;
const targets: Target[] = [];
const cases: Case[] = [];
try {
  const floor = await startFloor();
  targets.push(floor);
  if (operations.includes('client_credentials'))
    cases.push(...(await casesOf(floor, ['client_credentials'])));
  const bareJwt = await startBare('jwt');
  targets.push(bareJwt);
  cases.push(
    ...(await casesOf(
      bareJwt,
      operations.filter((name) => name !== 'introspect'),
    )),
  );
  const bareOpaque = await startBare('opaque');
  targets.push(bareOpaque);
  cases.push(
    ...(await casesOf(
      bareOpaque,
      operations.filter((name) => name === 'introspect'),
    )),
  );
  const sqlite = await startPortcullis('portcullis, SQLite');
  targets.push(sqlite);
  cases.push(...(await casesOf(sqlite, operations)));
  const databaseUrl = process.env['BENCH_DATABASE_URL'];
  if (databaseUrl) {
    const pid = Number(process.env['BENCH_DATABASE_PID'] ?? 0);
    const postgresql = await startPortcullis('portcullis, PostgreSQL', {
      url: databaseUrl,
      pids: pid ? [pid] : [],
    });
    targets.push(postgresql);
    cases.push(...(await casesOf(postgresql, operations)));
  }
  for (const one of cases) await measure(one, Math.min(requests, 500)); // warm
  for (let round = 0; round < rounds; round++) {
    for (const operation of operations) {
      for (const one of cases)
        if (one.operation === operation) one.samples.push(await measure(one, requests));
    }
  }
  const rows = cases.map(({ operation, target, samples }) => {
    const micros = median(samples.map((sample) => sample.micros));
    const bare = cases.find((other) => other.operation === operation && other.target.name.startsWith('bare'));
    return {
      operation,
      target: target.name,
      'CPU µs': Math.round(micros),
      '× bare': bare
        ? Number((micros / median(bare.samples.map((sample) => sample.micros))).toFixed(2))
        : undefined,
      'per second': Math.round(median(samples.map((sample) => sample.perSecond))),
      'p50 ms': Number(median(samples.map((sample) => sample.p50)).toFixed(2)),
      'p99 ms': Number(median(samples.map((sample) => sample.p99)).toFixed(2)),
      'RSS MiB': Math.round(rssMiB(target.pids[0] ?? 0)),
    };
  });
  console.log(
    `${cpus().length} × ${cpus()[0]?.model ?? '?'}; node ${process.version}; medians of ${rounds} rounds of ${requests}`,
  );
  console.table(rows.toSorted((a, b) => operations.indexOf(a.operation) - operations.indexOf(b.operation)));
  mkdirSync('bench/output', { recursive: true });
  writeFileSync(
    'bench/output/latest.json',
    `${JSON.stringify({ rounds, requests, connections, rows }, null, 2)}\n`,
  );
} finally {
  for (const target of targets) await target.stop();
}
