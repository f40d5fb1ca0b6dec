/** JSON as it comes from outside. */

import { isObject } from '../lib/documents.ts';

/** A JSON object. */
export type Document = Readonly<Record<string, unknown>>;

/** The member of that name when it is a string. */
export function text(document: unknown, member: string): string | undefined {
  const value = isObject(document) ? document[member] : undefined;
  return typeof value === 'string' ? value : undefined;
}

/** Parses; `undefined` when it is not JSON. */
export function parseJson(source: string): unknown {
  try {
    return JSON.parse(source);
  } catch {
    return undefined;
  }
}
