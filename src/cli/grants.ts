/** `portcullis grants` and `portcullis sessions`: the tables of their verbs. */
import { option } from './fields.ts';
import type { Group } from './verbs.ts';

const user = option('--user <id>', 'user', 'only those of one user');

/** What users have allowed clients. */
export const grants: Group = {
  name: 'grants',
  summary: 'what users have allowed clients: one grant for each authorization',
  examples: ['grants list --user USER_ID', 'grants revoke GRANT_ID'],
  verbs: [
    {
      name: 'list',
      summary: 'list grants that are alive',
      scope: 'grants:read',
      method: 'GET',
      path: '/grants',
      query: [user, option('--client <id>', 'client', 'only those of one client')],
      columns: ['id', 'user_id', 'client_id', 'scope', 'created_at', 'last_used_at'],
    },
    {
      name: 'revoke',
      summary: 'end a grant: its tokens die, and the consent is forgotten',
      scope: 'grants:write',
      method: 'DELETE',
      path: '/grants/{grant}',
      question: 'End the grant {grant}? Its tokens die.',
      done: 'grant {grant} is not alive any more, if it ever was',
    },
  ],
};

/** Browsers that are signed in. */
export const sessions: Group = {
  name: 'sessions',
  summary: 'the browsers that are signed in',
  examples: ['sessions list --user USER_ID', 'sessions revoke SESSION_ID'],
  verbs: [
    {
      name: 'list',
      summary: 'list sessions that are alive',
      scope: 'grants:read',
      method: 'GET',
      path: '/sessions',
      query: [user],
      columns: ['id', 'user_id', 'ip', 'user_agent', 'created_at', 'expires_at'],
    },
    {
      name: 'revoke',
      summary: 'sign a browser out; grants made in it without offline_access end too',
      scope: 'grants:write',
      method: 'DELETE',
      path: '/sessions/{session}',
      question: 'End the session {session}?',
      done: 'session {session} is not alive any more, if it ever was',
    },
  ],
};
