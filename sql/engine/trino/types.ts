import {
  BIGINT,
  BLOB,
  BOOLEAN,
  DATE,
  DECIMAL,
  DOUBLE,
  DuckDBBlobValue,
  DuckDBDateValue,
  DuckDBDecimalValue,
  DuckDBIntervalValue,
  DuckDBListValue,
  DuckDBMapValue,
  DuckDBStructValue,
  DuckDBTimestampNanosecondsValue,
  DuckDBTimestampTZValue,
  DuckDBTimestampValue,
  DuckDBTimeValue,
  DuckDBUUIDValue,
  FLOAT,
  INTEGER,
  INTERVAL,
  LIST,
  MAP,
  SMALLINT,
  STRUCT,
  TIME,
  TIMESTAMP,
  TIMESTAMP_NS,
  TIMESTAMPTZ,
  TINYINT,
  UUID,
  VARCHAR,
} from '@duckdb/node-api';
import type { DuckDBType, DuckDBValue } from '@duckdb/node-api';
import { WatershedError } from '#core/errors.ts';
import type { TypeSignature } from './client.ts';
import { daysOf, intervalMicros, intervalMonths, nanosOf, timeMicros, zonedMicros } from './instants.ts';

/**
 * A Trino type as DuckDB knows it, and how a cell of the protocol's JSON becomes a value of it. Through DuckDB's chunks
 * all encoders serve both engines, and both give the same bytes for the same values.
 */
export interface CellType {
  readonly type: DuckDBType;
  readonly value: (cell: unknown) => DuckDBValue;
}

type Scalar = (cell: string | number | bigint | boolean) => DuckDBValue;

const text: Scalar = (cell) => String(cell);
const integer: Scalar = (cell) => Number(cell);
const double: Scalar = (cell) => Number(cell); // 'NaN', 'Infinity' and '-Infinity' come as text

const scalars: Readonly<Record<string, readonly [DuckDBType, Scalar]>> = {
  boolean: [BOOLEAN, (cell) => cell === true],
  tinyint: [TINYINT, integer],
  smallint: [SMALLINT, integer],
  integer: [INTEGER, integer],
  bigint: [BIGINT, (cell) => BigInt(cell)],
  real: [FLOAT, double],
  double: [DOUBLE, double],
  varbinary: [BLOB, (cell) => new DuckDBBlobValue(Buffer.from(String(cell), 'base64'))],
  date: [DATE, (cell) => new DuckDBDateValue(daysOf(String(cell)))],
  time: [TIME, (cell) => new DuckDBTimeValue(timeMicros(String(cell)))],
  'timestamp with time zone': [TIMESTAMPTZ, (cell) => new DuckDBTimestampTZValue(zonedMicros(String(cell)))],
  'interval day to second': [INTERVAL, (cell) => new DuckDBIntervalValue(0, 0, intervalMicros(String(cell)))],
  'interval year to month': [INTERVAL, (cell) => new DuckDBIntervalValue(intervalMonths(String(cell)), 0, 0n)],
  uuid: [UUID, (cell) => DuckDBUUIDValue.fromUint128(BigInt(`0x${String(cell).replaceAll('-', '')}`))],
};

export function cellTypeOf(signature: TypeSignature): CellType {
  const name = signature.rawType;
  switch (name) {
    case 'timestamp':
      return timestampType(numberArgument(signature, 0, 3));
    case 'decimal':
      return decimalType(numberArgument(signature, 0, 38), numberArgument(signature, 1, 0));
    case 'array':
      return arrayType(cellTypeOf(typeArgument(signature, 0)));
    case 'map':
      return mapType(cellTypeOf(typeArgument(signature, 0)), cellTypeOf(typeArgument(signature, 1)));
    case 'row':
      return rowType(signature);
    default: {
      // What DuckDB has no name for (ipaddress, time with time zone, sketches, json, char) is text as Trino writes it.
      const [type, convert] = scalars[name] ?? [VARCHAR, text];
      return scalarType(type, convert);
    }
  }
}

function scalarType(type: DuckDBType, convert: Scalar): CellType {
  return {
    type,
    value(cell) {
      if (cell === null || cell === undefined) return null;
      if (typeof cell === 'object') return JSON.stringify(cell);
      if (typeof cell === 'string' || typeof cell === 'number' || typeof cell === 'bigint' || typeof cell === 'boolean')
        return convert(cell);
      throw broken('a cell');
    },
  };
}

// Up to microseconds DuckDB's usual timestamp, beyond that nanoseconds; Trino goes to picoseconds.
function timestampType(precision: number): CellType {
  return precision <= 6
    ? scalarType(TIMESTAMP, (cell) => new DuckDBTimestampValue(nanosOf(String(cell)) / 1000n))
    : scalarType(TIMESTAMP_NS, (cell) => new DuckDBTimestampNanosecondsValue(nanosOf(String(cell))));
}

function decimalType(width: number, scale: number): CellType {
  return scalarType(DECIMAL(width, scale), (cell) => {
    const [whole = '0', fraction = ''] = String(cell).split('.');
    return new DuckDBDecimalValue(BigInt(`${whole}${fraction.padEnd(scale, '0')}`), width, scale);
  });
}

function arrayType(element: CellType): CellType {
  return {
    type: LIST(element.type),
    value: (cell) => (isNone(cell) ? null : new DuckDBListValue(arrayOf(cell).map(element.value))),
  };
}

/** Maps are JSON objects on the wire, so that every key is text. */
function mapType(key: CellType, value: CellType): CellType {
  return {
    type: MAP(key.type, value.type),
    value: (cell) =>
      isNone(cell)
        ? null
        : new DuckDBMapValue(
            Object.entries(cell).map(([name, member]) => ({ key: key.value(name), value: value.value(member) })),
          ),
  };
}

/** Rows are arrays in the order of their fields on the wire; a field without a name is called field0. */
function rowType(signature: TypeSignature): CellType {
  const fields = signature.arguments.map((argument, index) => {
    if (argument.kind !== 'NAMED_TYPE') throw broken('a row type');
    return [argument.value.fieldName?.name ?? `field${index}`, cellTypeOf(argument.value.typeSignature)] as const;
  });
  return {
    type: STRUCT(Object.fromEntries(fields.map(([name, field]) => [name, field.type]))),
    value(cell) {
      if (isNone(cell)) return null;
      const members = arrayOf(cell);
      return new DuckDBStructValue(
        Object.fromEntries(fields.map(([name, field], index) => [name, field.value(members[index])])),
      );
    },
  };
}

function isNone(cell: unknown): cell is null | undefined | string | number | boolean {
  return typeof cell !== 'object' || cell === null;
}

function arrayOf(cell: unknown): unknown[] {
  if (!Array.isArray(cell)) throw broken('an array');
  return cell;
}

function typeArgument(signature: TypeSignature, index: number): TypeSignature {
  const argument = signature.arguments[index];
  if (argument?.kind !== 'TYPE') throw broken(`the type ${signature.rawType}`);
  return argument.value;
}

function numberArgument(signature: TypeSignature, index: number, fallback: number): number {
  const argument = signature.arguments[index];
  return argument?.kind === 'LONG' ? Number(argument.value) : fallback;
}

function broken(what: string): WatershedError {
  return new WatershedError('unsupported', `Trino sent ${what} in a shape that we do not know`);
}
