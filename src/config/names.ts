/** Which environment variables are ours, and what a misspelt one probably meant. Used by `schema.ts` only. */
import { definitions } from './definitions.ts';

/** Names that the command-line client reads; the server knows and ignores them. */
const CLIENT_NAMES = [
  'PORTCULLIS_URL',
  'PORTCULLIS_CLIENT_ID',
  'PORTCULLIS_CLIENT_SECRET',
  'PORTCULLIS_CLIENT_SECRET_FILE',
];

const known = new Set([
  ...CLIENT_NAMES,
  ...Object.values(definitions).flatMap(({ name, secret }) => (secret ? [name, `${name}_FILE`] : [name])),
]);

/** What Kubernetes sets in every container when a service is called portcullis or portcullis-something. */
const isServiceLink = (name: string, value: string): boolean =>
  /_SERVICE_(?:HOST|PORT(?:_[A-Z0-9_]+)?)$/.test(name) ||
  /_PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?$/.test(name) ||
  (name.endsWith('_PORT') && /^(?:tcp|udp|sctp):\/\//.test(value));

/** A fault for each unknown `PORTCULLIS_*` name. */
export function nameFaults(env: Readonly<Record<string, string | undefined>>): string[] {
  return Object.entries(env)
    .filter(([name, value]) => /^PORTCULLIS_/i.test(name) && value !== undefined && !known.has(name))
    .filter(([name, value]) => !isServiceLink(name, value ?? ''))
    .map(([name]) => {
      const meant = nearest(name);
      return `${name}: unknown setting${meant ? `; did you mean ${meant}?` : ''}`;
    })
    .sort();
}

/** The known name that takes the fewest edits, if these are few for its length: else it is hardly what was meant. */
function nearest(name: string): string | undefined {
  const best = [...known]
    .map((candidate) => ({ candidate, edits: distance(name.toUpperCase(), candidate) }))
    .sort((a, b) => a.edits - b.edits)[0];
  const own = name.length - 'PORTCULLIS_'.length;
  const isFileOf = best && name === `${best.candidate}_FILE`;
  return best && (isFileOf || best.edits <= Math.min(3, own / 3)) ? best.candidate : undefined;
}

/** Levenshtein distance. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (const [i, letter] of Array.from(a).entries()) {
    const next = [i + 1];
    for (let j = 1; j <= b.length; j++) {
      const swap = (row[j - 1] ?? 0) + (letter === b[j - 1] ? 0 : 1);
      next.push(Math.min(swap, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
