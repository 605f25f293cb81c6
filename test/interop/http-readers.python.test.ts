import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { systemClock } from '#core/clock.ts';
import { silentLogger } from '#core/logger.ts';
import { createMetrics } from '#core/metrics.ts';
import { createHttpServer, type HttpServer } from '#sql/http/server.ts';
import { pretendedAuth, token } from '#test/pretended-auth.ts';
import { program } from '#test/services/install.ts';
import { python, runPython } from '#test/services/python.ts';
import { roomyLimits, sqlLake, type SqlLake } from '#test/sql-lake.ts';

let lake: SqlLake;
let server: HttpServer;
let url: string;

beforeAll(async () => {
  await python();
  await program('curl', 'curl');
  lake = await sqlLake();
  await lake.append(
    'posts',
    `SELECT 'flood' AS event_id, 'p' || i AS post_id, i AS likes, TIMESTAMPTZ '2013-06-20 00:00:00+00' + to_seconds(i) AS created_at,
      CASE WHEN i % 3 = 0 THEN NULL ELSE ['a', 'b' || i] END AS hashtags, i % 2 = 0 AS author_verified FROM range(5000) r(i)`,
  );
  server = await createHttpServer({
    engine: lake.engine(),
    auth: pretendedAuth(),
    limits: roomyLimits,
    metrics: createMetrics(),
    logger: silentLogger,
    clock: systemClock,
  });
  ({ url } = await server.listen('127.0.0.1', 0));
}, 600_000);

afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await lake[Symbol.asyncDispose]();
});

const script = `
import io, json, sys, urllib.request
import pyarrow.ipc, pyarrow.parquet
url, token, sql, form = sys.argv[1:]
request = urllib.request.Request(f'{url}/api/sql?format={form}', data=json.dumps({'sql': sql}).encode(),
  headers={'authorization': f'Bearer {token}', 'content-type': 'application/json'})
body = urllib.request.urlopen(request).read()
table = pyarrow.ipc.open_stream(body).read_all() if form == 'arrow' else pyarrow.parquet.read_table(io.BytesIO(body))
table.validate(full=True)
show = lambda value: value.isoformat() if hasattr(value, 'isoformat') else repr(value)
print(json.dumps({'rows': table.num_rows, 'types': [str(field.type) for field in table.schema], 'nulls': [column.null_count for column in table.columns],
  'first': [show(column[0].as_py()) for column in table.columns], 'last': [show(column[-1].as_py()) for column in table.columns]}))
`;

const read = async (sql: string, format: string): Promise<unknown> => await runPython(script, [url, token, sql, format]);

test.each(['arrow', 'parquet'])('PyArrow reads %s of the lake, whole and with its types', async (format) => {
  const sql = 'SELECT post_id, likes, created_at, hashtags, author_verified FROM posts ORDER BY likes';
  expect(await read(sql, format)).toEqual({
    rows: 5000,
    types: [
      'string',
      'int64',
      'timestamp[us, tz=UTC]',
      format === 'arrow' ? 'list<item: string>' : 'list<element: string>',
      'bool',
    ],
    nulls: [0, 0, 0, 1667, 0],
    first: ["'p0'", '0', '2013-06-20T00:00:00+00:00', 'None', 'True'],
    last: [
      "'p4999'",
      '4999',
      '2013-06-20T01:23:19+00:00',
      "['a', 'b4999']",
      'False',
    ],
  });
});

test('PyArrow reads every type the stream has', async () => {
  const sql = `SELECT -1::TINYINT a, 255::UTINYINT b, 1.5::FLOAT c, -12.34::DECIMAL(9, 2) d, 12345678901234567890123.5::DECIMAL(38, 1) e,
    sum(likes) f, DATE '2013-06-20' g, TIME '01:02:03' h, '\\xAA'::BLOB i, {'x': 1, 'y': ['z', NULL]} j, map {'k': 2.5} k, NULL l,
    uuid '00112233-4455-6677-8899-aabbccddeeff' m, INTERVAL 1 DAY n, array_value(1, 2) o FROM posts`;
  expect(await read(sql, 'arrow')).toMatchObject({
    rows: 1,
    types: [
      'int8', 'uint8', 'float', 'decimal128(9, 2)', 'decimal128(38, 1)', 'decimal128(38, 0)', 'date32[day]', 'time64[us]', 'binary',
      'struct<x: int32, y: list<item: string>>', 'map<string, decimal128(2, 1)>', 'int32', 'string', 'string', 'fixed_size_list<item: int32>[2]',
    ],
    first: [
      '-1', '255', '1.5', "Decimal('-12.34')", "Decimal('12345678901234567890123.5')", "Decimal('12497500')", '2013-06-20',
      '01:02:03', "b'\\xaa'", "{'x': 1, 'y': ['z', None]}", "[('k', Decimal('2.5'))]", 'None',
      "'00112233-4455-6677-8899-aabbccddeeff'", "'1 day'", '[1, 2]',
    ],
  });
});

const late = "SELECT i, CASE WHEN i = 200000 THEN error('too late') END AS e FROM range(200001) r(i)";

test('curl says of a result that failed midway that it is not whole, and shows why', async () => {
  const asked = promisify(execFile)('curl', [
    '-sS', '--noproxy', '*', `${url}/api/sql?format=csv`, '-H', `Authorization: Bearer ${token}`, '-H', 'content-type: application/json',
    '-d', JSON.stringify({ sql: late }),
  ], { maxBuffer: 2 ** 26 });
  // 18: a partial file.
  await expect(asked).rejects.toMatchObject({ code: 18, stdout: expect.stringMatching(/\n\{"error":\{.*"detail":"too late".*\}\}\n$/) });
});

test('Python and PyArrow say it as well, and find the reason at the end', async () => {
  const told = await runPython(`
import http.client, json, sys, urllib.request
import pyarrow.ipc
url, token, sql = sys.argv[1:]
told = {}
for form in ('csv', 'ndjson', 'json', 'arrow'):
  request = urllib.request.Request(f'{url}/api/sql?format={form}', data=json.dumps({'sql': sql}).encode(),
    headers={'authorization': f'Bearer {token}', 'content-type': 'application/json'})
  try:
    told[form] = urllib.request.urlopen(request).read().decode()[:10]
  except http.client.IncompleteRead as error:
    body = error.partial
    told[form] = json.loads('{' + body[body.rindex(b'"error":'):].decode())['error']['detail']
try:
  pyarrow.ipc.open_stream(body).read_all()
except OSError:
  told['reader'] = 'not whole'
print(json.dumps(told))`, [url, token, late]);
  expect(told).toEqual({ csv: 'too late', ndjson: 'too late', json: 'too late', arrow: 'too late', reader: 'not whole' });
});
