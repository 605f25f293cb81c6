import { WatershedError } from '#core/errors.ts';
import type { Param } from '../engine/engine.ts';
import { decodeUtf8 } from './bytes.ts';
import { civil, epochDays, intervalText } from './datetime.ts';
import type { Format } from './encode-rows.ts';
import { characters, type Token } from './lexer.ts';
import { numericText } from './numbers.ts';
import { elementOf, engineTypeOf, oids } from './types.ts';

/** A value for the engine and the type that the parameter is cast to in the statement. */
export interface BoundValue {
  readonly value: Param;
  readonly cast: string;
}

/**
 * Decodes one value of a Bind. `oid` is what the client declared or was told; `engineType` the engine's name for it
 * where it was the engine that told. Dates, lists and the like go as text and are cast by the engine. Throws
 * `bad_request` with SQLSTATE 22P02 or 22P03 for a value that is none of that type.
 */
export function boundValue(bytes: Buffer | null, format: Format, oid: number, engineType: string): BoundValue {
  if (bytes === null) return { value: null, cast: engineType };
  const element = elementOf(oid);
  if (element !== undefined) {
    const items = format === 1 ? binaryArray(bytes) : textArray(text(bytes));
    // As JSON a list reaches the engine without any of its quoting rules.
    return { value: JSON.stringify(items), cast: `JSON AS ${engineType}` };
  }
  const shown = format === 1 ? binaryScalar(bytes, oid) : text(bytes);
  return scalar(shown, oid, engineType);
}

function scalar(shown: string, oid: number, engineType: string): BoundValue {
  switch (oid) {
    case oids.bool: {
      const word = shown.trim().toLowerCase();
      const isTrue = /^(t|tr|tru|true|y|ye|yes|on|1)$/.test(word);
      if (!isTrue && !/^(f|fa|fal|fals|false|n|no|of|off|0)$/.test(word)) throw invalid(shown, 'boolean');
      return { value: isTrue, cast: engineType };
    }
    case oids.int2:
    case oids.int4:
    case oids.int8:
    case oids.oid:
      if (!/^\s*[+-]?\d+\s*$/.test(shown))
        throw invalid(shown, oid === oids.int8 ? 'bigint' : oid === oids.int2 ? 'smallint' : 'integer');
      return { value: wholeNumber(shown, oid), cast: engineType };
    case oids.numeric:
      return { value: shown.trim(), cast: decimalType(shown.trim()) };
    case oids.float4:
    case oids.float8:
      if (!/^\s*[+-]?(\d+\.?\d*|\.\d+|inf(inity)?|nan)(e[+-]?\d+)?\s*$/i.test(shown))
        throw invalid(shown, 'double precision');
      return { value: shown.trim(), cast: engineType };
    case oids.bytea:
      return { value: engineBytes(shown), cast: 'BLOB' };
    default:
      return { value: shown, cast: engineType };
  }
}

const wholeNumbers: ReadonlyMap<number, readonly [bits: number, name: string]> = new Map([
  [oids.int2, [16, 'smallint']],
  [oids.int4, [32, 'integer']],
  [oids.int8, [64, 'bigint']],
]);

function wholeNumber(shown: string, oid: number): bigint {
  const value = BigInt(shown.trim().replace(/^\+/, ''));
  const [bits, name] = wholeNumbers.get(oid) ?? [64, 'oid'];
  if (BigInt.asIntN(bits, value) === value) return value;
  throw new WatershedError('bad_request', `value "${shown}" is out of range for type ${name}`, {
    context: { sqlstate: '22003' },
  });
}

// DuckDB's decimals hold 38 digits: as many after the point as the value has. What does not fit is a DOUBLE, as NaN is.
function decimalType(shown: string): string {
  const parts = /^[+-]?(\d*)\.?(\d*)$/.exec(shown);
  if (parts === null) {
    if (!/^[+-]?((\d+\.?\d*|\.\d+)e[+-]?\d+|nan|inf(inity)?)$/i.test(shown)) throw invalid(shown, 'numeric');
    return 'DOUBLE';
  }
  const [, whole = '', fraction = ''] = parts;
  if (whole === '' && fraction === '') throw invalid(shown, 'numeric');
  return whole.length + fraction.length > 38 ? 'DOUBLE' : `DECIMAL(38,${fraction.length})`;
}

// PostgreSQL writes bytes as \x0102, DuckDB reads them as \x01\x02.
function engineBytes(shown: string): string {
  const bytes = shown.startsWith('\\x')
    ? Buffer.from(shown.slice(2), 'hex')
    : Buffer.from(
        shown.replace(/\\([0-7]{3}|\\)/g, (_, code: string) =>
          code === '\\' ? '\\' : String.fromCharCode(Number.parseInt(code, 8)),
        ),
        'latin1',
      );
  return [...bytes].map((byte) => `\\x${byte.toString(16).padStart(2, '0').toUpperCase()}`).join('');
}

function text(bytes: Buffer): string {
  if (bytes.includes(0)) throw wrongText();
  try {
    return decodeUtf8(bytes);
  } catch {
    throw wrongText();
  }
}

function wrongText(): WatershedError {
  return new WatershedError('bad_request', 'invalid byte sequence for encoding "UTF8"', {
    context: { sqlstate: '22021' },
  });
}

function invalid(shown: string, type: string): WatershedError {
  return new WatershedError('bad_request', `invalid input syntax for type ${type}: "${shown}"`, {
    context: { sqlstate: '22P02' },
  });
}

function wrongBinary(): WatershedError {
  return new WatershedError('bad_request', 'incorrect binary data format in bind parameter', {
    context: { sqlstate: '22P03' },
  });
}

function sized(bytes: Buffer, size: number): Buffer {
  if (bytes.length !== size) throw wrongBinary();
  return bytes;
}

/** A binary value as the text that PostgreSQL would take for it. */
function binaryScalar(bytes: Buffer, oid: number): string {
  switch (oid) {
    case oids.bool:
      return sized(bytes, 1)[0] === 0 ? 'false' : 'true';
    case oids.int2:
      return String(sized(bytes, 2).readInt16BE());
    case oids.int4:
      return String(sized(bytes, 4).readInt32BE());
    case oids.oid:
      return String(sized(bytes, 4).readUInt32BE());
    case oids.int8:
      return String(sized(bytes, 8).readBigInt64BE());
    case oids.float4:
      return String(sized(bytes, 4).readFloatBE());
    case oids.float8:
      return String(sized(bytes, 8).readDoubleBE());
    case oids.numeric: {
      const shown = numericText(bytes);
      if (shown === undefined) throw wrongBinary();
      return shown;
    }
    case oids.bytea:
      return `\\x${bytes.toString('hex')}`;
    case oids.uuid: {
      const hex = sized(bytes, 16).toString('hex');
      return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
    }
    case oids.jsonb:
      if (bytes[0] !== 1) throw wrongBinary();
      return text(bytes.subarray(1));
    default:
      return binaryTime(bytes, oid) ?? text(bytes);
  }
}

function binaryTime(bytes: Buffer, oid: number): string | undefined {
  switch (oid) {
    case oids.date:
      return dateText(sized(bytes, 4).readInt32BE() + epochDays);
    case oids.time:
      return clockText(sized(bytes, 8).readBigInt64BE());
    case oids.timetz:
      return `${clockText(sized(bytes, 12).readBigInt64BE())}${offsetText(-bytes.readInt32BE(8))}`;
    case oids.timestamp:
    case oids.timestamptz: {
      const micros = sized(bytes, 8).readBigInt64BE();
      if (micros === 0x7fff_ffff_ffff_ffffn) return 'infinity';
      if (micros === -0x8000_0000_0000_0000n) return '-infinity';
      const rest = ((micros % 86_400_000_000n) + 86_400_000_000n) % 86_400_000_000n;
      const days = Number((micros - rest) / 86_400_000_000n) + epochDays;
      return `${dateText(days)} ${clockText(rest)}${oid === oids.timestamptz ? '+00' : ''}`;
    }
    case oids.interval:
      return intervalText(sized(bytes, 16).readInt32BE(12), bytes.readInt32BE(8), bytes.readBigInt64BE(0));
    default:
      return undefined;
  }
}

function dateText(days: number): string {
  const { year, month, day } = civil(days);
  const shown = String(year <= 0 ? 1 - year : year).padStart(4, '0');
  return `${shown}-${String(month).padStart(2, '0')}-${String(day).padStart(2, '0')}${year <= 0 ? ' (BC)' : ''}`;
}

function clockText(micros: bigint): string {
  return intervalText(0, 0, micros);
}

function offsetText(seconds: number): string {
  const size = Math.abs(seconds);
  const two = (value: number): string => String(Math.floor(value)).padStart(2, '0');
  return `${seconds < 0 ? '-' : '+'}${two(size / 3600)}:${two((size / 60) % 60)}`;
}

type Items = readonly (string | null | Items)[];

/** `{a,"b c",NULL,{…}}` (array_in), without explicit bounds. */
function textArray(shown: string): Items {
  const wrong = (): WatershedError =>
    new WatershedError('bad_request', `malformed array literal: "${shown}"`, { context: { sqlstate: '22P02' } });
  const tokens = shown.match(/"(?:[^"\\]|\\[\s\S])*"|[{},]|[^{},"]+/g) ?? [];
  let at = 0;
  const parse = (depth: number): Items => {
    if (tokens[at++] !== '{' || depth > 6) throw wrong();
    const items: (string | null | Items)[] = [];
    for (let separator = tokens[at] === '}' ? tokens[at++] : ','; separator === ','; separator = tokens[at++]?.trim()) {
      const token = tokens[at]?.trim() === '' ? tokens[++at] : tokens[at];
      if (token === '{') items.push(parse(depth + 1));
      else if (token === undefined || token === '}' || token === ',') throw wrong();
      else {
        at++;
        const bare = token.trim();
        items.push(
          token.startsWith('"') ? token.slice(1, -1).replace(/\\([\s\S])/g, '$1') : /^null$/i.test(bare) ? null : bare,
        );
        if (tokens[at]?.trim() === '') at++;
      }
    }
    if (tokens[at - 1]?.trim() !== '}') throw wrong();
    return items;
  };
  const items = parse(1);
  if (at !== tokens.length) throw wrong();
  return items;
}

function binaryArray(bytes: Buffer): Items {
  if (bytes.length < 12) throw wrongBinary();
  const dimensions = bytes.readInt32BE(0);
  const element = bytes.readUInt32BE(8);
  if (dimensions === 0) return [];
  if (dimensions !== 1 || bytes.length < 20) throw wrongBinary();
  const count = bytes.readInt32BE(12);
  const items: (string | null)[] = [];
  let at = 20;
  for (let index = 0; index < count; index++) {
    if (at + 4 > bytes.length) throw wrongBinary();
    const length = bytes.readInt32BE(at);
    at += 4;
    if (length > bytes.length - at) throw wrongBinary();
    items.push(length < 0 ? null : binaryScalar(bytes.subarray(at, at + length), element));
    at += Math.max(0, length);
  }
  return items;
}

/**
 * The statement with each `$n` cast to its type, and how positions in it map back to the statement as it came. Casts to
 * jsonb, which drivers' users write by habit, become casts to the one JSON type that the engine has.
 */
export function castParameters(
  sql: string,
  tokens: readonly Token[],
  casts: readonly (string | undefined)[],
): { sql: string; originalPosition(position: number): number } {
  let out = '';
  let from = 0;
  const shifts: { at: number; by: number }[] = [];
  tokens.forEach((token, index) => {
    const replaced =
      token.kind === 'parameter'
        ? castOf(token, casts)
        : (jsonFor(token, tokens[index - 1], tokens[index + 1]) ??
          numericFor(tokens, index, casts) ??
          bytesFor(tokens, index));
    if (replaced === undefined) return;
    out += sql.slice(from, token.start) + replaced;
    from = token.end;
    shifts.push({ at: characters(out), by: replaced.length - (token.end - token.start) });
  });
  out += sql.slice(from);
  return {
    sql: out,
    originalPosition: (position) => position - shifts.reduce((sum, { at, by }) => (at < position ? sum + by : sum), 0),
  };
}

function castOf({ text: number }: Token, casts: readonly (string | undefined)[]): string | undefined {
  const cast = casts[Number(number) - 1];
  if (cast === undefined) return undefined;
  const [inner, outer] = cast.split(' AS ');
  const plain = `CAST($${number} AS ${inner})`;
  return outer === undefined ? plain : `CAST(${plain} AS ${outer})`;
}

// `x::jsonb`, `cast(x as jsonb)`, but not `x as jsonb`, which names a column.
function jsonFor(token: Token, before: Token | undefined, after: Token | undefined): string | undefined {
  if (token.kind !== 'word' || token.text !== 'jsonb' || before === undefined || before.kind === 'string')
    return undefined;
  const isCast = before.text === ':' || (before.text === 'as' && (after?.text === ')' || after?.text === '['));
  return isCast ? 'json' : undefined;
}

// `$1::numeric` means all digits that the value has; to the engine it would mean three after the point.
function numericFor(
  tokens: readonly Token[],
  index: number,
  casts: readonly (string | undefined)[],
): string | undefined {
  const operand = numericCastOf(tokens, index);
  if (operand?.kind === 'number' || operand?.kind === 'string') return literalType(operand);
  const type = operand?.kind === 'parameter' ? casts[Number(operand.text) - 1]?.split(' AS ').at(-1) : undefined;
  return type !== undefined && /^(DECIMAL|DOUBLE)/.test(type) ? type.replace('[]', '') : undefined;
}

// Drivers that put values into the text (psycopg2, pgjdbc in simple mode) write `'1.2345'::numeric`.
function literalType({ text }: Token): string | undefined {
  const parts = /^'?[+-]?(\d*)\.?(\d*)'?$/.exec(text);
  const digits = (parts?.[1] ?? '').length + (parts?.[2] ?? '').length;
  return parts === null || digits === 0 || digits > 38 ? undefined : `DECIMAL(${digits > 18 ? 38 : 18},${parts[2]?.length ?? 0})`;
}

// … and `'\x0102'::bytea`, which to the engine are the byte 1 and two digits.
function bytesFor(tokens: readonly Token[], index: number): string | undefined {
  const token = tokens[index];
  const isCast = [':', ':', 'bytea'].every((text, offset) => tokens[index + 1 + offset]?.text === text);
  if (token?.kind !== 'string' || !isCast) return undefined;
  const hex = /^(?:'\\x|[eE]'\\\\x)((?:[0-9a-fA-F]{2})*)'$/.exec(token.text)?.[1];
  return hex === undefined ? undefined : `'${hex.replaceAll(/../g, (byte) => `\\x${byte.toUpperCase()}`)}'`;
}

/** What the type at `index` is a cast of, where that type is numeric without a precision. */
function numericCastOf(tokens: readonly Token[], index: number): Token | undefined {
  const token = tokens[index];
  const at = (offset: number): Token | undefined => tokens[index + offset];
  if (token?.kind !== 'word' || !['numeric', 'decimal'].includes(token.text) || at(1)?.text === '(') return undefined;
  if (at(-1)?.text === ':' && at(-2)?.text === ':') return at(-3);
  // `5 as numeric` names a column; only in brackets is it a type.
  return at(-1)?.text === 'as' && [')', '['].includes(at(1)?.text ?? '') ? at(-2) : undefined;
}

/** Parameters that the statement casts to numeric without a precision, or to an array of it: the OID of that type. */
export function bareNumeric(tokens: readonly Token[]): ReadonlyMap<number, number> {
  const found = new Map<number, number>();
  tokens.forEach((_, index) => {
    const operand = numericCastOf(tokens, index);
    if (operand?.kind !== 'parameter') return;
    found.set(Number(operand.text), tokens[index + 1]?.text === '[' ? 1231 : oids.numeric);
  });
  return found;
}

/** The engine's type for what a client declared, or undefined where the engine must say. */
export function declaredType(oid: number | undefined): string | undefined {
  if (oid === undefined || oid === 0 || oid === oids.unknown) return undefined;
  const known = engineTypeOf(oid);
  if (known !== undefined) return known;
  throw new WatershedError('unsupported', `parameters of the type with OID ${oid} are not supported`, {
    hint: 'send it as text and cast it in the statement',
  });
}
