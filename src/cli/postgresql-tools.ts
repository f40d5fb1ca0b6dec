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
  // libpq takes `+` for itself, so a space has to be %20, which URLSearchParams does not write.
  url.search = harmless.map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join('&');
  return quoted(url.href);
}

/** A file's name as an argument; one that begins with `-` would be taken for an option. */
const named = (file: string): string => quoted(file.startsWith('-') ? `./${file}` : file);

/** Copies a database into `file`. */
export const dumpCommand = (databaseUrl: string, file: string): string =>
  `pg_dump --format=custom --no-owner --no-privileges --file=${named(file)} ${bare(databaseUrl)}`;

/**
 * `pg_restore --clean` drops only what the dump knows. A newer table would stay, and the next start could not make it.
 * The schema itself stays: before PostgreSQL 15 its owner is another, and what is granted on it would be lost.
 */
const EMPTY = `begin;
set client_min_messages = warning;
do $do$ declare t record; begin
  for t in select schemaname, tablename from pg_tables where schemaname = current_schema() loop
    execute format($sql$drop table %I.%I cascade$sql$, t.schemaname, t.tablename);
  end loop;
end $do$;`;

/** Ends the data of a table that was cut off, and then is no SQL: `psql` exits with 3, without a commit. */
const BROKEN = String.raw`'\n\\.\npg_restore failed;\n'`;

/**
 * Puts the copy in the place of every table in the schema, all of it or nothing: one transaction, which is committed
 * only if the whole dump could be read.
 */
export const restoreCommand = (databaseUrl: string, file: string): string =>
  `{ echo ${quoted(EMPTY)} && pg_restore --clean --if-exists --no-owner --no-privileges --file=- ${named(file)} && ` +
  `echo 'commit;' || printf ${BROKEN}; } | ` +
  `psql --no-psqlrc --quiet --output=/dev/null --set=ON_ERROR_STOP=1 --dbname=${bare(databaseUrl)}`;
