import { DuckDBTypeId } from '@duckdb/node-api';
import { anyText, type CellWriter, scalarWriter } from './cells.ts';
import { type Column, type EncodedColumn, isNull } from './column.ts';
import type { EncoderFactory, RowEncoder } from './encoder.ts';
import { Sink } from './sink.ts';

/**
 * JSON as architecture.md §8 has it: integers and decimals are numbers written in full, NaN and infinities are strings,
 * instants are ISO 8601 in UTC with microseconds, lists arrays, structs and maps objects, bytes base64.
 */

const comma = 44;
const quote = 34;
const openBracket = 91;
const closeBracket = 93;
const openBrace = 123;
const closeBrace = 125;
const colon = 58;
const lineFeed = 10;

/** `[1,"a"],[2,"b"]`: rows as arrays, separated by commas, without the outer brackets. */
export const jsonEncoder: EncoderFactory = () => {
  let first = true;
  return rowWise(
    () => [],
    (sink, cells, row) => {
      if (!first) sink.byte(comma);
      first = false;
      sink.byte(openBracket);
      for (let index = 0; index < cells.length; index++) {
        if (index > 0) sink.byte(comma);
        cells[index]?.(row, sink);
      }
      sink.byte(closeBracket);
    },
  );
};

/** An object and a line feed per row; the second column of a name is called `name_1`. */
export const ndjsonEncoder: EncoderFactory = (columns) =>
  rowWise(
    () => keysOf(columns),
    (sink, cells, row, keys) => {
      sink.byte(openBrace);
      for (let index = 0; index < cells.length; index++) {
        if (index > 0) sink.byte(comma);
        const key = keys[index];
        if (key !== undefined) sink.copy(key, 0, key.length);
        cells[index]?.(row, sink);
      }
      sink.byte(closeBrace);
      sink.byte(lineFeed);
    },
  );

type RowWriter = (sink: Sink, cells: readonly CellWriter[], row: number, keys: readonly Uint8Array[]) => void;

function rowWise(makeKeys: () => readonly Uint8Array[], write: RowWriter): RowEncoder {
  const keys = makeKeys();
  return {
    rows(chunk, from, to, sink, bytesEnd) {
      const cells = chunk.columns.map(jsonCell);
      let row = from;
      for (; row < to && sink.length < bytesEnd; row++) write(sink, cells, row, keys);
      return row;
    },
  };
}

function keysOf(columns: readonly EncodedColumn[]): Uint8Array[] {
  return distinctNames(columns.map(({ name }) => name)).map((name) => Buffer.from(`${JSON.stringify(name)}:`));
}

/** Names made distinct: `a, a` becomes `a, a_1`. */
export function distinctNames(names: readonly string[]): string[] {
  const taken = new Set<string>();
  return names.map((name) => {
    let candidate = name;
    for (let count = 1; taken.has(candidate); count++) candidate = `${name}_${count}`;
    taken.add(candidate);
    return candidate;
  });
}

/** Writes a cell as a JSON value, `null` included. */
export function jsonCell(column: Column): CellWriter {
  const value = jsonValue(column);
  if (column.validity === undefined) return value;
  return (row, sink) => {
    if (isNull(column, row)) sink.ascii('null');
    else value(row, sink);
  };
}

function jsonValue(column: Column): CellWriter {
  const { type } = column;
  switch (type.typeId) {
    case DuckDBTypeId.SQLNULL:
      return (_row, sink) => sink.ascii('null');
    case DuckDBTypeId.VARCHAR: {
      const strings = column.strings();
      return (row, sink) => {
        const block = strings.blocks[strings.block[row] ?? 0] ?? column.data;
        const start = strings.start[row] ?? 0;
        writeJsonText(sink, block, start, start + (strings.length[row] ?? 0));
      };
    }
    case DuckDBTypeId.LIST:
      return listValue(column);
    case DuckDBTypeId.ARRAY: {
      const element = jsonCell(column.children[0] ?? column);
      return (row, sink) => writeElements(sink, element, row * type.length, type.length);
    }
    case DuckDBTypeId.STRUCT:
      return structValue(column, type.entryNames);
    case DuckDBTypeId.MAP:
      return mapValue(column);
    default:
      return scalarValue(column);
  }
}

function scalarValue(column: Column): CellWriter {
  const scalar = scalarWriter(column);
  if (scalar === undefined) return (_row, sink) => sink.ascii('null');
  const { write, bare } = scalar;
  if (bare === true) return write;
  if (anyText(column.type)) return escaped(write);
  return (row, sink) => {
    if (typeof bare === 'function' && bare(row)) return write(row, sink);
    sink.byte(quote);
    write(row, sink);
    sink.byte(quote);
  };
}

/** Makes a JSON string of what a writer writes. */
function escaped(write: CellWriter): CellWriter {
  const scratch = new Sink(256);
  return (row, sink) => {
    scratch.length = 0;
    write(row, scratch);
    writeJsonText(sink, scratch.bytes, 0, scratch.length);
  };
}

function listValue(column: Column): CellWriter {
  const words = new Uint32Array(column.data.buffer, column.data.byteOffset, column.count * 4);
  const element = jsonCell(column.children[0] ?? column);
  // Offset and length are 64 bits wide; a chunk's elements are fewer than 2^32.
  return (row, sink) => writeElements(sink, element, words[row * 4] ?? 0, words[row * 4 + 2] ?? 0);
}

function writeElements(sink: Sink, element: CellWriter, start: number, count: number): void {
  sink.byte(openBracket);
  for (let index = 0; index < count; index++) {
    if (index > 0) sink.byte(comma);
    element(start + index, sink);
  }
  sink.byte(closeBracket);
}

function structValue(column: Column, names: readonly string[]): CellWriter {
  const keys = names.map((name) => Buffer.from(`${JSON.stringify(name)}:`));
  const members = column.children.map(jsonCell);
  return (row, sink) => {
    sink.byte(openBrace);
    for (let index = 0; index < members.length; index++) {
      if (index > 0) sink.byte(comma);
      const key = keys[index];
      if (key !== undefined) sink.copy(key, 0, key.length);
      members[index]?.(row, sink);
    }
    sink.byte(closeBrace);
  };
}

function mapValue(column: Column): CellWriter {
  const words = new Uint32Array(column.data.buffer, column.data.byteOffset, column.count * 4);
  const [keys, values] = column.children;
  if (keys === undefined || values === undefined) return (_row, sink) => sink.ascii('{}');
  const value = jsonCell(values);
  const key = keys.type.typeId === DuckDBTypeId.VARCHAR ? jsonCell(keys) : escaped(jsonCell(keys));
  return (row, sink) => {
    const start = words[row * 4] ?? 0;
    const count = words[row * 4 + 2] ?? 0;
    sink.byte(openBrace);
    for (let index = start; index < start + count; index++) {
      if (index > start) sink.byte(comma);
      key(index, sink);
      sink.byte(colon);
      value(index, sink);
    }
    sink.byte(closeBrace);
  };
}

const hex = Buffer.from('0123456789abcdef');
// What follows the backslash for the control characters that have a short form (RFC 8259 §7).
const shortEscapes: ReadonlyMap<number, number> = new Map([
  [8, 98],
  [9, 116],
  [10, 110],
  [12, 102],
  [13, 114],
  [34, 34],
  [92, 92],
]);

/** UTF-8 bytes as a JSON string. DuckDB's text is always valid UTF-8. */
export function writeJsonText(sink: Sink, source: Uint8Array, start: number, end: number): void {
  sink.reserve((end - start) * 6 + 2);
  const { bytes } = sink;
  let at = sink.length;
  bytes[at++] = quote;
  for (let index = start; index < end; index++) {
    const byte = source[index] ?? 0;
    if (byte >= 32 && byte !== 34 && byte !== 92) {
      bytes[at++] = byte;
      continue;
    }
    bytes[at++] = 92;
    const short = shortEscapes.get(byte);
    if (short !== undefined) {
      bytes[at++] = short;
      continue;
    }
    bytes[at++] = 117;
    bytes[at++] = 48;
    bytes[at++] = 48;
    bytes[at++] = hex[byte >> 4] ?? 48;
    bytes[at++] = hex[byte & 15] ?? 48;
  }
  bytes[at++] = quote;
  sink.length = at;
}
