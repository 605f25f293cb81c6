import { DuckDBTypeId } from '@duckdb/node-api';
import { anyText, type CellWriter, scalarWriter } from './cells.ts';
import { type Column, isNull } from './column.ts';
import type { EncoderFactory } from './encoder.ts';
import { jsonCell } from './json.ts';
import { Sink } from './sink.ts';

/**
 * CSV by RFC 4180: a header, CRLF after every line, quotes where they are needed and around the empty text, so that it
 * differs from null, which is nothing at all. Lists, structs and maps are JSON.
 */
export const csvEncoder: EncoderFactory = (columns) => ({
  begin(sink) {
    columns.forEach(({ name }, index) => {
      if (index > 0) sink.byte(comma);
      const bytes = Buffer.from(name);
      writeField(sink, bytes, 0, bytes.length);
    });
    endLine(sink);
  },
  rows(chunk, from, to, sink, bytesEnd) {
    const cells = chunk.columns.map(csvCell);
    let row = from;
    for (; row < to && sink.length < bytesEnd; row++) {
      for (let index = 0; index < cells.length; index++) {
        if (index > 0) sink.byte(comma);
        cells[index]?.(row, sink);
      }
      endLine(sink);
    }
    return row;
  },
});

const comma = 44;
const quote = 34;
const carriageReturn = 13;
const lineFeed = 10;

function endLine(sink: Sink): void {
  sink.byte(carriageReturn);
  sink.byte(lineFeed);
}

function csvCell(column: Column): CellWriter {
  const value = csvValue(column);
  if (column.validity === undefined) return value;
  return (row, sink) => {
    if (!isNull(column, row)) value(row, sink);
  };
}

function csvValue(column: Column): CellWriter {
  switch (column.type.typeId) {
    case DuckDBTypeId.SQLNULL:
      return () => {};
    case DuckDBTypeId.VARCHAR: {
      const strings = column.strings();
      return (row, sink) => {
        const start = strings.start[row] ?? 0;
        writeField(
          sink,
          strings.blocks[strings.block[row] ?? 0] ?? column.data,
          start,
          start + (strings.length[row] ?? 0),
        );
      };
    }
    default: {
      const scalar = scalarWriter(column);
      if (scalar === undefined || anyText(column.type)) return fielded(scalar?.write ?? jsonCell(column));
      return scalar.write;
    }
  }
}

/** A field of what a writer writes. */
function fielded(write: CellWriter): CellWriter {
  const scratch = new Sink(256);
  return (row, sink) => {
    scratch.length = 0;
    write(row, scratch);
    writeField(sink, scratch.bytes, 0, scratch.length);
  };
}

function writeField(sink: Sink, source: Uint8Array, start: number, end: number): void {
  if (start < end && !needsQuotes(source, start, end)) return sink.copy(source, start, end);
  sink.reserve((end - start) * 2 + 2);
  const { bytes } = sink;
  let at = sink.length;
  bytes[at++] = quote;
  for (let index = start; index < end; index++) {
    const byte = source[index] ?? 0;
    if (byte === quote) bytes[at++] = quote;
    bytes[at++] = byte;
  }
  bytes[at++] = quote;
  sink.length = at;
}

function needsQuotes(source: Uint8Array, start: number, end: number): boolean {
  for (let index = start; index < end; index++) {
    const byte = source[index];
    if (byte === quote || byte === comma || byte === lineFeed || byte === carriageReturn) return true;
  }
  return false;
}
