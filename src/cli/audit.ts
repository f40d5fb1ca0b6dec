/** `portcullis audit`: the table of its verbs, and the one that follows. */
import type { Clock } from '../lib/clock.ts';
import { tail } from './audit-tail.ts';
import { type Field, option } from './fields.ts';
import { instant } from './instant.ts';
import type { Group } from './verbs.ts';

const filters: readonly Field[] = [
  option('--type <type>', 'type', 'only one type, token.reuse_detected for one'),
  option('--client <id>', 'client', 'only what concerns one client'),
  option('--user <id>', 'user', 'only what concerns one user'),
];

/** What happened. */
export const audit = (clock: Clock): Group => ({
  name: 'audit',
  summary: 'what happened: every change, and every security event',
  examples: [
    'audit list --since 24h --type login.failed',
    'audit list --all --since 2030-01-01 --ndjson > audit.ndjson',
    'audit tail --json',
  ],
  verbs: [
    {
      name: 'list',
      summary: 'list events, newest first',
      scope: 'audit:read',
      method: 'GET',
      path: '/audit-events',
      query: [
        ...filters,
        option('--since <when>', 'since', 'not older: 30m, 24h, 7d, or an RFC 3339 instant', (text) =>
          instant(clock, text),
        ),
      ],
      columns: ['time', 'type', 'actor', 'client_id', 'user_id', 'ip', 'request_id', 'detail'],
    },
  ],
  more: (command, terminal) => tail(command, terminal, filters),
});
