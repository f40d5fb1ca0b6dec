/** Routes below `/keys`. */
import { z } from 'zod';
import { route, type Route } from './route.ts';
import { answer, listQuery, pageAnswer, pageOf, shown, time, toTime, toTimeOrNull } from './schemas.ts';

/** A signing key as admins see it; instants are epoch milliseconds. */
interface KeyView {
  readonly kid: string;
  readonly alg: string;
  readonly status: 'pending' | 'active' | 'retiring' | 'retired';
  readonly createdAt: number;
  readonly activeFrom: number;
  readonly retiresAt: number | undefined;
}

/** What admins do to signing keys. */
export interface KeyAdministration {
  /** Oldest first. */
  list(): Promise<readonly KeyView[]>;
}

const keyPage = pageAnswer(
  'KeyPage',
  answer(
    'Key',
    z.strictObject({
      kid: z.string(),
      alg: z.string(),
      status: z.enum(['pending', 'active', 'retiring', 'retired']),
      created_at: time,
      active_from: time.describe('when it signs, or began to'),
      retires_at: time.nullable(),
    }),
  ),
);

const showKey = (key: KeyView) => ({
  kid: key.kid,
  alg: key.alg,
  status: key.status,
  created_at: toTime(key.createdAt),
  active_from: toTime(key.activeFrom),
  retires_at: toTimeOrNull(key.retiresAt),
});

export function keyRoutes(keys: KeyAdministration): Route[] {
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
  ];
}
