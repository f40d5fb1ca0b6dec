/** Tells apart what a database can answer with, whichever of the two it is and whoever asked it (raw SQL or Prisma). */
import { PortcullisError, StartError } from '../lib/errors.ts';

/** What errors of pg, `node:sqlite`, Prisma and its adapters carry, as far as it matters here. */
interface Failure {
  readonly name?: unknown;
  readonly code?: unknown;
  readonly errcode?: unknown;
  readonly message?: unknown;
  readonly meta?: { readonly driverAdapterError?: { readonly cause?: DriverFailure } };
  readonly cause?: unknown;
}
interface DriverFailure {
  readonly kind?: string;
  readonly code?: string;
  readonly extendedCode?: number;
}

/** unique_violation; SQLITE_CONSTRAINT_UNIQUE; SQLITE_CONSTRAINT_PRIMARYKEY. */
const UNIQUE = new Set<unknown>(['23505', 2067, 1555]);

/**
 * SQLSTATE: connection (08), authorization (28), resources (53), shutdown (57P) and statement timeout (57014),
 * database gone (3D), a standby (25006), an ended idle transaction (25P03), conflict or deadlock (40), lock timeout (55P03).
 */
const SQLSTATE = /^(08...|28...|53...|57P..|57014|3D000|25006|25P03|40001|40P01|55P03)$/;

/** The operating system's names for a broken connection, and OpenSSL's for a certificate that does not hold. */
const SYSTEM = /^(E(?!RR_)[A-Z_]+|.*CERT.*|HOSTNAME_MISMATCH)$/;

/** Prisma: no transaction in time, or one that was ended by its timeout. */
const PRISMA = 'P2028';

/** SQLite's primary result codes: busy, locked, out of memory, I/O error, disk full, cannot open. */
const SQLITE = new Set([5, 6, 7, 10, 13, 14]);

/** What Prisma's adapters make of these. */
const KINDS = new Set<unknown>([
  'AuthenticationFailed',
  'ConnectionClosed',
  'DatabaseAccessDenied',
  'DatabaseDoesNotExist',
  'DatabaseNotReachable',
  'SocketTimeout',
  'TlsConnectionError',
  'TooManyConnections',
  'TransactionWriteConflict',
]);

/** What pg says without a code, and our writer when it is closed. */
const MESSAGE =
  /^(Connection terminated|timeout exceeded when trying to connect|Client has encountered a connection error|Cannot use a pool after calling end|database is closed|Client was closed|Query read timeout)/;

const asFailure = (error: unknown): Failure => (typeof error === 'object' && error !== null ? error : {});

/** What the adapter told Prisma; a failing COMMIT comes from Prisma as the adapter's bare error. */
function driverFailure({ name, meta, cause }: Failure): DriverFailure {
  if (name === 'DriverAdapterError') return asFailure(cause) as DriverFailure;
  return meta?.driverAdapterError?.cause ?? {};
}

function codeUnavailable(code: unknown): boolean {
  if (typeof code === 'number') return SQLITE.has(code & 0xff);
  return typeof code === 'string' && (SQLSTATE.test(code) || SYSTEM.test(code) || code === PRISMA);
}

/** Whether a row with the same unique value was there already; for raw SQL and for Prisma. */
export function isUniqueViolation(error: unknown): boolean {
  const failure = asFailure(error);
  return (
    UNIQUE.has(failure.code) ||
    UNIQUE.has(failure.errcode) ||
    driverFailure(failure).kind === 'UniqueConstraintViolation'
  );
}

/** Whether the database could not be asked, or did not answer: worth another try later; for raw SQL and for Prisma. */
export function isUnavailable(error: unknown): boolean {
  if (error instanceof PortcullisError) return error.code === 'database_unavailable';
  const failure = asFailure(error);
  const driver = driverFailure(failure);
  return (
    KINDS.has(driver.kind) ||
    [failure.code, failure.errcode, driver.code, driver.extendedCode].some(codeUnavailable) ||
    (typeof failure.message === 'string' && MESSAGE.test(failure.message))
  );
}

/** SQLite: a page is malformed (11), or the file is no database (26). */
const DAMAGED = new Set([11, 26]);

/** Whether a SQLite file is damaged; for raw SQL and for Prisma. */
export function isDamaged(error: unknown): boolean {
  const failure = asFailure(error);
  const { extendedCode, code } = driverFailure(failure);
  return [failure.errcode, failure.code, extendedCode, Number(code)].some(
    (each) => typeof each === 'number' && DAMAGED.has(each & 0xff),
  );
}

/** What to say of a damaged file, in one line. */
export const damaged = (cause: unknown): StartError =>
  new StartError(
    'the database file is damaged: put a backup back (portcullis restore), once it is copied aside',
    { cause },
  );

/** What a caller of raw SQL gets for `error`: `database_unavailable` when that is what it is, else the error itself. */
export function translate(error: unknown): unknown {
  if (!isUnavailable(error) || error instanceof PortcullisError) return error;
  return new PortcullisError('database_unavailable', 503, 'The database is not available, try again later.', {
    retryAfter: 1,
    reason: reasonOf(error),
    cause: error,
  });
}

function reasonOf(error: unknown): string {
  const { code, errcode, message } = asFailure(error);
  return [code ?? errcode, message]
    .filter((part) => typeof part === 'string' || typeof part === 'number')
    .join(' ');
}
