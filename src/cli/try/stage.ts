/** What the demo plays with: a user, an API, an app, and the API's own client. New ones, so nothing of yours is touched. */
import { randomId } from '../../lib/ids.ts';
import type { Api } from '../api.ts';
import { Failure } from '../failure.ts';
import { text } from '../json.ts';
import { expect, type Story } from './story.ts';

/** The demo's cast. */
export interface Stage {
  readonly username: string;
  readonly password: string;
  readonly apiIdentifier: string;
  readonly scope: string;
  /** A public client with a loopback redirect. */
  readonly clientId: string;
  readonly redirectUri: string;
  readonly browser: boolean;
  /** The API's own client: it may introspect. */
  readonly resourceServer: { readonly id: string; readonly secret: string };
  /** Below `/admin/v1`, in the order of making. */
  readonly made: readonly { readonly path: string }[];
}

/** Registered without a port: a native app listens on any (RFC 8252, 7.3). */
const REDIRECT = 'http://127.0.0.1/callback';

/** Makes everything; what was made is removed again when something fails. */
export async function setUp(api: Api, story: Story, browser: boolean): Promise<Stage> {
  const name = `try-${randomId(6).toLowerCase().replaceAll(/[_-]/g, '0')}`;
  const scope = `${name}:read`;
  const apiIdentifier = `https://api.example/${name}`;
  const password = randomId(18);
  const made: { path: string }[] = [];
  const make = async (path: string, body: Record<string, unknown>, id: string): Promise<unknown> => {
    const answer = await api.call('POST', path, { body });
    const key = text(answer.body, id);
    expect(key !== undefined, `POST ${path} answers the new ${id}`);
    made.push({ path: `${path}/${encodeURIComponent(key)}` });
    return answer.body;
  };
  const build = async (): Promise<Stage> => {
    await make('/users', { username: name, name: 'Demo User', password }, 'id');
    await make(
      '/apis',
      {
        identifier: apiIdentifier,
        name: 'Demo API',
        scopes: [{ name: scope, description: 'Read demo data' }],
      },
      'identifier',
    );
    const grants = ['authorization_code', 'refresh_token'];
    const app = {
      client_id: name,
      client_name: 'Demo app',
      application_type: 'native',
      token_endpoint_auth_method: 'none',
      grant_types: grants,
      redirect_uris: [REDIRECT],
      scope: `openid profile ${scope}`,
      rotation_grace: 0,
    };
    await make('/clients', app, 'client_id');
    const resourceServer = {
      client_id: `${name}-api`,
      client_name: 'Demo API',
      token_endpoint_auth_method: 'client_secret_basic',
      grant_types: ['client_credentials'],
      serves: [apiIdentifier],
    };
    const secret = text(await make('/clients', resourceServer, 'client_id'), 'client_secret');
    expect(secret !== undefined, 'a new confidential client is answered with its secret, once');
    return {
      username: name,
      password,
      apiIdentifier,
      scope,
      clientId: name,
      redirectUri: REDIRECT,
      browser,
      resourceServer: { id: `${name}-api`, secret },
      made,
    };
  };
  return story.step(
    'setup',
    'A user, an API and two clients are made',
    'The app is a public client: it has no secret and proves itself by PKCE. The API has a confidential ' +
      'client of its own, which serves it and so may introspect its tokens. All of it is removed at the end.',
    async () => {
      try {
        const result = await build();
        return {
          result,
          shows: { user: name, api: apiIdentifier, scope, app: name, api_client: `${name}-api` },
        };
      } catch (error) {
        await remove(api, made);
        throw error;
      }
    },
  );
}

/** Removes what was made. @throws Failure that names what is left */
export const takeDown = (api: Api, story: Story, { made }: Stage): Promise<void> =>
  story.last(
    'clean-up',
    'All of it is removed again',
    'Whatever these clients and this user held is dead with them.',
    async () => {
      const left = await remove(api, made);
      if (left.length > 0) throw new Failure(`could not be removed: ${left.join(' ')}`);
      return { result: undefined, shows: { removed: made.map(({ path }) => path) } };
    },
  );

/** Newest first; answers what is left. */
async function remove(api: Api, made: readonly { readonly path: string }[]): Promise<string[]> {
  const left: string[] = [];
  for (const { path } of made.toReversed()) {
    try {
      await api.call('DELETE', path);
    } catch {
      left.push(path);
    }
  }
  return left;
}
