import { DuckDBTypeId, type DuckDBType } from '@duckdb/node-api';
import { type CellWriter, hugeAt } from '../encode/cells.ts';
import { type Column, decimalBytes, enumBytes, isNull } from '../encode/column.ts';
import { writeDecimal, writeInt64, writeInteger } from '../encode/digits.ts';
import { jsonCell } from '../encode/json.ts';
import { Sink } from '../encode/sink.ts';
import { checkDate, intervalText, splitMicros, writeDate, writeOffset, writeTime, writeTimestamp } from './datetime.ts';
import { float4Text, float8Text } from './numbers.ts';
import { oids, pgTypeOf } from './types.ts';

/**
 * Writes a cell that is not NULL in PostgreSQL's text format, as its own output functions do (dates in ISO, times in
 * UTC).
 */
export function textCell(column: Column): CellWriter {
  const { type, data } = column;
  if (pgTypeOf(typeName(type)).oid === oids.jsonb) return jsonCell(column);
  switch (type.typeId) {
    case DuckDBTypeId.LIST:
    case DuckDBTypeId.ARRAY:
      return arrayCell(column);
    case DuckDBTypeId.VARCHAR:
      return bytesCell(column);
    case DuckDBTypeId.BLOB: {
      const hex = new Sink(256);
      const write = bytesCell(column);
      return (row, out) => {
        hex.length = 0;
        write(row, hex);
        out.ascii('\\x');
        out.ascii(hex.bytes.toString('hex', 0, hex.length));
      };
    }
    case DuckDBTypeId.ENUM: {
      const read = enumReader(column, type.values);
      return (row, out) => out.utf8(read(row));
    }
    case DuckDBTypeId.UUID: {
      const view = viewOf(data);
      return (row, out) => {
        const hex = uuidBits(view, row).toString(16).padStart(32, '0');
        out.ascii([hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-'));
      };
    }
    default:
      return numberCell(column) ?? timeCell(column) ?? ((row, out) => out.utf8(column.text(row)));
  }
}

/** The engine's name of a type, aliases such as JSON included. */
export function typeName(type: DuckDBType): string {
  if (type.alias !== undefined) return type.alias;
  const isList = type.typeId === DuckDBTypeId.LIST || type.typeId === DuckDBTypeId.ARRAY;
  return isList && type.valueType.alias !== undefined ? `${type.valueType.alias}[]` : type.toString();
}

export function viewOf(data: Uint8Array): DataView {
  return new DataView(data.buffer, data.byteOffset, data.byteLength);
}

/** The bytes of VARCHAR and BLOB as they are. */
export function bytesCell(column: Column): CellWriter {
  const { blocks, block, start, length } = column.strings();
  return (row, out) => {
    const source = blocks[block[row] ?? 0];
    const from = start[row] ?? 0;
    if (source !== undefined) out.copy(source, from, from + (length[row] ?? 0));
  };
}

export function enumReader(column: Column, values: readonly string[]): (row: number) => string {
  const view = viewOf(column.data);
  const width = enumBytes(values.length);
  return (row) =>
    values[
      width === 1 ? view.getUint8(row) : width === 2 ? view.getUint16(row * 2, true) : view.getUint32(row * 4, true)
    ] ?? '';
}

/** UUIDs lie as 128-bit numbers whose highest bit is turned, so that they sort. */
export function uuidBits(view: DataView, row: number): bigint {
  return BigInt.asUintN(128, hugeAt(view, row)) ^ (1n << 127n);
}

/** A decimal's digits as one whole number; its storage is as wide as its precision asks. */
export function decimalReader(data: Uint8Array, width: number): (row: number) => bigint {
  const view = viewOf(data);
  switch (decimalBytes(width)) {
    case 2:
      return (row) => BigInt(view.getInt16(row * 2, true));
    case 4:
      return (row) => BigInt(view.getInt32(row * 4, true));
    case 8:
      return (row) => view.getBigInt64(row * 8, true);
    case 16:
      return (row) => hugeAt(view, row);
  }
}

/** Integers of up to 32 bits as numbers. */
export function smallIntegerReader({ data, type }: Column): ((row: number) => number) | undefined {
  const view = viewOf(data);
  switch (type.typeId) {
    case DuckDBTypeId.TINYINT:
      return (row) => view.getInt8(row);
    case DuckDBTypeId.UTINYINT:
      return (row) => view.getUint8(row);
    case DuckDBTypeId.SMALLINT:
      return (row) => view.getInt16(row * 2, true);
    case DuckDBTypeId.USMALLINT:
      return (row) => view.getUint16(row * 2, true);
    case DuckDBTypeId.INTEGER:
      return (row) => view.getInt32(row * 4, true);
    case DuckDBTypeId.UINTEGER:
      return (row) => view.getUint32(row * 4, true);
    default:
      return undefined;
  }
}

/** Instants of every unit as microseconds since 1970, in two halves; calls back so that no object is made per cell. */
export function microsCell({ data, type }: Column, write: (out: Sink, low: number, high: number) => void): CellWriter {
  const view = viewOf(data);
  const plain: CellWriter = (row, out) => write(out, view.getUint32(row * 8, true), view.getInt32(row * 8 + 4, true));
  const change = units.get(type.typeId);
  if (change === undefined) return plain;
  return (row, out) => {
    const value = view.getBigInt64(row * 8, true);
    if (value === infinity || value === -infinity) return plain(row, out);
    const micros = change(value);
    write(out, Number(micros & 0xffffffffn), Number(BigInt.asIntN(32, micros >> 32n)));
  };
}

const infinity = 9_223_372_036_854_775_807n;
const units: ReadonlyMap<DuckDBTypeId, (value: bigint) => bigint> = new Map([
  [DuckDBTypeId.TIMESTAMP_S, (value: bigint) => value * 1_000_000n],
  [DuckDBTypeId.TIMESTAMP_MS, (value: bigint) => value * 1000n],
  // Rounds towards the past, for instants before 1970 too.
  [DuckDBTypeId.TIMESTAMP_NS, (value: bigint) => (value - (((value % 1000n) + 1000n) % 1000n)) / 1000n],
]);

/** Microseconds of the day of TIME and TIME_NS. */
export function timeReader({ data, type }: Column): (row: number) => number {
  const view = viewOf(data);
  const unit = type.typeId === DuckDBTypeId.TIME_NS ? 1000 : 1;
  return (row) => Math.floor(Number(view.getBigInt64(row * 8, true)) / unit);
}

/** TIME WITH TIME ZONE packs microseconds above 24 bits of (57,599 minus the offset in seconds east). */
export function timetzReader({ data }: Column): (row: number) => { micros: number; offsetSeconds: number } {
  const view = viewOf(data);
  return (row) => {
    const bits = view.getBigUint64(row * 8, true);
    return { micros: Number(bits >> 24n), offsetSeconds: 57_599 - Number(bits & 0xffffffn) };
  };
}

/** Where the elements of a list lie in its child column. */
export function elementRange({ data, type }: Column): (row: number) => readonly [from: number, to: number] {
  if (type.typeId === DuckDBTypeId.ARRAY) return (row) => [row * type.length, (row + 1) * type.length];
  const view = viewOf(data);
  return (row) => {
    const from = Number(view.getBigUint64(row * 16, true));
    return [from, from + Number(view.getBigUint64(row * 16 + 8, true))];
  };
}

function numberCell(column: Column): CellWriter | undefined {
  const { type, data } = column;
  const view = viewOf(data);
  switch (type.typeId) {
    case DuckDBTypeId.BOOLEAN:
      return (row, out) => out.byte(data[row] === 0 ? 0x66 : 0x74);
    case DuckDBTypeId.BIGINT:
      return (row, out) => writeInt64(out, view.getUint32(row * 8, true), view.getInt32(row * 8 + 4, true));
    case DuckDBTypeId.UBIGINT:
      return (row, out) => out.ascii(String(view.getBigUint64(row * 8, true)));
    case DuckDBTypeId.HUGEINT:
      return (row, out) => out.ascii(String(hugeAt(view, row)));
    case DuckDBTypeId.UHUGEINT:
      return (row, out) => out.ascii(String(BigInt.asUintN(128, hugeAt(view, row))));
    case DuckDBTypeId.FLOAT:
      return (row, out) => out.ascii(float4Text(view.getFloat32(row * 4, true)));
    case DuckDBTypeId.DOUBLE:
      return (row, out) => out.ascii(float8Text(view.getFloat64(row * 8, true)));
    case DuckDBTypeId.DECIMAL: {
      const read = decimalReader(data, type.width);
      return (row, out) => writeDecimal(out, read(row), type.scale);
    }
    default: {
      const read = smallIntegerReader(column);
      return read && ((row, out) => writeInteger(out, read(row)));
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
        writeDate(out, days);
      };
    case DuckDBTypeId.TIMESTAMP:
    case DuckDBTypeId.TIMESTAMP_S:
    case DuckDBTypeId.TIMESTAMP_MS:
    case DuckDBTypeId.TIMESTAMP_NS:
    case DuckDBTypeId.TIMESTAMP_TZ: {
      const withZone = type.typeId === DuckDBTypeId.TIMESTAMP_TZ;
      return microsCell(column, (out, low, high) => {
        const { days, rest } = splitMicros(low, high);
        writeTimestamp(out, days, rest, withZone);
      });
    }
    case DuckDBTypeId.TIME:
    case DuckDBTypeId.TIME_NS: {
      const read = timeReader(column);
      return (row, out) => writeTime(out, read(row));
    }
    case DuckDBTypeId.TIME_TZ: {
      const read = timetzReader(column);
      return (row, out) => {
        const { micros, offsetSeconds } = read(row);
        writeTime(out, micros);
        writeOffset(out, offsetSeconds);
      };
    }
    case DuckDBTypeId.INTERVAL:
      return (row, out) =>
        out.ascii(
          intervalText(
            view.getInt32(row * 16, true),
            view.getInt32(row * 16 + 4, true),
            view.getBigInt64(row * 16 + 8, true),
          ),
        );
    default:
      return undefined;
  }
}

/** `{1,NULL,"a b"}`: elements are quoted where array_out would quote them. */
function arrayCell(column: Column): CellWriter {
  const child = onlyChild(column);
  const write = textCell(child);
  const range = elementRange(column);
  const element = new Sink(256);
  return (row, out) => {
    const [from, to] = range(row);
    out.byte(0x7b);
    for (let index = from; index < to; index++) {
      if (index > from) out.byte(0x2c);
      if (isNull(child, index)) {
        out.ascii('NULL');
        continue;
      }
      element.length = 0;
      write(index, element);
      writeElement(out, element.bytes, element.length);
    }
    out.byte(0x7d);
  };
}

export function onlyChild(column: Column): Column {
  const [child] = column.children;
  if (child === undefined) throw new TypeError(`${column.type.toString()} has no elements`);
  return child;
}

function writeElement(out: Sink, bytes: Uint8Array, length: number): void {
  if (!needsQuotes(bytes, length)) return out.copy(bytes, 0, length);
  out.byte(0x22);
  for (let index = 0; index < length; index++) {
    const byte = bytes[index] ?? 0;
    if (byte === 0x22 || byte === 0x5c) out.byte(0x5c);
    out.byte(byte);
  }
  out.byte(0x22);
}

// Quotes, backslash, braces, comma, white space; the empty text; the word NULL in any case.
const special = new Set([0x22, 0x5c, 0x7b, 0x7d, 0x2c, 0x20, 0x09, 0x0a, 0x0b, 0x0c, 0x0d]);

function needsQuotes(bytes: Uint8Array, length: number): boolean {
  if (length === 0) return true;
  for (let index = 0; index < length; index++) if (special.has(bytes[index] ?? 0)) return true;
  return length === 4 && /^null$/i.test(Buffer.from(bytes.subarray(0, 4)).toString('latin1'));
}
