import { ask, sqlLake, type SqlLake } from '#test/sql-lake.ts';
import type { Engine } from '../engine.ts';

let lake: SqlLake;
let engine: Engine;

beforeAll(async () => {
  lake = await sqlLake();
  await lake.append('posts', `SELECT 'flood' AS event_id, 'x' AS source, 'p' || i AS post_id, 'a' || (i % 3) AS author_id, i AS likes,
    TIMESTAMPTZ '2013-06-20 00:00:00+00' + to_minutes(i) AS created_at, 'post ' || i AS text, ['a', 'b'] AS hashtags,
    0 AS log_partition, i AS log_offset FROM range(100) r(i)`);
  engine = lake.engine();
});

afterAll(async () => await lake[Symbol.asyncDispose]());

test('a statement is answered with columns and rows', async () => {
  expect(await ask(engine, 'SELECT count(*) AS n, min(created_at) AS first FROM posts')).toEqual({
    columns: ['n', 'first'], types: ['BIGINT', 'TIMESTAMP WITH TIME ZONE'], rows: [[100, '2013-06-20T00:00:00.000000Z']], truncated: false,
  });
});
