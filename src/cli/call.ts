/** Runs one verb: asks, sends, prints. */
import { isObject } from '../lib/documents.ts';
import { type Api, connect, givenScopes } from './api.ts';
import { badUsage, Failure } from './failure.ts';
import { membersOf, type Options, readDocument } from './fields.ts';
import { type Document, text } from './json.ts';
import { type Page, pages } from './pages.ts';
import { confirm } from './prompt.ts';
import { record, table } from './table.ts';
import { print, printJson, say, type Terminal } from './terminal.ts';
import type { Arguments, Verb } from './verbs.ts';

/** @throws Failure when the usage is wrong, the user says no, or the server refuses */
export async function runVerb(
  terminal: Terminal,
  verb: Verb,
  args: Arguments,
  options: Options,
): Promise<void> {
  const body = await bodyOf(terminal, verb, args, options);
  const asks = verb.questionWith === undefined || options[verb.questionWith] !== undefined;
  if (verb.question !== undefined && asks) {
    await confirm(terminal, fill(verb.question, args), options['yes'] === true);
  }
  const scopes = new Set([verb.scope, ...givenScopes(body)]);
  const api = await connect(terminal, options['url'] as string | undefined, [...scopes]);
  const path = fill(verb.path, args, encodeURIComponent);
  const query = stringsOf(membersOf(verb.query ?? [], options));
  if (verb.columns) return printList(terminal, api, path, query, verb.columns, options);
  const parts = { query, body };
  if (verb.look) await look(terminal, verb.look, parts, options);
  let answer = await api.call(verb.method, path, parts, isGuarded(verb) ? [403] : []);
  if (answer.status === 403) {
    const all = await connect(terminal, options['url'] as string | undefined, []);
    answer = await all.call(verb.method, path, parts);
  }
  if (answer.body !== undefined) printOne(terminal, answer.body, options);
  if (verb.done !== undefined) say(terminal, fill(verb.done, args));
  const remark = verb.remark?.(body ?? {}, answer.body);
  if (remark !== undefined) say(terminal, remark);
}

/** @throws Failure when there is nothing to do */
async function look(
  terminal: Terminal,
  { scope, path, refusal }: NonNullable<Verb['look']>,
  parts: { readonly body: unknown },
  options: Options,
): Promise<void> {
  const api = await connect(terminal, options['url'] as string | undefined, [scope]).catch(() => undefined);
  const why = api && refusal((await api.call('POST', path, parts)).body);
  if (why !== undefined) throw new Failure(why);
}

/** An admin client is changed only by callers who hold all of its scopes: tried with the least first, then with all. */
const isGuarded = ({ method, path }: Pick<Verb, 'method' | 'path'>): boolean =>
  method !== 'GET' && path.startsWith('/clients/');

/** Puts arguments in the place of their names. */
const fill = (template: string, args: Arguments, encode: (text: string) => string = String): string =>
  template.replace(/\{(\w+)\}/g, (_, name: string) => encode(args[name] ?? ''));

const stringsOf = (members: Options): Record<string, string> =>
  Object.fromEntries(
    Object.entries(members).map(([name, value]) => [name, String(value as string | boolean)]),
  );

async function bodyOf(
  terminal: Terminal,
  verb: Verb,
  args: Arguments,
  options: Options,
): Promise<Document | undefined> {
  const file = options['jsonFile'] as string | undefined;
  const body = {
    ...(file === undefined ? {} : await readDocument(terminal, file)),
    ...membersOf(verb.body ?? [], options),
    ...Object.fromEntries((verb.takes ?? []).map(({ member }) => [member, args[member]])),
    ...Object.fromEntries(((options['unset'] as string[] | undefined) ?? []).map((member) => [member, null])),
    ...(await verb.collect?.(terminal, options, args)),
  };
  if (Object.keys(body).length > 0) return body;
  if (verb.method === 'PATCH') throw badUsage('nothing to change: give at least one option, or --json-file');
  return verb.body || verb.collect ? {} : undefined;
}

/** What is shown once and never again, out of an answer. */
const secretOf = (body: Document): [string, string] | undefined => {
  for (const member of ['client_secret', 'secret']) {
    const value = text(body, member);
    if (value !== undefined) return [member, value];
  }
  return undefined;
};

function printOne(terminal: Terminal, body: unknown, options: Options): void {
  const secret = isObject(body) ? secretOf(body) : undefined;
  if (options['quiet'] === true && isObject(body)) {
    print(
      terminal,
      secret?.[1] ?? text(body, 'client_id') ?? text(body, 'identifier') ?? text(body, 'id') ?? '',
    );
  } else if (options['json'] === true) {
    printJson(terminal, body);
  } else {
    for (const each of listOf(body)) print(terminal, record(each));
  }
  if (secret) say(terminal, `Store the ${secret[0]} now: it cannot be shown again.`);
}

const listOf = (body: unknown): readonly Document[] => {
  const data: unknown = isObject(body) ? (body['data'] ?? body) : body;
  return (Array.isArray(data) ? data : [data]).filter(isObject);
};

async function printList(
  terminal: Terminal,
  api: Api,
  path: string,
  query: Readonly<Record<string, string>>,
  columns: readonly string[],
  options: Options,
): Promise<void> {
  const limit = options['all'] === true ? Infinity : (options['limit'] as number);
  if (limit === 0) throw badUsage('--limit must be at least 1');
  const found: unknown[] = [];
  let next: Page['next'] = null;
  for await (const page of pages(api, path, query, limit, options['after'] as string | undefined)) {
    ({ next } = page);
    if (options['ndjson'] === true) for (const each of page.data) print(terminal, JSON.stringify(each));
    else found.push(...page.data);
  }
  if (options['json'] === true) printJson(terminal, { data: found, next });
  else if (options['ndjson'] !== true) {
    const { isTTY, columns: width } = terminal.stdout;
    print(terminal, table(columns, found.filter(isObject), isTTY === true ? width : undefined));
  }
  if (next !== null && options['json'] !== true) say(terminal, `There are more: --all, or --after ${next}`);
}
