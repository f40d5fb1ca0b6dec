/** What `apply` reads and `export` writes: the APIs, clients and users that there should be. */
import { isObject } from '../../lib/documents.ts';
import { badUsage } from '../failure.ts';
import { type Document, text } from '../json.ts';

/** One kind of thing: where the admin API has it, and what names one. */
export interface Kind {
  readonly name: 'apis' | 'clients' | 'users';
  /** The member that names one in the file. */
  readonly key: string;
  /** The member that names one in the API's paths. */
  readonly pathKey: string;
  /** Members that the server makes, and members that are never written to a file. */
  readonly without: readonly string[];
}

/** In the order in which they are created: clients refer to the scopes of APIs. */
export const KINDS: readonly Kind[] = [
  { name: 'apis', key: 'identifier', pathKey: 'identifier', without: ['created_at', 'updated_at'] },
  {
    name: 'clients',
    key: 'client_id',
    pathKey: 'client_id',
    without: [
      'created_at',
      'updated_at',
      'client_id_issued_at',
      'client_secret',
      'client_secret_expires_at',
      'secret',
    ],
  },
  { name: 'users', key: 'username', pathKey: 'id', without: ['created_at', 'updated_at', 'id', 'password'] },
];

/** Things by kind; a kind that is not named is left alone. */
export type Declaration = ReadonlyMap<Kind, readonly Document[]>;

/**
 * Checks what was read from a file.
 * @throws Failure that names every fault
 */
export function readDeclaration(content: unknown): Declaration {
  if (!isObject(content)) throw badUsage('the file must hold an object with apis, clients or users');
  const faults = Object.keys(content)
    .filter((name) => !KINDS.some((kind) => kind.name === name))
    .map((name) => `${name}: is not apis, clients or users`);
  const declaration = new Map<Kind, readonly Document[]>();
  for (const kind of KINDS) {
    const found: unknown = content[kind.name];
    if (found === undefined) continue;
    if (Array.isArray(found)) {
      faults.push(...found.flatMap((each: unknown, index) => faultsOf(kind, each, index, found)));
      declaration.set(kind, found.filter(isObject));
    } else faults.push(`${kind.name}: must be a list`);
  }
  if (faults.length > 0) throw badUsage('the file cannot be applied; nothing was changed', ...faults);
  return declaration;
}

function faultsOf(kind: Kind, each: unknown, index: number, all: readonly unknown[]): string[] {
  const where = `${kind.name}[${index}]`;
  if (!isObject(each)) return [`${where}: must be an object`];
  const id = text(each, kind.key);
  if (!id) return [`${where}: must have ${kind.key}`];
  const faults = kind.without
    .filter((member) => member in each)
    .map(
      (member) =>
        `${where}: ${member} cannot be declared${member === 'password' ? ': use users set-password' : ''}`,
    );
  if (all.findIndex((other) => text(other, kind.key) === id) < index)
    faults.push(`${where}: ${id} is there twice`);
  return faults;
}

/** A thing as the API has it, as the file would have it. */
export const declared = (kind: Kind, current: Document): Document =>
  Object.fromEntries(
    Object.entries(current).filter(([member, value]) => value !== null && !kind.without.includes(member)),
  );
