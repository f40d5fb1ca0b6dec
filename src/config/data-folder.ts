/** The folder that the server keeps its files in. */
import { statSync } from 'node:fs';

/**
 * The mode of a folder that everybody on this machine may look into, in octal: made by hand, or by a container engine.
 * @returns undefined when it is closed, not there, or on a system without modes
 */
export function openMode(folder: string): string | undefined {
  if (process.platform === 'win32') return undefined;
  const mode = statSync(folder, { throwIfNoEntry: false })?.mode ?? 0;
  return (mode & 0o007) === 0 ? undefined : (mode & 0o777).toString(8);
}
