/** `portcullis apply` and `portcullis export`. */
import type { Command } from 'commander';
import { isReservedScope } from '../../clients/apis.ts';
import { isObject } from '../../lib/documents.ts';
import { type Api, connect, givenScopes } from '../api.ts';
import { addConnection, addExamples } from '../commands.ts';
import { badUsage, Failure } from '../failure.ts';
import { readText } from '../fields.ts';
import { type Document, text } from '../json.ts';
import { pages } from '../pages.ts';
import { confirm, readAll } from '../prompt.ts';
import { table } from '../table.ts';
import { print, printJson, say, type Terminal } from '../terminal.ts';
import type { Answer } from '../wire.ts';
import { declared, type Kind, KINDS, readDeclaration } from './declaration.ts';
import { type Action, plan } from './plan.ts';

interface Options {
  readonly url?: string;
  readonly json?: true;
  readonly dryRun?: true;
  readonly prune?: true;
  readonly yes?: true;
}

/** Declares both verbs. */
export function addApply(program: Command, terminal: Terminal): void {
  const apply = addConnection(
    program
      .command('apply')
      .description(
        'make APIs, clients and users be as a file (YAML or JSON) says; doing it again changes nothing',
      )
      .argument('<file>', '- is standard input')
      .option('--dry-run', 'only show what would be done')
      .option(
        '--prune',
        'delete what the file does not name, of the kinds that it has; the client in use is spared',
      )
      .option('--yes', 'do not ask before deleting'),
  );
  addExamples(apply, ['apply set-up.yaml --dry-run', 'export > set-up.yaml', 'apply set-up.yaml --prune']);
  apply.action((file: string, options: Options) => runApply(terminal, file, options));

  const write = addConnection(
    program
      .command('export')
      .description(
        'write APIs, clients and users as `apply` reads them, without secrets and without the client in use',
      ),
  );
  addExamples(write, ['export > set-up.yaml', 'export --json']);
  write.action((options: Options) => runExport(terminal, options));
}

async function runApply(terminal: Terminal, file: string, options: Options): Promise<void> {
  const { dryRun = false, prune = false, yes = false, json = false, url } = options;
  const wanted = readDeclaration(await parseYaml(file === '-' ? await readAll(terminal) : readText(file)));
  const kinds = [...wanted.keys()];
  const verbs = dryRun ? ['read'] : ['read', 'write'];
  const given = dryRun ? [] : [...wanted.values()].flat().flatMap(givenScopes);
  // Clients are judged by the scopes of the APIs that there are.
  const needed = KINDS.filter(({ name }) =>
    kinds.some((kind) => kind.name === name || (kind.name === 'clients' && name === 'apis')),
  );
  const api = await connect(terminal, url, [
    ...new Set([
      ...needed.map(({ name }) => `${name}:read`),
      ...kinds.flatMap(({ name }) => verbs.map((verb) => `${name}:${verb}`)),
      ...given,
    ]),
  ]);
  const current = await readAllOf(api, needed);
  const actions = plan(wanted, current, { prune, spared: api.clientId });
  const { checkAll } = await import('./check.ts'); // the rules of the server are slow to load
  await checkAll(api, actions, current);
  if (!json) tell(terminal, actions);
  if (dryRun || actions.length === 0) {
    if (json) printJson(terminal, { actions: actions.map((each) => summary(each)) });
    return;
  }
  const deletions = actions.filter(({ action }) => action === 'delete').length;
  if (deletions > 0) await confirm(terminal, `Apply this, and delete ${deletions}?`, yes);
  const done: Document[] = [];
  try {
    for (const each of actions) {
      const { body } = await carryOut(terminal, api, each, url).catch((error: unknown) => {
        throw stoppedAt(each, done.length, actions.length, error);
      });
      const secret = text(body, 'client_secret');
      done.push({ ...summary(each), ...(secret === undefined ? {} : { client_secret: secret }) });
      if (!json && secret !== undefined) print(terminal, `client_secret of ${each.id}  ${secret}`);
    }
  } finally {
    // Secrets are shown this once, whatever happens to what comes after them.
    if (json) printJson(terminal, { actions: done });
    if (done.some((each) => 'client_secret' in each))
      say(terminal, 'Store the secrets now: they cannot be shown again.');
  }
  say(terminal, 'Done.');
}

/** An admin client is changed only by callers who hold all of its scopes: tried with the least first, then with all. */
async function carryOut(
  terminal: Terminal,
  api: Api,
  { kind, method, path, body }: Action,
  url: string | undefined,
): Promise<Answer> {
  const guarded = kind === 'clients' && method !== 'POST';
  const answer = await api.call(method, path, { body }, guarded ? [403] : []);
  return answer.status === 403 ? (await connect(terminal, url, [])).call(method, path, { body }) : answer;
}

/** What the server refused after all, and how far it went until then. */
function stoppedAt({ action, kind, id }: Action, done: number, all: number, error: unknown): unknown {
  if (!(error instanceof Failure)) return error;
  const how = `${done} of ${all} were done before; apply goes on from there when it is run again`;
  return new Failure(`${action} ${kind} ${id}: ${error.message}`, [...error.notes, how], error.exitCode);
}

async function runExport(terminal: Terminal, { url, json }: Options): Promise<void> {
  const api = await connect(
    terminal,
    url,
    KINDS.map(({ name }) => `${name}:read`),
  );
  const current = await readAllOf(api, KINDS);
  const scopes = scopesOf([...current].flatMap(([{ name }, all]) => (name === 'apis' ? all : [])));
  const found = Object.fromEntries(
    KINDS.map((kind) => [
      kind.name,
      (current.get(kind) ?? [])
        .filter((each) => kind.name !== 'clients' || text(each, kind.key) !== api.clientId)
        .map((each) => declared(kind, each))
        .map((each) => (kind.name === 'clients' ? withoutLostScopes(each, scopes) : each)),
    ]),
  );
  if (json) return printJson(terminal, found);
  const { stringify } = await import('yaml');
  print(terminal, stringify(found).trimEnd());
}

const scopesOf = (apis: readonly Document[]): ReadonlySet<string | undefined> =>
  new Set(
    apis.flatMap(({ scopes }) => (Array.isArray(scopes) ? scopes : []).map((each) => text(each, 'name'))),
  );

/** A client keeps the names of scopes whose API is gone; no server would take them from a file. */
const withoutLostScopes = (client: Document, scopes: ReadonlySet<string | undefined>): Document => {
  const scope = text(client, 'scope');
  const kept = scope?.split(' ').filter((name) => isReservedScope(name) || scopes.has(name));
  return kept ? { ...client, scope: kept.join(' ') } : client;
};

/** JSON is YAML. @throws Failure for what is neither */
async function parseYaml(source: string): Promise<unknown> {
  const { parse } = await import('yaml');
  try {
    return parse(source);
  } catch (error) {
    throw badUsage(`the file is neither YAML nor JSON: ${error instanceof Error ? error.message : ''}`);
  }
}

async function readAllOf(api: Api, kinds: readonly Kind[]): Promise<Map<Kind, Document[]>> {
  const found = new Map<Kind, Document[]>();
  for (const kind of kinds) {
    const all: Document[] = [];
    for await (const { data } of pages(api, `/${kind.name}`, {}, Infinity))
      all.push(...data.filter(isObject));
    found.set(kind, all);
  }
  return found;
}

const summary = ({ action, kind, id, body }: Action): Document => ({
  action,
  kind,
  id,
  ...(action === 'update' ? { members: Object.keys(body ?? {}) } : {}),
});

function tell(terminal: Terminal, actions: readonly Action[]): void {
  if (actions.length === 0) say(terminal, 'Everything is as the file says.');
  else print(terminal, table(['action', 'kind', 'id', 'members'], actions.map(summary)));
}
