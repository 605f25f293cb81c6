import type { Log, LogChunk } from './log.ts';

// What tests of logs have in common: making records, and reading them back one by one.

const encoder = new TextEncoder();
export const encodeText = (value: string): Uint8Array => encoder.encode(value);
export const lines = (...values: string[]): Uint8Array[] => values.map((value) => encodeText(value));
export const numbered = (label: string, count: number): Uint8Array[] =>
  lines(...Array.from({ length: count }, (_, index) => `${label}-${index}`));

export interface Read {
  readonly offset: bigint;
  readonly bytes: Uint8Array;
}

/** The records of a chunk, after checking that the chunk is what its type promises. */
export function recordsOf(chunk: LogChunk): Read[] {
  const records: Read[] = [];
  let start = 0;
  for (let end = chunk.lines.indexOf(10); end !== -1; end = chunk.lines.indexOf(10, start)) {
    records.push({ offset: chunk.baseOffset + BigInt(records.length), bytes: chunk.lines.slice(start, end) });
    start = end + 1;
  }
  expect(start).toBe(chunk.lines.length);
  expect(records).toHaveLength(chunk.count);
  return records;
}

export async function readMany(log: Log, topic: string, partition: number, from: bigint, count: number): Promise<Read[]> {
  const records: Read[] = [];
  let next = from;
  while (records.length < count) {
    const chunks = await log.read(topic, partition, next, { maxBytes: 1_000_000, waitMs: 10_000 });
    if (chunks.length === 0) throw new Error(`the log ran dry after ${records.length} of ${count} records`);
    for (const chunk of chunks) {
      expect(chunk.baseOffset).toBeGreaterThanOrEqual(next);
      expect(chunk.poison).toEqual([]);
      records.push(...recordsOf(chunk));
      next = chunk.baseOffset + BigInt(chunk.count);
    }
  }
  return records;
}

export const textsOf = (records: readonly Read[]): string[] => records.map(({ bytes }) => Buffer.from(bytes).toString('utf8'));
