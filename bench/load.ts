/** A load from a process of its own: a fixed number of requests over keep-alive connections. Prints one JSON line. */
import { Agent, request } from 'node:http';

/** What to send. */
export interface Job {
  readonly url: string;
  readonly method: 'GET' | 'POST';
  readonly headers: Readonly<Record<string, string>>;
  /** One body for each connection; `{refresh}` stands for a refresh token of the connection's, which each answer renews. */
  readonly bodies: readonly string[];
  /** As many for each connection, which takes its own in turn. */
  readonly refreshTokens?: readonly string[];
  /** Each body is sent once, by whichever connection is free. */
  readonly once?: boolean;
  readonly requests: number;
  readonly connections: number;
}

export interface Result {
  readonly requests: number;
  readonly failures: number;
  readonly seconds: number;
  /** Milliseconds. */
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
  /** The refresh tokens that are current at the end, and the access tokens that came with them. */
  readonly refreshTokens: readonly string[];
  readonly accessTokens: readonly string[];
}

export async function run(job: Job): Promise<Result> {
  const agent = new Agent({ keepAlive: true, maxSockets: job.connections });
  const url = new URL(job.url);
  const tokens = [...(job.refreshTokens ?? [])];
  const accessTokens: string[] = [];
  const times: number[] = [];
  let left = job.requests;
  let failures = 0;
  const once = (body: string): Promise<{ status: number; text: string }> =>
    new Promise((resolve, reject) => {
      const sent = request(
        url,
        {
          agent,
          method: job.method,
          headers: { ...job.headers, ...(body ? { 'content-length': Buffer.byteLength(body) } : {}) },
        },
        (response) => {
          let text = '';
          response.setEncoding('utf8');
          response.on('data', (chunk: string) => (text += chunk));
          response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
        },
      );
      sent.on('error', reject);
      sent.end(body);
    });
  const connection = async (index: number): Promise<void> => {
    const own = job.bodies[index % Math.max(job.bodies.length, 1)] ?? '';
    let slot = index;
    while (left-- > 0) {
      const template = job.once ? (job.bodies[left] ?? '') : own;
      const body = template.replace('{refresh}', tokens[slot] ?? '');
      const started = performance.now();
      const answer = await once(body);
      times.push(performance.now() - started);
      if (answer.status !== 200) failures++;
      else if (job.refreshTokens) {
        const made = JSON.parse(answer.text) as { refresh_token: string; access_token: string };
        tokens[slot] = made.refresh_token;
        accessTokens[slot] = made.access_token;
      }
      slot = slot + job.connections < tokens.length ? slot + job.connections : index;
    }
  };
  const started = performance.now();
  await Promise.all(Array.from({ length: job.connections }, (_, index) => connection(index)));
  const seconds = (performance.now() - started) / 1000;
  agent.destroy();
  times.sort((a, b) => a - b);
  const at = (share: number): number =>
    times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? 0;
  return {
    requests: times.length,
    failures,
    seconds,
    p50: at(0.5),
    p99: at(0.99),
    max: at(1),
    refreshTokens: tokens,
    accessTokens,
  };
}

if (process.argv[2] === '--job') {
  let input = '';
  process.stdin.setEncoding('utf8');
  for await (const chunk of process.stdin) input += String(chunk);
  console.log(JSON.stringify(await run(JSON.parse(input) as Job)));
}
