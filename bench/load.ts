/** A load from a process of its own: a fixed number of requests over keep-alive connections. Prints one JSON line. */
import { Agent, request } from 'node:http';

/** What to send. */
export interface Job {
  readonly url: string;
  readonly method: 'GET' | 'POST';
  readonly headers: Readonly<Record<string, string>>;
  /** One body for each connection; `{refresh}` stands for the connection's refresh token, which each answer renews. */
  readonly bodies: readonly string[];
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
  /** The refresh tokens that are current at the end. */
  readonly refreshTokens: readonly string[];
}

export async function run(job: Job): Promise<Result> {
  const agent = new Agent({ keepAlive: true, maxSockets: job.connections });
  const url = new URL(job.url);
  const tokens = [...(job.refreshTokens ?? [])];
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
    while (left-- > 0) {
      const template = job.once ? (job.bodies[left] ?? '') : own;
      const body = template.replace('{refresh}', tokens[index] ?? '');
      const started = performance.now();
      const answer = await once(body);
      times.push(performance.now() - started);
      if (answer.status !== 200) failures++;
      else if (job.refreshTokens)
        tokens[index] = (JSON.parse(answer.text) as { refresh_token: string }).refresh_token;
    }
  };
  const started = performance.now();
  await Promise.all(Array.from({ length: job.connections }, (_, index) => connection(index)));
  const seconds = (performance.now() - started) / 1000;
  agent.destroy();
  times.sort((a, b) => a - b);
  const at = (share: number): number =>
    times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? 0;
  return { requests: times.length, failures, seconds, p50: at(0.5), p99: at(0.99), refreshTokens: tokens };
}

if (process.argv[2] === '--job') {
  let input = '';
  process.stdin.setEncoding('utf8');
  for await (const chunk of process.stdin) input += String(chunk);
  console.log(JSON.stringify(await run(JSON.parse(input) as Job)));
}
