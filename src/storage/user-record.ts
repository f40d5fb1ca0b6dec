/** A user as the rest of the server sees it, and the columns that a joined query needs for one. */
import { PortcullisError } from '../lib/errors.ts';
import type { ArtifactName } from './artifacts.ts';
import type { User as Row } from './generated/postgresql/client.ts';

/** A user; instants are epoch milliseconds. */
export interface UserRecord {
  readonly id: string;
  readonly username: string;
  readonly email: string | undefined;
  readonly emailVerified: boolean;
  readonly name: string | undefined;
  /** Other standard claims of OIDC Core 5.1. */
  readonly claims: Readonly<Record<string, unknown>>;
  readonly enabled: boolean;
  /** Renewed when everything of the user is revoked. */
  readonly generation: string;
  readonly version: number;
  readonly createdAt: number;
  readonly updatedAt: number;
}

/** What `userColumns` selects. */
export interface UserColumns {
  readonly user_id: string | null;
  readonly user_username: string;
  readonly user_email: string | null;
  readonly user_email_verified: boolean | number;
  readonly user_name: string | null;
  readonly user_claims: string;
  readonly user_enabled: boolean | number;
  readonly user_generation: string;
  readonly user_version: number;
  readonly user_created_at: number;
  readonly user_updated_at: number;
}

const COLUMNS = [
  'id',
  'username',
  'email',
  'email_verified',
  'name',
  'claims',
  'enabled',
  'generation',
  'version',
  'created_at',
  'updated_at',
] as const;

/** SELECT list for the table alias `alias`. */
export const userColumns = (alias: string): string =>
  COLUMNS.map((column) => `${alias}.${column} AS user_${column}`).join(', ');

/** The user of a joined row; undefined when there was none. */
export function userFromColumns(row: UserColumns): UserRecord | undefined {
  if (row.user_id === null) return undefined;
  return {
    id: row.user_id,
    username: row.user_username,
    email: row.user_email ?? undefined,
    emailVerified: Boolean(row.user_email_verified),
    name: row.user_name ?? undefined,
    claims: JSON.parse(row.user_claims) as Record<string, unknown>,
    enabled: Boolean(row.user_enabled),
    generation: row.user_generation,
    version: row.user_version,
    createdAt: row.user_created_at,
    updatedAt: row.user_updated_at,
  };
}

/** A row as the typed API reads it. */
export const toUserRecord = (row: Row): UserRecord => ({
  id: row.id,
  username: row.username,
  email: row.email ?? undefined,
  emailVerified: row.emailVerified,
  name: row.name ?? undefined,
  claims: JSON.parse(row.claims) as Record<string, unknown>,
  enabled: row.enabled,
  generation: row.generation,
  version: row.version,
  createdAt: Number(row.createdAt),
  updatedAt: Number(row.updatedAt),
});

/** What a new password depends on, and the session that it leaves. */
export interface PasswordConditions {
  readonly keepSessionUid?: string | undefined;
  readonly generation?: string | undefined;
  readonly version?: number | undefined;
  readonly email?: string | undefined;
  readonly proof?: ArtifactName | undefined;
}

export const usernameTaken = (): PortcullisError =>
  new PortcullisError('username_taken', 409, 'A user with this username exists.', {
    errors: [{ pointer: '/username', detail: 'is taken' }],
  });
