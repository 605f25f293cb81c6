import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';
import { clockMacros } from './macros.ts';

let instance: DuckDBInstance;
let connection: DuckDBConnection;

beforeAll(async () => {
  instance = await DuckDBInstance.create(':memory:');
  connection = await instance.connect();
  await connection.run("SET TimeZone = 'UTC'");
  await connection.run('CREATE SCHEMA lake');
  for (const macro of clockMacros('lake')) await connection.run(macro);
  // Every few hours and microseconds around 1970, leap days, year ends, the ends of what can be held, infinity and
  // null.
  await connection.run(`CREATE TABLE moments AS
    SELECT make_timestamptz(i * 39_916_801_123_457) AS t FROM range(-2000, 2000) r(i)
    UNION ALL SELECT unnest([TIMESTAMPTZ 'infinity', '-infinity', NULL, '1969-12-31 23:59:59.999999+00', '1970-01-01 00:00:00+00',
      '2000-02-29 12:00:00+00', '1999-12-31 23:59:59.5+00', '2020-12-31 00:00:00+00', '2021-01-03 00:00:00+00', '0001-01-01 00:00:00+00',
      '9999-12-31 23:59:59.999999+00', '2013-06-20 13:37:00.000001+00'])`);
});

afterAll(() => {
  connection.closeSync();
  instance.closeSync();
});

const units = [
  'microseconds',
  'milliseconds',
  'second',
  'minute',
  'hour',
  'day',
  'week',
  'month',
  'quarter',
  'year',
  'isoyear',
  'decade',
  'century',
  'millennium',
  'HOURS',
  'd',
];
const parts = [
  ...units.filter((unit) => unit !== 'isoyear'),
  'dow',
  'isodow',
  'doy',
  'weekday',
  'epoch',
  'era',
  'isoyear',
  'timezone',
  'timezone_hour',
  'julian',
  'yearweek',
];
const single = [
  'year',
  'month',
  'day',
  'hour',
  'minute',
  'second',
  'millisecond',
  'microsecond',
  'dayofweek',
  'weekday',
  'isodow',
  'dayofmonth',
  'dayofyear',
  'week',
  'weekofyear',
  'quarter',
  'isoyear',
  'yearweek',
  'decade',
  'century',
  'millennium',
  'dayname',
  'monthname',
  'last_day',
];
const calls = [
  ...units.flatMap((unit) => [`date_trunc('${unit}', %)`, `datetrunc('${unit}', %)`]),
  ...parts.flatMap((part) => [`date_part('${part}', %)`]),
  "date_part(['year', 'hour'], %)",
  ...['1 hour', '5 minutes', '3 days', '1 week', '1 month', '7 seconds'].map(
    (width) => `time_bucket(INTERVAL '${width}', %)`,
  ),
  "time_bucket('300.000s', %)",
  "time_bucket(INTERVAL '1 hour', %, INTERVAL '10 minutes')",
  "strftime(%, '%Y-%m-%d %H:%M:%S.%f %j %a')",
  "strftime(%, '%z %Z %H')",
  ...single.map((name) => `${name}(%)`),
];

test.each(calls)('%s is what the built-in says', async (call) => {
  const ours = call.replace('%)', 't)').replace('(%,', '(t,').replace(' %,', ' t,').replace(/^/, 'lake.');
  const theirs = ours.replace(/^lake\./, 'system.main.');
  const result =
    await connection.runAndReadAll(`SELECT count(*) FILTER (WHERE a IS DISTINCT FROM b), any_value(typeof(a) = typeof(b)), count(a) > 3900
    FROM (SELECT ${ours} AS a, ${theirs} AS b FROM moments WHERE ${call.includes('time_bucket') ? 'year(t) between -1000 and 9998 or not isfinite(t)' : 'true'})`);
  expect(result.getRows()).toEqual([[0n, true, true]]);
});

// Other types than instants with zone keep the built-in's answer and type.
test.each([
  "date_trunc('hour', TIMESTAMP '2020-01-01 12:13:14')",
  "date_trunc('hour', DATE '2020-01-01')",
  "date_trunc('hour', INTERVAL '90 minutes')",
  "date_part('hour', TIME '12:13:14')",
  "date_part('day', DATE '2020-02-29')",
  "hour(TIME '12:13:14')",
  "hour(INTERVAL '3 hours')",
  "day(DATE '2020-02-29')",
  "strftime(DATE '2020-02-29', '%d')",
  "time_bucket(INTERVAL '1 day', DATE '2020-02-29')",
  "last_day(DATE '2020-02-03')",
  "date_part('day', INTERVAL '3 days')",
  "second(TIMESTAMP '2020-01-01 00:00:07')",
])('%s is left alone', async (call) => {
  const result = await connection.runAndReadAll(
    `SELECT lake.${call} = system.main.${call}, typeof(lake.${call}) = typeof(system.main.${call})`,
  );
  expect(result.getRows()).toEqual([[true, true]]);
});

test('a column keeps the name it has with the built-in', async () => {
  await connection.run("SET search_path = 'lake,main'");
  const result = await connection.runAndReadAll("SELECT date_trunc('hour', t), hour(t) FROM moments LIMIT 1");
  expect(result.columnNames()).toEqual(["date_trunc('hour', t)", '"hour"(t)']);
});
