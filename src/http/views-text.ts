/** The words of the pages: message catalogues, placeholders, dates, and everything that makes foreign text safe. */
import { readFileSync } from 'node:fs';
import { DEFAULT_LOCALE, localesIn } from './locales.ts';
import type { NewPasswordErrors, ScopeView } from './views-pages.ts';

type Catalogue = Readonly<Record<string, string>>;
type Values = Readonly<Record<string, string | number>>;

/** The text functions that templates of one language are given. */
export type Texts = ReturnType<typeof textsFor>;

// Marks, embeddings, overrides and isolates (Unicode UAX #9): in a name they could reorder the sentence around it.
const BIDI_CONTROLS = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
const ENTITIES: Catalogue = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

/** Text as HTML, safe in content and in quoted attributes; bidi control characters are left out. */
export const escapeHtml = (value: unknown): string =>
  (typeof value === 'string' ? value : String((value as number | undefined) ?? ''))
    .replace(BIDI_CONTROLS, '')
    .replace(/[&<>"']/g, (character) => ENTITIES[character] ?? '');

/** The URL when it is http or https, or a path of this server: whatever else a client registers is no link. */
export function safeHref(value: string | undefined): string | undefined {
  if (!value) return undefined;
  if (/^\/(?![/\\])/.test(value)) return value;
  const url = URL.canParse(value) ? new URL(value) : undefined;
  return url?.protocol === 'https:' || url?.protocol === 'http:' ? url.href : undefined;
}

/** Reads every catalogue of a views folder; a message that one lacks is said in English. */
export function loadTexts(viewsDir: string): Map<string, Texts> {
  const read = (locale: string): Catalogue =>
    JSON.parse(readFileSync(`${viewsDir}/messages/${locale}.json`, 'utf8')) as Catalogue;
  const english = read(DEFAULT_LOCALE);
  return new Map(
    localesIn(viewsDir).map((locale) => [locale, textsFor(locale, { ...english, ...read(locale) })]),
  );
}

function textsFor(locale: string, catalogue: Catalogue) {
  const messages = new Map(Object.entries(catalogue));
  const dates = new Intl.DateTimeFormat(locale, { dateStyle: 'long', timeZone: 'UTC' });
  const instants = new Intl.DateTimeFormat(locale, {
    year: 'numeric',
    month: 'long',
    day: 'numeric',
    hour: '2-digit',
    minute: '2-digit',
    timeZone: 'UTC',
    timeZoneName: 'short',
  });
  const waits = new Intl.RelativeTimeFormat(locale, { numeric: 'always' });

  const message = (key: string): string => {
    const found = messages.get(key);
    if (found === undefined) throw new Error(`no message ${JSON.stringify(key)}`);
    return found;
  };
  const fill = (text: string, value: (name: string) => string): string =>
    text.replace(/\{(\w+)\}/g, (_, name: string) => value(name));

  const wait = (seconds: number): string =>
    seconds > 60
      ? waits.format(Math.ceil(seconds / 60), 'minute')
      : waits.format(Math.ceil(seconds), 'second');

  const said = (key: string, values: Values = {}): string =>
    fill(message(key), (name) => String(values[name] ?? ''));

  return {
    locale,
    /** `ltr` or `rtl`. */
    dir: message('dir'),
    /** Whether the catalogue has this message: for texts that go by a code from elsewhere. */
    has: (key: string): boolean => messages.has(key),
    /** A message as plain text. Throws when there is none of this key. */
    t: said,
    /** A message as HTML, each value of it set apart in `<bdi>`. */
    rich: (key: string, values: Values): string =>
      fill(escapeHtml(message(key)), (name) => `<bdi>${escapeHtml(values[name])}</bdi>`),
    /** The day of an instant in epoch milliseconds, in UTC. */
    date: (instant: number): string => dates.format(instant),
    /** Day and minute of an instant in epoch milliseconds, in UTC, and saying so. */
    instant: (instant: number): string => instants.format(instant),
    /** "in 5 minutes", rounded up so that nobody comes back too early; takes seconds. */
    wait,
    /** The same for machines (the HTML `datetime`). */
    iso: (instant: number): string => new Date(instant).toISOString(),
    /** When somebody who made too many mistakes, or asked for too many mails, may come back; seconds, where they are known. */
    throttled: (seconds: number | undefined, what: 'throttled' | 'throttled.mails' = 'throttled'): string =>
      seconds ? fill(message(what), () => wait(seconds)) : message('throttled.some'),
    /** What a summary says of a new password and its repetition. */
    passwordProblems: ({ next, repeat }: NewPasswordErrors = {}, length: number) => [
      ...(next ? [{ field: 'new_password', text: said(`password.next.${next}`, { length }) }] : []),
      ...(repeat ? [{ field: 'repeat_password', text: said(`password.repeat.${repeat}`) }] : []),
    ],
    /** A scope, or a claim, in words. */
    scope: ({ api, claim, name, description }: ScopeView): string =>
      (api === undefined ? messages.get(`${claim ? 'claim' : 'scope'}.${name}`) : undefined) ??
      (description || name),
    /** The letter that stands for a name, in place of a logo. */
    initial: (name: string): string => /[\p{L}\p{N}]/u.exec(name)?.[0].toLocaleUpperCase(locale) ?? '#',
  };
}
