/** The server's OAuth endpoints as the demo's two clients call them. */
import { type Api, basic, reroute } from '../api.ts';
import { Failure } from '../failure.ts';
import { text } from '../json.ts';
import { type Answer, send } from '../wire.ts';
import type { Stage } from './stage.ts';

/** See the top of the file. */
export interface Endpoints {
  readonly issuer: string;
  /** An endpoint as the metadata says it. */
  published(name: string): string;
  /** A request of the public client to the token endpoint. */
  token(parameters: Readonly<Record<string, string>>): Promise<Answer>;
  /** A question of the API about a token that it was given. */
  introspect(token: string): Promise<unknown>;
  /** The server's public keys. */
  jwks(): Promise<unknown>;
  userinfo(token: string): Promise<Answer>;
}

export function endpoints({ url, metadata }: Api, stage: Stage): Endpoints {
  const published = (name: string): string => {
    const found = text(metadata, name);
    if (found === undefined) throw new Failure(`the server’s metadata lacks ${name}`);
    return found;
  };
  const at = (name: string): string => reroute(url, published(name));
  return {
    issuer: published('issuer'),
    published,
    token: (parameters) =>
      send(at('token_endpoint'), {
        method: 'POST',
        headers: { accept: 'application/json' },
        body: new URLSearchParams({ client_id: stage.clientId, ...parameters }),
      }),
    async introspect(token) {
      const { id, secret } = stage.resourceServer;
      const { status, body } = await send(at('introspection_endpoint'), {
        method: 'POST',
        headers: { accept: 'application/json', authorization: basic(id, secret) },
        body: new URLSearchParams({ token }),
      });
      if (status !== 200) throw new Failure(`introspection answers ${status} ${text(body, 'error') ?? ''}`);
      return body;
    },
    jwks: async () => (await send(at('jwks_uri'))).body,
    userinfo: (token) => send(at('userinfo_endpoint'), { headers: { authorization: `Bearer ${token}` } }),
  };
}
