/** The steps of the demo that deal with tokens: get, verify, refresh, replay. */
import { createLocalJWKSet, decodeProtectedHeader, type JSONWebKeySet, jwtVerify } from 'jose';
import { isObject } from '../../lib/documents.ts';
import type { Api } from '../api.ts';
import { type Document, text } from '../json.ts';
import type { Answer } from '../wire.ts';
import type { Endpoints } from './endpoints.ts';
import type { Stage } from './stage.ts';
import { expect, type Story } from './story.ts';

/** What a token response held. */
export interface Tokens {
  readonly access: string;
  readonly refresh: string;
  readonly id: string | undefined;
}

function tokensIn({ status, body }: Answer): Tokens {
  expect(
    status === 200,
    `the token endpoint answers with tokens, not ${status} ${text(body, 'error') ?? ''}`,
  );
  const access = text(body, 'access_token');
  const refresh = text(body, 'refresh_token');
  expect(
    access !== undefined && refresh !== undefined,
    'the answer holds an access token and a refresh token',
  );
  return { access, refresh, id: text(body, 'id_token') };
}

const lifetimes = ({ body }: Answer): Document => {
  const { token_type, expires_in, refresh_token_expires_in, scope } = isObject(body) ? body : {};
  return { token_type, scope, expires_in, refresh_token_expires_in };
};

/** The refusal of a code or refresh token that does not work any more (RFC 6749, 5.2). */
const refused = ({ status, body }: Answer): boolean =>
  status === 400 && text(body, 'error') === 'invalid_grant';

const isDead = (body: unknown): boolean => JSON.stringify(body) === '{"active":false}';

export const firstTokens = (
  story: Story,
  server: Endpoints,
  stage: Stage,
  sent: { readonly code: string; readonly redirectUri: string; readonly verifier: string },
): Promise<Tokens> =>
  story.step(
    'tokens',
    'The app exchanges the code for tokens',
    'It proves by the code_verifier that the request was its own. It gets a short-lived access token, an ID token ' +
      'that says who signed in, and a refresh token that works exactly once.',
    async () => {
      const answer = await server.token({
        grant_type: 'authorization_code',
        code: sent.code,
        redirect_uri: sent.redirectUri,
        code_verifier: sent.verifier,
      });
      const result = tokensIn(answer);
      expect(answer.headers.get('cache-control')?.includes('no-store') === true, 'nobody may cache tokens');
      return { result, shows: lifetimes(answer) };
    },
  );

/** Offline, and by asking. */
export async function verifyTokens(
  story: Story,
  server: Endpoints,
  stage: Stage,
  tokens: Tokens,
  nonce: string,
): Promise<void> {
  await story.step(
    'verify',
    'The API verifies the access token offline',
    'It needs the server’s public keys only, which it may cache: signature, issuer, audience, type and expiry ' +
      'are checked without a call. The app checks the ID token likewise.',
    async () => {
      const { payload } = await verify(server, tokens.access, stage);
      expect(text(payload, 'client_id') === stage.clientId, 'the token names the app');
      const scopes = text(payload, 'scope')?.split(' ') ?? [];
      expect(scopes.includes(stage.scope), 'the token carries the scope that the person consented to');
      expect(tokens.id !== undefined, 'with the scope openid comes an ID token');
      const keys = createLocalJWKSet((await server.jwks()) as JSONWebKeySet);
      const about = await jwtVerify(tokens.id, keys, { issuer: server.issuer, audience: stage.clientId });
      expect(about.payload['nonce'] === nonce, 'the ID token answers this very request (nonce)');
      expect(about.payload.sub === payload.sub, 'both tokens speak of the same person');
      const { alg, typ } = decodeProtectedHeader(tokens.access);
      return { result: undefined, shows: { alg, typ, ...payload } };
    },
  );
  await story.step(
    'introspect',
    'The API asks whether the token is alive',
    'A signature cannot tell that a token was taken back; the server can (RFC 7662). Only a client that serves ' +
      'this API gets an answer. The same token also opens /userinfo.',
    async () => {
      const body = await server.introspect(tokens.access);
      expect(isObject(body) && body['active'] === true, 'a fresh token is active');
      const about = await server.userinfo(tokens.access);
      expect(about.status === 200, `/userinfo answers, not ${about.status}`);
      return {
        result: undefined,
        shows: { active: true, username: stage.username, name: text(about.body, 'name') },
      };
    },
  );
}

async function verify(server: Endpoints, token: string, stage: Stage) {
  const keys = createLocalJWKSet((await server.jwks()) as JSONWebKeySet);
  return jwtVerify(token, keys, { issuer: server.issuer, audience: stage.apiIdentifier, typ: 'at+jwt' });
}

const refresh = (server: Endpoints, { refresh: token }: Tokens): Promise<Answer> =>
  server.token({ grant_type: 'refresh_token', refresh_token: token });

export async function refreshAndReplay(
  story: Story,
  server: Endpoints,
  stage: Stage,
  first: Tokens,
): Promise<Tokens> {
  const second = await story.step(
    'refresh',
    'The app refreshes',
    'The refresh token is consumed and replaced by a new one of the same family. Access tokens of before live on ' +
      'until they expire.',
    async () => {
      const answer = await refresh(server, first);
      const result = tokensIn(answer);
      expect(result.refresh !== first.refresh, 'each refresh gives a new refresh token');
      const body = await server.introspect(first.access);
      expect(isObject(body) && body['active'] === true, 'the access token of before is still active');
      return { result, shows: lifetimes(answer) };
    },
  );
  await story.step(
    'replay',
    'A thief replays the old refresh token',
    'The token was spent: either the app or someone else holds a stolen copy, and the server cannot tell which. ' +
      'So it refuses, and ends the whole family.',
    async () => {
      const answer = await refresh(server, first);
      expect(refused(answer), 'a spent refresh token is refused with invalid_grant');
      return { result: undefined, shows: { status: answer.status, error: text(answer.body, 'error') } };
    },
  );
  return second;
}

/** @param family all tokens that were issued */
export async function afterReplay(
  story: Story,
  server: Endpoints,
  stage: Stage,
  family: readonly [Tokens, Tokens],
  api: Api,
): Promise<void> {
  await story.step(
    'family',
    'The family is dead, at once',
    'The newest refresh token is refused too, and both access tokens are inactive, though their signatures still ' +
      'verify: an API that must know at once introspects; one that verifies offline knows when the token expires.',
    async () => {
      const [first, second] = family;
      expect(refused(await refresh(server, second)), 'the newest refresh token of the family is refused');
      expect(isDead(await server.introspect(first.access)), 'the first access token is inactive');
      expect(isDead(await server.introspect(second.access)), 'the second access token is inactive');
      const { payload } = await verify(server, second.access, stage);
      return { result: undefined, shows: { active: false, signature: 'verifies', exp: payload.exp } };
    },
  );
  await story.step(
    'audit',
    'The audit log says what happened',
    'Written in the same transaction that ended the family, so it cannot be missing.',
    async () => {
      const query = { type: 'token.reuse_detected', client: stage.clientId, limit: '1' };
      const { body } = await api.call('GET', '/audit-events', { query });
      const data: unknown = isObject(body) ? body['data'] : undefined;
      const event: unknown = Array.isArray(data) ? data[0] : undefined;
      expect(isObject(event), 'there is an audit event token.reuse_detected');
      const { time, type, client_id, user_id, detail } = event;
      return { result: undefined, shows: { time, type, client_id, user_id, detail } };
    },
  );
}
