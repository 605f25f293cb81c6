/** Trino's text of dates, times and intervals as numbers. */
import { WatershedError } from '#core/errors.ts';

const dayMs = 86_400_000;

/** Days since 1970 of `2026-11-24`; years may have a sign and more than four digits. */
export function daysOf(date: string): number {
  return Number(millisOf(date) / BigInt(dayMs));
}

// Date.UTC takes 0 to 99 for 1900 to 1999, hence setUTCFullYear.
function millisOf(date: string): bigint {
  const found = /^([+-]?\d+)-(\d\d)-(\d\d)$/.exec(date);
  if (found === null) throw unreadable(date);
  const day = new Date(0);
  day.setUTCFullYear(Number(found[1]), Number(found[2]) - 1, Number(found[3]));
  const millis = day.getTime();
  if (Number.isNaN(millis)) throw unreadable(date);
  return BigInt(millis);
}

/** Microseconds since midnight of `08:50:15.123456`; finer digits are cut. */
export function timeMicros(time: string): bigint {
  return timeNanos(time) / 1000n;
}

function timeNanos(time: string): bigint {
  const found = /^(\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?$/.exec(time);
  if (found === null) throw unreadable(time);
  const [, hours = '0', minutes = '0', seconds = '0', fraction = ''] = found;
  const whole = BigInt(Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds));
  return whole * 1_000_000_000n + BigInt(fraction.padEnd(9, '0').slice(0, 9));
}

/** Nanoseconds since 1970 of `2026-11-24 08:50:15.123456`. */
export function nanosOf(timestamp: string): bigint {
  const [date = '', time = ''] = timestamp.split(' ');
  return millisOf(date) * 1_000_000n + timeNanos(time);
}

/** Microseconds since 1970, UTC, of `2026-11-24 08:50:15.123456 UTC`; the zone may be an offset or a name. */
export function zonedMicros(text: string): bigint {
  const last = text.lastIndexOf(' ');
  const zone = text.slice(last + 1);
  const local = nanosOf(text.slice(0, last)) / 1000n;
  return local - BigInt(offsetMillis(zone, Number(local / 1000n))) * 1000n;
}

/** How far a zone's clock is ahead of UTC when it shows `localMs`. */
function offsetMillis(zone: string, localMs: number): number {
  if (zone === 'UTC' || zone === 'Z') return 0;
  const fixed = /^([+-])(\d\d):(\d\d)$/.exec(zone);
  if (fixed !== null) return (fixed[1] === '-' ? -1 : 1) * (Number(fixed[2]) * 60 + Number(fixed[3])) * 60_000;
  // Two rounds: the first guess may lie on the other side of a change of the clocks.
  const guess = offsetAt(zone, localMs);
  return offsetAt(zone, localMs - guess);
}

const formats = new Map<string, Intl.DateTimeFormat>();

function offsetAt(zone: string, atMs: number): number {
  let format = formats.get(zone);
  if (format === undefined) {
    format = new Intl.DateTimeFormat('en-US', { timeZone: zone, timeZoneName: 'longOffset', year: 'numeric' });
    formats.set(zone, format);
  }
  const name = format.formatToParts(new Date(atMs)).find(({ type }) => type === 'timeZoneName')?.value ?? 'GMT';
  const found = /^GMT(?:([+-])(\d\d):(\d\d)(?::(\d\d))?)?$/.exec(name);
  if (found === null) throw unreadable(zone);
  const [, sign, hours = '0', minutes = '0', seconds = '0'] = found;
  return (sign === '-' ? -1 : 1) * (Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds)) * 1000;
}

/** Microseconds of `2 03:04:05.678`, days to milliseconds. */
export function intervalMicros(text: string): bigint {
  const found = /^(-?)(\d+) (\d\d):(\d\d):(\d\d)\.(\d{3})$/.exec(text);
  if (found === null) throw unreadable(text);
  const [, sign, days = '0', hours = '0', minutes = '0', seconds = '0', millis = '0'] = found;
  const total = ((BigInt(days) * 24n + BigInt(hours)) * 60n + BigInt(minutes)) * 60n + BigInt(seconds);
  return (total * 1000n + BigInt(millis)) * (sign === '-' ? -1000n : 1000n);
}

/** Months of `1-2`, years and months. */
export function intervalMonths(text: string): number {
  const found = /^(-?)(\d+)-(\d+)$/.exec(text);
  if (found === null) throw unreadable(text);
  return (Number(found[2]) * 12 + Number(found[3])) * (found[1] === '-' ? -1 : 1);
}

function unreadable(text: string): WatershedError {
  return new WatershedError('unsupported', `Trino sent ${JSON.stringify(text)}, which is no date or time that we know`);
}
