import { DuckDBInstance } from '@duckdb/node-api';
import { tableFromIPC } from 'apache-arrow';
import { arrowEncoder } from './arrow.ts';
import { chunkOf } from './column.ts';
import { Sink } from './sink.ts';

async function encode(sql: string, from = 0): Promise<Uint8Array> {
  const instance = await DuckDBInstance.create(':memory:');
  const connection = await instance.connect();
  try {
    await connection.run("SET TimeZone = 'UTC'");
    const result = await connection.stream(sql);
    const types = result.columnTypes();
    const encoder = arrowEncoder(types.map((type, index) => ({ name: result.columnName(index), type })));
    const sink = new Sink();
    encoder.begin?.(sink);
    for (;;) {
      const chunk = await result.fetchChunk();
      if (chunk === null || chunk.rowCount === 0) break;
      encoder.rows(chunkOf(chunk, types), from, chunk.rowCount, sink, Infinity);
    }
    encoder.end?.(sink);
    return Uint8Array.from(sink.take());
  } finally {
    connection.closeSync();
    instance.closeSync();
  }
}

// Arrow's own reader, whose values are made plain.
const plain = (value: unknown): unknown =>
  JSON.parse(
    JSON.stringify(value, (_key, member: unknown) =>
      typeof member === 'bigint'
        ? `${member}n`
        : member instanceof Uint8Array
          ? Buffer.from(member).toString('hex')
          : member,
    ) ?? 'null',
  );

async function values(expressions: string, from = 0): Promise<unknown[]> {
  const table = tableFromIPC(await encode(`SELECT ${expressions}`, from));
  return table.schema.fields.map((_field, index) => plain(table.getChildAt(index)?.get(0) ?? null));
}

test('numbers, text and bytes', async () => {
  expect(
    await values(
      "true, -1::tinyint, 255::utinyint, -5::smallint, 7::integer, 9223372036854775807, 1.5::float, 0.1::double, 'ü', 'a text longer than twelve', '\\xAA'::blob, null::integer",
    ),
  ).toEqual([true, -1, 255, -5, 7, '9223372036854775807n', 1.5, 0.1, 'ü', 'a text longer than twelve', 'aa', null]);
});

test('decimals of every width keep sign and digits', async () => {
  const table = tableFromIPC(
    await encode(
      'SELECT -1.5::decimal(4,1) a, 123.45::decimal(9,2) b, -12345678901.5::decimal(18,1) c, 12345678901234567890123.5::decimal(38,1) d, 7::hugeint e',
    ),
  );
  const numbers = ['a', 'b', 'c', 'd', 'e'].map((name) => {
    const words: unknown = table.getChild(name)?.get(0);
    if (!(words instanceof Uint32Array)) throw new Error('no decimal');
    return BigInt.asIntN(
      128,
      words.reduceRight((sum, word) => (sum << 32n) | BigInt(word), 0n),
    );
  });
  expect(numbers).toEqual([-15n, 12345n, -123456789015n, 123456789012345678901235n, 7n]);
  expect(table.schema.fields.map(({ type }) => String(type))).toEqual([
    'Decimal[4e+1]',
    'Decimal[9e+2]',
    'Decimal[18e+1]',
    'Decimal[38e+1]',
    'Decimal[38e0]',
  ]);
});

test('instants, dates and what Arrow has no type for', async () => {
  const table = tableFromIPC(
    await encode(`SELECT timestamptz '2013-06-20 00:00:00.000001+00' a, date '2013-06-20' b, time '01:00' c,
    interval 1 day d, uuid '00112233-4455-6677-8899-aabbccddeeff' e, 'y'::enum('x', 'y') f`),
  );
  expect(table.schema.fields.map(({ type }) => String(type))).toEqual([
    'Timestamp<MICROSECOND, UTC>',
    'Date32<DAY>',
    'Time64<MICROSECOND>',
    'Utf8',
    'Utf8',
    'Utf8',
  ]);
  expect(['d', 'e', 'f'].map((name) => table.getChild(name)?.get(0) as unknown)).toEqual([
    '1 day',
    '00112233-4455-6677-8899-aabbccddeeff',
    'y',
  ]);
  expect(table.getChild('a')?.data[0]?.values[0]).toBe(1371686400000001n);
});

test('lists, structs, maps and arrays, with nulls inside', async () => {
  const rows =
    "SELECT [1, null, 3] l, {'a': 'x', 'b': [true]} s, map {'k': 1.5::double} m, array_value(1, 2) r UNION ALL SELECT null, null, null, null UNION ALL SELECT [], {'a': null, 'b': []}, map {}, array_value(3, 4)";
  const table = tableFromIPC(await encode(rows));
  expect(plain(table.toArray().map((row: { toJSON(): unknown } | null) => row?.toJSON()))).toEqual([
    { l: [1, null, 3], s: { a: 'x', b: [true] }, m: { k: 1.5 }, r: [1, 2] },
    { l: null, s: null, m: null, r: null },
    { l: [], s: { a: null, b: [] }, m: {}, r: [3, 4] },
  ]);
});

test('many batches, and one that begins in the middle of a chunk', async () => {
  const rows =
    "SELECT i, CASE WHEN i % 3 = 0 THEN NULL ELSE repeat('x', (i % 40)::INT) END AS t, [i, i + 1] AS l FROM range(5000) r(i)";
  const table = tableFromIPC(await encode(rows));
  expect(table.numRows).toBe(5000);
  expect(table.batches.length).toBeGreaterThan(1);
  expect(plain(table.get(4999)?.toJSON())).toEqual({ i: '4999n', t: 'x'.repeat(39), l: ['4999n', '5000n'] });
  expect(table.getChild('t')?.nullCount).toBe(1667);
  const part = tableFromIPC(
    await encode('SELECT i, i::VARCHAR AS t, [i] AS l, i::DECIMAL(9,1) AS d FROM range(10) r(i)', 8),
  );
  expect(plain(part.toArray().map((row: { i: bigint; t: string } | null) => [row?.i, row?.t]))).toEqual([
    ['8n', '8'],
    ['9n', '9'],
  ]);
});
