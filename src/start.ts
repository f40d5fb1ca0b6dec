/** Runs a server until it is told to stop: what `npm start` and `portcullis start` do. */
import { createApp } from './app.ts';
import { adminFile } from './config/development.ts';
import type { Settings } from './config/schema.ts';
import { StartError } from './lib/errors.ts';

/** Says in a few lines where the server is and what to try next. */
function welcome(settings: Settings, url: string, managementPort: number): void {
  const lines = [
    '',
    `  Portcullis is listening on ${url}`,
    '',
    `  admin credential   ${adminFile(settings.dataDir)}`,
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

/**
 * Listens, and ends gracefully on SIGTERM and SIGINT; a second signal ends at once.
 * @throws StartError in one line
 */
export async function startServer(settings: Settings): Promise<void> {
  const app = await createApp(settings);
  const { port, managementPort } = await app.listen().catch(async (error: unknown) => {
    await app.close();
    const { code, port: taken } = error as { code?: string; port?: number };
    const name = taken === settings.port ? 'PORT' : 'PORTCULLIS_MANAGEMENT_PORT';
    if (code === 'EADDRINUSE') throw new StartError(`port ${taken} is in use: set ${name}`);
    if (code === 'EACCES') throw new StartError(`port ${taken} may not be used by this user: set ${name}`);
    throw error;
  });
  const url = `http://${settings.host.includes(':') ? `[${settings.host}]` : settings.host}:${port}`;
  if (settings.environment === 'development')
    welcome(settings, settings.issuer.startsWith('http:') ? settings.issuer : url, managementPort);
  else app.logger.info({ event: 'server.started', issuer: settings.issuer }, `listening on ${url}`);

  let stopping = false;
  const stop = (signal: NodeJS.Signals): void => {
    if (stopping) process.exit(1);
    stopping = true;
    app.logger.info({ event: 'server.stopping' }, `stopping on ${signal}`);
    app.close().then(
      () => process.exit(0),
      (error: unknown) => {
        app.logger.error({ err: error }, 'did not stop cleanly');
        process.exit(1);
      },
    );
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
}
