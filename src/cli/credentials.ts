/** Which server an admin verb speaks to, and as whom. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { badUsage, codeOf, Failure } from './failure.ts';
import { parseJson, text as member } from './json.ts';
import type { Terminal } from './terminal.ts';

/** What a verb signs in with. */
export interface Credentials {
  /** Where the server answers: its issuer, or another name of it with the issuer's path. No slash at its end. */
  readonly url: string;
  readonly clientId: string;
  readonly clientSecret: string;
  /** Where the credential came from, in words for an error message. */
  readonly source: string;
}

const SECRET = 'PORTCULLIS_CLIENT_SECRET';
const DEFAULT_URL = 'http://localhost:3000';

/**
 * From the environment, else from the `admin.json` that a server in development leaves in its data folder.
 * @param given the value of `--url`
 * @throws Failure when there is none, or half of one
 */
export function findCredentials(terminal: Terminal, given?: string): Credentials {
  const { env } = terminal;
  const url = given ?? (env['PORTCULLIS_URL'] || undefined);
  const clientId = env['PORTCULLIS_CLIENT_ID'] || undefined;
  const clientSecret = secretOf(terminal);
  if (clientId !== undefined && clientSecret !== undefined) {
    const source = `PORTCULLIS_CLIENT_ID and ${SECRET}`;
    return { url: parseUrl(url ?? DEFAULT_URL), clientId, clientSecret, source };
  }
  if (clientId !== undefined || clientSecret !== undefined) {
    const missing = clientId === undefined ? 'PORTCULLIS_CLIENT_ID' : SECRET;
    throw badUsage(`${missing} is not set, but its counterpart is`, 'Set both, or neither.');
  }
  return fromFile(join(env['PORTCULLIS_DATA_DIR'] || 'data', 'admin.json'), url);
}

function secretOf({ env }: Terminal): string | undefined {
  const file = env[`${SECRET}_FILE`] || undefined;
  if (file === undefined) return env[SECRET] || undefined;
  if (env[SECRET]) throw badUsage(`${SECRET} and ${SECRET}_FILE are both set: which one counts?`);
  try {
    return readFileSync(file, 'utf8').trim() || undefined;
  } catch (error) {
    throw new Failure(`${SECRET}_FILE cannot be read: ${codeOf(error)}`);
  }
}

function fromFile(file: string, given: string | undefined): Credentials {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new Failure(`no credential for the admin API: ${file} cannot be read (${codeOf(error)})`, [
      'Set PORTCULLIS_CLIENT_ID and PORTCULLIS_CLIENT_SECRET (and PORTCULLIS_URL),',
      'or run this where a server in development keeps its data folder (PORTCULLIS_DATA_DIR).',
      'On the host, `portcullis bootstrap` makes a new admin client.',
    ]);
  }
  const content = parseJson(text);
  const clientId = member(content, 'client_id');
  const clientSecret = member(content, 'client_secret');
  if (!clientId || !clientSecret) throw new Failure(`${file} holds no client_id and client_secret`);
  const known = member(content, 'url') ?? member(content, 'issuer') ?? given;
  if (known === undefined) {
    throw new Failure(`${file} does not say where its server is: the server has not been up yet`, [
      'Start it: `npm start`.',
    ]);
  }
  const home = parseUrl(known);
  const url = given === undefined ? home : parseUrl(given);
  if (url !== home && !isLoopback(new URL(url))) {
    // The secret of one server must not be shown to another.
    throw new Failure(`the credential in ${file} is for ${home}, not for ${url}`, [
      'Set PORTCULLIS_CLIENT_ID and PORTCULLIS_CLIENT_SECRET for that server.',
    ]);
  }
  return { url, clientId, clientSecret, source: file };
}

function parseUrl(text: string): string {
  const url = URL.parse(text);
  if (!url || !/^https?:$/.test(url.protocol) || url.username || url.password || url.search || url.hash) {
    throw badUsage('the server’s URL must be http(s)://HOST[:PORT][/PATH], without user, query or fragment');
  }
  return url.origin + url.pathname.replace(/\/+$/, '');
}

/** Whether nothing leaves this machine on the way to `url`. */
export const isLoopback = (url: URL): boolean => /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/.test(url.hostname);
