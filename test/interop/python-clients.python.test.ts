import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { runPython, wirePython } from '#test/services/python.ts';
import { type Door, startDoor } from './door.ts';

let door: Door;
beforeAll(async () => {
  await wirePython();
  door = await startDoor({ catalogue: true });
}, 600_000);
afterAll(() => door[Symbol.asyncDispose]());

// The values of EVERY_TYPE in clients.py as Python's own types have them.
const everyType = [true, 7, 8, 9, 1.5, 0.1, '1234.50', '12345678901234567890123', 'é😀', '00ff', '2013-06-20', '12:34:56.500000', '2013-06-20T12:34:56.789000',
  '2013-06-20T12:34:56.789000+00:00', '1 day, 2:03:04', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', ['a', null, 'b c'], [1, 2], { a: 1, b: [true] }, null];
const lakeTables = ['activity', 'activity_labels', 'activity_terms', 'classifications', 'events', 'journal', 'posts', 'quarantine', 'raw', 'tombstones'];
const post = (index: number): [number, string, string] => [index, `post ${index} “é😀”`, `2013-06-20T00:00:0${index}+00:00`];

test('psycopg 3 and 2, asyncpg, SQLAlchemy, pandas, polars and ADBC read the lake', async () => {
  const script = readFileSync(join(import.meta.dirname, 'python', 'clients.py'), 'utf8');
  const found = await runPython(script, [door.url], wirePython());
  const psycopg3 = Object.fromEntries(['text', 'binary'].flatMap((format) => {
    const name = `psycopg3_${format}`;
    return [[name, everyType], [`${name}_params`, [post(5), post(6), post(7)].filter(([index]) => index % 7 < 6.5)], [`${name}_error`, '42703'], [`${name}_named`, [100, 110, 4889]]];
  }));
  const inspected = {
    schemas: ['information_schema', 'lake', 'store'], tables: lakeTables, default: lakeTables, pk: [], indexes: [], comment: true,
    columns: { event_id: 'TEXT', created_at: 'TIMESTAMP', hashtags: 'ARRAY', reposts: 'BIGINT', latitude: 'DOUBLE PRECISION', author_verified: 'BOOLEAN' },
  };
  const pandas = [['datetime64[us, UTC]', 'int64', 'float64', 'str'], 0 + 1 + 2];
  expect(found).toMatchObject({
    ...psycopg3,
    psycopg3_copy: [0, 1, 2].map((index) => [String(index), `post ${index} “é😀”`]),
    psycopg3_pipeline: [1, 2], psycopg3_prepared: 100,
    psycopg2: [10, '2013-06-20T00:00:10+00:00'], psycopg2_named: 5000,
    asyncpg: everyType.map((value, index) => (index === 18 ? '{"a":1,"b":[true]}' : value)),
    asyncpg_params: [post(3), post(4)].map((row) => row.slice(0, 2)), asyncpg_cursor: 5000, asyncpg_timeout: 1, asyncpg_pool: 2,
    sqlalchemy_psycopg: inspected, sqlalchemy_psycopg2: inspected,
    // Of each seven posts three have more than three reposts: 4, 5 and 6.
    sqlalchemy_psycopg_stream: 2142, sqlalchemy_psycopg2_stream: 2142,
    pandas_psycopg: pandas, pandas_psycopg2: pandas, pandas_table_psycopg: 2, pandas_table_psycopg2: 2,
    adbc: [5000, ['int64', 'string', 'timestamp[us, tz=UTC]', 'list<item: string>', 'double', 'bool'], 'post 1 “é😀”', ['flood', 'a "b", c']],
    polars_adbc: [5000, ['Int64', 'String', "Datetime(time_unit='us', time_zone='UTC')", 'Float64']],
    polars_connectorx: [5000, ['Int64', 'String', "Datetime(time_unit='us', time_zone='UTC')", 'Float64']],
  });
}, 120_000);
