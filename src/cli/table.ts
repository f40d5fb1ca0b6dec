/** Aligned columns for people. */
import type { Document } from './json.ts';
import { plain } from './terminal.ts';

/** A column that is called by the name of its member. */
export type Column = string;

const GAP = 2;
const NARROWEST = 10;
const INSTANT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/;

/** One value on one line. */
export function show(value: unknown): string {
  if (value === undefined || value === null || value === '') return '-';
  if (value === true) return 'yes';
  if (value === false) return 'no';
  if (Array.isArray(value)) return value.length === 0 ? '-' : value.map(show).join(', ');
  const text = plain(typeof value === 'string' ? value : JSON.stringify(value));
  return INSTANT.test(text) ? text.replace('T', ' ').replace(/(\.\d+)?Z$/, 'Z') : text;
}

const length = (text: string): number => Array.from(text).length;

function fit(text: string, width: number): string {
  const letters = Array.from(text);
  return letters.length <= width
    ? text + ' '.repeat(width - letters.length)
    : `${letters.slice(0, width - 1).join('')}…`;
}

/**
 * Rows below their heads.
 * @param width of the terminal; wider tables are cut, the widest column first, never the first one: it holds the ids.
 * Without a width nothing is cut
 */
export function table(columns: readonly Column[], rows: readonly Document[], width?: number): string {
  const cells = rows.map((row) => columns.map((column) => show(row[column])));
  const heads = columns.map((column) => column.toUpperCase().replaceAll('_', ' '));
  const widths = heads.map((head, index) =>
    Math.max(length(head), ...cells.map((row) => length(row[index] ?? ''))),
  );
  const most = width ?? Infinity;
  for (;;) {
    const excess = widths.reduce((sum, each) => sum + each + GAP, -GAP) - most;
    const [widest = 0, next = 0] = widths.slice(1).toSorted((a, b) => b - a);
    if (excess <= 0 || widest <= NARROWEST) break;
    widths[widths.indexOf(widest, 1)] = Math.max(NARROWEST, widest - excess, Math.min(next, widest - 1));
  }
  const line = (row: readonly string[]): string =>
    row
      .map((cell, index) => fit(cell, widths[index] ?? 0))
      .join(' '.repeat(GAP))
      .trimEnd();
  return [heads, ...cells].map(line).join('\n');
}

/** One object: a line for each member. */
export function record(document: Document): string {
  const names = Object.keys(document);
  const width = Math.max(0, ...names.map(length));
  return names
    .map((name) => `${fit(plain(name), width)}${' '.repeat(GAP)}${show(document[name])}`)
    .join('\n');
}
