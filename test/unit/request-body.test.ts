import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { expect, it } from 'vitest';
import { readForm } from '../../src/http/request-body.ts';

it('a request whose caller has left before its body is read ends with a refusal', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const body = 'grant_type=client_credentials';
  socket.write(
    `POST / HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: ${body.length}\r\n\r\n${body.slice(0, 5)}`,
  );
  const [req] = (await once(server, 'request')) as [IncomingMessage];
  const closed = new Promise((resolve) => req.once('close', resolve));
  socket.destroy();
  req.on('error', () => {});
  await closed;
  await expect(readForm(req)).rejects.toMatchObject({ status: 400, code: 'invalid_request' });
  server.close();
});
