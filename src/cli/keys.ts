/** `portcullis keys`: the table of its verbs. */
import { fixed, option } from './fields.ts';
import type { Group } from './verbs.ts';

/** Signing keys. */
export const keys: Group = {
  name: 'keys',
  summary: 'the keys that sign tokens',
  examples: ['keys list', 'keys rotate --alg ES256', 'keys retire KID'],
  verbs: [
    {
      name: 'list',
      summary: 'list signing keys',
      scope: 'keys:read',
      method: 'GET',
      path: '/keys',
      columns: ['kid', 'alg', 'status', 'created_at', 'active_from', 'retires_at'],
    },
    {
      name: 'rotate',
      summary: 'make a new key; it is published first, and signs once every cache knows it',
      scope: 'keys:write',
      method: 'POST',
      path: '/keys/rotate',
      body: [
        option('--alg <alg>', 'alg', 'only this algorithm (else every one that is in use)'),
        fixed(
          '--immediate',
          'immediate',
          true,
          'sign with it at once; tokens of the old key become inactive',
        ),
      ],
      question: 'Rotate at once? Every token that the old key signed becomes inactive.',
      questionWith: 'immediate',
    },
    {
      name: 'retire',
      summary: 'take a key out of use at once: what it signed becomes inactive',
      scope: 'keys:write',
      method: 'POST',
      path: '/keys/{kid}/retire',
      question: 'Retire the key {kid}? Every token that it signed becomes inactive.',
      done: 'key {kid} is retired',
    },
  ],
};
