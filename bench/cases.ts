/** The operations that are measured, and how one measurement is made. */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { measureCpu } from './cpu.ts';
import type { Job, Result } from './load.ts';
import type { Target } from './targets.ts';

const loadProgram = fileURLToPath(new URL('load.ts', import.meta.url));

/** Sends a load from a process of its own. */
export function load(job: Job): Promise<Result> {
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

export interface Sample {
  /** CPU of server and database for one request. */
  readonly micros: number;
  readonly perSecond: number;
  readonly p50: number;
  readonly p99: number;
}

/** One operation on one target. */
export interface Case {
  readonly operation: string;
  readonly target: Target;
  measure(requests: number): Promise<Sample>;
  readonly samples: Sample[];
}

export const OPERATIONS = [
  'client_credentials',
  'code',
  'refresh',
  'introspect',
  'introspect_refresh',
  'revoke',
  'jwks',
  'discovery',
  'sign_in',
] as const;

/** What is prepared for each request is made in smaller numbers, and a sign-in hashes a password. */
const MOST: Readonly<Record<string, number>> = { code: 200, revoke: 300, sign_in: 5 };

type Sent = Pick<Job, 'url' | 'method' | 'headers' | 'bodies'>;

/** Forms that the client sends; `{refresh}` in one stands for a refresh token. */
export function post(target: Target, path: string, ...forms: readonly Record<string, string>[]): Sent {
  return {
    url: `${target.url}${path}`,
    method: 'POST',
    headers: {
      'content-type': 'application/x-www-form-urlencoded',
      authorization: `Basic ${Buffer.from(`${target.client.id}:${target.client.secret}`).toString('base64')}`,
    },
    bodies: forms.map((form) => new URLSearchParams(form).toString().replace('%7Brefresh%7D', '{refresh}')),
  };
}

const get = (target: Target, path: string): Sent => ({
  url: `${target.url}${path}`,
  method: 'GET',
  headers: {},
  bodies: [],
});

const credentials = { grant_type: 'client_credentials', scope: 'orders:read' };

/** Access tokens to revoke. */
async function accessTokens(target: Target, count: number): Promise<Record<string, string>[]> {
  const { url, headers, bodies } = post(target, '/token', credentials);
  const tokens: Record<string, string>[] = [];
  while (tokens.length < count) {
    const answer = await fetch(url, { method: 'POST', headers, body: bodies[0] ?? '' });
    tokens.push({ token: ((await answer.json()) as { access_token: string }).access_token });
  }
  return tokens;
}

/** @param operations those of `OPERATIONS` that this target is to be measured with */
export async function casesOf(
  target: Target,
  operations: readonly string[],
  connections: number,
): Promise<Case[]> {
  const seeded = await target.seed(connections);
  let tokens: readonly string[] = seeded.refresh;
  const jobs: Record<string, (requests: number) => Promise<Partial<Job> & Sent> | (Partial<Job> & Sent)> = {
    client_credentials: () => post(target, '/token', credentials),
    code: async (count) => ({ ...post(target, '/token', ...(await target.codes(count))), once: true }),
    refresh: () => ({
      ...post(target, '/token', { grant_type: 'refresh_token', refresh_token: '{refresh}' }),
      refreshTokens: tokens,
    }),
    introspect: () => post(target, '/introspect', { token: seeded.access[0] ?? '' }),
    introspect_refresh: () => post(target, '/introspect', { token: tokens[0] ?? '' }),
    revoke: async (count) => ({
      ...post(target, '/revoke', ...(await accessTokens(target, count))),
      once: true,
    }),
    jwks: () => get(target, '/jwks'),
    discovery: () => get(target, '/.well-known/openid-configuration'),
  };
  return operations.flatMap((operation): Case[] => {
    const job = jobs[operation];
    const { signIn } = target;
    const most = (requests: number): number => Math.min(requests, MOST[operation] ?? requests);
    if (job)
      return [
        {
          operation,
          target,
          samples: [],
          async measure(asked) {
            const requests = most(asked);
            const made = { connections, ...(await job(requests)), requests };
            const cpu = measureCpu(target.pids);
            const result = await load(made);
            const micros = cpu() / result.requests;
            if (result.failures > 0)
              throw new Error(`${operation} on ${target.name}: ${result.failures} failures`);
            if (operation === 'refresh') tokens = result.refreshTokens;
            return { micros, perSecond: result.requests / result.seconds, p50: result.p50, p99: result.p99 };
          },
        },
      ];
    if (!signIn) return [];
    return [
      {
        operation,
        target,
        samples: [],
        async measure(asked) {
          const times: number[] = [];
          const cpu = measureCpu(target.pids);
          for (let left = most(asked); left > 0; left--) {
            const started = performance.now();
            await signIn();
            times.push(performance.now() - started);
          }
          times.sort((a, b) => a - b);
          return {
            micros: cpu() / times.length,
            perSecond: (times.length * 1000) / times.reduce((sum, time) => sum + time, 0),
            p50: times[Math.floor(times.length / 2)] ?? 0,
            p99: times.at(-1) ?? 0,
          };
        },
      },
    ];
  });
}
