/** The steps of the demo from the authorization request on. */
import { createHash } from 'node:crypto';
import { randomId } from '../../lib/ids.ts';
import type { Api } from '../api.ts';
import { text } from '../json.ts';
import type { Terminal } from '../terminal.ts';
import { invite, listenForBrowser, type SignIn, signInByScript } from './sign-in.ts';
import type { Stage } from './stage.ts';
import { expect, type Story } from './story.ts';
import { afterReplay, firstTokens, refreshAndReplay, verifyTokens } from './token-steps.ts';
import { endpoints } from './endpoints.ts';

/** Plays everything. @throws Failure at the first promise that is not kept */
export async function flow(api: Api, story: Story, stage: Stage, terminal: Terminal): Promise<void> {
  const server = endpoints(api, stage);
  await using listener = stage.browser ? await listenForBrowser(terminal) : undefined;
  const redirectUri = listener?.redirectUri ?? stage.redirectUri;
  const secrets = { state: randomId(), nonce: randomId(), verifier: randomId(32) };

  const at = await story.step(
    'authorize',
    'The app prepares an authorization request',
    'It makes up a random code_verifier and sends only its SHA-256, the code_challenge (PKCE, RFC 7636): a stolen ' +
      'code is worthless without the verifier. state ties the answer to this browser, nonce the ID token to this request.',
    async () => {
      const result = new URL(server.published('authorization_endpoint'));
      result.search = new URLSearchParams({
        response_type: 'code',
        client_id: stage.clientId,
        redirect_uri: redirectUri,
        scope: `openid profile ${stage.scope}`,
        state: secrets.state,
        nonce: secrets.nonce,
        code_challenge: createHash('sha256').update(secrets.verifier).digest('base64url'),
        code_challenge_method: 'S256',
      }).toString();
      return {
        result,
        shows: { endpoint: result.origin + result.pathname, scope: result.searchParams.get('scope') },
      };
    },
  );

  const code = await story.step(
    'sign-in',
    'The person signs in and consents',
    stage.browser
      ? 'In your browser. The app never sees the password; the server sends the browser back to the app with a code.'
      : 'By posting the forms of the server’s pages, as a browser would. The app never sees the password; the server ' +
          'sends the browser back to the app with a code.',
    async () => {
      let done: SignIn;
      if (listener) {
        invite(terminal, at, stage);
        done = await listener.called();
      } else {
        done = await signInByScript(api.url, server.issuer, at, stage);
        expect(done.pages.includes('login'), 'the server asks a browser that it does not know to sign in');
        expect(done.pages.includes('consent'), 'the server asks for consent to a new app');
      }
      const answer = Object.fromEntries(done.redirect.searchParams);
      expect(answer['error'] === undefined, `the app gets a code, not ${answer['error'] ?? ''}`);
      expect(answer['state'] === secrets.state, 'state comes back unchanged');
      expect(answer['iss'] === server.issuer, 'the answer says who gives it (iss, RFC 9207)');
      const result = text(answer, 'code');
      expect(result !== undefined, 'the app gets a code');
      return { result, shows: { pages: done.pages, back_at: redirectUri, iss: answer['iss'] } };
    },
  );

  const first = await firstTokens(story, server, stage, { code, redirectUri, verifier: secrets.verifier });
  await verifyTokens(story, server, stage, first, secrets.nonce);
  const second = await refreshAndReplay(story, server, stage, first);
  await afterReplay(story, server, stage, [first, second], api);
}
