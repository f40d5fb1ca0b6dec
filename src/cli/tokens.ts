/** `portcullis tokens`: the table of its verbs. */
import { badUsage } from './failure.ts';
import { askSecret, readAll } from './prompt.ts';
import { text } from './json.ts';
import type { Terminal } from './terminal.ts';
import type { Group } from './verbs.ts';

/** The token: typed or pasted without echo at a terminal, else standard input. */
async function collectToken(terminal: Terminal): Promise<{ readonly token: string }> {
  const token = ((await askSecret(terminal, 'Token', false)) ?? (await readAll(terminal))).trim();
  if (token === '') throw badUsage('no token: paste it when asked, or send it by standard input');
  return { token };
}

/** Tokens in hand. */
export const tokens: Group = {
  name: 'tokens',
  summary: 'a token in hand, a leaked one for example; it is pasted when asked, or read from standard input',
  examples: ['tokens introspect < token.txt', 'tokens revoke'],
  verbs: [
    {
      name: 'introspect',
      summary: 'tell whether a token is alive, whose it is, and if not why',
      scope: 'tokens:read',
      method: 'POST',
      path: '/tokens/introspect',
      collect: collectToken,
    },
    {
      name: 'revoke',
      summary: 'make an access token inactive; with a refresh token its whole family ends',
      scope: 'tokens:write',
      method: 'POST',
      path: '/tokens/revoke',
      collect: collectToken,
      look: {
        scope: 'tokens:read',
        path: '/tokens/introspect',
        refusal: (token) =>
          text(token, 'inactive_reason') === 'unknown'
            ? 'this server does not know the token: nothing was revoked'
            : undefined,
      },
      done: 'the token is revoked',
    },
  ],
};
