import type { Field } from './backend.ts';
import type { Format } from './encode-rows.ts';
import { Spool, type SpoolLimits } from './spool.ts';

/** What a statement answered: its columns and whole DataRow messages, in the formats that were asked for. */
export interface RowSource {
  readonly fields: readonly Field[];
  readonly formats: readonly Format[];
  readonly chunks: AsyncIterable<Uint8Array>;
  /** After the last row: what the client should be told besides, such as that the result was cut. */
  notice?(): Promise<string | undefined>;
}

/** The rows of a portal or cursor, taken out in whatever steps the client asks for. */
export interface RowReader {
  readonly fields: readonly Field[];
  readonly formats: readonly Format[];
  /** What the client should be told besides, once the last row was taken; undefined before. */
  readonly notice: () => Promise<string | undefined>;
  /**
   * Hands at most `rowsMax` rows (0: all that are left) to `send`, which may hold back by its promise. Returns how
   * many; fewer than asked for means that there are no more.
   */
  take(rowsMax: number, send: (rows: Uint8Array) => Promise<void> | void): Promise<number>;
  /** The client went on to something else: free the engine's child by draining the rest aside. */
  suspend(): void;
  close(): Promise<void>;
}

export function rowReader(source: RowSource, limits: SpoolLimits): RowReader {
  const iterator = source.chunks[Symbol.asyncIterator]();
  let spooled: Spool | undefined;
  let left: Uint8Array = new Uint8Array();
  let hasEnded = false;
  let hasStarted = false;
  const nextPiece = async (): Promise<Uint8Array | undefined> => {
    if (spooled !== undefined) return await spooled.next();
    hasStarted = true;
    const { done, value } = await iterator.next();
    return done === true ? undefined : value;
  };
  return {
    fields: source.fields,
    formats: source.formats,
    notice: async () => (hasEnded ? await source.notice?.() : undefined),
    async take(rowsMax, send) {
      let taken = 0;
      while (rowsMax === 0 || taken < rowsMax) {
        if (left.length === 0) {
          const piece = hasEnded ? undefined : await nextPiece();
          if (piece === undefined) {
            hasEnded = true;
            break;
          }
          left = piece;
        }
        const { rows, end } = measure(left, rowsMax === 0 ? Infinity : rowsMax - taken);
        const part = left.subarray(0, end);
        left = left.subarray(end);
        taken += rows;
        await send(part);
      }
      return taken;
    },
    suspend() {
      if (!hasEnded) spooled ??= new Spool(iterator, limits);
      hasStarted = true;
    },
    async close() {
      left = new Uint8Array();
      hasEnded = true;
      if (spooled !== undefined) return await spooled.close();
      // A generator that was never started has no end either, in which the engine's child would be given back.
      if (!hasStarted) await iterator.next().catch(() => undefined);
      await iterator.return?.();
    },
  };
}

/** Walks over whole DataRow messages: how many of at most `rowsMax` there are, and where they end. */
function measure(messages: Uint8Array, rowsMax: number): { rows: number; end: number } {
  let rows = 0;
  let end = 0;
  while (rows < rowsMax && end < messages.length) {
    const length =
      ((messages[end + 1] ?? 0) << 24) |
      ((messages[end + 2] ?? 0) << 16) |
      ((messages[end + 3] ?? 0) << 8) |
      (messages[end + 4] ?? 0);
    end += 1 + length;
    rows++;
  }
  return { rows, end };
}

/** Rows that are already there. */
export async function* fromArray(rows: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  for (const row of rows) yield await Promise.resolve(row);
}
