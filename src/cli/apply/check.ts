/** Judges a whole file by the server's own rules, with what it makes and what is there, before anything is written. */
import { type ClientMetadata, mergeClient, parseClient } from '../../clients/metadata.ts';
import { parseApi } from '../../clients/api-schema.ts';
import { clientContext } from '../../clients/client-context.ts';
import { type Fault, isObject, mergePatch } from '../../lib/documents.ts';
import { PortcullisError } from '../../lib/errors.ts';
import { usernameKey } from '../../storage/users.ts';
import { parseUser } from '../../users/user-document.ts';
import type { Api } from '../api.ts';
import { Failure } from '../failure.ts';
import { type Document, text } from '../json.ts';
import { plain } from '../terminal.ts';
import { declared, type Kind, KINDS } from './declaration.ts';
import type { Action, Current } from './plan.ts';

/** APIs as they will be. */
type Known = Parameters<typeof clientContext>[0]['apis'];

/**
 * What only the server knows (which http URLs it may fetch, which admin scopes the caller may give) is left to it.
 * @param actions what is to be done to what is there now
 * @throws Failure that names every fault, by what it is in and its pointer
 */
export async function checkAll(api: Api, actions: readonly Action[], current: Current): Promise<void> {
  const before = (name: Kind['name'], id: string): Document | undefined => {
    const kind = KINDS.find((each) => each.name === name);
    const found = kind && current.get(kind)?.find((each) => text(each, kind.key) === id);
    return kind && found && declared(kind, found);
  };
  const apis = apisAfter(actions, current);
  const faults = actions.flatMap(({ action, kind, id, body }) =>
    action === 'delete' || kind !== 'apis'
      ? []
      : named(kind, id, [
          ...faultsOf(() => parseApi(mergePatch(before(kind, id) ?? {}, body))),
          ...sharedScopes(apis, id),
        ]),
  );
  const all = [...apis, ...(await builtIn(api, actions, apis))];
  const context = { ...clientContext({ apis: all, callerScopes: [], fetchAllow: [] }), ...LEFT_TO_SERVER };
  const names = usernames(actions, current);
  for (const { action, kind, id, body } of actions) {
    if (action === 'delete') continue;
    const there = before(kind, id);
    if (kind === 'clients') {
      const judge = () =>
        there ? mergeClient(there as unknown as ClientMetadata, body, context) : parseClient(body, context);
      faults.push(...named(kind, id, faultsOf(judge)));
    }
    if (kind === 'users') {
      const taken = (names.get(usernameKey(id)) ?? 0) > 1;
      faults.push(
        ...named(kind, id, [
          ...faultsOf(() => parseUser(mergePatch(there ?? {}, body))),
          ...(taken ? [{ pointer: '/username', detail: 'is that of another user, but for its form' }] : []),
        ]),
      );
    }
  }
  if (faults.length > 0) throw new Failure('the file cannot be applied; nothing was changed', faults);
}

const LEFT_TO_SERVER = { mayGrantScope: () => true, mayFetchOverHttp: () => true };

const named = (kind: Kind['name'], id: string, faults: readonly Fault[]): string[] =>
  faults.map(({ pointer, detail }) => plain(`${kind} ${id} ${pointer || '(document)'}: ${detail}`));

function faultsOf(judge: () => unknown): readonly Fault[] {
  try {
    judge();
    return [];
  } catch (error) {
    if (!(error instanceof PortcullisError)) throw error;
    return error.details.errors ?? [{ pointer: '', detail: error.message }];
  }
}

/** The APIs once all is done, as far as they are well formed. */
function apisAfter(actions: readonly Action[], current: Current): Known {
  const kind = KINDS[0];
  const after = new Map<string, Document>();
  for (const each of (kind && current.get(kind)) ?? []) after.set(text(each, 'identifier') ?? '', each);
  for (const { action, kind: name, id, body } of actions) {
    if (name !== 'apis') continue;
    if (action === 'delete') after.delete(id);
    else after.set(id, mergePatch(after.get(id) ?? {}, body) as Document);
  }
  return [...after].map(([identifier, { scopes }]) => ({
    identifier,
    scopes: (Array.isArray(scopes) ? scopes : [])
      .filter(isObject)
      .map((scope) => ({ name: text(scope, 'name') ?? '' })),
  }));
}

/** Names of scopes that another API has too. */
function sharedScopes(apis: Known, id: string): Fault[] {
  const own = apis.find(({ identifier }) => identifier === id)?.scopes ?? [];
  const others = apis.filter(({ identifier }) => identifier !== id);
  return own.flatMap(({ name }, index) =>
    others
      .filter(({ scopes }) => scopes.some((scope) => scope.name === name))
      .map(({ identifier }) => ({ pointer: `/scopes/${index}/name`, detail: `is a scope of ${identifier}` })),
  );
}

/** APIs that clients serve and no list shows, for they are built in. */
async function builtIn(api: Api, actions: readonly Action[], apis: Known): Promise<Known> {
  const served = new Set(
    actions.flatMap(({ kind, body }) => {
      const serves = kind === 'clients' ? body?.['serves'] : undefined;
      return Array.isArray(serves) ? serves.filter((each) => typeof each === 'string') : [];
    }),
  );
  const found: Known[number][] = [];
  for (const identifier of served) {
    if (apis.some((each) => each.identifier === identifier)) continue;
    const { status } = await api.call('GET', `/apis/${encodeURIComponent(identifier)}`, {}, [404]);
    if (status === 200) found.push({ identifier, scopes: [] });
  }
  return found;
}

/** How many users have each name, in the form that can sign in, before anything is deleted. */
function usernames(actions: readonly Action[], current: Current): ReadonlyMap<string, number> {
  const kind = KINDS.find(({ name }) => name === 'users');
  const names = [
    ...((kind && current.get(kind)) ?? []).map((each) => text(each, 'username') ?? ''),
    ...actions.filter((each) => each.kind === 'users' && each.action === 'create').map(({ id }) => id),
  ];
  const counted = new Map<string, number>();
  for (const name of names) counted.set(usernameKey(name), (counted.get(usernameKey(name)) ?? 0) + 1);
  return counted;
}
