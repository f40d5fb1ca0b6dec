/** From what there is and what there should be to what has to be done. */
import { isDeepStrictEqual } from 'node:util';
import { mergePatch } from '../../lib/documents.ts';
import { type Document, text } from '../json.ts';
import { type Declaration, type Kind, KINDS } from './declaration.ts';

/** One thing to do. */
export interface Action {
  readonly action: 'create' | 'update' | 'delete';
  readonly kind: Kind['name'];
  /** By the name that the file uses. */
  readonly id: string;
  readonly method: 'POST' | 'PATCH' | 'DELETE';
  readonly path: string;
  /** What is sent: the whole of a new thing, else the members that differ. */
  readonly body?: Document;
}

/** What is there, by kind. */
export type Current = ReadonlyMap<Kind, readonly Document[]>;

/**
 * What has to be done, in order: APIs before the clients that use them, deletions last and the other way round.
 * Members that the file leaves out stay as they are; null takes one away.
 * @param spared a client that is never deleted: the one that asks
 */
export function plan(
  wanted: Declaration,
  current: Current,
  options: { readonly prune: boolean; readonly spared: string },
): readonly Action[] {
  const actions: Action[] = [];
  const deletions: Action[] = [];
  for (const kind of KINDS) {
    const there = new Map((current.get(kind) ?? []).map((each) => [keyOf(kind, each), each]));
    for (const each of wanted.get(kind) ?? []) {
      const id = keyOf(kind, each);
      const now = there.get(id);
      there.delete(id);
      const body = now === undefined ? each : difference(now, each);
      if (Object.keys(body).length === 0) continue;
      const path = now === undefined ? `/${kind.name}` : pathOf(kind, now);
      actions.push(
        now === undefined
          ? { action: 'create', kind: kind.name, id, method: 'POST', path, body }
          : { action: 'update', kind: kind.name, id, method: 'PATCH', path, body },
      );
    }
    if (!options.prune || !wanted.has(kind)) continue;
    for (const [id, each] of there) {
      if (kind.name === 'clients' && id === options.spared) continue;
      deletions.unshift({
        action: 'delete',
        kind: kind.name,
        id,
        method: 'DELETE',
        path: pathOf(kind, each),
      });
    }
  }
  return [...actions, ...deletions];
}

const keyOf = (kind: Kind, each: Document): string => text(each, kind.key) ?? '';

const pathOf = (kind: Kind, each: Document): string =>
  `/${kind.name}/${encodeURIComponent(text(each, kind.pathKey) ?? '')}`;

/** The members of `wanted` that would change `now`; the API applies them as a merge patch (RFC 7396). */
function difference(now: Document, wanted: Document): Document {
  const merged = mergePatch(now, wanted) as Document;
  return Object.fromEntries(
    Object.entries(wanted).filter(([member]) => !isDeepStrictEqual(merged[member], now[member] ?? undefined)),
  );
}
