/** Sends requests as bytes: libraries would put right what is to be wrong. */
import { connect, type Socket } from 'node:net';
import type { WireRequest } from './requests.ts';

/** Milliseconds without an answer that are a hang. */
const HANG = 30_000;
/** Milliseconds after which a changed request is given up: changed bytes may promise a body that never comes. */
const PATIENCE = 500;

function bytesOf({ method, target, headers, body, noise }: WireRequest): Buffer {
  const lines = [`${method} ${target} HTTP/1.1`, ...headers.map(([name, value]) => `${name}: ${value}`)];
  if (!headers.some(([name]) => name === 'host')) lines.push('host: 127.0.0.1');
  lines.push(`content-length: ${body.length}`, 'connection: close', '', '');
  const bytes = Buffer.concat([Buffer.from(lines.join('\r\n'), 'latin1'), body]);
  for (const [where, byte] of noise) bytes[where % bytes.length] = byte;
  return bytes;
}

/**
 * The status that is answered; 0 when the connection is closed without one, as HTTP may when it cannot be read.
 * @throws Error when nothing comes for half a minute
 */
export function send(port: number, request: WireRequest): Promise<number> {
  return new Promise((resolve, reject) => {
    const socket: Socket = connect(port, '127.0.0.1');
    let head = '';
    const done = (): void => resolve(Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1] ?? 0));
    const changed = request.noise.length > 0;
    socket.setTimeout(changed ? PATIENCE : HANG, () => {
      socket.destroy();
      if (changed) done();
      else reject(new Error('no answer'));
    });
    socket.on('data', (chunk: Buffer) => {
      if (head.length < 16) head += chunk.toString('latin1');
    });
    socket.on('error', done); // reset by the server while the rest is being sent
    socket.on('close', done);
    socket.write(bytesOf(request)); // no end: half of a connection closed is a client gone
  });
}
