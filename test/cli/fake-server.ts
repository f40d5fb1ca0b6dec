/** The network's edge for tests of the command: a real HTTP server that stands for a running Portcullis. */
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';

/** One request that came in. */
export interface Seen {
  readonly method: string;
  /** With its query. */
  readonly target: string;
  readonly headers: IncomingMessage['headers'];
  readonly text: string;
}

/** What is answered. */
export interface Reply {
  readonly status?: number;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Answers one request of the admin API; `undefined` is 404. */
export type Handler = (seen: Seen & { readonly json: unknown }) => Reply | undefined;

/** See the top of the file. */
export interface FakeServer extends AsyncDisposable {
  readonly url: string;
  /** Requests to the admin API, in order. */
  readonly calls: Seen[];
  /** Forms that the token endpoint got, in order. */
  readonly tokenRequests: { readonly authorization: string | undefined; readonly form: URLSearchParams }[];
  /** Replaces the answer of the token endpoint. */
  token: (form: URLSearchParams) => Reply;
}

const grant = (form: URLSearchParams): Reply => ({
  body: { access_token: 'admin-token', token_type: 'Bearer', expires_in: 600, scope: form.get('scope') },
});

/**
 * Starts it on a loopback port.
 * @param issuer what the metadata says; another name than the one that it is reached by
 */
export async function startFakeServer(
  handler: Handler,
  issuer = 'https://id.example/auth',
): Promise<FakeServer> {
  const path = new URL(issuer).pathname.replace(/\/$/, '');
  const calls: Seen[] = [];
  const tokenRequests: FakeServer['tokenRequests'] = [];
  const reply = (seen: Seen): Reply | undefined => {
    if (seen.target === `${path}/.well-known/openid-configuration`) {
      return { body: { issuer, token_endpoint: `${issuer}/token` } };
    }
    if (seen.target === `${path}/token`) {
      const form = new URLSearchParams(seen.text);
      tokenRequests.push({ authorization: seen.headers.authorization, form });
      return fake.token(form);
    }
    if (!seen.target.startsWith(`${path}/admin/v1/`)) return undefined;
    const call = { ...seen, target: seen.target.slice(`${path}/admin/v1`.length) };
    calls.push(call);
    return handler({ ...call, json: call.text === '' ? undefined : JSON.parse(call.text) });
  };
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const { method = '', url = '', headers } = request;
      const {
        status = 200,
        body,
        headers: extra,
      } = reply({
        method,
        target: url,
        headers,
        text: Buffer.concat(chunks).toString(),
      }) ?? { status: 404, body: { title: 'Not found', status: 404, code: 'not_found' } };
      response.writeHead(status, { 'x-request-id': 'req-1', 'content-type': 'application/json', ...extra });
      response.end(body === undefined ? undefined : JSON.stringify(body));
    });
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const fake: FakeServer = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`,
    calls,
    tokenRequests,
    token: grant,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => {
        server.close(resolve);
      });
    },
  };
  return fake;
}
