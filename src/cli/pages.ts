/** Lists of the admin API, page by page. */
import { isObject } from '../lib/documents.ts';
import type { Api } from './api.ts';
import { Failure } from './failure.ts';
import { text } from './json.ts';

/** The most that one page holds. */
const PAGE = 200;

/** One page. */
export interface Page {
  readonly data: readonly unknown[];
  /** What to go on after; `null` at the end. */
  readonly next: string | null;
}

/**
 * The pages of a list, until `limit` entries were given or the list ends.
 * @param after where to start
 */
export async function* pages(
  api: Api,
  path: string,
  query: Readonly<Record<string, string | undefined>>,
  limit: number,
  after?: string,
): AsyncGenerator<Page> {
  let left = limit;
  let cursor = after;
  while (left > 0) {
    const asked = Math.min(PAGE, left);
    const { body } = await api.call('GET', path, {
      query: { ...query, limit: String(asked), after: cursor },
    });
    const data: unknown = isObject(body) ? body['data'] : undefined;
    if (!Array.isArray(data)) throw new Failure('the server’s answer is not a list');
    const next = text(body, 'next') ?? null;
    yield { data, next };
    if (next === null) return;
    left -= data.length;
    cursor = next;
  }
}
