/** Users, their password's hash and their generation. Ending what a user has is one transaction. */
import type { Clock } from '../lib/clock.ts';
import { PortcullisError } from '../lib/errors.ts';
import { randomId } from '../lib/ids.ts';
import type { AuditEvent } from '../telemetry/events.ts';
import type { ArtifactName, Artifacts } from './artifacts.ts';
import type { Changes, TypedChange } from './changes.ts';
import { isUniqueViolation, type Database } from './database.ts';
import type { Prisma, User as Row } from './generated/postgresql/client.ts';
import { oldestFirst, toPage, type Page, type PageRequest } from './pages.ts';
import type { SessionEnds } from './session-ends.ts';
import {
  toUserRecord as toRecord,
  usernameTaken,
  type PasswordConditions,
  type UserRecord,
} from './user-record.ts';
import { holdVersion } from './versions.ts';

/** What can be set about a user, besides password and being enabled. */
export type UserDocument = Pick<UserRecord, 'username' | 'email' | 'emailVerified' | 'name' | 'claims'>;

/** A user with what a password is checked against; undefined when the user has none. */
export interface Credentials {
  readonly user: UserRecord;
  readonly passwordHash: string | undefined;
}

/** Which users a list is of: those that have all of it. */
export interface UserFilter {
  /** In any case and form that can sign in. */
  readonly username?: string | undefined;
  /** As it is kept. */
  readonly email?: string | undefined;
}

/** Every mutation is one transaction with its audit row; one with a `version` is meant for that one: else 412. */
export interface UserStore {
  findById(id: string): Promise<UserRecord | undefined>;
  findByUsername(username: string): Promise<UserRecord | undefined>;
  /** Enabled users with this confirmed address, as it was typed or in lower case: a few at most. */
  findByEmail(email: string): Promise<UserRecord[]>;
  credentials(by: { readonly id: string } | { readonly username: string }): Promise<Credentials | undefined>;
  /** Oldest first. */
  list(filter: UserFilter, page: PageRequest): Promise<Page<UserRecord>>;
  /**
   * @param proof used up in the same transaction
   * @throws PortcullisError `username_taken` (409), `proof_used` (409) when `proof` is no longer good
   */
  create(
    user: UserDocument & { readonly id: string; readonly enabled?: boolean | undefined },
    passwordHash: string | undefined,
    event: AuditEvent,
    proof?: ArtifactName,
  ): Promise<UserRecord>;
  /**
   * Replaces the document, and the password if there is a new hash. A new password, and not being enabled, ends
   * everything that the user has. Atomic: false when the version is another by now, or the user is gone.
   * @throws PortcullisError `username_taken` (409)
   */
  update(
    id: string,
    change: {
      readonly document: UserDocument & { readonly enabled: boolean };
      readonly passwordHash?: string | undefined;
    },
    version: number,
    events: readonly AuditEvent[],
  ): Promise<boolean>;
  /**
   * Sets the password and ends everything that the user has, but for the session `keepSessionUid`. Atomic.
   * @param keep.version set it only while the user has this version
   * @param keep.generation set it only while the user is of this generation: the one whose password was checked
   * @param keep.email set it only while this is the user's confirmed address
   * @param keep.proof used up in the same transaction
   * @returns the new generation
   * @throws PortcullisError `not_found` (404), `user_changed` (409), `proof_used` (409) when `proof` is no longer good
   */
  setPassword(id: string, passwordHash: string, keep: PasswordConditions, event: AuditEvent): Promise<string>;
  /** Replaces the hash of an unchanged password; does nothing when the password has changed meanwhile. */
  rehash(id: string, oldHash: string, newHash: string): Promise<void>;
  /** Disabling ends everything that the user has. True when it changed anything; unknown: 404. */
  setEnabled(id: string, enabled: boolean, event: AuditEvent, version?: number): Promise<boolean>;
  /** Ends every session and grant. Unknown: 404. */
  revokeAll(id: string, event: AuditEvent, version?: number): Promise<void>;
  /** With sessions, consents and second factors. Idempotent; ids of the clients that are told of a logout. */
  delete(id: string, event: AuditEvent, version?: number): Promise<readonly string[]>;
}

/** Users that may share an address. */
const MAX_BY_EMAIL = 5;

/** The form of a username that is looked up: one for what looks the same, whatever its case. */
export const usernameKey = (username: string): string =>
  username.normalize('NFKC').trim().toLowerCase().normalize('NFKC');

const toRow = (user: UserDocument) => ({
  username: user.username,
  usernameKey: usernameKey(user.username),
  email: user.email ?? null,
  emailVerified: user.emailVerified,
  name: user.name ?? null,
  claims: JSON.stringify(user.claims),
});

const notFound = (): PortcullisError => new PortcullisError('not_found', 404, 'There is no such user.');

export function createUserStore(
  { prisma }: Database,
  clock: Clock,
  changes: Changes,
  sessionEnds: SessionEnds,
  artifacts: Pick<Artifacts, 'consumeIn'>,
): UserStore {
  const orTaken = async <T>(work: Promise<T>): Promise<T> => {
    try {
      return await work;
    } catch (error) {
      if (!isUniqueViolation(error)) throw error;
      throw usernameTaken();
    }
  };
  const row = async (by: { id: string } | { username: string }): Promise<Row | null> => {
    const where = 'id' in by ? { id: by.id } : { usernameKey: usernameKey(by.username) };
    // PostgreSQL refuses a text with NUL.
    return Object.values(where).some((value) => value.includes('\0'))
      ? null
      : prisma.user.findUnique({ where });
  };
  /** Changes a user's row and makes everything dead that carries the old generation. */
  const renew = async ({ tx }: TypedChange, where: Prisma.UserWhereInput, data: object) => {
    const generation = randomId();
    const { count } = await tx.user.updateMany({ where, data: { ...data, generation } });
    return count === 0 ? undefined : generation;
  };
  const hold = ({ tx }: TypedChange, id: string, version: number | undefined): Promise<void> =>
    holdVersion(version, (meant) =>
      tx.user.updateMany({ where: { id, version: meant }, data: { version: meant } }),
    );
  const useUp = async ({ tx }: TypedChange, proof: ArtifactName | undefined): Promise<void> => {
    if (proof && !(await artifacts.consumeIn(tx, proof)))
      throw new PortcullisError('proof_used', 409, 'This is no longer good.');
  };
  const newPassword = (passwordHash: string) => ({ passwordHash, passwordChangedAt: BigInt(clock.now()) });
  const touched = () => ({ updatedAt: BigInt(clock.now()), version: { increment: 1 } });
  return {
    async findById(id) {
      const found = await row({ id });
      return found ? toRecord(found) : undefined;
    },
    async findByUsername(username) {
      const found = await row({ username });
      return found ? toRecord(found) : undefined;
    },
    async findByEmail(email) {
      if (email.includes('\0')) return [];
      const rows = await prisma.user.findMany({
        where: {
          email: { in: [...new Set([email, email.toLowerCase()])] },
          emailVerified: true,
          enabled: true,
        },
        orderBy: { createdAt: 'asc' },
        take: MAX_BY_EMAIL,
      });
      return rows.map(toRecord);
    },
    async credentials(by) {
      const found = await row(by);
      return found ? { user: toRecord(found), passwordHash: found.passwordHash ?? undefined } : undefined;
    },
    async list({ username, email }, page) {
      const { where, ...rest } = oldestFirst(page);
      const rows = await prisma.user.findMany({
        ...rest,
        where: {
          ...where,
          ...(username !== undefined && { usernameKey: usernameKey(username) }),
          ...(email !== undefined && { email }),
        },
      });
      return toPage(rows.map(toRecord), page.limit, ({ createdAt, id }) => [createdAt, id]);
    },
    create: (user, passwordHash, event, proof) =>
      orTaken(
        changes.typed(async (change) => {
          await useUp(change, proof);
          const now = BigInt(clock.now());
          const created = await change.tx.user.create({
            data: {
              id: user.id,
              ...toRow(user),
              enabled: user.enabled ?? true,
              generation: randomId(),
              ...(passwordHash !== undefined && newPassword(passwordHash)),
              version: 1,
              createdAt: now,
              updatedAt: now,
            },
          });
          await change.record(event);
          return toRecord(created);
        }),
      ),
    update: (id, { document, passwordHash }, version, events) =>
      orTaken(
        changes.typed(async (change) => {
          const { enabled } = document;
          const data = {
            ...toRow(document),
            enabled,
            ...touched(),
            ...(passwordHash !== undefined && newPassword(passwordHash)),
          };
          const ends = !enabled || passwordHash !== undefined;
          const changed = ends
            ? (await renew(change, { id, version }, data)) !== undefined
            : (await change.tx.user.updateMany({ where: { id, version }, data })).count === 1;
          if (!changed) return false;
          if (ends) await sessionEnds.ofUser(change.tx, id);
          for (const event of events) await change.record(event);
          return true;
        }),
      ),
    setPassword: (
      id,
      passwordHash,
      { keepSessionUid = '', generation: expected, version, email, proof },
      event,
    ) =>
      changes.typed(async (change) => {
        await useUp(change, proof);
        await hold(change, id, version);
        const where = {
          id,
          ...(expected !== undefined && { generation: expected }),
          ...(email !== undefined && { email, emailVerified: true }),
        };
        const generation = await renew(change, where, newPassword(passwordHash));
        if (generation === undefined) {
          if ((await change.tx.user.count({ where: { id } })) === 0) throw notFound();
          throw new PortcullisError('user_changed', 409, 'The user was changed meanwhile, try again.');
        }
        await sessionEnds.ofUser(change.tx, id, keepSessionUid);
        await change.tx.session.updateMany({
          where: { userId: id, uid: keepSessionUid },
          data: { userGeneration: generation },
        });
        await change.record(event);
        return generation;
      }),
    async rehash(id, oldHash, newHash) {
      await prisma.user.updateMany({
        where: { id, passwordHash: oldHash },
        data: { passwordHash: newHash },
      });
    },
    setEnabled: (id, enabled, event, version) =>
      changes.typed(async (change) => {
        await hold(change, id, version);
        const where = { id, enabled: !enabled };
        const changed = enabled
          ? (await change.tx.user.updateMany({ where, data: { enabled, ...touched() } })).count === 1
          : (await renew(change, where, { enabled, ...touched() })) !== undefined;
        if (!changed) {
          if ((await change.tx.user.count({ where: { id } })) === 0) throw notFound();
          return false;
        }
        if (!enabled) await sessionEnds.ofUser(change.tx, id);
        await change.record(event);
        return true;
      }),
    revokeAll: (id, event, version) =>
      changes.typed(async (change) => {
        await hold(change, id, version);
        if ((await renew(change, { id }, {})) === undefined) throw notFound();
        await sessionEnds.ofUser(change.tx, id);
        await change.record(event);
      }),
    delete: (id, event, version) =>
      changes.typed(async (change) => {
        await hold(change, id, version);
        const { count } = await change.tx.user.deleteMany({ where: { id } });
        if (count === 0) return [];
        const told = await sessionEnds.ofUser(change.tx, id);
        await change.tx.consent.deleteMany({ where: { userId: id } });
        await change.tx.totpSecret.deleteMany({ where: { userId: id } });
        await change.tx.passkey.deleteMany({ where: { userId: id } });
        await change.tx.recoveryCode.deleteMany({ where: { userId: id } });
        await change.record(event);
        return told;
      }),
  };
}
