import type { Sink } from '../encode/sink.ts';
import { int16 } from './bytes.ts';

/** Float8 the way PostgreSQL prints it: the shortest digits that read back, an exponent from 1e15 and below 1e-4. */
export function float8Text(value: number): string {
  const size = Math.abs(value);
  if (size >= 1e-4 && size < 1e15) return String(value);
  return special(value) ?? scientific(value.toExponential());
}

/** Float4 likewise, with at most nine digits and an exponent from 1e6. */
export function float4Text(value: number): string {
  const known = special(value);
  if (known !== undefined) return known;
  let shortest = value.toExponential(8);
  for (let digits = 0; digits < 8; digits++) {
    const candidate = value.toExponential(digits);
    if (Math.fround(Number(candidate)) === value) {
      shortest = candidate;
      break;
    }
  }
  // Not by size: as a DOUBLE the FLOAT 1e-4 lies below it.
  const exponent = Number(shortest.slice(shortest.indexOf('e') + 1));
  return exponent >= -4 && exponent < 6 ? String(Number(shortest)) : scientific(shortest);
}

function special(value: number): string | undefined {
  if (value === 0) return Object.is(value, -0) ? '-0' : '0';
  if (Number.isNaN(value)) return 'NaN';
  if (!Number.isFinite(value)) return value > 0 ? 'Infinity' : '-Infinity';
  return undefined;
}

// JavaScript writes 1e+5 and 1.50e+5, PostgreSQL 1e+05 and 1.5e+05.
function scientific(text: string): string {
  const [digits = '', exponent = ''] = text.split('e');
  const mantissa = digits.includes('.') ? digits.replace(/\.?0+$/, '') : digits;
  return `${mantissa}e${exponent.slice(0, 1)}${exponent.slice(1).padStart(2, '0')}`;
}

/**
 * The body of a binary numeric (numeric_send): digits of base 10,000, the first one's weight, sign, digits after the
 * point.
 */
export function writeNumeric(out: Sink, unscaled: bigint, scale: number): void {
  const negative = unscaled < 0n;
  const digits = String(negative ? -unscaled : unscaled).padStart(scale + 1, '0');
  const whole = digits.slice(0, digits.length - scale);
  const fraction = digits.slice(digits.length - scale);
  const padded =
    whole.padStart(Math.ceil(whole.length / 4) * 4, '0') + fraction.padEnd(Math.ceil(fraction.length / 4) * 4, '0');
  const groups: number[] = [];
  for (let at = 0; at < padded.length; at += 4) groups.push(Number(padded.slice(at, at + 4)));
  let weight = Math.ceil(whole.length / 4) - 1;
  while (groups.length > 0 && groups[0] === 0) {
    groups.shift();
    weight--;
  }
  while (groups.length > 0 && groups.at(-1) === 0) groups.pop();
  int16(out, groups.length);
  int16(out, groups.length === 0 ? 0 : weight);
  int16(out, negative && groups.length > 0 ? 0x4000 : 0);
  int16(out, scale);
  for (const group of groups) int16(out, group);
}

/** The text of a binary numeric, or undefined where the bytes are none. */
export function numericText(body: Buffer): string | undefined {
  if (body.length < 8) return undefined;
  const count = body.readUInt16BE(0);
  const weight = body.readInt16BE(2);
  const sign = body.readUInt16BE(4);
  const scale = body.readUInt16BE(6) & 0x3fff;
  if (body.length !== 8 + count * 2) return undefined;
  if (sign === 0xc000) return 'NaN';
  if (sign === 0xd000) return 'Infinity';
  if (sign === 0xf000) return '-Infinity';
  const group = (index: number): string =>
    (index >= 0 && index < count ? String(body.readUInt16BE(8 + index * 2)) : '0').padStart(4, '0');
  let whole = '';
  for (let index = 0; index <= weight; index++) whole += group(index);
  let fraction = '';
  for (let index = weight + 1; fraction.length < scale; index++) fraction += group(index);
  const text = `${whole.replace(/^0+(?=\d)/, '') || '0'}${scale > 0 ? `.${fraction.slice(0, scale)}` : ''}`;
  return sign === 0x4000 ? `-${text}` : text;
}
