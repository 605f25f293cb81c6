import fc from 'fast-check';
import { Sink } from '../encode/sink.ts';
import { splitStatements } from './lexer.ts';
import { numericText, writeNumeric } from './numbers.ts';
import { boundValue, castParameters, declaredType } from './parameters.ts';

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');

// Binary values as PostgreSQL's send functions gave them (select …_send(…)).
test.each<[string, number, string, string | bigint | boolean, string]>([
  ['int4 -2', 23, 'fffffffe', -2n, 'INTEGER'],
  ['int8 2^53+1', 20, '0020000000000001', 9007199254740993n, 'BIGINT'],
  ['bool', 16, '01', true, 'BOOLEAN'],
  ['float8 1.5', 701, '3ff8000000000000', '1.5', 'DOUBLE'],
  ['numeric 12345.678', 1700, '0003 0001 0000 0003 0001 0929 1a7c', '12345.678', 'DECIMAL(38,3)'],
  ['numeric -0.0001', 1700, '0001 ffff 4000 0004 0001', '-0.0001', 'DECIMAL(38,4)'],
  ['numeric 100000000', 1700, '0001 0002 0000 0000 0001', '100000000', 'DECIMAL(38,0)'],
  ['numeric NaN', 1700, '0000 0000 c000 0000', 'NaN', 'DOUBLE'],
  ['date 2013-06-20', 1082, '00001337', '2013-06-20', 'DATE'],
  ['timestamptz 2013-06-20 12:34:56.5+00', 1184, '00018293f1475d20', '2013-06-20 12:34:56.5+00', 'TIMESTAMP WITH TIME ZONE'],
  ['timestamp 1999-12-31 23:59:59.999999', 1114, 'ffffffffffffffff', '1999-12-31 23:59:59.999999', 'TIMESTAMP'],
  ['time 12:34:56.5', 1083, '0000000a8be1bd20', '12:34:56.5', 'TIME'],
  ['interval 1 mon 2 days 00:00:03', 1186, '00000000002dc6c0 00000002 00000001', '1 mon 2 days 00:00:03', 'INTERVAL'],
  ['uuid', 2950, 'a0eebc999c0b4ef8bb6d6bb9bd380a11', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'UUID'],
  ['bytea', 17, '0041ff', '\\x00\\x41\\xFF', 'BLOB'],
  ['text', 25, 'c3a9', 'é', 'VARCHAR'],
  ['jsonb', 3802, '017b7d', '{}', 'JSON'],
  ['int4[] {1,NULL}', 1007, '00000001 00000001 00000017 00000002 00000001 00000004 00000001 ffffffff', '["1",null]', 'JSON AS INTEGER[]'],
  ['text[] {}', 1009, '00000000 00000000 00000019', '[]', 'JSON AS VARCHAR[]'],
])('binary %s', (_what, oid, bytes, value, cast) => {
  expect(boundValue(hex(bytes), 1, oid, declaredType(oid) ?? '')).toEqual({ value, cast });
});

test.each<[number, string, unknown, string]>([
  [23, ' 42 ', 42n, 'INTEGER'], [16, 'off', false, 'BOOLEAN'], [16, 'T', true, 'BOOLEAN'], [1700, '1e3', '1e3', 'DOUBLE'],
  [1700, '.5', '.5', 'DECIMAL(38,1)'], [17, '\\x00ff', '\\x00\\xFF', 'BLOB'], [17, 'a\\\\\\001', '\\x61\\x5C\\x01', 'BLOB'],
  [1009, '{a,"b \\"c\\", {d}",NULL,"NULL",  spaced out ,""}', '["a","b \\"c\\", {d}",null,"NULL","spaced out",""]', 'JSON AS VARCHAR[]'],
  [1007, '{{1,2},{3,4}}', '[["1","2"],["3","4"]]', 'JSON AS INTEGER[]'], [1007, '{}', '[]', 'JSON AS INTEGER[]'],
])('text of type %i: %s', (oid, text, value, cast) => {
  expect(boundValue(Buffer.from(text), 0, oid, declaredType(oid) ?? '')).toEqual({ value, cast });
});

test.each<[number, 0 | 1, Buffer, string]>([
  [23, 0, Buffer.from('abc'), '22P02'], [16, 0, Buffer.from('maybe'), '22P02'], [1700, 0, Buffer.from('1,5'), '22P02'], [701, 0, Buffer.from(''), '22P02'],
  [1009, 0, Buffer.from('{a'), '22P02'], [1009, 0, Buffer.from('a}'), '22P02'], [1009, 0, Buffer.from('{a}}'), '22P02'], [1009, 0, Buffer.from('{,}'), '22P02'],
  [1009, 0, Buffer.from('{'.repeat(5000)), '22P02'],
  [25, 0, Buffer.from([0xff]), '22021'], [25, 0, Buffer.from([65, 0, 66]), '22021'],
  [23, 1, hex('00'), '22P03'], [1700, 1, hex('0001'), '22P03'], [1700, 1, hex('ffff 0000 0000 0000'), '22P03'], [1186, 1, hex('00'), '22P03'],
  [1007, 1, hex('00000001'), '22P03'], [1007, 1, hex('00000001 00000000 00000017 7fffffff 00000001 00000004'), '22P03'], [3802, 1, hex('02'), '22P03'],
])('a wrong value of type %i in format %i is refused', (oid, format, bytes, sqlstate) => {
  expect(() => boundValue(bytes, format, oid, declaredType(oid) ?? '')).toThrow(expect.objectContaining({ context: { sqlstate } }));
});

test('types without an equal are refused, those left open are not', () => {
  expect(() => declaredType(600)).toThrow(/OID 600/);
  expect([declaredType(0), declaredType(705), declaredType(undefined)]).toEqual([undefined, undefined, undefined]);
});

test('bytes of whatever kind give a value or a refusal', () => {
  const oid = fc.constantFrom(16, 17, 20, 21, 23, 25, 114, 700, 701, 1082, 1083, 1114, 1184, 1186, 1266, 1700, 2950, 3802, 1007, 1009, 1231, 1115);
  fc.assert(fc.property(oid, fc.constantFrom(0 as const, 1 as const), fc.uint8Array({ maxLength: 64 }), (type, format, bytes) => {
    try {
      boundValue(Buffer.from(bytes), format, type, declaredType(type) ?? '');
    } catch (error) {
      expect(error).toMatchObject({ name: 'WatershedError', code: 'bad_request' });
    }
  }), { numRuns: 5000 });
});

test('binary numerics come back as they went', () => {
  const decimal = fc.tuple(fc.bigInt({ min: -(10n ** 38n) + 1n, max: 10n ** 38n - 1n }), fc.nat(38));
  fc.assert(fc.property(decimal, ([unscaled, scale]) => {
    const out = new Sink();
    writeNumeric(out, unscaled, scale);
    const digits = String(unscaled < 0n ? -unscaled : unscaled).padStart(scale + 1, '0');
    const expected = `${unscaled < 0n ? '-' : ''}${digits.slice(0, digits.length - scale)}${scale > 0 ? `.${digits.slice(-scale)}` : ''}`;
    expect(numericText(Buffer.from(out.take()))).toBe(expected);
  }), { numRuns: 1000 });
});

test('casts are put around parameters and positions lead back', () => {
  const sql = `select '$1', $1, x from t where a = $2 and b = $1`;
  const { sql: cast, originalPosition } = castParameters(sql, splitStatements(sql)[0]?.tokens ?? [], ['INTEGER', 'JSON AS VARCHAR[]']);
  expect(cast).toBe(`select '$1', CAST($1 AS INTEGER), x from t where a = CAST(CAST($2 AS JSON) AS VARCHAR[]) and b = CAST($1 AS INTEGER)`);
  for (const word of ['x from', 'and b']) expect(originalPosition(cast.indexOf(word) + 1)).toBe(sql.indexOf(word) + 1);
});

test('a cast to jsonb is one to json', () => {
  const sql = `select '{}'::jsonb, cast(a as jsonb), b as jsonb from t`;
  expect(castParameters(sql, splitStatements(sql)[0]?.tokens ?? [], []).sql).toBe(`select '{}'::json, cast(a as json), b as jsonb from t`);
});

test.each([
  ["select '\\x0102ff'::bytea, E'\\\\x00'::bytea", "select '\\x01\\x02\\xFF'::bytea, '\\x00'::bytea"],
  ["select '\\xZZ'::bytea, '\\x01' as bytea, 'a'::bytea", "select '\\xZZ'::bytea, '\\x01' as bytea, 'a'::bytea"],
  ["select 5::numeric, '1.25'::numeric, cast('12.5' as decimal)", "select 5::DECIMAL(18,0), '1.25'::DECIMAL(18,2), cast('12.5' as DECIMAL(18,1))"],
  ['select 5::numeric(4,1), x::numeric, 5 as numeric', 'select 5::numeric(4,1), x::numeric, 5 as numeric'],
])('values that drivers write into the text keep what they say: %s', (sql, expected) => {
  const [statement] = splitStatements(sql);
  expect(castParameters(statement?.sql ?? '', statement?.tokens ?? [], []).sql).toBe(expected);
});
