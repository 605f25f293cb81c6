import { DuckDBTypeId } from '@duckdb/node-api';
import { type CellWriter, hugeAt } from '../encode/cells.ts';
import { type Column, isNull } from '../encode/column.ts';
import { jsonCell } from '../encode/json.ts';
import type { Sink } from '../encode/sink.ts';
import { bigint64, int16, int32, int64, putInt32 } from './bytes.ts';
import { checkDate, epochDays, epochMicros, splitMicros } from './datetime.ts';
import {
  bytesCell,
  decimalReader,
  elementRange,
  enumReader,
  microsCell,
  onlyChild,
  smallIntegerReader,
  timeReader,
  timetzReader,
  typeName,
  uuidBits,
  viewOf,
} from './encode-text.ts';
import { writeNumeric } from './numbers.ts';
import { oids, pgTypeOf } from './types.ts';

/** Writes a cell that is not NULL in PostgreSQL's binary format, as its send functions do. */
export function binaryCell(column: Column): CellWriter {
  const { type, data } = column;
  const { oid } = pgTypeOf(typeName(type));
  if (oid === oids.jsonb) {
    const write = jsonCell(column);
    return (row, out) => {
      // The version of jsonb's own form (jsonb_send).
      out.byte(1);
      write(row, out);
    };
  }
  switch (type.typeId) {
    case DuckDBTypeId.LIST:
    case DuckDBTypeId.ARRAY:
      return arrayCell(column);
    case DuckDBTypeId.VARCHAR:
    case DuckDBTypeId.BLOB:
      return bytesCell(column);
    case DuckDBTypeId.ENUM: {
      const read = enumReader(column, type.values);
      return (row, out) => out.utf8(read(row));
    }
    case DuckDBTypeId.UUID: {
      const view = viewOf(data);
      return (row, out) => {
        const bits = uuidBits(view, row);
        bigint64(out, bits >> 64n);
        bigint64(out, bits);
      };
    }
    case DuckDBTypeId.BIT:
      return (row, out) => writeBits(out, column.text(row));
    default:
      return numberCell(column, oid) ?? timeCell(column) ?? ((row, out) => out.utf8(column.text(row)));
  }
}

function writeBits(out: Sink, bits: string): void {
  int32(out, bits.length);
  for (let at = 0; at < bits.length; at += 8) out.byte(Number.parseInt(bits.slice(at, at + 8).padEnd(8, '0'), 2));
}

function numberCell(column: Column, oid: number): CellWriter | undefined {
  const { type, data } = column;
  const view = viewOf(data);
  switch (type.typeId) {
    case DuckDBTypeId.BOOLEAN:
      return (row, out) => out.byte(data[row] === 0 ? 0 : 1);
    case DuckDBTypeId.BIGINT:
      return (row, out) => int64(out, view.getInt32(row * 8 + 4, true), view.getInt32(row * 8, true));
    case DuckDBTypeId.FLOAT:
      return (row, out) => {
        out.reserve(4);
        out.length = out.bytes.writeFloatBE(view.getFloat32(row * 4, true), out.length);
      };
    case DuckDBTypeId.DOUBLE:
      // The same eight bytes, turned around.
      return (row, out) => int64(out, view.getInt32(row * 8 + 4, true), view.getInt32(row * 8, true));
    case DuckDBTypeId.DECIMAL: {
      const read = decimalReader(data, type.width);
      return (row, out) => writeNumeric(out, read(row), type.scale);
    }
    case DuckDBTypeId.HUGEINT:
      return (row, out) => writeNumeric(out, hugeAt(view, row), 0);
    case DuckDBTypeId.UHUGEINT:
      return (row, out) => writeNumeric(out, BigInt.asUintN(128, hugeAt(view, row)), 0);
    case DuckDBTypeId.UBIGINT:
      return (row, out) => writeNumeric(out, view.getBigUint64(row * 8, true), 0);
    case DuckDBTypeId.BIGNUM:
      return (row, out) => writeNumeric(out, BigInt(column.text(row)), 0);
    default: {
      const read = smallIntegerReader(column);
      if (read === undefined) return undefined;
      if (oid === oids.int2) return (row, out) => int16(out, read(row));
      if (oid === oids.int4) return (row, out) => int32(out, read(row));
      return (row, out) => int64(out, 0, read(row));
    }
  }
}

function timeCell(column: Column): CellWriter | undefined {
  const { type, data } = column;
  const view = viewOf(data);
  switch (type.typeId) {
    case DuckDBTypeId.DATE:
      return (row, out) => {
        const days = view.getInt32(row * 4, true);
        checkDate(days);
        int32(out, days - epochDays);
      };
    case DuckDBTypeId.TIMESTAMP:
    case DuckDBTypeId.TIMESTAMP_S:
    case DuckDBTypeId.TIMESTAMP_MS:
    case DuckDBTypeId.TIMESTAMP_NS:
    case DuckDBTypeId.TIMESTAMP_TZ:
      return microsCell(column, (out, low, high) => {
        splitMicros(low, high);
        writeMicros(out, low, high);
      });
    case DuckDBTypeId.TIME:
    case DuckDBTypeId.TIME_NS: {
      const read = timeReader(column);
      return (row, out) => bigint64(out, BigInt(read(row)));
    }
    case DuckDBTypeId.TIME_TZ: {
      const read = timetzReader(column);
      return (row, out) => {
        const { micros, offsetSeconds } = read(row);
        bigint64(out, BigInt(micros));
        // PostgreSQL counts zones in seconds west of UTC.
        int32(out, -offsetSeconds);
      };
    }
    case DuckDBTypeId.INTERVAL:
      return (row, out) => {
        bigint64(out, view.getBigInt64(row * 16 + 8, true));
        int32(out, view.getInt32(row * 16 + 4, true));
        int32(out, view.getInt32(row * 16, true));
      };
    default:
      return undefined;
  }
}

const epochHigh = Number(epochMicros >> 32n);
const epochLow = Number(epochMicros & 0xffffffffn);

/** Microseconds since 2000 from those since 1970, by halves: a subtraction with borrow. */
function writeMicros(out: Sink, low: number, high: number): void {
  const difference = low - epochLow;
  const borrow = difference < 0 ? 1 : 0;
  int64(out, high - epochHigh - borrow, difference + borrow * 0x1_0000_0000);
}

/** array_send: dimensions, whether a NULL is in, OID of the elements, length and lower bound, then the elements. */
function arrayCell(column: Column): CellWriter {
  const child = onlyChild(column);
  const write = binaryCell(child);
  const { oid } = pgTypeOf(typeName(child.type));
  const range = elementRange(column);
  return (row, out) => {
    const [from, to] = range(row);
    int32(out, to === from ? 0 : 1);
    const flagAt = out.length;
    int32(out, 0);
    int32(out, oid);
    if (to === from) return;
    int32(out, to - from);
    int32(out, 1);
    for (let index = from; index < to; index++) {
      if (!isNull(child, index)) writeSized(out, write, index);
      else {
        int32(out, -1);
        putInt32(out, flagAt, 1);
      }
    }
  };
}

/** A value behind its length. */
export function writeSized(out: Sink, write: CellWriter, row: number): void {
  const lengthAt = out.length;
  int32(out, 0);
  write(row, out);
  putInt32(out, lengthAt, out.length - lengthAt - 4);
}
