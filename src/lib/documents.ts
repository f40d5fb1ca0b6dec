/** JSON documents that callers send: faults with JSON pointers, and merge patches. Used by whoever validates one. */
import type { z } from 'zod';

/** What is wrong, and where. */
export interface Fault {
  /** JSON pointer (RFC 6901). */
  readonly pointer: string;
  /** For the caller; never repeats a value. */
  readonly detail: string;
}

/** The JSON pointer of a path. */
const pointerTo = (path: readonly PropertyKey[]): string =>
  path.map((part) => `/${String(part).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');

/** Whether an issue is a member that is not there. */
const missing = (issue: z.core.$ZodIssue): boolean =>
  issue.code === 'invalid_type' && issue.message.endsWith('received undefined');

/** The faults of a failed validation, the first for each pointer; each unknown member is one of its own. */
export function faultsOf(error: z.ZodError): Fault[] {
  const faults = error.issues.flatMap((issue) =>
    issue.code === 'unrecognized_keys'
      ? issue.keys.map((key) => ({
          pointer: pointerTo([...issue.path, key]),
          detail: 'is not a known member',
        }))
      : { pointer: pointerTo(issue.path), detail: missing(issue) ? 'is required' : issue.message },
  );
  return [...Map.groupBy(faults, ({ pointer }) => pointer).values()].flatMap((group) => group.slice(0, 1));
}

/** Whether a value is a JSON object. */
export const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Whether objects and arrays lie in each other more than `levels` deep: what recurses over them would end the stack. */
export const isDeeper = (value: unknown, levels: number): boolean =>
  typeof value === 'object' &&
  value !== null &&
  (levels === 0 || Object.values(value).some((each) => isDeeper(each, levels - 1)));

/** Applies a JSON merge patch (RFC 7396, 2): null removes, objects merge, all else replaces. */
export function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch;
  const merged = new Map(Object.entries(isObject(target) ? target : {}));
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) merged.delete(key);
    else merged.set(key, mergePatch(merged.get(key), value));
  }
  return Object.fromEntries(merged); // defines own members, `__proto__` among them, and so sets no prototype
}
