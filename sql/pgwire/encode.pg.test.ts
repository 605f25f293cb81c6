import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';
import pg from 'pg';
import { chunkOf } from '../encode/column.ts';
import { Sink } from '../encode/sink.ts';
import { startPostgres, type TestPostgres } from '#test/services/postgres.ts';
import { pgBinaryEncoder, pgMixedEncoder, pgTextEncoder } from './encode-rows.ts';
import { typeName } from './encode-text.ts';
import { pgTypeOf } from './types.ts';
import { connectUpstream, type Upstream } from './upstream.ts';

// The bytes are PostgreSQL's own: the same expression is asked of both, and the raw rows are compared.
let postgres: TestPostgres;
let upstream: Upstream;
let instance: DuckDBInstance;
let duck: DuckDBConnection;

beforeAll(async () => {
  postgres = await startPostgres();
  const { host, port, user, password, database } = new pg.Client({ connectionString: postgres.url });
  upstream = await connectUpstream({ host, port, user: user ?? '', password: password ?? '', database: database ?? '', tls: undefined });
  await upstream.run({ sql: "select set_config('timezone', 'UTC', false)", oids: [], bound: { values: [], formats: [], resultFormats: [] }, bytesMax: 1e6 });
  instance = await DuckDBInstance.create(':memory:');
  duck = await instance.connect();
  await duck.run("set timezone = 'UTC'");
});

afterAll(async () => {
  upstream.close();
  duck.closeSync();
  instance.closeSync();
  await postgres.stop();
});

async function fromDuck(expression: string, binary: boolean): Promise<{ oid: number; typmod: number; row: string }> {
  const result = await duck.stream(`select ${expression} as v`);
  const types = result.columnTypes();
  const chunk = await result.fetchChunk();
  if (chunk === null) throw new Error('no row');
  const sink = new Sink();
  (binary ? pgBinaryEncoder : pgTextEncoder)([]).rows(chunkOf(chunk, types), 0, 1, sink, 1e9);
  const type = types[0] === undefined ? '' : typeName(types[0]);
  return { oid: pgTypeOf(type).oid, typmod: pgTypeOf(type).typmod, row: Buffer.from(sink.take()).toString('latin1') };
}

async function fromPostgres(expression: string, binary: boolean): Promise<{ oid: number; typmod: number; row: string }> {
  const { rows, fields } = await upstream.run({
    sql: `select ${expression} as v`, oids: [], bound: { values: [], formats: [], resultFormats: [binary ? 1 : 0] }, bytesMax: 1e9,
  });
  return { oid: fields?.[0]?.type.oid ?? 0, typmod: fields?.[0]?.type.typmod ?? 0, row: rows[0]?.toString('latin1') ?? '' };
}

const same = [
  'true', 'false', 'null::boolean', '32767::smallint', '(-32768)::smallint', '2147483647::integer', '(-2147483648)::integer', '0::integer',
  '9223372036854775807::bigint', '(-9223372036854775807 - 1)::bigint', '9007199254740993::bigint', '-9007199254740993::bigint', '-1::bigint',
  '1000000000::bigint', '999999999::bigint', '-1234567890123::bigint',
  ...['0', '-0.0', '1', '-1.5', '0.1', '1e15', '1e14', '123456789012345', '1234567890123456', '1e-4', '0.00012345', '1e-5', '1.5e-7', '1e300', '5e-324',
    '1.7976931348623157e308', '0.30000000000000004', '1e21', '1e22', '123456.789', '-1e16'].map((value) => `'${value}'::double precision`),
  `'NaN'::double precision`, `'Infinity'::double precision`, `'-Infinity'::double precision`,
  ...['0', '-0.0', '1', '0.1', '1e6', '999999', '123456.7', '1234567', '1e-4', '1e-5', '3.4028235e38', '1e-45', '16777216', '16777217', '-2.5'].map((value) => `'${value}'::real`),
  `'NaN'::real`, `'-Infinity'::real`,
  ...['0', '1.50', '-1.5', '123456.78', '0.01', '-0.01', '99999999.99', '10000', '100000000', '0.10'].map((value) => `(${value})::decimal(12,2)`),
  '12345678901234567890123456789.123456789::decimal(38,9)', '0.0001::decimal(4,4)', '9999::decimal(4,0)', '(-99.99)::decimal(4,2)', '1.10000::decimal(9,5)',
  `'text'::text`, `''::text`, `'“é😀” ''q'''::text`, `repeat('long ', 1000)::text`, `'exactly12byt'::text`, `'thirteen byte'::text`, 'null::text',
  `date '2013-06-20'`, `date '1969-12-31'`, `date '0001-01-01'`, `date '9999-12-31'`, `date '12345-06-07'`, `date '2000-02-29'`,
  `time '00:00:00'`, `time '23:59:59.999999'`, `time '12:34:56.5'`, `time '24:00:00'`,
  ...['2013-06-20 12:34:56', '2013-06-20 12:34:56.789012', '1969-12-31 23:59:59.999999', '1900-01-01 00:00:00.1', '0001-01-01 00:00:00', '9999-12-31 23:59:59.999999',
    '2255-06-05 23:47:34.740993', '12345-01-02 03:04:05', '1999-12-31 23:59:59.5', '2000-01-01 00:00:00'].flatMap((value) => [`timestamp '${value}'`, `timestamptz '${value}+00'`]),
  `timestamptz '2013-06-20 12:00:00+05:30'`,
  ...['1 day', '1 year 2 months 3 days 04:05:06.5', '-1 day', '0 seconds', '-1 year -2 months', '25 hours', '-00:00:00.000001', '1 month -1 day', '-3 days 04:00:00', '100 years', '13 months'].map((value) => `interval '${value}'`),
  `'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid`, `'00000000-0000-0000-0000-000000000000'::uuid`, `'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid`, `'7fffffff-0000-0000-8000-000000000001'::uuid`,
  'null::interval', 'null::date[]',
];

test.each(same)('%s is encoded as PostgreSQL encodes it', async (expression) => {
  for (const binary of [false, true]) expect(await fromDuck(expression, binary)).toEqual(await fromPostgres(expression, binary));
});

// Where the two spell it differently.
test.each([
  ['[1, null, 3]::integer[]', 'array[1, null, 3]::integer[]'],
  ['[]::bigint[]', `'{}'::bigint[]`],
  [`['a', 'b c', '', 'NULL', 'null', null, 'q"q', 'back\\slash', '{x}', 'a,b', 'é😀', ' lead', 'tab	tab']::text[]`,
    `array['a', 'b c', '', 'NULL', 'null', null, 'q"q', 'back\\slash', '{x}', 'a,b', 'é😀', ' lead', 'tab	tab']::text[]`],
  [`[timestamptz '2013-06-20 12:00:00+00', null]`, `array[timestamptz '2013-06-20 12:00:00+00', null]`],
  [`[date '2013-06-20']`, `array[date '2013-06-20']`],
  ['[1.5, 2.25]::decimal(5,2)[]', 'array[1.5, 2.25]::decimal(5,2)[]'],
  ['[true, false, null]', 'array[true, false, null]'],
  ['[1.5, 1e20]::double[]', 'array[1.5, 1e20]::double precision[]'],
  ['[1, 2, 3]::integer[3]', 'array[1, 2, 3]'],
  [`encode('ab')::blob`, `'\\x6162'::bytea`],
  [`'\\x00\\xFF\\x5C'::blob`, `'\\x00ff5c'::bytea`],
  ['170141183460469231731687303715884105727::hugeint', '170141183460469231731687303715884105727::numeric'],
  ['(-170141183460469231731687303715884105727)::hugeint', '(-170141183460469231731687303715884105727)::numeric'],
  ['100000000::hugeint', '100000000::numeric'],
  ['0::hugeint', '0::numeric'],
  ['18446744073709551615::ubigint', '18446744073709551615::numeric'],
  ['340282366920938463463374607431768211455::uhugeint', '340282366920938463463374607431768211455::numeric'],
  ['200::utinyint', '200::smallint'],
  ['-100::tinyint', '-100::smallint'],
  ['65535::usmallint', '65535::integer'],
  ['4294967295::uinteger', '4294967295::bigint'],
  [`'rescue'::enum('rescue', 'damage')`, `'rescue'::text`],
  [`timetz '12:34:56.5+02:30'`, `timetz '12:34:56.5+02:30'`],
  [`timetz '00:00:00-07'`, `timetz '00:00:00-07'`],
  [`timestamp_ns '2013-06-20 12:34:56.789012999'`, `timestamp '2013-06-20 12:34:56.789012'`],
  [`timestamp_ns '1969-12-31 23:59:59.999999999'`, `timestamp '1969-12-31 23:59:59.999999'`],
  [`timestamp_s '2013-06-20 12:34:56'`, `timestamp '2013-06-20 12:34:56'`],
  [`timestamp_ms '1969-12-31 23:59:59.123'`, `timestamp '1969-12-31 23:59:59.123'`],
  [`date '0044-03-15 (BC)'`, `date '0044-03-15 BC'`],
  [`timestamp '0044-03-15 (BC) 12:00:00'`, `timestamp '0044-03-15 12:00:00 BC'`],
  [`timestamptz '0044-03-15 (BC) 12:00:00+00'`, `timestamptz '0044-03-15 12:00:00+00 BC'`],
  [`'10110'::bit`, `'10110'::varbit`],
  [`'{"a": [1, 2]}'::json`, `'{"a": [1, 2]}'::json`],
  ['123456789012345678901234567890::bignum', '123456789012345678901234567890::numeric'],
])('%s is encoded as PostgreSQL encodes %s', async (inDuck, inPostgres) => {
  for (const binary of [false, true]) {
    const [ours, theirs] = [await fromDuck(inDuck, binary), await fromPostgres(inPostgres, binary)];
    expect(ours.row).toBe(theirs.row);
    expect(ours.oid).toBe(theirs.oid);
  }
});

test.each([
  [`{'a': 1, 'b': 'x"y', 'c': [1.50::decimal(5,2)], 'd': null}`, { a: 1, b: 'x"y', c: [1.5], d: null }],
  [`map {'k': 1, 'é': null}`, { k: 1, é: null }],
  ['[[1, 2], [3]]', [[1, 2], [3]]],
  [`[{'t': timestamptz '2013-06-20 12:00:00+00'}]`, [{ t: '2013-06-20T12:00:00.000000Z' }]],
])('%s, which no array can carry, is jsonb', async (expression, expected) => {
  const asText = await fromDuck(expression, false);
  const asBinary = await fromDuck(expression, true);
  expect([asText.oid, asBinary.oid]).toEqual([3802, 3802]);
  // 'D', length, number of columns, length of the value.
  expect(JSON.parse(Buffer.from(asText.row, 'latin1').subarray(11).toString())).toEqual(expected);
  expect(asBinary.row[11]).toBe('\u0001');
  expect(JSON.parse(Buffer.from(asBinary.row, 'latin1').subarray(12).toString())).toEqual(expected);
});

test.each([`'infinity'::timestamp`, `'-infinity'::timestamptz`, `'infinity'::date`, `'infinity'::timestamp_s`, `'infinity'::timestamp_ns`,
  `timestamp '290000-01-01 (BC) 00:00:00'`, `['infinity'::timestamp]`])('%s is refused: clients cannot take it', async (expression) => {
  for (const binary of [false, true]) {
    await expect(fromDuck(expression, binary)).rejects.toMatchObject({ code: 'statement_failed', context: { sqlstate: '22008' } });
  }
});

test('formats may differ by column', async () => {
  const result = await duck.stream('select 1::integer, 2::integer, null::integer');
  const chunk = await result.fetchChunk();
  if (chunk === null) throw new Error('no row');
  const sink = new Sink();
  pgMixedEncoder('010')([]).rows(chunkOf(chunk, result.columnTypes()), 0, 1, sink, 1e9);
  expect([...sink.take()].slice(5)).toEqual([0, 3, 0, 0, 0, 1, 0x31, 0, 0, 0, 4, 0, 0, 0, 2, 255, 255, 255, 255]);
});

test('no type is announced that PostgreSQL does not have', async () => {
  const names = ['BOOLEAN', 'TINYINT', 'UTINYINT', 'SMALLINT', 'USMALLINT', 'INTEGER', 'UINTEGER', 'BIGINT', 'UBIGINT', 'HUGEINT', 'UHUGEINT', 'BIGNUM',
    'FLOAT', 'DOUBLE', 'DECIMAL(18,3)', 'VARCHAR', 'BLOB', 'DATE', 'TIME', 'TIME WITH TIME ZONE', 'TIMESTAMP', 'TIMESTAMP_S', 'TIMESTAMP_MS', 'TIMESTAMP_NS',
    'TIMESTAMP WITH TIME ZONE', 'INTERVAL', 'BIT', 'UUID', 'JSON', `ENUM('a', 'b[]')`, 'STRUCT("a" INTEGER[])', 'MAP(VARCHAR, INTEGER)', 'UNION("a" INTEGER)', '"NULL"',
    'GEOMETRY', 'something new', 'timestamp(6) with time zone', 'array(varchar)', 'row(a integer)', 'decimal(10, 2)', 'varchar(20)', 'real', 'varbinary'];
  const found = [...names, ...names.map((name) => `${name}[]`), ...names.map((name) => `${name}[3]`), 'INTEGER[][]', 'JSON[]'].map((name) => [name, pgTypeOf(name)] as const);
  const client = new pg.Client({ connectionString: postgres.url });
  await client.connect();
  const { rows } = await client.query<{ oid: number; typlen: number; typarray: number }>('select oid::integer, typlen::integer, typarray::integer from pg_type');
  await client.end();
  const known = new Map(rows.map(({ oid, typlen, typarray }) => [oid, { typlen, typarray }]));
  for (const [name, type] of found) {
    expect([name, known.get(type.oid)?.typlen]).toEqual([name, type.size]);
    if (type.array !== 0) expect([name, known.get(type.oid)?.typarray]).toEqual([name, type.array]);
  }
  const oidOf = (name: string): number => pgTypeOf(name).oid;
  expect([oidOf('timestamp(6) with time zone'), oidOf('array(varchar)'), oidOf('row(a integer)'), oidOf('INTEGER[][]'), oidOf(`ENUM('a', 'b[]')`)])
    .toEqual([1184, 1009, 3802, 3802, 25]);
});
