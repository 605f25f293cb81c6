import { join } from 'node:path';
import { jest } from '@jest/globals';
import { tables } from '#core/contract/tables.ts';
import { seededRandom, systemClock } from '#core/clock.ts';
import { addDeletes } from '#test/lake.ts';
import { ask, sqlLake, type SqlLake } from '#test/sql-lake.ts';
import { commitAppend } from '#warehouse/table/append.ts';
import { changeMetadata } from '#warehouse/table/ensure.ts';
import type { Field, TableMetadata } from '#warehouse/table/metadata.ts';
import type { Engine, Param } from '../engine.ts';
import { judgeStatement } from './child/judge.ts';
import { createPlanner } from './plan.ts';
import type { LakeNames } from './protocol.ts';

// Children are started: on a crowded machine that takes its time.
jest.setTimeout(60_000);

const names: LakeNames = ['lake', 'store'].map((schema) => ({ schema, names: Object.keys(tables) }));
const context = (lake: SqlLake) => ({ ...lake, clock: systemClock, random: seededRandom(1) });

describe('pruning', () => {
  let lake: SqlLake;
  let engine: Engine;

  beforeAll(async () => {
    lake = await sqlLake();
    engine = lake.engine();
    // Six files: two events, three days each, ten posts a day.
    for (const event of ['fire', 'flood']) {
      for (const day of [1, 2, 3]) {
        await lake.append(
          'posts',
          `SELECT '${event}' AS event_id, 'x' AS source, 'p${day}' || i AS post_id, i AS likes, '${event}' || i AS text,
          TIMESTAMPTZ '2020-01-0${day} 00:00:00+00' + to_hours(i) AS created_at FROM range(10) r(i)`,
        );
      }
    }
    await lake.append('events', "SELECT unnest(['fire', 'flood']) AS event_id, 1 AS version, 'active' AS status");
  });
  afterAll(async () => await lake[Symbol.asyncDispose]());

  const planned = async (sql: string, params: readonly Param[] = []): Promise<Record<string, number>> => {
    const judged = await judgeStatement(lake.duck, sql, params, names);
    const plan = await createPlanner({ ...lake, namespace: 'store' }).plan(judged.tables, judged.introspects);
    return Object.fromEntries(plan.tables.map(({ name, content }) => [name, content?.files.length ?? -1]));
  };

  test.each<[string, number, ...Param[]]>([
    ['SELECT * FROM posts', 6],
    ["SELECT * FROM posts WHERE event_id = 'fire'", 3],
    ["SELECT * FROM posts WHERE 'fire' = event_id AND likes > 3", 3],
    ["SELECT * FROM posts p WHERE p.event_id IN ('fire', 'none')", 3],
    ["SELECT * FROM posts WHERE created_at >= '2020-01-03'", 2],
    [
      "SELECT * FROM posts WHERE created_at > TIMESTAMPTZ '2020-01-02 00:00:00+00' + INTERVAL 1 DAY AND event_id = 'flood'",
      1,
    ],
    ["SELECT * FROM posts WHERE created_at BETWEEN DATE '2020-01-01' AND DATE '2020-01-02'", 4],
    ["SELECT * FROM posts WHERE created_at < TIMESTAMP '2020-01-02' AND event_id = 'none'", 0],
    ['SELECT * FROM posts WHERE event_id = $1 AND created_at >= $2', 1, 'fire', '2020-01-03T00:00:00Z'],
    ['SELECT * FROM posts WHERE event_id IN ($1, $2)', 6, 'fire', 'flood'],
    ['SELECT * FROM posts WHERE created_at > now() - INTERVAL 1 HOUR', 0],
    ["SELECT * FROM posts WHERE created_at > date_trunc('day', now()) - INTERVAL 7 DAY", 0],
    ['SELECT * FROM posts WHERE created_at < now()', 6],
    ['SELECT * FROM posts WHERE created_at = now()', 6],
    ["SELECT * FROM posts WHERE created_at > '2020-01-01' + (now() - now())", 6],
    ["SELECT * FROM posts WHERE event_id = 'fire' OR likes = 3", 6],
    ["SELECT * FROM posts WHERE NOT event_id = 'fire'", 6],
    ["SELECT * FROM posts WHERE lower(event_id) = 'fire'", 6],
    ["SELECT * FROM posts WHERE event_id = (SELECT 'fire')", 6],
    ['SELECT * FROM posts WHERE event_id = text', 6],
    ['SELECT * FROM posts WHERE event_id = NULL', 6],
    ["FROM posts WHERE event_id = 'fire'", 3],
    ["SELECT (SELECT count(*) FROM posts WHERE event_id = 'fire')", 3],
    ["SELECT * FROM posts WHERE event_id = 'fire' UNION ALL SELECT * FROM posts WHERE created_at < '2020-01-02'", 4],
    ["SELECT * FROM posts a, posts b WHERE a.event_id = 'fire' AND b.event_id = 'fire' AND a.post_id = b.post_id", 3],
    ["SELECT * FROM posts a, posts b WHERE a.event_id = 'fire' AND a.post_id = b.post_id", 6],
    ["SELECT * FROM posts JOIN events USING (event_id) WHERE posts.event_id = 'fire'", 3],
    [
      "SELECT * FROM posts a ASOF JOIN posts b ON a.likes >= b.likes WHERE a.event_id = 'fire' AND b.event_id = 'fire'",
      6,
    ],
    ["SELECT * FROM posts a POSITIONAL JOIN posts b WHERE a.event_id = 'fire' AND b.event_id = 'fire'", 6],
    ["SELECT * FROM posts TABLESAMPLE 3 ROWS WHERE event_id = 'fire'", 6],
    ["SELECT * FROM posts WHERE event_id = 'fire' USING SAMPLE 3", 6],
    ["EXPLAIN SELECT * FROM posts WHERE event_id = 'fire'", 3],
    ["WITH p AS (SELECT * FROM posts WHERE event_id = 'fire') SELECT * FROM p WHERE event_id = 'flood'", 3],
    ["SELECT * FROM store.posts WHERE event_id = 'fire'", 3],
    ["SELECT DISTINCT event_id, count(*) OVER () FROM posts WHERE created_at <= '2020-01-01 23:59:59'", 2],
    ['SELECT count(*) FROM raw', 6], // through posts, wholly
  ])('%s reads %i files', async (sql, files, ...params) => {
    expect((await planned(sql, params))['posts']).toBe(files);
  });

  test('a statement gives the same with and without leaving out files', async () => {
    for (const where of [
      "event_id = 'fire' AND created_at >= '2020-01-02'",
      "created_at > '2020-01-01 05:00:00'",
      "event_id IN ('fire', 'x')",
    ]) {
      const pruned = await ask(engine, `SELECT post_id, text FROM posts WHERE ${where} ORDER BY ALL`);
      const whole = await ask(
        engine,
        `SELECT post_id, text FROM posts WHERE (${where}) OR length(text) < 0 ORDER BY ALL`,
      );
      expect(pruned.rows).toEqual(whole.rows);
      expect(pruned.rows.length).toBeGreaterThan(0);
    }
  });

  test('a condition on a column that decides which version is newest leaves out nothing', async () => {
    expect((await planned("SELECT * FROM events WHERE status = 'active'"))['events']).toBe(1);
    expect((await planned('SELECT * FROM events WHERE version = 7'))['events']).toBe(1);
    expect((await planned("SELECT * FROM events WHERE event_id = 'zzz'"))['events']).toBe(0);
  });

  test('asking for tables and columns reads no file', async () => {
    expect(Object.values(await planned('SHOW ALL TABLES')).every((files) => files === 0)).toBe(true);
  });
});

describe('what other engines do to a table', () => {
  let lake: SqlLake;
  let engine: Engine;
  const rows = async (sql: string): Promise<unknown[][]> => (await ask(engine, sql)).rows;

  beforeEach(async () => {
    lake = await sqlLake();
    engine = lake.engine();
    await lake.append(
      'posts',
      "SELECT 'e' AS event_id, 'p' || i AS post_id, i::INTEGER AS likes, 'text ' || i AS text, 'en' AS lang FROM range(6) r(i)",
    );
  });
  afterEach(async () => await lake[Symbol.asyncDispose]());

  const ref = { namespace: 'store', name: 'posts' };
  const withFields =
    (change: (fields: readonly Field[]) => readonly Field[]) =>
    (base: TableMetadata): TableMetadata => {
      const [schema] = base.schemas;
      if (schema === undefined) throw new Error('no schema');
      return {
        ...base,
        schemas: [schema, { ...schema, 'schema-id': 9, fields: change(schema.fields) }],
        'current-schema-id': 9,
      };
    };

  test('columns are found by their id: renamed, added, widened and dropped ones are right', async () => {
    await changeMetadata(
      context(lake),
      ref,
      withFields((fields) => [
        ...fields
          .filter(({ name }) => name !== 'lang')
          .map((field) => (field.name === 'place' ? { ...field, name: 'location' } : field)),
        { id: 900, name: 'mood', required: false, type: 'string' },
      ]),
    );
    // Schema lake keeps our names; what was dropped is null, although the files still hold it.
    expect(await rows("SELECT place, lang, text FROM posts WHERE post_id = 'p1'")).toEqual([[null, null, 'text 1']]);
    await lake.append('posts', "SELECT 'e' AS event_id, 'p9' AS post_id, 'Calgary' AS place");
    expect(
      await rows("SELECT location, mood, post_id FROM store.posts WHERE post_id IN ('p1', 'p9') ORDER BY post_id"),
    ).toEqual([
      [null, null, 'p1'],
      ['Calgary', null, 'p9'],
    ]);
    expect(await rows("SELECT place, post_id FROM posts WHERE post_id IN ('p1', 'p9') ORDER BY post_id")).toEqual([
      [null, 'p1'],
      ['Calgary', 'p9'],
    ]);
  });

  test('rows that a position delete names are gone', async () => {
    const [name] = (
      await createPlanner({ ...lake, namespace: 'store' }).plan([{ schema: 'store', name: 'posts' }], false)
    ).tables.flatMap(({ content }) => content?.files ?? []);
    const key = 'store/posts/data/deletes.parquet';
    const local = join(lake.folder, 'deletes.parquet');
    await lake.duck.run(`COPY (SELECT 'file://${name?.path}' AS file_path, unnest([1, 4])::BIGINT AS pos) TO '${local}'
      (FORMAT parquet, FIELD_IDS {file_path: 2147483546, pos: 2147483545})`);
    await lake.store.putFile(key, local);
    await addDeletes(context(lake), 0, [{ path: `${lake.store.uri}/${key}`, recordCount: 2 }], ref);
    await lake.append('posts', "SELECT 'e' AS event_id, 'later' AS post_id");
    expect(await rows('SELECT post_id FROM posts ORDER BY 1')).toEqual([['later'], ['p0'], ['p2'], ['p3'], ['p5']]);
    expect(await rows('SELECT count(*) FROM store.posts')).toEqual([[5]]);
  });

  test('a file without field ids is refused, never read as nulls', async () => {
    const local = join(lake.folder, 'foreign.parquet');
    const key = 'store/posts/data/foreign.parquet';
    await lake.duck.run(`COPY (SELECT 'e' AS event_id, 'foreign' AS post_id) TO '${local}' (FORMAT parquet)`);
    await lake.store.putFile(key, local);
    const path = `${lake.store.uri}/${key}`;
    const file = { content: 0, path, format: 'PARQUET', partition: {}, recordCount: 1, bytes: 500 } as const;
    await commitAppend({ ...context(lake), ledger: [], tables: [{ ref, files: [file] }] });
    await expect(rows('SELECT post_id FROM posts')).rejects.toMatchObject({
      code: 'unsupported',
      message: expect.stringContaining('field ids'),
    });
    expect(await rows('SELECT count(*) FROM events')).toEqual([[0]]);
  });
});
