/** Runs a verb of the command in a process of its own, with the settings of a server. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { TestServer } from './server.ts';

const MAIN = join(import.meta.dirname, '../../src/cli/main.ts');

export interface HostRun {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** @param env all that the process sees, beside PATH and the settings of TypeScript's runner */
export async function runHost(env: Record<string, string>, ...argv: string[]): Promise<HostRun> {
  const child = spawn(process.execPath, [MAIN, ...argv], {
    env: { PATH: process.env['PATH'], ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const [code] = (await once(child, 'close')) as [number];
  return { code, stdout, stderr };
}

/** The environment of a test server, for the verbs of its host. */
export const hostEnv = ({ url, databaseUrl, dataDir, secretKeys }: TestServer): Record<string, string> => ({
  PORT: new URL(url).port,
  PORTCULLIS_ISSUER: url,
  DATABASE_URL: databaseUrl,
  PORTCULLIS_DATA_DIR: dataDir,
  PORTCULLIS_SECRET_KEYS: secretKeys,
});
