import { WatershedError } from '../errors.ts';
import { recordBytesMax } from './log.ts';

const lineBreak = 0x0a;

/**
 * Refuses (`bad_request`) what `append` may not take: no record at all, a record with a line break or over the limit.
 */
export function checkRecords(records: readonly Uint8Array[]): void {
  if (records.length === 0) throw new WatershedError('bad_request', 'an append needs at least one record');
  for (const record of records) {
    if (record.length > recordBytesMax) {
      throw new WatershedError(
        'bad_request',
        `a record of ${record.length} bytes is over the limit of ${recordBytesMax}`,
      );
    }
    if (record.includes(lineBreak))
      throw new WatershedError('bad_request', 'a record is one line: it may not hold a line break (0x0A)');
  }
}

/** The records as lines, each ended by 0x0A. */
export function joinLines(records: readonly Uint8Array[]): Buffer {
  const total = records.reduce((sum, record) => sum + record.length + 1, 0);
  const lines = Buffer.allocUnsafeSlow(total);
  let at = 0;
  for (const record of records) {
    lines.set(record, at);
    at += record.length;
    lines[at++] = lineBreak;
  }
  return lines;
}

/** What remains after the first `count` lines, without copying. */
export function skipLines(lines: Uint8Array, count: number): Uint8Array {
  let at = 0;
  for (let skipped = 0; skipped < count; skipped++) at = lines.indexOf(lineBreak, at) + 1;
  return lines.subarray(at);
}
