import type { CellWriter } from '../encode/cells.ts';
import { type Column, isNull } from '../encode/column.ts';
import type { EncoderFactory } from '../encode/encoder.ts';
import type { Sink } from '../encode/sink.ts';
import { int16, int32, putInt32 } from './bytes.ts';
import { binaryCell, writeSized } from './encode-binary.ts';
import { textCell } from './encode-text.ts';

/** 0 is text, 1 is binary, as in the protocol. */
export type Format = 0 | 1;

/** Rows as DataRow messages, ready to be sent. */
export const pgTextEncoder: EncoderFactory = () => dataRows(() => 0);
export const pgBinaryEncoder: EncoderFactory = () => dataRows(() => 1);

/**
 * The same with a format per column, `formats` being one digit each: pgjdbc asks for some columns in text, some in
 * binary.
 */
export function pgMixedEncoder(formats: string): EncoderFactory {
  return () => dataRows((index) => (formats[index] === '1' ? 1 : 0));
}

// Throws `statement_failed` (SQLSTATE 22008) for an infinite or too distant date: no client can be trusted with one.
function dataRows(formatOf: (index: number) => Format): ReturnType<EncoderFactory> {
  return {
    rows(chunk, from, to, sink, bytesEnd) {
      const { columns } = chunk;
      const cells = columns.map((column, index) => (formatOf(index) === 1 ? binaryCell(column) : textCell(column)));
      let row = from;
      for (; row < to && sink.length < bytesEnd; row++) writeRow(sink, columns, cells, row);
      return row;
    },
  };
}

function writeRow(out: Sink, columns: readonly Column[], cells: readonly CellWriter[], row: number): void {
  out.byte(0x44);
  const lengthAt = out.length;
  int32(out, 0);
  int16(out, columns.length);
  for (let index = 0; index < columns.length; index++) {
    const column = columns[index];
    const cell = cells[index];
    if (column !== undefined && cell !== undefined && !isNull(column, row)) writeSized(out, cell, row);
    else int32(out, -1);
  }
  putInt32(out, lengthAt, out.length - lengthAt);
}
