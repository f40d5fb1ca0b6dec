/** Accounts: users as people and admins deal with them. Signing in, and every change to a user, comes here. */
import { PortcullisError } from '../lib/errors.ts';
import { subjectId } from '../lib/subject-id.ts';
import type { ArtifactName } from '../storage/artifacts.ts';
import { originOf, type Origin } from '../storage/origin.ts';
import type { Page, PageRequest } from '../storage/pages.ts';
import { usernameTaken, type UserRecord } from '../storage/user-record.ts';
import type { UserDocument, UserFilter, UserStore } from '../storage/users.ts';
import { versionMismatch } from '../storage/versions.ts';
import type { AuditEvent, EventOf } from '../telemetry/events.ts';
import { lengthPolicy, type PasswordPolicy } from './password-policy.ts';
import type { Passwords } from './passwords.ts';
import { mergeUser, parseUser, requireGoodPassword, type UserInput } from './user-document.ts';

/** The outcome of a password; `userId` says whose account it was not good for, where there is one. */
export type Authentication =
  | { readonly ok: true; readonly user: UserRecord }
  | { readonly ok: false; readonly userId: string | undefined };

/** What a link knows that was sent to an address, and the link. */
export interface ProvedAddress {
  readonly email: string;
  readonly generation: string;
  readonly proof: ArtifactName;
}

/**
 * An unknown id is `not_found` (404), a faulty document `invalid_user` (422). `version`: the one that the caller saw,
 * or whichever; another by now is `version_mismatch` (412).
 */
export interface Accounts {
  /** What new passwords must be. */
  readonly passwordPolicy: PasswordPolicy;
  /** Takes as long for a name that does not exist; a disabled user is like a wrong password. */
  authenticate(username: string, password: string): Promise<Authentication>;
  get(id: string): Promise<UserRecord>;
  /** Oldest first. */
  list(filter: UserFilter, page: PageRequest): Promise<Page<UserRecord>>;
  /**
   * A name that is taken is refused before anything is hashed.
   * @param proof of whoever makes an account of their own: used up with it, and only then
   * @throws PortcullisError `username_taken` (409), `proof_used` (409)
   */
  create(document: unknown, by: Origin, proof?: ArtifactName): Promise<UserRecord>;
  /**
   * Applies a merge patch. A password in it ends what the user has, and so does disabling.
   * @throws PortcullisError `username_taken` (409)
   */
  change(id: string, patch: unknown, by: Origin, version?: number): Promise<UserRecord>;
  setEnabled(id: string, enabled: boolean, by: Origin, version?: number): Promise<UserRecord>;
  /** Ends every session and grant. */
  revoke(id: string, by: Origin, version?: number): Promise<void>;
  /** Idempotent; returns ids of the clients that are told of a logout. */
  remove(id: string, by: Origin, version?: number): Promise<readonly string[]>;
  /** By an admin: everything that the user has ends. */
  setPassword(id: string, password: unknown, by: Origin, version?: number): Promise<void>;
  /**
   * By the user: everything that the user has ends, but for this browser session.
   * @returns the new generation; undefined when `current` is not the password
   * @throws PortcullisError `invalid_user` (422), `user_changed` (409)
   */
  changePassword(
    id: string,
    passwords: { readonly current: string; readonly next: string },
    keepSessionUid: string | undefined,
    by: Origin,
  ): Promise<string | undefined>;
  /**
   * By a user who has proved the address of the account: everything that the user has ends. False when the proof is
   * no longer good, or the address or the generation is another by now.
   * @param proved.proof used up with it, and only then
   * @param proved.generation the user's when the proof was asked for
   * @throws PortcullisError `invalid_user` (422)
   */
  recoverPassword(id: string, next: string, proved: ProvedAddress, by: Origin): Promise<boolean>;
}

const documentOf = (input: UserInput): UserDocument & { readonly enabled: boolean } => ({
  username: input.username,
  email: input.email,
  emailVerified: input.email_verified,
  name: input.name,
  claims: input.claims,
  enabled: input.enabled,
});

const inputOf = (user: UserRecord): Omit<UserInput, 'password'> => ({
  username: user.username,
  email: user.email,
  email_verified: user.emailVerified,
  name: user.name,
  claims: user.claims,
  enabled: user.enabled,
});

/** Tries of a change without a version against others that come first each time. */
const MAX_TRIES = 10;

/** Composes the store and the password hashing. */
export function createAccounts(store: UserStore, passwords: Passwords, policy = lengthPolicy): Accounts {
  const get = async (id: string): Promise<UserRecord> => {
    const user = await store.findById(id);
    if (!user) throw new PortcullisError('not_found', 404, 'There is no such user.');
    return user;
  };
  const hashed = (password: string | undefined): Promise<string> | undefined =>
    password === undefined ? undefined : passwords.hashPassword(password);
  const passwordChanged = (
    id: string,
    actor: 'user' | 'admin',
    by: Origin,
  ): EventOf<'user.password_changed'> => ({
    type: 'user.password_changed',
    ...originOf(by),
    userId: id,
    detail: { by: actor },
  });
  return {
    passwordPolicy: policy,
    async authenticate(username, password) {
      const found = await store.credentials({ username });
      const { ok, rehash } = await passwords.verifyPassword(found?.passwordHash, password);
      if (!found?.user.enabled || !ok) return { ok: false, userId: found?.user.id };
      if (rehash && found.passwordHash !== undefined) {
        await store.rehash(found.user.id, found.passwordHash, await passwords.hashPassword(password));
      }
      return { ok: true, user: found.user };
    },
    get,
    list: (filter, page) => store.list(filter, page),
    async create(document, by, proof) {
      const input = parseUser(document, policy);
      if (await store.findByUsername(input.username)) throw usernameTaken();
      const id = subjectId();
      const event = { type: 'user.created', ...originOf(by), userId: id, detail: {} } as const;
      return store.create({ id, ...documentOf(input) }, await hashed(input.password), event, proof);
    },
    async change(id, patch, by, version) {
      const passwordHash = await hashed(mergeUser(inputOf(await get(id)), patch, policy).password);
      for (let tries = 0; tries < MAX_TRIES; tries++) {
        const before = await get(id);
        if (version !== undefined && version !== before.version) throw versionMismatch();
        const after = documentOf(mergeUser(inputOf(before), patch, policy));
        const changes = { document: after, passwordHash };
        const events = eventsOf(before, after, by);
        if (passwordHash !== undefined) events.push(passwordChanged(id, 'admin', by));
        if (events.length === 0) return before;
        if (await store.update(id, changes, before.version, events)) return get(id);
      }
      throw versionMismatch();
    },
    async setEnabled(id, enabled, by, version) {
      const type = enabled ? 'user.enabled' : 'user.disabled';
      await store.setEnabled(id, enabled, { type, ...originOf(by), userId: id, detail: {} }, version);
      return get(id);
    },
    revoke: (id, by, version) =>
      store.revokeAll(id, { type: 'user.revoked', ...originOf(by), userId: id, detail: {} }, version),
    remove: (id, by, version) =>
      store.delete(id, { type: 'user.deleted', ...originOf(by), userId: id, detail: {} }, version),
    async setPassword(id, password, by, version) {
      requireGoodPassword(password, await get(id), policy);
      await store.setPassword(
        id,
        await passwords.hashPassword(password),
        { version },
        passwordChanged(id, 'admin', by),
      );
    },
    async changePassword(id, { current, next }, keepSessionUid, by) {
      const found = await store.credentials({ id });
      const { ok } = await passwords.verifyPassword(found?.passwordHash, current);
      if (!found?.user.enabled || !ok) return undefined;
      requireGoodPassword(next, found.user, policy);
      const keep = { keepSessionUid, generation: found.user.generation };
      return store.setPassword(id, await passwords.hashPassword(next), keep, passwordChanged(id, 'user', by));
    },
    async recoverPassword(id, next, proved, by) {
      const user = await store.findById(id);
      if (!user?.enabled) return false;
      requireGoodPassword(next, user, policy);
      const hash = await passwords.hashPassword(next);
      return unless(['user_changed', 'not_found', 'proof_used'], () =>
        store.setPassword(id, hash, proved, passwordChanged(id, 'user', by)),
      );
    },
  };
}

/** Whether `work` succeeds; false when it is refused for one of the reasons `codes`. */
async function unless(codes: readonly string[], work: () => Promise<unknown>): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (error) {
    if (error instanceof PortcullisError && codes.includes(error.code)) return false;
    throw error;
  }
}

/** What a change of the document means; empty when nothing changes. */
function eventsOf(before: UserRecord, after: UserDocument & { enabled: boolean }, by: Origin): AuditEvent[] {
  const subject = { ...originOf(by), userId: before.id };
  const names = {
    username: 'username',
    email: 'email',
    emailVerified: 'email_verified',
    name: 'name',
    claims: 'claims',
  };
  const changed = Object.entries(names)
    .filter(([key]) => {
      const member = key as keyof UserDocument;
      return JSON.stringify(before[member]) !== JSON.stringify(after[member]);
    })
    .map(([, name]) => name);
  const events: AuditEvent[] = [];
  if (changed.length > 0) events.push({ type: 'user.updated', ...subject, detail: { changed } });
  if (before.enabled !== after.enabled) {
    events.push({ type: after.enabled ? 'user.enabled' : 'user.disabled', ...subject, detail: {} });
  }
  return events;
}
