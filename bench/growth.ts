/**
 * Whether the server stays as quick with many living families as with 1,000, what a family takes, and how long a sweep
 * holds others up. Two servers, one with few and one with many, take turns; then many families of the second end.
 * Usage: npm run bench:growth [-- --families 1000000 --expire 100000 --rounds 5 --targets sqlite,postgresql]
 */
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { systemClock } from '../src/lib/clock.ts';
import { openStorage } from '../src/storage/open.ts';
import { SWEEP_BATCH, sweepBatch } from '../src/storage/sweep.ts';
import { sizeOf } from './alone.ts';
import { load, post } from './cases.ts';
import { fill, FEW } from './families.ts';
import type { Result } from './load.ts';
import { startBenchPostgresql } from './postgresql.ts';
import { median, round } from './report.ts';
import { startPortcullis, type Target } from './targets.ts';

const { values } = parseArgs({
  options: {
    families: { type: 'string', default: '1000000' },
    expire: { type: 'string' },
    rounds: { type: 'string', default: '5' },
    targets: { type: 'string', default: 'sqlite,postgresql' },
  },
});
const many = Number(values.families);
const expire = Number(values.expire ?? Math.floor(many / 10));
const rounds = Number(values.rounds);
const connections = 8;

interface Filled {
  readonly target: Target;
  readonly storage: Awaited<ReturnType<typeof openStorage>>;
  /** Milliseconds of each statement that a sweep from here has sent, with the wait for a connection. */
  readonly statements: number[];
  /** Database bytes for each family, with its user, consent and session. */
  readonly bytesEach: number;
  refresh(requests: number): Promise<Result>;
  introspect(): Promise<Result>;
  close(): Promise<void>;
}

async function filled(kind: string, count: number): Promise<Filled | undefined> {
  const server = kind === 'postgresql' ? await startBenchPostgresql() : undefined;
  if (kind === 'postgresql' && !server) return undefined;
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-growth-'));
  const database = server ?? { url: `file:${join(folder, 'growth.db')}`, pids: [] };
  const secretKey = randomBytes(32);
  const target = await startPortcullis(`${count} families`, database, {
    secretKey: secretKey.toString('base64url'),
  });
  await target.seed(1);
  const statements: number[] = [];
  const storage = await openStorage({
    url: database.url,
    secretKeys: [secretKey],
    clock: systemClock,
    listeners: { onEvent: () => {}, onBump: () => {} },
    statementTimeout: 600_000,
    onQuery: (name, seconds) => {
      if (name.startsWith('sweep.')) statements.push(seconds * 1000);
    },
  });
  const before = await sizeOf(database.url);
  let tokens: readonly string[] = await fill(storage, count);
  const bytesEach = ((await sizeOf(database.url)).bytes - before.bytes) / count;
  let access: readonly string[] = [];
  const checked = (result: Result): Result => {
    if (result.failures > 0) throw new Error(`${target.name}: ${result.failures} failures`);
    return result;
  };
  return {
    target,
    storage,
    statements,
    bytesEach,
    async refresh(requests) {
      const form = { grant_type: 'refresh_token', refresh_token: '{refresh}' };
      const job = { ...post(target, '/token', form), refreshTokens: tokens, requests, connections };
      const result = checked(await load(job));
      [tokens, access] = [result.refreshTokens, result.accessTokens];
      return result;
    },
    async introspect() {
      const forms = access.map((token) => ({ token }));
      const job = { ...post(target, '/introspect', ...forms), once: true, connections };
      return checked(await load({ ...job, requests: forms.length }));
    },
    async close() {
      await storage.database.close();
      await target.stop();
      await server?.remove();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Medians of p50 and p99 of both, and how many times those of the first the second's are. */
function compare(operation: string, few: readonly Result[], lots: readonly Result[]): object {
  const of = (results: readonly Result[], what: 'p50' | 'p99'): number =>
    median(results.map((result) => result[what]));
  const times = of(lots, 'p99') / of(few, 'p99');
  return {
    operation,
    [`p50 ms at ${FEW}`]: round(of(few, 'p50'), 2),
    [`p50 ms at ${many}`]: round(of(lots, 'p50'), 2),
    [`p99 ms at ${FEW}`]: round(of(few, 'p99'), 2),
    [`p99 ms at ${many}`]: round(of(lots, 'p99'), 2),
    'p99 ×': round(times, 2),
    verdict: times <= 1.5 ? 'holds' : 'more than 1.5 ×',
  };
}

/** Ends many families by time, sweeps them away, and refreshes others meanwhile. */
async function sweeping({ storage, statements, refresh }: Filled): Promise<object> {
  const { database, sessions } = storage;
  const past = systemClock.now() - 1000;
  for (let left = expire; left > 0; left -= 5000) {
    await database.sql.write(
      'growth.expire',
      `UPDATE families SET ends_at = $1, idle_ends_at = $1, access_ends_at = $1, check_at = $1
       WHERE id IN (SELECT id FROM families WHERE rotated_at IS NULL AND check_at > $1 LIMIT $2)`,
      [past, Math.min(left, 5000)],
    );
  }
  const calm = await refresh(FEW);
  const started = performance.now();
  const done = { swept: 0, seconds: 0 };
  const sweep = async (): Promise<void> => {
    for (;;) {
      const { families, looked } = await sweepBatch(database, systemClock, sessions);
      done.swept += families;
      if (families + looked < SWEEP_BATCH) break;
    }
    done.seconds = (performance.now() - started) / 1000;
  };
  const results: Result[] = [];
  const refreshing = async (): Promise<void> => {
    do results.push(await refresh(FEW));
    while (done.seconds === 0);
  };
  await Promise.all([sweep(), refreshing()]);
  const longest = Math.max(...statements);
  return {
    'swept here': done.swept,
    seconds: round(done.seconds, 1),
    'statement p50 ms': round(median(statements), 1),
    'longest statement ms': round(longest, 1),
    'longest refresh ms before': round(calm.max, 1),
    'longest refresh ms meanwhile': round(Math.max(...results.map(({ max }) => max)), 1),
    // The server sweeps too, once a minute, and may have been first.
    verdict:
      done.swept === 0 ? 'nothing was left' : longest < 50 ? 'holds' : 'a statement took 50 ms or more',
  };
}

const load1 = (): string => (loadavg()[0] ?? 0).toFixed(1);
const output: Record<string, unknown> = {};
const before = load1();
for (const kind of values.targets.split(',')) {
  const small = await filled(kind, FEW);
  const large = small && (await filled(kind, many));
  if (!large) {
    console.error("PostgreSQL's programs are not found.");
    continue;
  }
  try {
    const results = new Map(
      [small, large].map((one) => [one, { refresh: [] as Result[], introspect: [] as Result[] }]),
    );
    for (const one of results.keys()) await one.refresh(FEW); // warm
    const { rows } = await sizeOf(large.target.databaseUrl ?? '');
    for (let turn = 0; turn < rounds; turn++) {
      for (const [one, { refresh }] of results) refresh.push(await one.refresh(FEW));
      for (const [one, { introspect }] of results) introspect.push(await one.introspect());
    }
    const left = (await sizeOf(large.target.databaseUrl ?? '')).rows - rows;
    const of = (one: Filled, what: 'refresh' | 'introspect'): Result[] => results.get(one)?.[what] ?? [];
    output[kind] = {
      latency: (['refresh', 'introspect'] as const).map((what) =>
        compare(what, of(small, what), of(large, what)),
      ),
      size: {
        families: many,
        'bytes each, with user, consent and session': round(large.bytesEach),
        [`rows left by ${rounds * FEW} access tokens`]: left,
      },
      sweep: await sweeping(large),
    };
    console.log(kind);
    const { latency, size, sweep } = output[kind] as Record<string, object[]>;
    for (const table of [latency, [size], [sweep]]) console.table(table);
  } finally {
    await large.close();
    await small.close();
  }
}
const machine = `${cpus().length} × ${cpus()[0]?.model ?? '?'}; node ${process.version}; load ${before} before, ${load1()} after`;
console.log(machine);
mkdirSync('bench/output', { recursive: true });
writeFileSync('bench/output/growth.json', `${JSON.stringify({ machine, ...output }, null, 2)}\n`);
