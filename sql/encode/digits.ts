import type { Sink } from './sink.ts';

/** Numbers and instants as ASCII, without making a string of each. */

const zero = 48;
const minus = 45;

/** An integer that a JavaScript number holds exactly. */
export function writeInteger(sink: Sink, value: number): void {
  sink.reserve(17);
  let rest = value;
  if (rest < 0) {
    sink.bytes[sink.length++] = minus;
    rest = -rest;
  }
  if (rest < 1e9) return writeSmall(sink, rest);
  const high = Math.floor(rest / 1e9);
  writeSmall(sink, high); // at most 9007199
  writePadded(sink, rest - high * 1e9, 9);
}

function writeSmall(sink: Sink, value: number): void {
  let width = 1;
  for (let limit = 10; width < 9 && value >= limit; limit *= 10) width++;
  writePadded(sink, value, width);
}

/** `width` digits with leading zeros; the sink has room for them. */
export function writePadded(sink: Sink, value: number, width: number): void {
  const { bytes } = sink;
  let rest = value;
  for (let at = sink.length + width - 1; at >= sink.length; at--) {
    const next = Math.floor(rest / 10);
    bytes[at] = zero + rest - next * 10;
    rest = next;
  }
  sink.length += width;
}

/** A 64-bit integer from its two halves as stored, signed. */
export function writeInt64(sink: Sink, low: number, high: number): void {
  // Exact as a number while the high half stays within 21 bits and a sign.
  if (high >= -0x200000 && high < 0x200000) return writeInteger(sink, high * 4294967296 + low);
  sink.ascii(String((BigInt(high) << 32n) | BigInt(low)));
}

/** A decimal from its unscaled integer: digits with a point, as SQL writes it. */
export function writeDecimal(sink: Sink, unscaled: bigint, scale: number): void {
  const negative = unscaled < 0n;
  const digits = String(negative ? -unscaled : unscaled).padStart(scale + 1, '0');
  if (negative) sink.byte(minus);
  if (scale === 0) return sink.ascii(digits);
  sink.ascii(digits.slice(0, -scale));
  sink.byte(46);
  sink.ascii(digits.slice(-scale));
}

/** The shortest text that reads back as the same FLOAT (String would print the 17 digits of the DOUBLE it became). */
export function floatText(value: number): string {
  if (!Number.isFinite(value) || (Number.isInteger(value) && Math.abs(value) <= 16_777_216)) return doubleText(value);
  for (let precision = 6; precision < 9; precision++) {
    const short = Number(value.toPrecision(precision));
    if (Math.fround(short) === value) return String(short);
  }
  return String(Number(value.toPrecision(9)));
}

export function doubleText(value: number): string {
  return Object.is(value, -0) ? '-0.0' : String(value);
}

/** Years 0 to 9999 as four digits, others as ISO 8601's expanded form of six with a sign. 0 is 1 BC. */
export function writeDate(sink: Sink, days: number): void {
  const { year, month, day } = civil(days);
  sink.reserve(16);
  if (year >= 0 && year <= 9999) writePadded(sink, year, 4);
  else {
    sink.byte(year < 0 ? minus : 43);
    writePadded(sink, Math.abs(year), 6);
  }
  sink.byte(minus);
  writePadded(sink, month, 2);
  sink.byte(minus);
  writePadded(sink, day, 2);
}

const microsPerDay = 86_400_000_000;

/** `HH:MM:SS.ffffff` of the microseconds of a day. */
export function writeTime(sink: Sink, micros: number): void {
  sink.reserve(16);
  const seconds = Math.floor(micros / 1e6);
  const minutes = Math.floor(seconds / 60);
  writePadded(sink, Math.floor(minutes / 60), 2);
  sink.byte(58);
  writePadded(sink, minutes % 60, 2);
  sink.byte(58);
  writePadded(sink, seconds % 60, 2);
  sink.byte(46);
  writePadded(sink, micros - seconds * 1e6, 6);
}

/** Splits an instant in units of which a day has `perDay`, given as its two halves, into days and the rest. */
export function splitDay(low: number, high: number, perDay: number): { days: number; rest: number } {
  if (high >= -0x200000 && high < 0x200000) {
    const value = high * 4294967296 + low;
    const days = Math.floor(value / perDay);
    return { days, rest: value - days * perDay };
  }
  const value = (BigInt(high) << 32n) | BigInt(low);
  const unit = BigInt(perDay);
  const rest = ((value % unit) + unit) % unit;
  return { days: Number((value - rest) / unit), rest: Number(rest) };
}

/** Writes instants; keeps the text of the last day, since neighbours mostly fall on one. */
export function instantWriter(zone: boolean): (sink: Sink, low: number, high: number) => void {
  const day = { days: Number.NaN, text: new Uint8Array(0) };
  return (sink, low, high) => {
    const { days, rest } = splitDay(low, high, microsPerDay);
    if (days !== day.days) {
      const start = sink.length;
      writeDate(sink, days);
      sink.byte(84);
      day.text = Uint8Array.from(sink.bytes.subarray(start, sink.length));
      day.days = days;
    } else {
      sink.copy(day.text, 0, day.text.length);
    }
    writeTime(sink, rest);
    if (zone) sink.byte(90);
  };
}

/** Year, month and day of a day counted from 1970-01-01, proleptic Gregorian. */
function civil(days: number): { year: number; month: number; day: number } {
  // With March as the first month the leap day is the last of a year; 400 years have 146,097 days.
  const shifted = days + 719_468;
  const era = Math.floor(shifted / 146_097);
  const dayOfEra = shifted - era * 146_097;
  const yearOfEra = Math.floor(
    (dayOfEra - Math.floor(dayOfEra / 1460) + Math.floor(dayOfEra / 36_524) - Math.floor(dayOfEra / 146_096)) / 365,
  );
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const marchMonth = Math.floor((5 * dayOfYear + 2) / 153);
  const month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9;
  return {
    year: yearOfEra + era * 400 + (month <= 2 ? 1 : 0),
    month,
    day: dayOfYear - Math.floor((153 * marchMonth + 2) / 5) + 1,
  };
}
