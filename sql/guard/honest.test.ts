import { readFileSync } from 'node:fs';
import { jest } from '@jest/globals';
import { ask, sqlLake, type SqlLake } from '#test/sql-lake.ts';
import type { Engine } from '../engine/engine.ts';

// Children are started: on a crowded machine that takes its time.
jest.setTimeout(60_000);

const statements = readFileSync(new URL('./testdata/honest.txt', import.meta.url), 'utf8')
  .split('\n')
  .filter((line) => line !== '' && !line.startsWith('#'))
  .map((line) => line.replaceAll('{nl}', '\n'));

let lake: SqlLake;
let engine: Engine;

beforeAll(async () => {
  lake = await sqlLake();
  await lake.append(
    'posts',
    `SELECT 'flood' AS event_id, 'x' AS source, 'p' || i AS post_id, 'a' || (i % 3) AS author_id, i AS likes, i % 4 AS reposts,
    TIMESTAMPTZ '2013-06-20 00:00:00+00' + to_minutes(i * 10) AS created_at, now() AS collected_at, 'Flood in #Calgary ' || i AS text,
    CASE WHEN i % 2 = 0 THEN 'en' ELSE 'fr' END AS lang, ['a', 'b'] AS hashtags, CASE WHEN i > 5 THEN 'p' || (i - 5) END AS in_reply_to_id,
    51.0 AS latitude, -114.0 AS longitude, 0 AS log_partition, i AS log_offset FROM range(40) r(i)`,
  );
  await lake.append(
    'events',
    `SELECT 'flood' AS event_id, 1 AS version, 'Flood' AS name, 'active' AS status, '{"any": ["flood"]}' AS rule`,
  );
  await lake.append(
    'classifications',
    `SELECT 'flood' AS event_id, 'x' AS source, 'p1' AS post_id, 'relevance' AS classifier, 'yes' AS label, '{"yes": 0.9}' AS scores`,
  );
  await lake.append('raw', `SELECT 'x' AS source, '{"id": "1"}' AS body, 0 AS log_partition, 1 AS log_offset`);
  await lake.append('quarantine', "SELECT 'bad' AS reason, '\\xAA'::BLOB AS bytes");
  engine = lake.engine();
});

afterAll(async () => await lake[Symbol.asyncDispose]());

test('there are at least 60 of them, no two alike', () => {
  expect(new Set(statements).size).toBe(statements.length);
  expect(statements.length).toBeGreaterThanOrEqual(60);
});

test.each(statements)('%s', async (sql) => {
  const { columns, rows } = await ask(engine, sql);
  expect(columns.length).toBeGreaterThan(0);
  // An empty answer would also come from a lake that nobody can see into.
  if (/FROM (lake\.)?posts\b/i.test(sql) && !/JOIN|SAMPLE|EXCEPT|LIMIT 10%|INTERSECT/i.test(sql))
    expect(rows.length).toBeGreaterThan(0);
});
