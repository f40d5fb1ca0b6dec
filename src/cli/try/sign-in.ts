/** How the demo gets from the authorization URL to a code: by scripted forms, or in the user's own browser. */
import { addAbortListener } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Failure } from '../failure.ts';
import { say, type Terminal } from '../terminal.ts';
import type { Stage } from './stage.ts';
import { createUserAgent } from './user-agent.ts';

/** Milliseconds that a person may take. */
const PATIENCE = 300_000;

/** What the person did, in order, and where the app was called. */
export interface SignIn {
  readonly pages: readonly string[];
  readonly redirect: URL;
}

/**
 * Signs in and consents by posting the forms of the server's pages.
 * @param at the authorization URL as published
 * @throws Failure when a page comes that the demo does not know
 */
export async function signInByScript(url: string, issuer: string, at: URL, stage: Stage): Promise<SignIn> {
  const agent = createUserAgent(new URL(url).origin, issuer, stage.redirectUri);
  const pages: string[] = [];
  let arrival = await agent.visit(at.href);
  while ('page' in arrival) {
    const { page } = arrival;
    const again = pages.includes(page.name);
    pages.push(page.name);
    if (page.name === 'login' && !again) {
      arrival = await agent.submit(page, { username: stage.username, password: stage.password });
    } else if (page.name === 'consent' && !again) {
      arrival = await agent.submit(page, { decision: 'allow' });
    } else {
      throw new Failure(
        `the server shows ${page.name ? `the page “${page.name}”` : 'something else'}: ${page.text.slice(0, 300)}`,
      );
    }
  }
  return { pages, redirect: arrival.redirect };
}

/** Listens where the browser will be sent to. */
export interface Listener extends AsyncDisposable {
  readonly redirectUri: string;
  /** The call of the browser. @throws Failure when it does not come in time, or the user interrupts */
  called(): Promise<SignIn>;
}

/** Opens a port of this machine for the one redirect. */
export async function listenForBrowser(terminal: Terminal): Promise<Listener> {
  const call = Promise.withResolvers<URL>();
  const server = createServer((request, response) => {
    const target = new URL(request.url ?? '/', 'http://127.0.0.1');
    const ours = target.pathname === '/callback';
    response.writeHead(ours ? 200 : 404, {
      'content-type': 'text/plain; charset=utf-8',
      connection: 'close',
    });
    response.end(ours ? 'Done: go back to the terminal.\n' : 'Nothing here.\n');
    if (ours) call.resolve(target);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(0, '127.0.0.1', resolve);
  });
  return {
    redirectUri: `http://127.0.0.1:${(server.address() as AddressInfo).port}/callback`,
    async called() {
      const ends = AbortSignal.any([terminal.interrupted(), AbortSignal.timeout(PATIENCE)]);
      addAbortListener(ends, () => call.reject(new Failure('no browser came back from signing in')));
      return { pages: [], redirect: await call.promise };
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => {
        server.close(resolve);
      });
    },
  };
}

/** Asks the person to go to the authorization URL. */
export function invite(terminal: Terminal, at: URL, { username, password }: Stage): void {
  say(
    terminal,
    `   Open this in a browser on this machine:\n   ${at.href}\n   Sign in as ${username} with the password ${password}`,
  );
}
