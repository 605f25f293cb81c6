/** A piece of a file that should be one record. */
export interface RawRecord {
  readonly bytes: Buffer;
  /** Offset behind the record in the decompressed file: where to go on. */
  readonly end: number;
  /** Set where the piece was too long: `bytes` is only its beginning then, and this its whole length. */
  readonly bytesLength?: number;
}

/** Cuts a stream of chunks into records. What it holds is bounded by the longest record it lets through. */
export interface Splitter {
  push(chunk: Buffer): RawRecord[];
  end(): RawRecord[];
}

export interface SplitOptions {
  /** Offset of the first byte that will be pushed. */
  readonly from: number;
  readonly recordBytesMax: number;
}

/** So much of a record that is too long is kept for quarantine. */
const keptBytesMax = 1024 * 1024;

const lineFeed = 0x0a;

/** Lines, without blank ones. Linear in the bytes: a line that reaches over many chunks is put together once. */
export function lineSplitter({ from, recordBytesMax }: SplitOptions): Splitter {
  const parts: Buffer[] = [];
  let partsBytes = 0;
  let heldBytes = 0;
  let position = from;

  const hold = (piece: Buffer): void => {
    partsBytes += piece.length;
    if (partsBytes <= recordBytesMax || heldBytes < keptBytesMax) {
      parts.push(piece);
      heldBytes += piece.length;
    }
  };
  const take = (piece: Buffer, end: number): RawRecord | undefined => {
    if (partsBytes === 0 && piece.length <= recordBytesMax) return record(piece, end);
    hold(piece);
    const tooLong = partsBytes > recordBytesMax;
    const whole = parts.length === 1 ? parts[0] ?? piece : Buffer.concat(parts);
    const bytesLength = partsBytes;
    parts.length = 0;
    partsBytes = 0;
    heldBytes = 0;
    return tooLong ? { bytes: whole.subarray(0, keptBytesMax), end, bytesLength } : record(whole, end);
  };

  return {
    push(chunk) {
      const records: RawRecord[] = [];
      let at = 0;
      for (;;) {
        const lineEnd = chunk.indexOf(lineFeed, at);
        if (lineEnd === -1) break;
        const found = take(chunk.subarray(at, lineEnd), position + lineEnd + 1);
        if (found !== undefined) records.push(found);
        at = lineEnd + 1;
      }
      if (at < chunk.length) hold(chunk.subarray(at));
      position += chunk.length;
      return records;
    },
    end() {
      const last = take(Buffer.alloc(0), position);
      return last === undefined ? [] : [last];
    },
  };
}

/** Without white space around it; undefined for what is nothing but that. */
function record(bytes: Buffer, end: number): RawRecord | undefined {
  let start = 0;
  let stop = bytes.length;
  while (start < stop && isSpace(bytes[start])) start++;
  while (stop > start && isSpace(bytes[stop - 1])) stop--;
  if (start === stop) return undefined;
  return { bytes: start === 0 && stop === bytes.length ? bytes : bytes.subarray(start, stop), end };
}

function isSpace(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x0d || byte === 0x0a || byte === 0x09;
}

const quote = 0x22;
const backslash = 0x5c;
const openBrace = 0x7b;
const closeBrace = 0x7d;
const openBracket = 0x5b;
const closeBracket = 0x5d;
const comma = 0x2c;

/**
 * The objects of a JSON array, or of JSON texts one behind the other, however they are broken into lines. Brackets and
 * commas outside objects are taken as separators; what else stands there is a record of its own, for quarantine.
 */
export function objectSplitter({ from, recordBytesMax }: SplitOptions): Splitter {
  // `pending` begins at offset `base`; a record has begun at `start` within it, and `scanned` bytes of it are
  // understood.
  let pending: Buffer = Buffer.alloc(0);
  let base = from;
  let scanned = 0;
  let start = -1;
  let depth = 0;
  let inString = false;
  // The beginning of a record that is too long, and how much of it has been let go.
  let kept: Buffer | undefined;
  let letGo = 0;

  const take = (stop: number): RawRecord => {
    const bytes = pending.subarray(start, stop);
    const end = base + stop;
    const bytesLength = letGo + bytes.length;
    const found = bytesLength <= recordBytesMax ? { bytes, end }
      : { bytes: (kept ?? bytes).subarray(0, keptBytesMax), end, bytesLength };
    kept = undefined;
    letGo = 0;
    start = -1;
    return found;
  };
  const letGoUpTo = (length: number): void => {
    pending = pending.subarray(length);
    base += length;
    scanned -= length;
  };

  return {
    push(chunk) {
      pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
      const records: RawRecord[] = [];
      const bytes = pending;
      let at = scanned;
      while (at < bytes.length) {
        if (inString) {
          at = stringEnd(bytes, at);
          // An escaped character may lie in the next chunk: `at` then points behind this one.
          inString = at >= bytes.length || bytes[at] !== quote;
          if (!inString) at++;
          continue;
        }
        const byte = bytes[at];
        if (depth > 0) {
          if (byte === quote) inString = true;
          else if (byte === openBrace) depth++;
          else if (byte === closeBrace && --depth === 0) records.push(take(at + 1));
        } else if (byte === openBrace) {
          if (start !== -1) records.push(take(at));
          start = at;
          depth = 1;
        } else if (start === -1 && !isSpace(byte) && byte !== openBracket && byte !== closeBracket && byte !== comma) {
          start = at;
        }
        at++;
      }
      scanned = at;
      letGoUpTo(start === -1 ? pending.length : start);
      start = Math.min(start, 0);
      if (pending.length > recordBytesMax) {
        kept ??= Buffer.from(pending.subarray(0, keptBytesMax));
        letGo += pending.length;
        letGoUpTo(pending.length);
      }
      return records;
    },
    end: () => (start === -1 ? [] : [take(pending.length)]),
  };
}

/** Where the quotation mark stands that ends a string, or at least the length of `bytes` where it is not among them. */
function stringEnd(bytes: Buffer, from: number): number {
  let at = from;
  while (at < bytes.length && bytes[at] !== quote) at += bytes[at] === backslash ? 2 : 1;
  return at;
}
