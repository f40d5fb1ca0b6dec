/** `portcullis users`: the table of its verbs. */
import { InvalidArgumentError } from 'commander';
import { type Field, option, toggle } from './fields.ts';
import { parseJson } from './json.ts';
import { collectPassword, optionalPassword, passwordOptions, withoutPassword } from './passwords.ts';
import type { Group } from './verbs.ts';

/** `NAME=VALUE` into the claims so far; true, false and JSON objects are what they look like, all else is text. */
const claim = (text: string, previous: unknown): Record<string, unknown> => {
  const [, name, value] = /^([a-z_]+)=([^]*)$/.exec(text) ?? [];
  if (name === undefined || value === undefined) throw new InvalidArgumentError('It must be NAME=VALUE.');
  const parsed = /^(true|false|\{[^]*)$/.test(value) ? parseJson(value) : value;
  return { ...(previous as Record<string, unknown> | undefined), [name]: parsed ?? value };
};

const fields: readonly Field[] = [
  option('--email <address>', 'email', 'email address'),
  ...toggle('email-verified', 'email_verified', 'that address is known to be theirs'),
  option('--name <text>', 'name', 'full name'),
  option(
    '--claim <name=value>',
    'claims',
    'another standard claim, given_name for one; repeat it for more',
    claim,
  ),
];

const write = { scope: 'users:write', method: 'POST' } as const;

/** People who sign in. */
export const users: Group = {
  name: 'users',
  summary: 'the people who sign in',
  examples: [
    'users create --username ada --email ada@example.com --name "Ada Lovelace"',
    'users list --username ada',
    'users set-password USER_ID',
    'users set-password USER_ID --password-stdin < password.txt',
    'users disable USER_ID --yes',
  ],
  verbs: [
    {
      name: 'list',
      summary: 'list users',
      scope: 'users:read',
      method: 'GET',
      path: '/users',
      query: [
        option('--username <name>', 'username', 'the one who signs in with this name'),
        option('--email <address>', 'email', 'those with this address'),
      ],
      columns: ['id', 'username', 'email', 'name', 'enabled', 'created_at'],
    },
    { name: 'get', summary: 'show a user', scope: 'users:read', method: 'GET', path: '/users/{user}' },
    {
      ...write,
      name: 'create',
      makes: true,
      summary: 'add a user; asks for the password',
      path: '/users',
      body: [option('--username <name>', 'username', 'the name to sign in with'), ...fields],
      extra: optionalPassword,
      collect: (terminal, options) => collectPassword(terminal, options, false),
      remark: withoutPassword,
    },
    {
      name: 'update',
      summary: 'change a user',
      scope: 'users:write',
      method: 'PATCH',
      path: '/users/{user}',
      body: [option('--username <name>', 'username', 'the name to sign in with'), ...fields],
    },
    {
      name: 'set-password',
      summary: 'set the password of a user, whose sessions and tokens all end',
      scope: 'users:write',
      method: 'PUT',
      path: '/users/{user}/password',
      extra: passwordOptions,
      collect: (terminal, options) => collectPassword(terminal, options, true),
      done: 'the password of {user} is set; all sessions and tokens of before have ended',
    },
    {
      ...write,
      name: 'disable',
      summary: 'lock a user out: every session and token dies at once, and stays dead',
      path: '/users/{user}/disable',
      question: 'Disable the user {user}? Every session and token dies.',
      done: 'user {user} is disabled',
    },
    {
      ...write,
      name: 'enable',
      summary: 'let a disabled user sign in again',
      path: '/users/{user}/enable',
      done: 'user {user} is enabled',
    },
    {
      ...write,
      name: 'revoke',
      summary: 'end every session and token of a user',
      path: '/users/{user}/revoke',
      question: 'End every session and token of the user {user}?',
      done: 'all sessions and tokens of the user {user} have ended',
    },
    {
      ...write,
      name: 'reset-second-factors',
      summary: 'let a user who has lost the second factor sign in with the password alone',
      method: 'DELETE',
      path: '/users/{user}/second-factors',
      question: 'Remove the second factor and the recovery codes of the user {user}?',
      done: 'the user {user} signs in with the password alone',
    },
    {
      name: 'delete',
      summary: 'remove a user, with every session and token',
      scope: 'users:write',
      method: 'DELETE',
      path: '/users/{user}',
      question: 'Delete the user {user}, with every session and token?',
      done: 'user {user} is deleted',
    },
  ],
};
