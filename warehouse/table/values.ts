import { WatershedError } from '#core/errors.ts';

/**
 * Values of columns and partitions as this room holds them: timestamps are microseconds and dates days since 1970, both
 * UTC; decimal, uuid and fixed stay bytes. A long is a number where that is exact and a bigint where not; both compare
 * alike.
 */
export type Value = boolean | number | bigint | string | Uint8Array;

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** Single-value serialisation (specification, Appendix D). `type` is an Iceberg primitive type. */
export function encodeValue(type: string, value: Value): Uint8Array {
  switch (type) {
    case 'boolean':
      return Uint8Array.of(value === true ? 1 : 0);
    case 'int':
    case 'date': {
      const bytes = Buffer.alloc(4);
      bytes.writeInt32LE(Number(value));
      return bytes;
    }
    case 'long':
    case 'time':
    case 'timestamp':
    case 'timestamptz': {
      const bytes = Buffer.alloc(8);
      bytes.writeBigInt64LE(typeof value === 'bigint' ? value : BigInt(Number(value)));
      return bytes;
    }
    case 'float': {
      const bytes = Buffer.alloc(4);
      bytes.writeFloatLE(Number(value));
      return bytes;
    }
    case 'double': {
      const bytes = Buffer.alloc(8);
      bytes.writeDoubleLE(Number(value));
      return bytes;
    }
    case 'string':
      return Buffer.from(String(value));
    default:
      if (value instanceof Uint8Array) return value;
      throw new WatershedError('unsupported', `a value of type ${type} cannot be written`);
  }
}

/** The inverse of `encodeValue`; undefined where bytes do not fit the type (a bound that cannot be used). */
export function decodeValue(type: string, bytes: Uint8Array): Value | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = bytes.byteLength;
  switch (type) {
    case 'boolean':
      return length === 1 ? bytes[0] !== 0 : undefined;
    case 'int':
    case 'date':
      return length === 4 ? view.getInt32(0, true) : undefined;
    case 'long':
    case 'time':
    case 'timestamp':
    case 'timestamptz':
      // A column widened from int keeps bounds of four bytes in its older files.
      return length === 8 ? exact(view.getBigInt64(0, true)) : length === 4 ? view.getInt32(0, true) : undefined;
    case 'float':
      return length === 4 ? view.getFloat32(0, true) : undefined;
    case 'double':
      return length === 8 ? view.getFloat64(0, true) : length === 4 ? view.getFloat32(0, true) : undefined;
    case 'string':
      try {
        return utf8.decode(bytes);
      } catch {
        return undefined; // cut within a character by its writer
      }
    default:
      return bytes;
  }
}

function exact(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

/**
 * Orders two values of one type: numbers by size with -0 before +0, strings and bytes by their unsigned (UTF-8) bytes,
 * which differs from JavaScript's order of UTF-16 units above U+FFFF.
 */
export function compareValues(left: Value, right: Value): number {
  if (typeof left === 'string' && typeof right === 'string') return compareStrings(left, right);
  if (left instanceof Uint8Array && right instanceof Uint8Array) return Buffer.compare(left, right);
  if (left === 0 && right === 0) return Object.is(left, right) ? 0 : Object.is(left, -0) ? -1 : 1;
  return left < right ? -1 : left > right ? 1 : 0;
}

function compareStrings(left: string, right: string): number {
  const length = Math.min(left.length, right.length);
  for (let at = 0; at < length; at += 1) {
    const a = left.charCodeAt(at);
    const b = right.charCodeAt(at);
    if (a === b) continue;
    // Surrogates stand for code points above every other unit; among themselves they are in order.
    const aHigh = a >= 0xd800 && a <= 0xdfff;
    const bHigh = b >= 0xd800 && b <= 0xdfff;
    return aHigh === bHigh ? a - b : aHigh ? 1 : -1;
  }
  return left.length - right.length;
}

/** The first `width` code points: not above any string that begins with them. */
export function truncateLower(text: string, width: number): string {
  if (text.length <= width) return text;
  const points = Array.from(text);
  return points.length <= width ? text : points.slice(0, width).join('');
}

/**
 * A string of at most `width` code points that is not below `text`: cut, then the last point that can grow is raised by
 * one, surrogates skipped. Undefined where none can grow: then there is no upper bound.
 */
export function truncateUpper(text: string, width: number): string | undefined {
  if (text.length <= width) return text;
  const points = Array.from(text);
  if (points.length <= width) return text;
  for (let last = width - 1; last >= 0; last -= 1) {
    const point = points[last]?.codePointAt(0) ?? 0;
    const next = point === 0xd7ff ? 0xe000 : point + 1;
    if (next <= 0x10ffff) return points.slice(0, last).join('') + String.fromCodePoint(next);
  }
  return undefined;
}

const microsPer = { hour: 3_600_000_000n, day: 86_400_000_000n } as const;

/** Partition transforms `day` and `hour` of microseconds since 1970, rounded down also before 1970. */
export function timeTransform(unit: keyof typeof microsPer, micros: number | bigint): number {
  const size = microsPer[unit];
  const value = BigInt(micros);
  const quotient = value / size;
  return Number(value % size < 0n ? quotient - 1n : quotient);
}

const instant =
  /^(\d{4,6})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,6}))?)?)? ?(Z|[+-]\d\d(?::?\d\d)?)?$/;

/**
 * Microseconds since 1970 of an instant as DuckDB prints it in UTC (`2013-06-20 12:00:00.5+00`) or ISO 8601 has it;
 * without an offset it is UTC. Undefined for anything else (infinity, years before 1).
 */
export function parseInstant(text: string): number | bigint | undefined {
  const match = instant.exec(text);
  if (match === null) return undefined;
  const [, year, month, day, hour = '0', minute = '0', second = '0', fraction = '', offset = 'Z'] = match;
  const date = new Date(0);
  date.setUTCFullYear(Number(year), Number(month) - 1, Number(day));
  date.setUTCHours(Number(hour), Number(minute), Number(second));
  if (Number.isNaN(date.getTime())) return undefined;
  const sign = offset.startsWith('-') ? -1 : 1;
  const digits = offset.replaceAll(/[^\d]/g, '').padEnd(4, '0');
  const offsetMinutes = sign * (Number(digits.slice(0, 2)) * 60 + Number(digits.slice(2)));
  return exact(BigInt(date.getTime() - offsetMinutes * 60_000) * 1000n + BigInt(fraction.padEnd(6, '0')));
}
