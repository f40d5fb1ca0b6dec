/** Starts the server: settings, listen, and a graceful end. */
import { loadSettings } from './config/load.ts';
import { StartError } from './lib/errors.ts';
import { startServer } from './start.ts';

try {
  await startServer(loadSettings());
} catch (error) {
  if (!(error instanceof StartError)) throw error;
  console.error(error.message);
  process.exitCode = 1;
  process.disconnect?.(); // a worker lives as long as its primary can reach it
}
