import { jest } from '@jest/globals';
import { ask, sqlLake, type SqlLake } from '#test/sql-lake.ts';
import type { Engine } from '../engine/engine.ts';
import { openPivot } from './pivot.ts';

// Children are started: on a crowded machine that takes its time.
jest.setTimeout(60_000);

const rows = `SELECT 'e' || (i % 2) AS event_id, 'x' AS source, 'p' || i AS post_id, i AS likes, i % 12 AS reposts,
  CASE i % 4 WHEN 0 THEN 'en' WHEN 1 THEN 'it''s; --' WHEN 2 THEN NULL ELSE '' END AS lang FROM range(40) r(i)`;

let lake: SqlLake;
let engine: Engine;

beforeAll(async () => {
  lake = await sqlLake();
  await lake.append('posts', rows);
  await lake.duck.run(`CREATE TABLE posts AS ${rows}`);
  engine = lake.engine();
});

afterAll(async () => await lake[Symbol.asyncDispose]());

test.each([
  'PIVOT (SELECT event_id, lang FROM posts) ON lang USING count(*)',
  'PIVOT (SELECT event_id, lang FROM posts) ON lang',
  'PIVOT posts ON lang USING sum(likes) AS s, max(likes) AS m GROUP BY event_id ORDER BY event_id',
  'PIVOT posts ON reposts USING count(*) GROUP BY event_id ORDER BY ALL LIMIT 1',
  "PIVOT posts ON lang, reposts IN (1, 2) USING count(*) GROUP BY source",
  'PIVOT posts ON lang, event_id USING count(*) GROUP BY source',
  "PIVOT posts ON event_id || '-' || source USING count(*) GROUP BY source",
  'PIVOT_WIDER posts ON likes > 9 USING count(*) GROUP BY event_id ORDER BY event_id',
  "WITH p AS (SELECT event_id, lang FROM posts WHERE lang <> 'on, using') PIVOT p ON lang USING count(*) ORDER BY ALL",
  'pivot /* ON x */ posts -- USING\non event_id -- the columns\n using count(*) group by source;',
])('%s gives what DuckDB alone gives', async (sql) => {
  const expected = await lake.duck.runAndReadAll(sql);
  const found = await ask(engine, sql);
  expect(found.columns).toEqual(expected.columnNames());
  const plain = (list: readonly unknown[][]): string[] =>
    list.map((row) => JSON.stringify(row, (_key, value: unknown) => (typeof value === 'bigint' ? Number(value) : value))).toSorted();
  expect(plain(found.rows)).toEqual(plain(expected.getRows()));
});

test('parameters, and what the columns are, without running', async () => {
  const sql = 'PIVOT (SELECT event_id, source, likes FROM posts WHERE likes < $1) ON event_id USING sum(likes)';
  expect((await ask(engine, sql, [4])).rows).toEqual([['x', 2, 4]]);
});

test('no values, and too many, are said to be so', async () => {
  await expect(ask(engine, 'PIVOT tombstones ON kind USING count(*)')).rejects.toMatchObject({
    code: 'statement_failed',
    hint: expect.stringContaining('ON kind IN'),
  });
  await expect(ask(engine, 'PIVOT range(3000) AS r(i) ON i USING count(*)')).rejects.toMatchObject({
    code: 'limit_exceeded',
  });
});

test.each([
  'SELECT 1',
  "SELECT 'pivot'",
  'SELECT pivot FROM posts',
  "PIVOT posts ON lang IN ('en') USING count(*)",
  'PIVOT posts',
  'PIVOT ON lang',
  'PIVOT posts ON lang,, source',
  'PIVOT posts) ON lang',
  'PIVOT posts ON (lang USING count(*)',
  'PIVOT posts JOIN events ON true ON lang',
  'PIVOT posts, events ON lang',
  'SELECT * FROM (PIVOT posts ON lang)',
  'FROM posts PIVOT (count(*) FOR lang IN (1))',
  'DROP TABLE x; PIVOT posts ON lang',
])('%s is left to the guard', (sql) => {
  expect(openPivot(sql)).toBeUndefined();
});
