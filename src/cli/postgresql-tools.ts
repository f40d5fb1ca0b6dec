/** Commands of PostgreSQL's own tools, for a shell. They never hold a password. */

/** Parameters that libpq knows and that are no secret; Prisma's own would be refused by the tools. */
const PARAMETERS = new Set(
  'host port dbname user sslmode sslrootcert sslcert sslkey target_session_attrs connect_timeout options'.split(
    ' ',
  ),
);

const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

/** The database's URL as the tools may be given it. */
function bare(databaseUrl: string): string {
  const url = new URL(databaseUrl);
  url.password = '';
  const harmless = [...url.searchParams].filter(([name]) => PARAMETERS.has(name));
  url.search = new URLSearchParams(harmless).toString();
  return quoted(url.href);
}

/** Copies a database into `file`. */
export const dumpCommand = (databaseUrl: string, file: string): string =>
  `pg_dump --format=custom --no-owner --no-privileges --file=${quoted(file)} ${bare(databaseUrl)}`;

/** Puts the copy in the place of what is there, all of it or nothing. */
export const restoreCommand = (databaseUrl: string, file: string): string =>
  `pg_restore --clean --if-exists --no-owner --no-privileges --single-transaction --dbname=${bare(databaseUrl)} ${quoted(file)}`;
