/** Tells apart what a database can answer with, whichever of the two it is and whoever asked it (raw SQL or Prisma). */
import { PortcullisError } from '../lib/errors.ts';

/** What the two drivers and Prisma's errors carry, as far as it matters here. */
interface Failure {
  readonly code?: unknown;
  readonly errcode?: unknown;
  readonly message?: unknown;
  readonly name?: unknown;
  readonly meta?: { readonly driverAdapterError?: { readonly cause?: DriverFailure } };
  readonly cause?: unknown;
}
interface DriverFailure {
  readonly kind?: string;
  readonly code?: string;
  readonly extendedCode?: number;
}

const UNIQUE = new Set<unknown>([
  'P2002', // Prisma
  '23505', // PostgreSQL: unique_violation
  2067, // SQLITE_CONSTRAINT_UNIQUE
  1555, // SQLITE_CONSTRAINT_PRIMARYKEY
]);

/** Unreachable, timed out, closed, too many connections, no free connection, no transaction in time, write conflict. */
const PRISMA_UNAVAILABLE = /^(P1000|P1001|P1002|P1008|P1010|P1011|P1017|P2024|P2028|P2034|P2037)$/;

/**
 * SQLSTATE: connection (08), authorization (28), resources (53), shutdown (57P) and statement timeout (57014),
 * database gone (3D), a standby (25006), an ended idle transaction (25P03), conflict or deadlock (40), lock timeout (55P03).
 */
const SQLSTATE_UNAVAILABLE = /^(08...|28...|53...|57P..|57014|3D000|25006|25P03|40001|40P01|55P03)$/;

/** The operating system's names for a broken connection, and OpenSSL's for a certificate that does not hold. */
const SYSTEM = /^(E(?!RR_)[A-Z_]+|.*CERT.*|HOSTNAME_MISMATCH)$/;

/** SQLite's primary result codes: busy, locked, out of memory, I/O error, disk full, cannot open. */
const SQLITE_UNAVAILABLE = new Set([5, 6, 7, 10, 13, 14]);

/** What pg says without a code, and our writer when it is closed. */
const DRIVER_MESSAGE =
  /^(Connection terminated|timeout exceeded when trying to connect|Client has encountered a connection error|Cannot use a pool after calling end|database is closed|Client was closed|Query read timeout)/i;

const asFailure = (error: unknown): Failure => (typeof error === 'object' && error !== null ? error : {});

function codeUnavailable(code: unknown): boolean {
  if (typeof code === 'number') return SQLITE_UNAVAILABLE.has(code & 0xff);
  return (
    typeof code === 'string' &&
    (SQLSTATE_UNAVAILABLE.test(code) || PRISMA_UNAVAILABLE.test(code) || SYSTEM.test(code))
  );
}

/** Whether a row with the same unique value was there already; for raw SQL and for Prisma. */
export function isUniqueViolation(error: unknown): boolean {
  const failure = asFailure(error);
  const driver = failure.meta?.driverAdapterError?.cause;
  return (
    UNIQUE.has(failure.code) || UNIQUE.has(failure.errcode) || driver?.kind === 'UniqueConstraintViolation'
  );
}

/** Whether the database could not be asked, or did not answer: worth another try later; for raw SQL and for Prisma. */
export function isUnavailable(error: unknown): boolean {
  if (error instanceof PortcullisError) return error.code === 'database_unavailable';
  const failure = asFailure(error);
  const driver = failure.meta?.driverAdapterError?.cause;
  return (
    codeUnavailable(failure.code) ||
    codeUnavailable(failure.errcode) ||
    codeUnavailable(driver?.code) ||
    codeUnavailable(driver?.extendedCode) ||
    failure.name === 'PrismaClientInitializationError' ||
    (typeof failure.message === 'string' && DRIVER_MESSAGE.test(failure.message))
  );
}

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
