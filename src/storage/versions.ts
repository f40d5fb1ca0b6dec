/** A change that is meant for one version of a resource, as `If-Match` asks (RFC 9110, 13.1.1). */
import { PortcullisError } from '../lib/errors.ts';

/** The refusal of a change to what has changed since the caller saw it. */
export const versionMismatch = (): PortcullisError =>
  new PortcullisError('version_mismatch', 412, 'It has changed since it was read: read it again.');

/**
 * First in a transaction that does not write by version itself: holds the row at the version that is meant.
 * @param version undefined: whichever there is
 * @param touch an update, with no effect, of the row where it has this version; it keeps others off until the commit
 * @throws PortcullisError `version_mismatch` (412): it is another by now, or the row is gone
 */
export async function holdVersion(
  version: number | undefined,
  touch: (version: number) => Promise<{ readonly count: number }>,
): Promise<void> {
  if (version !== undefined && (await touch(version)).count === 0) throw versionMismatch();
}
