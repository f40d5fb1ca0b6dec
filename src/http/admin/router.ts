/** Finds the route of a path; what a segment stands for is percent-decoded once. */
import { PortcullisError } from '../../lib/errors.ts';
import type { Method, Route } from './route.ts';

/** The routes of one path. */
interface Place {
  readonly path: string;
  readonly segments: readonly string[];
  readonly methods: ReadonlyMap<string, Route>;
}

/** What a path leads to. */
export interface Found extends Place {
  readonly params: Readonly<Record<string, string>>;
}

/** @throws PortcullisError 404 when nothing is there */
export type Router = (path: string) => Found;

const nothing = (): PortcullisError =>
  new PortcullisError('not_found', 404, 'There is nothing at this address.');

function decode(segment: string): string {
  try {
    const text = decodeURIComponent(segment);
    if (!text.includes('\0')) return text; // PostgreSQL cannot even look for it
  } catch {
    // No id is written like that.
  }
  throw nothing();
}

export function createRouter(routes: readonly Route[]): Router {
  const places = [...Map.groupBy(routes, ({ path }) => path)].map(([path, those]): Place => ({
    path,
    segments: path.split('/'),
    methods: new Map(those.map((route) => [route.method, route])),
  }));
  return (path) => {
    const parts = path.split('/');
    const place = places.find(
      ({ segments }) =>
        segments.length === parts.length &&
        segments.every((segment, index) =>
          segment.startsWith('{') ? parts[index] !== '' : segment === parts[index],
        ),
    );
    if (!place) throw nothing();
    const names = place.segments.flatMap((segment, index) =>
      segment.startsWith('{') ? [[segment.slice(1, -1), decode(parts[index] ?? '')] as const] : [],
    );
    return { ...place, params: Object.fromEntries(names) };
  };
}

/** The value of Allow: a GET answers HEAD too. */
export const allowed = (methods: Iterable<string>): string =>
  [...methods]
    .flatMap((method) => (method === ('GET' satisfies Method) ? ['GET', 'HEAD'] : [method]))
    .join(', ');
