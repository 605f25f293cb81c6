import { DuckDBInstance } from '@duckdb/node-api';
import { chunkOf } from './column.ts';
import { csvEncoder } from './csv.ts';
import type { EncoderFactory } from './encoder.ts';
import { jsonEncoder, ndjsonEncoder } from './json.ts';
import { Sink } from './sink.ts';

async function encode(sql: string, factory: EncoderFactory, bytesEnd = Infinity): Promise<string> {
  const instance = await DuckDBInstance.create(':memory:');
  const connection = await instance.connect();
  try {
    await connection.run("set TimeZone = 'UTC'");
    const result = await connection.stream(sql);
    const types = result.columnTypes();
    const encoder = factory(types.map((type, index) => ({ name: result.columnName(index), type })));
    const sink = new Sink(8);
    encoder.begin?.(sink);
    for (;;) {
      const chunk = await result.fetchChunk();
      if (chunk === null || chunk.rowCount === 0) break;
      const done = encoder.rows(chunkOf(chunk, types), 0, chunk.rowCount, sink, bytesEnd);
      if (done < chunk.rowCount) break;
    }
    encoder.end?.(sink);
    return Buffer.from(sink.take()).toString();
  } finally {
    connection.closeSync();
    instance.closeSync();
  }
}

const json = async (expression: string): Promise<string> => await encode(`select ${expression}`, jsonEncoder);

// Right: what architecture.md §8 asks for, written by hand.
test.each([
  ['true, false, null', '[true,false,null]'],
  ["'-128'::tinyint, 255::utinyint, (-32768)::smallint, 65535::usmallint", '[-128,255,-32768,65535]'],
  ['(-2147483648)::integer, 4294967295::uinteger, 0::integer', '[-2147483648,4294967295,0]'],
  [
    "9223372036854775807, '-9223372036854775808'::bigint, 9007199254740993, -1, 1000000000, 999999999999",
    '[9223372036854775807,-9223372036854775808,9007199254740993,-1,1000000000,999999999999]',
  ],
  [
    "18446744073709551615::ubigint, 170141183460469231731687303715884105727::hugeint, '-170141183460469231731687303715884105728'::hugeint",
    '[18446744073709551615,170141183460469231731687303715884105727,-170141183460469231731687303715884105728]',
  ],
  ["'340282366920938463463374607431768211455'::uhugeint", '[340282366920938463463374607431768211455]'],
  [
    '1.5::decimal(4,1), -0.05::decimal(9,2), 123456789.123456789::decimal(18,9), 12345678901234567890.123::decimal(38,3), 7::decimal(5,0)',
    '[1.5,-0.05,123456789.123456789,12345678901234567890.123,7]',
  ],
  [
    "0.1::double, 0.1::float, 1e300::double, 3.4028235e38::float, '-0'::double, 16777216::float",
    '[0.1,0.1,1e+300,3.4028235e+38,-0.0,16777216]',
  ],
  ["'nan'::double, 'inf'::double, '-inf'::float", '["NaN","Infinity","-Infinity"]'],
  [
    "date '2024-02-29', date '1969-12-31', date '0001-01-01', date '0044-03-15 (BC)', date '10000-01-01', date 'infinity'",
    '["2024-02-29","1969-12-31","0001-01-01","-000043-03-15","+010000-01-01","infinity"]',
  ],
  ["time '23:59:59.999999', time '00:00:00'", '["23:59:59.999999","00:00:00.000000"]'],
  [
    "timestamptz '2013-06-20 12:34:56.000001+00', timestamptz '1969-12-31 23:59:59.999999+00', timestamptz '2013-06-20 01:00:00+02'",
    '["2013-06-20T12:34:56.000001Z","1969-12-31T23:59:59.999999Z","2013-06-19T23:00:00.000000Z"]',
  ],
  [
    "timestamp '2300-01-01 00:00:00.5', timestamp '290000-12-31 23:59:59', timestamptz 'infinity', timestamp '-infinity'",
    '["2300-01-01T00:00:00.500000","+290000-12-31T23:59:59.000000","infinity","-infinity"]',
  ],
  [
    "'2020-01-01 00:00:01'::timestamp_s, '1960-01-01 00:00:01.002'::timestamp_ms, '2020-01-01 00:00:01.000000002'::timestamp_ns",
    '["2020-01-01T00:00:01.000000","1960-01-01T00:00:01.002000","2020-01-01T00:00:01.000000002"]',
  ],
  [
    "uuid '00112233-4455-6677-8899-aabbccddeeff', 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid",
    '["00112233-4455-6677-8899-aabbccddeeff","ffffffff-ffff-ffff-ffff-ffffffffffff"]',
  ],
  [
    "'\\x00\\xFFabc'::blob, 'a blob that is longer than twelve bytes'::blob",
    `["AP9hYmM=","${Buffer.from('a blob that is longer than twelve bytes').toString('base64')}"]`,
  ],
  [
    "'a\"b\\c', chr(10), chr(1), '', 'nul'||chr(0)||'x', '🌊 über', 'a longer text with \"quotes\" and ünïcode'",
    '["a\\"b\\\\c","\\n","\\u0001","","nul\\u0000x","🌊 über","a longer text with \\"quotes\\" and ünïcode"]',
  ],
  ['[1,null,3], []::int[], [[1],[2,3],null], null::int[]', '[[1,null,3],[],[[1],[2,3],null],null]'],
  ["{'a': 1, 'b \"x\"': ['y', null]}, [{'k': 1.5}]", '[{"a":1,"b \\"x\\"":["y",null]},[{"k":1.5}]]'],
  ["map {'k': 1, 'l': null}, map {2: 'two'}, array_value(1, 2, 3)", '[{"k":1,"l":null},{"2":"two"},[1,2,3]]'],
  [
    "'b'::enum('a', 'b'), interval '1 day 2 hours', '101'::bit, union_value(n := 'a\"')",
    '["b","1 day 02:00:00","101","a\\""]',
  ],
])('%s as JSON', async (expression, expected) => {
  const text = await json(expression);
  expect(text).toBe(expected);
  expect(() => JSON.parse(text)).not.toThrow();
});

test('many chunks, nulls and strings of all lengths come out as DuckDB itself renders them', async () => {
  const rows =
    'select i, case when i % 3 = 0 then null else repeat(chr((97 + i % 26)::int), (i % 200)::int) end as t,' +
    ' [x for x in range(i % 5)] as l from range(10000) r(i)';
  const lines = (await encode(rows, ndjsonEncoder)).trimEnd().split('\n');
  const instance = await DuckDBInstance.create(':memory:');
  const connection = await instance.connect();
  const expected = await connection.runAndReadAll(`select to_json(q)::varchar from (${rows}) q`);
  expect(lines).toEqual(expected.getRows().map(([value]) => String(value)));
  connection.closeSync();
  instance.closeSync();
});

test('dictionary-encoded and sorted text is found where it is', async () => {
  const text = await encode(
    "select t from (select 'a value of dictionary number ' || (i % 7) as t, hash(i) as h from range(5000) r(i)) order by h",
    jsonEncoder,
  );
  const values = JSON.parse(`[${text}]`) as string[][];
  expect(values.length).toBe(5000);
  expect(new Set(values.map(([value]) => value)).size).toBe(7);
});

test('two columns of a name get keys of their own in NDJSON', async () => {
  expect(await encode('select 1 as a, 2 as a, 3 as "a_1"', ndjsonEncoder)).toBe('{"a":1,"a_1":2,"a_1_1":3}\n');
});

test('CSV by RFC 4180', async () => {
  expect(
    await encode(
      `select 1 as n, 'x,y' as "a ""b""", '' as e, null as u, 'li' || chr(10) || 'ne' as l, 'q"q' as q, [1,2] as li,
    timestamptz '2020-01-01 00:00:00+00' as t, 'nan'::double as d, 'plain' as p, 'a,b'::enum('a,b') as en`,
      csvEncoder,
    ),
  ).toBe(
    'n,"a ""b""",e,u,l,q,li,t,d,p,en\r\n1,"x,y","",,"li\nne","q""q","[1,2]",2020-01-01T00:00:00.000000Z,NaN,plain,"a,b"\r\n',
  );
});

test('a byte limit stops between two rows', async () => {
  expect(await encode('select i from range(100) r(i)', jsonEncoder, 10)).toBe('[0],[1],[2]');
});
