/** Runs a server until it is told to stop: what `npm start` and `portcullis start` do. */
import type { AddressInfo } from 'node:net';
import { createApp } from './app.ts';
import { adminFile } from './config/development.ts';
import type { Settings } from './config/schema.ts';
import { StartError } from './lib/errors.ts';

/** Says in a few lines where the server is and what to try next. */
function welcome(settings: Settings, url: string): void {
  const lines = [
    '',
    `  Portcullis is listening on ${url}`,
    '',
    `  admin credential   ${adminFile(settings.dataDir)}`,
    `  discovery          ${settings.issuer}/.well-known/openid-configuration`,
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
  const server = await app.listen().catch(async (error: unknown) => {
    await app.close();
    const { code } = error as { code?: string };
    if (code === 'EADDRINUSE')
      throw new StartError(`port ${settings.port} on ${settings.host} is in use: set PORT`);
    if (code === 'EACCES')
      throw new StartError(`port ${settings.port} may not be used by this user: set PORT`);
    throw error;
  });
  const { port } = server.address() as AddressInfo;
  const url = `http://${settings.host.includes(':') ? `[${settings.host}]` : settings.host}:${port}`;
  if (settings.environment === 'development')
    welcome(settings, settings.issuer.startsWith('http:') ? settings.issuer : url);
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
