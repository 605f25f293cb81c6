import { WatershedError } from '#core/errors.ts';
import { splitDay, writePadded } from '../encode/digits.ts';
import type { Sink } from '../encode/sink.ts';

/** Days and microseconds in PostgreSQL's spelling (DateStyle ISO, IntervalStyle postgres, TimeZone UTC). */

/** 2000-01-01, from where PostgreSQL's binary forms count. */
export const epochDays = 10_957;
export const epochMicros = 946_684_800_000_000n;
// Julian day 0 (4714-11-24 BC) and the last days (294276-12-31 and 5874898-06-02), in days from 1970 (datetime.h).
const firstDay = -2_440_588;
const lastTimestampDay = 106_762_939;
const lastDateDay = 2_145_042_905;

/** Refuses what the type cannot carry. Clients choke on infinities: pgx fails a whole panel over one. */
function outOfRange(what: 'date' | 'timestamp', infinite: boolean): WatershedError {
  const said = infinite
    ? `an infinite ${what} cannot be sent over the wire`
    : `a ${what} of the result is out of range`;
  return new WatershedError('statement_failed', said, {
    hint: 'leave such rows out with isfinite(), or cast the column to VARCHAR',
    context: { sqlstate: '22008' },
  });
}

export function checkDate(days: number): void {
  if (days >= 2_147_483_647 || days <= -2_147_483_647) throw outOfRange('date', true);
  if (days < firstDay || days > lastDateDay) throw outOfRange('date', false);
}

/**
 * Microseconds since 1970, given as the two halves of the 64-bit number, as days and microseconds of the day; refuses
 * what PostgreSQL cannot hold.
 */
export function splitMicros(low: number, high: number): { days: number; rest: number } {
  // DuckDB's infinities are the largest number and its negative.
  if ((high === 0x7fffffff && low === 0xffffffff) || (high === -0x80000000 && low === 1))
    throw outOfRange('timestamp', true);
  const split = splitDay(low, high, 86_400_000_000);
  if (split.days < firstDay || split.days > lastTimestampDay) throw outOfRange('timestamp', false);
  return split;
}

/** Year (0 is 1 BC), month and day of a day counted from 1970-01-01, in the proleptic Gregorian calendar. */
export function civil(days: number): { year: number; month: number; day: number } {
  // Counting years from March puts the leap day last; an era is 400 years, 146,097 days.
  const shifted = days + 719_468;
  const era = Math.floor(shifted / 146_097);
  const dayOfEra = shifted - era * 146_097;
  const yearOfEra = Math.floor(
    (dayOfEra - Math.floor(dayOfEra / 1_460) + Math.floor(dayOfEra / 36_524) - Math.floor(dayOfEra / 146_096)) / 365,
  );
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const shiftedMonth = Math.floor((5 * dayOfYear + 2) / 153);
  const month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9;
  return {
    year: yearOfEra + era * 400 + (month <= 2 ? 1 : 0),
    month,
    day: dayOfYear - Math.floor((153 * shiftedMonth + 2) / 5) + 1,
  };
}

let lastDays = Number.NaN;
let lastText = '';
let lastIsBc = false;

// Neighbouring rows mostly share their day, so the last one is kept.
function dateText(days: number): string {
  if (days !== lastDays) {
    const { year, month, day } = civil(days);
    lastIsBc = year <= 0;
    const shown = String(lastIsBc ? 1 - year : year).padStart(4, '0');
    lastText = `${shown}-${String(month).padStart(2, '0')}-${String(day).padStart(2, '0')}`;
    lastDays = days;
  }
  return lastText;
}

export function writeDate(out: Sink, days: number): void {
  out.ascii(dateText(days));
  if (lastIsBc) out.ascii(' BC');
}

/** `HH:MM:SS[.ffffff]` without closing zeros. */
export function writeTime(out: Sink, micros: number): void {
  out.reserve(16);
  const seconds = Math.floor(micros / 1e6);
  writePadded(out, Math.floor(seconds / 3600), 2);
  out.byte(0x3a);
  writePadded(out, Math.floor(seconds / 60) % 60, 2);
  out.byte(0x3a);
  writePadded(out, seconds % 60, 2);
  writeFraction(out, micros - seconds * 1e6);
}

function writeFraction(out: Sink, micros: number): void {
  if (micros === 0) return;
  out.byte(0x2e);
  let width = 6;
  let value = micros;
  while (value % 10 === 0) {
    value /= 10;
    width--;
  }
  writePadded(out, value, width);
}

export function writeTimestamp(out: Sink, days: number, rest: number, withZone: boolean): void {
  out.ascii(dateText(days));
  out.byte(0x20);
  writeTime(out, rest);
  if (withZone) out.ascii('+00');
  if (lastIsBc) out.ascii(' BC');
}

/** An offset in seconds east of UTC as `+02`, `-03:30`, `+00:00:17`. */
export function writeOffset(out: Sink, offsetSeconds: number): void {
  out.reserve(9);
  const size = Math.abs(offsetSeconds);
  out.byte(offsetSeconds < 0 ? 0x2d : 0x2b);
  writePadded(out, Math.floor(size / 3600), 2);
  if (size % 3600 === 0) return;
  out.byte(0x3a);
  writePadded(out, Math.floor(size / 60) % 60, 2);
  if (size % 60 === 0) return;
  out.byte(0x3a);
  writePadded(out, size % 60, 2);
}

/** As `EncodeInterval` of PostgreSQL does it: a part after a negative one carries its plus sign. */
export function intervalText(months: number, days: number, micros: bigint): string {
  const parts: string[] = [];
  let afterNegative = false;
  const add = (value: number, unit: string): void => {
    if (value === 0) return;
    parts.push(`${afterNegative && value > 0 ? '+' : ''}${value} ${unit}${value === 1 ? '' : 's'}`);
    afterNegative = value < 0;
  };
  add(Math.trunc(months / 12), 'year');
  add(months % 12, 'mon');
  add(days, 'day');
  if (micros !== 0n || parts.length === 0) {
    const size = micros < 0n ? -micros : micros;
    const seconds = size / 1_000_000n;
    const two = (value: bigint): string => String(value).padStart(2, '0');
    const fraction = String(size % 1_000_000n)
      .padStart(6, '0')
      .replace(/0+$/, '');
    const sign = micros < 0n ? '-' : afterNegative ? '+' : '';
    parts.push(
      `${sign}${two(seconds / 3600n)}:${two((seconds / 60n) % 60n)}:${two(seconds % 60n)}${fraction && `.${fraction}`}`,
    );
  }
  return parts.join(' ');
}
