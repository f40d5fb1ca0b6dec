/** `portcullis health`. */
import type { Settings } from '../config/schema.ts';
import { codeOf, Failure } from './failure.ts';
import { print, type Terminal } from './terminal.ts';

const TIMEOUT = 5000; // milliseconds

/**
 * Asks the public port of this machine.
 * @throws Failure when the server is not ready, or not there
 */
export async function checkHealth(terminal: Terminal, { host, port }: Settings): Promise<void> {
  const name = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host;
  const url = `http://${name.includes(':') ? `[${name}]` : name}:${port}/health/ready`;
  let status: number;
  try {
    const response = await fetch(url, { redirect: 'manual', signal: AbortSignal.timeout(TIMEOUT) });
    await response.body?.cancel();
    ({ status } = response);
  } catch (error) {
    throw new Failure(`${url} does not answer (${codeOf(error)})`);
  }
  if (status !== 200) throw new Failure(`not ready: ${url} answers ${status}`);
  print(terminal, 'ready');
}
