/** Ids of clients and users. */
import { randomId } from './ids.ts';

/** A random id that begins with a letter or digit: a command line takes a leading dash for an option. */
export function subjectId(): string {
  for (;;) {
    const id = randomId();
    if (/^[A-Za-z0-9]/.test(id)) return id;
  }
}
