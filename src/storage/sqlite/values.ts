/** Values between Prisma and SQLite: declared column types, arguments, errors. */
import type { SQLInputValue } from 'node:sqlite';
import {
  ColumnTypeEnum,
  DriverAdapterError,
  type ArgType,
  type ColumnType,
  type MappedError,
} from '@prisma/driver-adapter-utils';
import { bindable } from './connection.ts';

/** The types that Prisma's migrations declare on SQLite. */
const DECLARED: Readonly<Record<string, ColumnType>> = {
  TEXT: ColumnTypeEnum.Text,
  INTEGER: ColumnTypeEnum.Int32,
  BIGINT: ColumnTypeEnum.Int64,
  BOOLEAN: ColumnTypeEnum.Boolean,
  BLOB: ColumnTypeEnum.Bytes,
  DATETIME: ColumnTypeEnum.DateTime,
  REAL: ColumnTypeEnum.Double,
};

function typeOfValue(value: unknown): ColumnType {
  switch (typeof value) {
    case 'bigint':
      return ColumnTypeEnum.Int64;
    case 'number':
      return ColumnTypeEnum.Double;
    case 'string':
      return ColumnTypeEnum.Text;
    default:
      return value instanceof Uint8Array ? ColumnTypeEnum.Bytes : ColumnTypeEnum.Int32;
  }
}

/** Each column's type: as declared, or for an expression as its first value that is not null. */
export const columnTypes = (declared: readonly string[], rows: readonly unknown[][]): ColumnType[] =>
  declared.map((type, i) => DECLARED[type] ?? typeOfValue(rows.find((row) => row[i] !== null)?.[i] ?? null));

/** What Prisma takes for a value that SQLite returned. An integer beyond 2^53 stays exact, as a string. */
export function toPrisma(value: unknown, type: ColumnType | undefined): unknown {
  if (type === ColumnTypeEnum.DateTime && (typeof value === 'bigint' || typeof value === 'number')) {
    return new Date(Number(value)).toISOString();
  }
  if (typeof value !== 'bigint') return value;
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value.toString();
}

/** What SQLite takes for an argument of Prisma's. Instants become integer milliseconds. */
export function toSqlite(value: unknown, type: ArgType | undefined): SQLInputValue {
  if (value === null || value === undefined) return null;
  if (value instanceof Date) return BigInt(value.getTime());
  if (typeof value === 'string') {
    switch (type?.scalarType) {
      case 'int':
      case 'bigint':
        return BigInt(value);
      case 'float':
      case 'decimal':
        return Number(value);
      case 'boolean':
        return value === 'true' ? 1n : 0n;
      case 'datetime':
        return BigInt(new Date(value).getTime());
      case 'bytes':
        return Buffer.from(value, 'base64');
      default:
        return value;
    }
  }
  if (typeof value === 'number' && type?.scalarType === 'float') return value;
  if (
    typeof value === 'number' ||
    typeof value === 'bigint' ||
    typeof value === 'boolean' ||
    value instanceof Uint8Array
  ) {
    return bindable(value);
  }
  throw new TypeError(`cannot store a value of type ${typeof value}`);
}

/** "UNIQUE constraint failed: users.username_key" → table and columns. */
function constraintOf(message: string): { fields: string[]; table?: string } {
  const names = (message.split(': ')[1] ?? '').split(', ');
  const table = names[0]?.includes('.') ? names[0].split('.')[0] : undefined;
  const fields = names.map((name) => name.slice(name.indexOf('.') + 1));
  return table === undefined ? { fields } : { fields, table };
}

function mapError(code: number, message: string): MappedError {
  const { fields, table } = constraintOf(message);
  switch (code) {
    case 2067: // SQLITE_CONSTRAINT_UNIQUE
    case 1555: // SQLITE_CONSTRAINT_PRIMARYKEY
      return { kind: 'UniqueConstraintViolation', constraint: { fields }, ...(table && { table }) };
    case 1299: // SQLITE_CONSTRAINT_NOTNULL
      return { kind: 'NullConstraintViolation', constraint: { fields } };
    case 787: // SQLITE_CONSTRAINT_FOREIGNKEY
    case 1811: // SQLITE_CONSTRAINT_TRIGGER
      return { kind: 'ForeignKeyConstraintViolation', constraint: { foreignKey: {} } };
    default:
      break;
  }
  if ((code & 0xff) === 5) return { kind: 'SocketTimeout' }; // SQLITE_BUSY
  if ((code & 0xff) === 14) return { kind: 'DatabaseNotReachable' }; // SQLITE_CANTOPEN
  if (message.startsWith('no such table')) {
    return { kind: 'TableDoesNotExist', table: message.split(': ')[1] ?? '' };
  }
  if (message.startsWith('no such column')) {
    return { kind: 'ColumnNotFound', column: message.split(': ')[1] ?? '' };
  }
  return { kind: 'sqlite', extendedCode: code, message };
}

/** Prisma's error for one of SQLite's; any other error stays what it is. */
export function toDriverError(error: unknown): unknown {
  const { errcode, message } = error as { errcode?: unknown; message?: unknown };
  if (typeof errcode !== 'number' || typeof message !== 'string') return error;
  return new DriverAdapterError({
    originalCode: String(errcode),
    originalMessage: message,
    ...mapError(errcode, message),
  });
}
