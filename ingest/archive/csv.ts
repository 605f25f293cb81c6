import { isUtf8 } from 'node:buffer';

/** One record of a CSV file. `fields` is undefined when the bytes are no record; `reason` then says why. */
export interface CsvRecord {
  /** Offset of the byte after the record and its line break, counted from the first byte pushed. */
  readonly end: number;
  readonly bytes: Buffer;
  readonly fields: readonly string[] | undefined;
  readonly reason?: string;
}

/** A record is given up above this size: a quotation mark that is never closed would swallow the rest of the file. */
export const csvRecordBytesMax = 1024 * 1024;

const quote = 0x22;
const comma = 0x2c;
const lineFeed = 0x0a;
const carriageReturn = 0x0d;

// Where the scanner stands: where a field begins, in a bare one, in a quoted one, or behind a quote within such a one.
type State = 'begin' | 'bare' | 'quoted' | 'closing';

/**
 * A CSV reader (RFC 4180; `\n`, `\r\n`) fed with chunks cut anywhere. A library would do for good files, but the ones
 * we know end at the first bad record, where this one sets the record's own bytes aside and goes on with the next line.
 */
export function csvReader(): { push(chunk: Uint8Array): CsvRecord[]; end(): CsvRecord[] } {
  let pending: Buffer = Buffer.alloc(0);
  let scanned = 0;
  let consumed = 0;
  let state: State = 'begin';

  const take = (length: number, reason?: string): CsvRecord => {
    const line = pending.subarray(0, length);
    pending = pending.subarray(length);
    consumed += length;
    scanned = 0;
    state = 'begin';
    return record(line, consumed, reason);
  };

  // The first line of what looked like one record, so that the good records behind a stray quotation mark still count.
  const giveUpLine = (reason: string): CsvRecord => {
    const lineEnd = pending.indexOf(lineFeed);
    return take(lineEnd === -1 ? pending.length : lineEnd + 1, reason);
  };

  const scan = (): CsvRecord[] => {
    const records: CsvRecord[] = [];
    while (scanned < pending.length) {
      const byte = pending[scanned] ?? 0;
      scanned++;
      state = next(state, byte);
      if (byte === lineFeed && state !== 'quoted') {
        const found = take(scanned);
        if (found.bytes.length > 0) records.push(found);
      } else if (scanned > csvRecordBytesMax) {
        records.push(giveUpLine(state === 'quoted' ? 'csv: a quotation mark is never closed' : 'csv: record too long'));
      }
    }
    return records;
  };

  return {
    push(chunk) {
      pending = pending.length === 0 ? Buffer.from(chunk) : Buffer.concat([pending, chunk]);
      return scan();
    },
    end() {
      const records = scan();
      while (pending.length > 0) {
        const found = state === 'quoted' ? giveUpLine('csv: a quotation mark is never closed') : take(pending.length);
        if (found.bytes.length > 0) records.push(found);
        records.push(...scan());
      }
      return records;
    },
  };
}

function next(state: State, byte: number): State {
  if (state === 'quoted') return byte === quote ? 'closing' : 'quoted';
  if (byte === comma || byte === lineFeed) return 'begin';
  if (byte === quote) return state === 'begin' || state === 'closing' ? 'quoted' : 'bare';
  return 'bare';
}

function record(line: Buffer, end: number, reason: string | undefined): CsvRecord {
  let length = line.length;
  if (length > 0 && line[length - 1] === lineFeed) length--;
  if (length > 0 && line[length - 1] === carriageReturn) length--;
  const bytes = line.subarray(0, length);
  if (reason !== undefined) return { end, bytes, fields: undefined, reason };
  if (!isUtf8(bytes)) return { end, bytes, fields: undefined, reason: 'csv: invalid UTF-8' };
  return { end, bytes, fields: splitFields(bytes.toString('utf8')) };
}

/** The fields of one whole record. A quote that does not begin a field is text, as spreadsheets read it. */
function splitFields(text: string): string[] {
  const fields: string[] = [];
  let at = 0;
  for (;;) {
    let field = '';
    if (text[at] === '"') {
      at++;
      for (;;) {
        const close = text.indexOf('"', at);
        if (close === -1) break;
        field += text.slice(at, close);
        at = close + 1;
        if (text[at] !== '"') break;
        field += '"';
        at++;
      }
    }
    const separator = text.indexOf(',', at);
    if (separator === -1) return [...fields, field + text.slice(at)];
    fields.push(field + text.slice(at, separator));
    at = separator + 1;
  }
}
