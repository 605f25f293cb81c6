import { type DuckDBType, DuckDBTypeId } from '@duckdb/node-api';
import { type Column, decimalBytes, enumBytes } from './column.ts';
import {
  doubleText,
  floatText,
  instantWriter,
  splitDay,
  writeDate,
  writeDecimal,
  writeInt64,
  writeInteger,
  writePadded,
  writeTime,
} from './digits.ts';
import type { Sink } from './sink.ts';

/** Writes the text of one cell that is not null. */
export type CellWriter = (row: number, sink: Sink) => void;

export interface ScalarWriter {
  readonly write: CellWriter;
  /** Whether the text stands as it is in JSON: numbers and booleans. Doubles decide by row: NaN and infinity do not. */
  readonly bare: boolean | ((row: number) => boolean);
}

/**
 * The text of a column's cells, the same in JSON and CSV: numbers in full, instants as ISO 8601 with microseconds
 * (`Z` where the type has a zone: sessions run in UTC), blobs in base64. Text columns and nested ones are left to the
 * encoders: undefined.
 */
export function scalarWriter(column: Column): ScalarWriter | undefined {
  switch (column.type.typeId) {
    case DuckDBTypeId.VARCHAR:
    case DuckDBTypeId.LIST:
    case DuckDBTypeId.ARRAY:
    case DuckDBTypeId.STRUCT:
    case DuckDBTypeId.MAP:
      return undefined;
    default:
      return numberWriter(column) ?? timeWriter(column) ?? otherWriter(column);
  }
}

/** Types whose text may hold anything, quotes and commas included. */
export function anyText({ typeId }: DuckDBType): boolean {
  return (
    typeId === DuckDBTypeId.ENUM ||
    typeId === DuckDBTypeId.UNION ||
    typeId === DuckDBTypeId.VARIANT ||
    typeId === DuckDBTypeId.GEOMETRY
  );
}

function bare(write: CellWriter): ScalarWriter {
  return { write, bare: true };
}

function quoted(write: CellWriter): ScalarWriter {
  return { write, bare: false };
}

function numberWriter(column: Column): ScalarWriter | undefined {
  const { data, count, type } = column;
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  switch (type.typeId) {
    case DuckDBTypeId.BOOLEAN:
      return bare((row, sink) => sink.ascii(data[row] === 0 ? 'false' : 'true'));
    case DuckDBTypeId.TINYINT:
      return bare((row, sink) => writeInteger(sink, view.getInt8(row)));
    case DuckDBTypeId.UTINYINT:
      return bare((row, sink) => writeInteger(sink, view.getUint8(row)));
    case DuckDBTypeId.SMALLINT:
      return bare((row, sink) => writeInteger(sink, view.getInt16(row * 2, true)));
    case DuckDBTypeId.USMALLINT:
      return bare((row, sink) => writeInteger(sink, view.getUint16(row * 2, true)));
    case DuckDBTypeId.INTEGER:
      return bare((row, sink) => writeInteger(sink, view.getInt32(row * 4, true)));
    case DuckDBTypeId.UINTEGER:
      return bare((row, sink) => writeInteger(sink, view.getUint32(row * 4, true)));
    case DuckDBTypeId.BIGINT: {
      const halves = new Int32Array(data.buffer, data.byteOffset, count * 2);
      return bare((row, sink) => writeInt64(sink, (halves[row * 2] ?? 0) >>> 0, halves[row * 2 + 1] ?? 0));
    }
    case DuckDBTypeId.UBIGINT:
      return bare((row, sink) => sink.ascii(String(view.getBigUint64(row * 8, true))));
    case DuckDBTypeId.HUGEINT:
      return bare((row, sink) => sink.ascii(String(hugeAt(view, row))));
    case DuckDBTypeId.UHUGEINT:
      return bare((row, sink) => sink.ascii(String(BigInt.asUintN(128, hugeAt(view, row)))));
    case DuckDBTypeId.BIGNUM:
      return bare((row, sink) => sink.ascii(column.text(row)));
    case DuckDBTypeId.FLOAT:
      return floating((row) => view.getFloat32(row * 4, true), floatText);
    case DuckDBTypeId.DOUBLE:
      return floating((row) => view.getFloat64(row * 8, true), doubleText);
    case DuckDBTypeId.DECIMAL: {
      const unscaled = unscaledReader(view, type.width);
      return bare((row, sink) => writeDecimal(sink, unscaled(row), type.scale));
    }
    default:
      return undefined;
  }
}

function floating(at: (row: number) => number, text: (value: number) => string): ScalarWriter {
  return { write: (row, sink) => sink.ascii(text(at(row))), bare: (row) => Number.isFinite(at(row)) };
}

/** A 128-bit integer, signed, little endian. */
export function hugeAt(view: DataView, row: number): bigint {
  return (view.getBigInt64(row * 16 + 8, true) << 64n) | view.getBigUint64(row * 16, true);
}

function unscaledReader(view: DataView, width: number): (row: number) => bigint {
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

const dayInfinity = 2_147_483_647;
const instantInfinityHigh = 0x7fffffff;

function timeWriter(column: Column): ScalarWriter | undefined {
  const { data, count, type } = column;
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const halves = (write: (sink: Sink, low: number, high: number) => void): ScalarWriter => {
    const words = new Int32Array(data.buffer, data.byteOffset, count * 2);
    return quoted((row, sink) => {
      const low = (words[row * 2] ?? 0) >>> 0;
      const high = words[row * 2 + 1] ?? 0;
      // DuckDB's infinities are the largest number and its negative.
      if (high === instantInfinityHigh && low === 0xffffffff) sink.ascii('infinity');
      else if (high === -instantInfinityHigh - 1 && low === 1) sink.ascii('-infinity');
      else write(sink, low, high);
    });
  };
  switch (type.typeId) {
    case DuckDBTypeId.DATE:
      return quoted((row, sink) => {
        const days = view.getInt32(row * 4, true);
        if (Math.abs(days) >= dayInfinity) sink.ascii(days > 0 ? 'infinity' : '-infinity');
        else writeDate(sink, days);
      });
    case DuckDBTypeId.TIME:
      return quoted((row, sink) => writeTime(sink, Number(view.getBigInt64(row * 8, true))));
    case DuckDBTypeId.TIMESTAMP_TZ:
      return halves(instantWriter(true));
    case DuckDBTypeId.TIMESTAMP:
      return halves(instantWriter(false));
    case DuckDBTypeId.TIMESTAMP_S:
      return halves(coarse(86_400, 1_000_000));
    case DuckDBTypeId.TIMESTAMP_MS:
      return halves(coarse(86_400_000, 1_000));
    case DuckDBTypeId.TIMESTAMP_NS:
      return halves((sink, low, high) => {
        const { days, rest } = splitDay(low, high, 86_400_000_000_000);
        writeInstant(sink, days, Math.floor(rest / 1000));
        sink.reserve(3);
        writePadded(sink, rest % 1000, 3);
      });
    default:
      return undefined;
  }
}

/** Instants in units of which a day has `perDay`, each `micros` long. */
function coarse(perDay: number, micros: number): (sink: Sink, low: number, high: number) => void {
  return (sink, low, high) => {
    const { days, rest } = splitDay(low, high, perDay);
    writeInstant(sink, days, rest * micros);
  };
}

function writeInstant(sink: Sink, days: number, micros: number): void {
  writeDate(sink, days);
  sink.byte(84);
  writeTime(sink, micros);
}

function otherWriter(column: Column): ScalarWriter {
  const { data, type } = column;
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  switch (type.typeId) {
    case DuckDBTypeId.UUID:
      return quoted((row, sink) => sink.ascii(uuidText(view, row)));
    case DuckDBTypeId.BLOB: {
      const strings = column.strings();
      return quoted((row, sink) => {
        const block = strings.blocks[strings.block[row] ?? 0] ?? data;
        const start = strings.start[row] ?? 0;
        sink.ascii(Buffer.from(block.buffer, block.byteOffset + start, strings.length[row]).toString('base64'));
      });
    }
    case DuckDBTypeId.ENUM: {
      const width = enumBytes(type.values.length);
      const index = (row: number): number =>
        width === 1 ? view.getUint8(row) : width === 2 ? view.getUint16(row * 2, true) : view.getUint32(row * 4, true);
      return quoted((row, sink) => sink.utf8(type.values[index(row)] ?? ''));
    }
    default:
      return quoted((row, sink) => sink.utf8(column.text(row)));
  }
}

function uuidText(view: DataView, row: number): string {
  // Stored as a signed number with the highest bit flipped, so that UUIDs sort as their text does.
  const number = BigInt.asUintN(128, hugeAt(view, row)) ^ (1n << 127n);
  const hex = number.toString(16).padStart(32, '0');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
