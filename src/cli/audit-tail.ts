/** `portcullis audit tail`: prints events as they happen, until it is interrupted. */
import { isObject } from '../lib/documents.ts';
import { setTimeout as delay } from 'node:timers/promises';
import { type Command, Option } from 'commander';
import { type Api, connect } from './api.ts';
import { addFields, type Field, membersOf, number, type Options } from './fields.ts';
import { type Document, text } from './json.ts';
import { pages } from './pages.ts';
import { show } from './table.ts';
import { print, type Terminal } from './terminal.ts';

/** Milliseconds that an event may appear after a younger one: nodes commit side by side, by their own clocks. */
const OVERLAP = 60_000;

/** Declares the verb. */
export function tail(parent: Command, terminal: Terminal, filters: readonly Field[]): void {
  const command = parent
    .command('tail')
    .description('print events as they happen; stop it with Ctrl-C')
    .option('--url <url>', 'the server (else PORTCULLIS_URL, else that of the admin credential)')
    .option('--json', 'print one JSON object a line, for scripts');
  addFields(command, filters);
  command
    .addOption(new Option('--lines <n>', 'how many past events come first').argParser(number).default(10))
    .addOption(new Option('--interval <seconds>', 'between two looks').argParser(number).default(2))
    .action(async () => {
      await follow(terminal, filters, command.opts());
    });
}

async function follow(terminal: Terminal, filters: readonly Field[], options: Options): Promise<void> {
  const signal = terminal.interrupted();
  const api = await connect(terminal, options['url'] as string | undefined, ['audit:read']);
  const query = membersOf(filters, options) as Record<string, string>;
  const seen = new Map<string, number>();
  const lines = options['lines'] as number;
  let past = await newest(api, query, Math.max(lines, 1));
  let shown = past.slice(0, lines);
  const start = past[0] === undefined ? 0 : timeOf(past[0]);
  for (;;) {
    for (const event of shown.toReversed()) print(terminal, line(event, options['json'] === true));
    for (const event of past) seen.set(text(event, 'id') ?? '', timeOf(event));
    const latest = Math.max(...seen.values());
    for (const [id, time] of seen) if (time < latest - OVERLAP) seen.delete(id);
    const since = Number.isFinite(latest) ? new Date(latest - OVERLAP).toISOString() : undefined;
    if (!(await pause(signal, options['interval'] as number))) return;
    past = await newest(api, { ...query, since }, Infinity);
    shown = past.filter((event) => timeOf(event) >= start && !seen.has(text(event, 'id') ?? ''));
  }
}

/** Newest first. */
async function newest(
  api: Api,
  query: Readonly<Record<string, string | undefined>>,
  limit: number,
): Promise<readonly Document[]> {
  const found: Document[] = [];
  for await (const { data } of pages(api, '/audit-events', query, limit))
    found.push(...data.filter(isObject));
  return found;
}

/** False when it was interrupted. */
const pause = (signal: AbortSignal, seconds: number): Promise<boolean> =>
  delay(seconds * 1000, true, { signal }).catch(() => false);

/** Epoch milliseconds. */
const timeOf = (event: Document): number => Date.parse(text(event, 'time') ?? '') || 0;

function line(event: Document, json: boolean): string {
  if (json) return JSON.stringify(event);
  const { time, type, id: _id, detail, ...subject } = event;
  const about = Object.entries({ ...subject, ...(isObject(detail) ? detail : {}) })
    .filter(([, value]) => value !== null && value !== undefined)
    .map(([name, value]) => `${name}=${show(value)}`);
  return [show(time), show(type), ...about].join('  ');
}
