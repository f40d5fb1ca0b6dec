/** ETags of single resources, and If-Match (RFC 9110, 13.1.1). */
import { createHash } from 'node:crypto';
import { PortcullisError } from '../../lib/errors.ts';
import { versionMismatch } from '../../storage/versions.ts';

/** A strong tag of what a resource's GET answers; it tells nothing beyond that. */
export const etagOf = (shown: unknown): string =>
  `"${createHash('sha256').update(JSON.stringify(shown)).digest('base64url').slice(0, 22)}"`;

/** Compared strongly: a weak tag never fits. */
const fits = (ifMatch: string, etag: string): boolean =>
  ifMatch.split(',').some((each) => ['*', etag].includes(each.trim()));

/**
 * The version that a change is meant for: that of the resource, when the caller names its tag.
 * @param find the resource as it is; @param show how its GET shows it
 * @returns undefined: whichever version there is
 * @throws PortcullisError `version_mismatch` (412), or what `find` throws
 */
export async function meantVersion<R extends { readonly version: number }>(
  ifMatch: string | undefined,
  find: () => Promise<R>,
  show: (resource: R) => unknown,
): Promise<number | undefined> {
  if (ifMatch === undefined) return undefined;
  const found = await find();
  if (!fits(ifMatch, etagOf(show(found)))) throw versionMismatch();
  return found.version;
}

/** As `meantVersion`, before a deletion: no tag fits what is gone, though without one this would succeed. */
export async function versionToDelete<R extends { readonly version: number }>(
  ...meant: Parameters<typeof meantVersion<R>>
): Promise<number | undefined> {
  try {
    return await meantVersion(...meant);
  } catch (error) {
    throw error instanceof PortcullisError && error.status === 404 ? versionMismatch() : error;
  }
}

/** What has no ETag has none that fits. @throws PortcullisError `version_mismatch` (412), unless any will do */
export function refuseTags(ifMatch: string | undefined): void {
  if (ifMatch === undefined || fits(ifMatch, '*')) return;
  throw new PortcullisError(
    'version_mismatch',
    412,
    'This has no ETag that could match: leave If-Match out.',
  );
}
