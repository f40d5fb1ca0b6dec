/** Runs a server until it is told to stop: what `npm start` and `portcullis start` do. */
import cluster from 'node:cluster';
import { openMode } from './config/data-folder.ts';
import { adminFile, noteAdminUrl } from './config/development.ts';
import type { Settings } from './config/schema.ts';
import { fingerprint } from './lib/crypto.ts';
import { StartError } from './lib/errors.ts';
import { giveBackMemory } from './lib/memory.ts';
import { damaged, isDamaged } from './storage/failures.ts';
import { GRACE, runWorker, startWorkers, type Serving, type ServingAlone } from './workers.ts';

/** Says in a few lines where the server is and what to try next. */
function welcome(settings: Settings, url: string, managementPort: number): void {
  const given = settings.bootstrapClient;
  const lines = [
    '',
    `  Portcullis is listening on ${url}`,
    '',
    given
      ? `  admin credential   client ${given.id}, as PORTCULLIS_BOOTSTRAP_CLIENT_ID and _SECRET say`
      : `  admin credential   ${adminFile(settings.dataDir)}`,
    `  discovery          ${settings.issuer}/.well-known/openid-configuration`,
    `  metrics, health    http://${settings.managementHost}:${managementPort}/metrics, /health/ready`,
    '',
    '  try next           npx portcullis try            (a whole sign-in, explained step by step)',
    '                     npx portcullis clients list',
    '                     npx portcullis --help',
    '',
  ];
  console.log(lines.join('\n'));
}

/** Calls `then` once the process that started this one has ended. */
function whenOrphaned(then: () => void): void {
  const parent = process.ppid;
  const look = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(look);
    then();
  }, ORPHAN_LOOK_MS).unref();
}

const ORPHAN_LOOK_MS = 500;

/** Milliseconds; longer than a primary gives its workers. */
const STOP_LIMIT = 20_000;

/** Says which setting to change when a port cannot be had. */
function explained(settings: Settings, error: unknown): unknown {
  const { code, port } = error as { code?: string; port?: number };
  const name = port === settings.port ? 'PORT' : 'PORTCULLIS_MANAGEMENT_PORT';
  if (code === 'EADDRINUSE') return new StartError(`port ${port} is in use: set ${name}`);
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND')
    return new StartError(`the address ${settings.host} is none of this machine: set HOST`);
  if (code === 'EACCES') return new StartError(`port ${port} may not be used by this user: set ${name}`);
  return error;
}

/** Serves in this process. */
async function serve(settings: Settings, options: { readonly ports: boolean }): Promise<ServingAlone> {
  const { createApp } = await import('./app.ts'); // not in a primary: it would only cost memory
  const app = await createApp(settings).catch((error: unknown) => {
    throw isDamaged(error) ? damaged(error) : error;
  });
  const [folder, mode] = [settings.dataDir, openMode(settings.dataDir)];
  if (mode !== undefined)
    app.logger.warn({ event: 'data_dir.open', mode }, `${folder} is open to everybody: chmod 700 ${folder}`);
  giveBackMemory();
  try {
    const { port, managementPort, take } = await app.listen(options);
    return { ...app, port, managementPort, take, stop: app.close };
  } catch (error) {
    await app.close();
    throw explained(settings, error);
  }
}

/**
 * Listens, and ends gracefully on SIGTERM and SIGINT; a second signal ends at once. With several workers SIGHUP
 * replaces them one by one.
 * @param underNpm stop when npm does: its shell does not hand a signal on
 * @throws StartError in one line
 */
export async function startServer(settings: Settings, underNpm = false): Promise<void> {
  if (cluster.isWorker) return runWorker(() => serve(settings, { ports: false }));
  const serving: Serving =
    settings.workers > 1
      ? await startWorkers(settings, () => performance.now()).catch((error: unknown) => {
          throw explained(settings, error);
        })
      : await serve(settings, { ports: true });
  const { logger, port = settings.port, managementPort = settings.managementPort } = serving;
  const url = `http://${settings.host.includes(':') ? `[${settings.host}]` : settings.host}:${port}`;
  if (settings.environment === 'development') {
    if (!settings.bootstrapClient) noteAdminUrl(settings.dataDir, settings.issuer);
    welcome(settings, settings.issuer.startsWith('http:') ? settings.issuer : url, managementPort);
  } else {
    const fingerprints = settings.secretKeys.map(fingerprint); // what an operator looks for before `reseal`
    logger.info({ event: 'server.started', issuer: settings.issuer, fingerprints }, `listening on ${url}`);
  }

  let stopping = false;
  const stop = (signal: NodeJS.Signals): void => {
    if (stopping) process.exit(1);
    stopping = true;
    logger.info({ event: 'server.stopping' }, `stopping on ${signal}`);
    // What hangs on a database that is out of reach is not waited for.
    setTimeout(() => process.exit(1), STOP_LIMIT).unref();
    serving.stop(signal === 'SIGINT' ? 0 : GRACE).then(
      () => process.exit(0),
      (error: unknown) => {
        logger.error({ err: error }, 'did not stop cleanly');
        process.exit(1);
      },
    );
  };
  process.on('SIGTERM', stop);
  if (underNpm) whenOrphaned(() => stop('SIGTERM'));
  process.on('SIGINT', stop);
  if (serving.roll) process.on('SIGHUP', () => void serving.roll?.());
}
