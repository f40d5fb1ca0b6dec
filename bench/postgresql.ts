/** A PostgreSQL server of the bench's own, whose CPU counts. */
import { readdirSync, readFileSync } from 'node:fs';
import { findPostgresql, startPostgresql } from '../test/nodes/support/postgresql-server.ts';

export interface BenchDatabase {
  readonly url: string;
  /** The postmaster; its children are found below it. */
  readonly pids: readonly number[];
  remove(): Promise<void>;
}

/** Undefined where PostgreSQL's programs are not found. */
export async function startBenchPostgresql(): Promise<BenchDatabase | undefined> {
  const bin = findPostgresql();
  if (bin === undefined) return undefined;
  const server = await startPostgresql(bin);
  const port = new URL(server.url).port;
  const pids = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => {
      try {
        const words = readFileSync(`/proc/${name}/cmdline`, 'utf8').split('\0');
        return words[0]?.endsWith('/postgres') && words.includes(port);
      } catch {
        return false;
      }
    })
    .map(Number);
  return { url: server.url, pids, remove: () => server.remove() };
}
