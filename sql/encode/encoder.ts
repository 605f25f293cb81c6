import type { Chunk, EncodedColumn } from './column.ts';
import type { Sink } from './sink.ts';

/**
 * Turns chunks of columns into bytes, inside the engine's child process. One per result; keeps what it must remember
 * between chunks (whether a comma is due). Pure: reads columns, writes to the sink.
 */
export interface RowEncoder {
  /** What stands before the first row; once. */
  begin?(sink: Sink): void;
  /**
   * Writes the rows [from, to) and stops early, between two rows, once `sink.length` has reached `bytesEnd`.
   * Returns the row after the last one written.
   */
  rows(chunk: Chunk, from: number, to: number, sink: Sink, bytesEnd: number): number;
  /** What stands after the last row; once. */
  end?(sink: Sink): void;
}

export type EncoderFactory = (columns: readonly EncodedColumn[]) => RowEncoder;
