import { parseLossless } from './lossless.ts';

/** A value as `encoding: 'json'` writes it; integers that a number does not hold are bigint. */
export type RowValue = string | number | bigint | boolean | null | object;

/** The rows of a result asked for with encoding `json`: a chunk holds whole rows, commas between. */
export async function* rowsOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<readonly RowValue[]> {
  for await (const chunk of chunks) {
    const text = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength).toString('utf8').replace(/^\s*,/, '');
    const rows: unknown = parseLossless(`[${text}]`);
    if (Array.isArray(rows)) for (const row of rows) if (Array.isArray(row)) yield row.map(valueOf);
  }
}

function valueOf(value: unknown): RowValue {
  if (value === null || value === undefined) return null;
  if (typeof value === 'object' || typeof value === 'string' || typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean') return value;
  return String(value);
}

/** Lists and objects as JSON, everything else as itself. */
export function textOf(value: RowValue): string {
  return typeof value === 'object' ? value === null ? '' : JSON.stringify(value, (_key, inner: unknown) => (typeof inner === 'bigint' ? inner.toString() : inner)) : String(value);
}
