/** Routes below `/keys`. */
import { z } from 'zod';
import { parseDocument } from '../../clients/documents.ts';
import type { KeyAdministration } from '../../keys/rotation.ts';
import { SIGNING_ALGORITHMS } from '../../lib/signing-algorithms.ts';
import type { SigningKey } from '../../storage/signing-keys.ts';
import { route, type Route } from './route.ts';
import {
  answer,
  input,
  listQuery,
  pageAnswer,
  pageOf,
  shown,
  time,
  toTime,
  toTimeOrNull,
} from './schemas.ts';

const keyAnswer = answer(
  'Key',
  z.strictObject({
    kid: z.string(),
    alg: z.string(),
    status: z.enum(['pending', 'active', 'retiring', 'retired']),
    created_at: time,
    active_from: time.describe('when it signs, or began to'),
    retires_at: time.nullable().describe('when it leaves the JWKS, or left it'),
  }),
);

const keyPage = pageAnswer('KeyPage', keyAnswer);
const rotatedAnswer = answer(
  'RotatedKeys',
  z.union([keyAnswer, z.strictObject({ data: z.array(keyAnswer) })]).describe('one key when `alg` was given'),
);

const rotation = input(
  'KeyRotation',
  z.strictObject({
    alg: z
      .enum(SIGNING_ALGORITHMS, { error: `must be one of ${SIGNING_ALGORITHMS.join(', ')}` })
      .optional()
      .describe('else every algorithm in use'),
    immediate: z
      .boolean({ error: 'must be true or false' })
      .default(false)
      .describe('the old key leaves now, and what it signed is inactive'),
  }),
);

const showKey = (key: SigningKey) => ({
  kid: key.kid,
  alg: key.alg,
  status: key.status,
  created_at: toTime(key.createdAt),
  active_from: toTime(key.activeFrom),
  retires_at: toTimeOrNull(key.retiresAt),
});

export function keyRoutes(keys: KeyAdministration): Route[] {
  const scope = 'keys:write';
  return [
    route({
      method: 'GET',
      path: '/keys',
      scope: 'keys:read',
      summary: 'List signing keys, oldest first',
      query: listQuery,
      status: 200,
      answer: keyPage,
      handle: async ({ query }) =>
        shown(
          pageOf(await keys.list(), query, ({ kid }) => kid),
          showKey,
        ),
    }),
    route({
      method: 'POST',
      path: '/keys/rotate',
      scope,
      summary: 'Make new keys; each is published first, and signs once every cache knows it',
      body: { schema: rotation, optional: true },
      status: 201,
      answer: rotatedAnswer,
      problems: [409],
      async handle({ body = {}, by }) {
        const { alg, immediate } = parseDocument(rotation, body);
        const made = await keys.rotate(alg && [alg], immediate, by);
        const [first] = made;
        return alg && first ? showKey(first) : { data: made.map(showKey) };
      },
    }),
    route({
      method: 'POST',
      path: '/keys/{kid}/retire',
      scope,
      summary: 'Take a key out at once: what it signed is inactive; an active one is replaced',
      status: 200,
      answer: keyAnswer,
      handle: async ({ params, by }) => showKey(await keys.retire(params.kid, by)),
    }),
  ];
}
