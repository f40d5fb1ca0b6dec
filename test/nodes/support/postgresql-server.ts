/** A PostgreSQL server of a test's own, which it can stop and start. */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chownSync, globSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { freePort } from '../../support/server.ts';

const run = promisify(execFile);

/** Where the server's programs are; undefined: nowhere. */
export function findPostgresql(): string | undefined {
  const onPath = (process.env['PATH'] ?? '').split(delimiter).map((folder) => join(folder, 'initdb'));
  const found = [...globSync('/usr/lib/postgresql/*/bin/initdb').sort().reverse(), ...onPath];
  const [first] = found.filter((file) => statSync(file, { throwIfNoEntry: false })?.isFile());
  return first && dirname(first);
}

export interface PostgresqlServer {
  readonly url: string;
  /** fast: breaks connections and shuts down in good order. immediate: as if the machine had failed. */
  stop(mode: 'fast' | 'immediate'): Promise<void>;
  /** Resolves when it takes connections. */
  start(): Promise<void>;
  /** Stops it, and removes what it kept. */
  remove(): Promise<void>;
}

/** @param bin see `findPostgresql` */
export async function startPostgresql(bin: string): Promise<PostgresqlServer> {
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-postgresql-'));
  // PostgreSQL refuses to run as root.
  const asRoot = process.getuid?.() === 0;
  const as = (program: string, ...args: string[]): Promise<unknown> => {
    const [command = '', ...rest] = [
      ...(asRoot ? ['runuser', '-u', 'postgres', '--'] : []),
      join(bin, program),
      ...args,
    ];
    return run(command, rest, { cwd: folder, timeout: 60_000 });
  };
  const idOf = async (which: string): Promise<number> =>
    Number((await run('id', [which, 'postgres'])).stdout);
  const [data, passwords] = [join(folder, 'data'), join(folder, 'password')];
  const [password, port] = [randomBytes(16).toString('hex'), await freePort()];
  writeFileSync(passwords, password, { mode: 0o600 });
  if (asRoot) {
    const [uid, gid] = [await idOf('-u'), await idOf('-g')];
    for (const path of [folder, passwords]) chownSync(path, uid, gid);
  }
  const start = async (): Promise<void> => {
    const options = `-p ${port} -c listen_addresses=127.0.0.1 -c unix_socket_directories=`;
    await as('pg_ctl', '-D', data, '-l', join(folder, 'log'), '-w', '-o', options, 'start');
  };
  const stop: PostgresqlServer['stop'] = async (mode) => {
    await as('pg_ctl', '-D', data, '-w', '-m', mode, 'stop');
  };
  await as(
    'initdb',
    '-D',
    data,
    '-U',
    'portcullis',
    '-E',
    'UTF8',
    '--locale=C',
    '--auth=scram-sha-256',
    `--pwfile=${passwords}`,
  );
  await start();
  return {
    url: `postgresql://portcullis:${password}@127.0.0.1:${port}/postgres`,
    stop,
    start,
    async remove() {
      await stop('immediate').catch(() => {}); // it may be down already
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
