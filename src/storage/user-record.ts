/** A user as the rest of the server sees it, and the columns that a joined query needs for one. */

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
