import { jest } from '@jest/globals';
import { systemClock } from '#core/clock.ts';
import { tables } from '#core/contract/tables.ts';
import { ask, roomyLimits, statement } from '#test/sql-lake.ts';
import { trinoLake } from '#test/trino-lake.ts';
import type { TrinoLake } from '#test/trino-lake.ts';
import type { Engine } from '../engine.ts';
import { TrinoClient } from './client.ts';
import { createTrinoEngine } from './engine.ts';
import { writeTrinoViews } from './views.ts';

// The first statements of a Trino take their time.
jest.setTimeout(60_000);

let world: TrinoLake;
let engine: Engine;

const posts = (event: string, from: number, to: number): string => `SELECT '${event}' AS event_id, 'x' AS source, 'p' || i AS post_id,
  'a' || (i % 10) AS author_id, i AS likes, TIMESTAMPTZ '2013-06-20 00:00:00.123456+00' + to_minutes(i) AS created_at, 'post ' || i AS text,
  ['a', 'b' || (i % 3)] AS hashtags, 0 AS log_partition, i AS log_offset FROM range(${from}, ${to}) r(i)`;

beforeAll(async () => {
  world = await trinoLake();
  await world.lake.append('posts', posts('flood', 0, 100));
  await world.lake.append('posts', posts('fire', 100, 150));
  await world.publish();
  engine = world.engine();
  expect(await writeTrinoViews(world.views)).toHaveLength(Object.keys(tables).length);
}, 600_000);

afterAll(async () => {
  await engine?.[Symbol.asyncDispose]();
  await world?.[Symbol.asyncDispose]();
});

const code = (wanted: string, more: object = {}): unknown => expect.objectContaining({ code: wanted, ...more });
const rows = async (sql: string, params: (string | number | bigint | boolean | null)[] = []): Promise<unknown[][]> => (await ask(engine, sql, params)).rows;

describe('answers', () => {
  test('Trino counts what was appended, through the view', async () => {
    expect(await ask(engine, 'SELECT count(*) AS n, min(created_at) AS first FROM posts')).toEqual({
      columns: ['n', 'first'], types: ['BIGINT', 'TIMESTAMP WITH TIME ZONE'], rows: [[150, '2013-06-20T00:00:00.123456Z']], truncated: false,
    });
    expect(await rows('SELECT count(*) FROM lake.store.posts')).toEqual([[150]]);
    expect(await rows("SELECT hashtags, text FROM lake.posts WHERE post_id = 'p4'")).toEqual([[['a', 'b1'], 'post 4']]);
  });

  test('every type is told in full', async () => {
    const result = await engine.run(statement(`SELECT BIGINT '9007199254740993', DECIMAL '12345678901234567890.12', nan(), REAL '1.5', true,
      DATE '1969-12-31', TIME '08:50:15.5', TIMESTAMP '2026-11-24 08:50:15.123456', TIMESTAMP '2026-11-24 08:50:15.123456789',
      TIMESTAMP '2026-07-01 12:00:00.5 Europe/Prague', TIMESTAMP '1900-01-01 00:00:00 -05:30', INTERVAL '-2' DAY, INTERVAL '1-2' YEAR TO MONTH,
      X'00ff', uuid '12151fd2-7586-11e9-8f9e-2a86e4085a59', CAST(ROW(1, 'a') AS ROW(n bigint, t varchar)), MAP(ARRAY['k'], ARRAY[BIGINT '9007199254740993']),
      CAST(NULL AS array(varchar)), ARRAY[NULL, 'x"y'], JSON '{"a":1}', NULL, TINYINT '-1', 'é😀'`));
    const pieces: Uint8Array[] = [];
    for await (const piece of result.chunks) pieces.push(piece);
    expect(Buffer.concat(pieces).toString()).toBe('[9007199254740993,12345678901234567890.12,"NaN",1.5,true,"1969-12-31","08:50:15.500000",'
      + '"2026-11-24T08:50:15.123456","2026-11-24T08:50:15.123456789","2026-07-01T10:00:00.500000Z","1900-01-01T05:30:00.000000Z","-48:00:00",'
      + '"1 year 2 months","AP8=","12151fd2-7586-11e9-8f9e-2a86e4085a59",{"n":1,"t":"a"},{"k":9007199254740993},null,[null,"x\\"y"],"{\\"a\\":1}",null,-1,"é😀"]');
    expect((await result.summary).rows).toBe(1);
  });

  test('every table of the contract can be asked, with its columns and their types', async () => {
    for (const [name, { columns }] of Object.entries(tables)) {
      const result = await ask(engine, `SELECT * FROM ${name} LIMIT 1`);
      expect(result.columns).toEqual(columns.map((column) => column.name));
    }
    const listed = await engine.tables();
    expect(listed.map((table) => table.name).toSorted()).toEqual(Object.keys(tables).toSorted());
    expect(listed.find(({ name }) => name === 'posts')?.columns.find(({ name }) => name === 'hashtags'))
      .toEqual({ name: 'hashtags', type: 'VARCHAR[]', comment: tables.posts.columns.find(({ name }) => name === 'hashtags')?.doc });
  });

  test('parameters are bound, never spliced', async () => {
    expect(await rows('SELECT count(*) FROM posts WHERE event_id = $1 AND created_at < from_iso8601_timestamp($2)', ['flood', '2013-06-20T00:30:00Z']))
      .toEqual([[30]]);
    expect(await rows('SELECT count(*) FROM posts WHERE text = $1', ["' OR 1=1 --"])).toEqual([[0]]);
    expect(await rows("SELECT $2, $1, '$1', $2, ?", ["it's", 1.5])).toEqual([[1.5, "it's", '$1', 1.5, "it's"]]);
    expect(await rows('SELECT $1 IS NULL, $2 + BIGINT \'1\', $3', [null, 41n, true])).toEqual([[true, 42, true]]);
    await expect(ask(engine, 'SELECT $2', ['one'])).rejects.toEqual(code('statement_failed'));
  });

  test('describe tells columns and parameter types without running', async () => {
    expect(await engine.describe(statement('SELECT post_id, likes + $1 AS l, hashtags, created_at FROM posts WHERE created_at > $2'))).toEqual({
      columns: [{ name: 'post_id', type: 'VARCHAR' }, { name: 'l', type: 'BIGINT' }, { name: 'hashtags', type: 'VARCHAR[]' },
        { name: 'created_at', type: 'TIMESTAMP WITH TIME ZONE' }],
      parameters: ['BIGINT', 'TIMESTAMP WITH TIME ZONE'],
    });
    expect((await engine.describe(statement('SHOW TABLES'))).columns).toEqual([{ name: 'Table', type: 'VARCHAR' }]);
    const long = `SELECT likes FROM posts WHERE text IN (${Array.from({ length: 1000 }, (_, index) => `'word ${index}'`).join(', ')})`;
    expect((await engine.describe(statement(long))).columns).toEqual([{ name: 'likes', type: 'BIGINT' }]);
  });

  test('rows come in other encodings too', async () => {
    const result = await engine.run(statement("SELECT post_id, likes FROM posts WHERE post_id IN ('p1', 'p2') ORDER BY 1", { encoding: 'csv' }));
    const pieces: Uint8Array[] = [];
    for await (const piece of result.chunks) pieces.push(piece);
    expect(Buffer.concat(pieces).toString().trim().split(/\r?\n/)).toEqual(['post_id,likes', 'p1,1', 'p2,2']);
  });
});

describe('refusals and errors', () => {
  test.each(['DELETE FROM posts', 'INSERT INTO store.posts SELECT * FROM posts', 'CREATE TABLE t AS SELECT 1', 'DROP VIEW posts', 'CALL system.x()',
    'ALTER TABLE store.posts EXECUTE optimize', 'SET SESSION a = 1', 'USE store', 'EXPLAIN ANALYZE DELETE FROM posts', 'SELECT 1; SELECT 2',
    'WITH FUNCTION f() RETURNS int RETURN 1 SELECT f()', 'SELECT * FROM system.runtime.queries', 'SELECT * FROM workshop.store.posts',
    'SELECT * FROM TABLE(lake.system.table_changes(\'store\', \'posts\', 1, 2))', 'SHOW TABLES FROM workshop.store', 'EXECUTE x',
    'EXECUTE IMMEDIATE \'SELECT 1\'', 'PREPARE x FROM SELECT 1', '  -- nothing\n;', 'EXPLAIN EXPLAIN SELECT 1', 'GRANT SELECT ON posts TO x'])(
    '%s is refused', async (sql) => {
      await expect(ask(engine, sql)).rejects.toEqual(code('statement_refused'));
    });

  test.each(['SHOW TABLES', 'DESCRIBE posts', 'SHOW CREATE VIEW posts', 'EXPLAIN SELECT 1 AS a', 'EXPLAIN (TYPE LOGICAL) SELECT count(*) FROM posts', 'VALUES 1, 2',
    'TABLE posts', '(SELECT 1)', 'SELECT p.likes FROM posts AS p LIMIT 1;', 'WITH a AS (SELECT 1) SELECT * FROM a', "SELECT 'a;b' -- ;",
    'SELECT table_name FROM information_schema.tables WHERE table_schema = \'lake\''])('%s is let pass', async (sql) => {
    expect((await ask(engine, sql)).rows.length).toBeGreaterThan(0);
  });

  test('errors carry SQLSTATE and the position in the statement as it was sent', async () => {
    await expect(ask(engine, "SELECT '😀', nope FROM posts")).rejects.toEqual(code('statement_failed', { context: expect.objectContaining({ sqlstate: '42703', position: 13 }) }));
    await expect(ask(engine, 'SELECT $1,\n nope FROM posts', [1])).rejects.toEqual(code('statement_failed', { context: expect.objectContaining({ sqlstate: '42703', position: 13 }) }));
    await expect(ask(engine, 'SELECT * FROM tweets')).rejects.toEqual(code('statement_failed', { context: expect.objectContaining({ sqlstate: '42P01' }) }));
    await expect(ask(engine, 'SELECT FROM')).rejects.toEqual(code('statement_failed', { context: expect.objectContaining({ sqlstate: '42601' }) }));
    await expect(ask(engine, 'SELECT 1 / 0')).rejects.toEqual(code('statement_failed', { context: expect.objectContaining({ sqlstate: '22012' }) }));
  });

  test('a Trino that is not there is unavailable, and a wrong address is no address', async () => {
    await using away = createTrinoEngine({ url: 'http://127.0.0.1:1', catalog: 'lake', schema: 'lake', schemas: ['lake'], clock: { ...systemClock, monotonic: fastClock() } });
    await expect(ask(away, 'SELECT 1')).rejects.toEqual(code('unavailable'));
    expect(() => createTrinoEngine({ url: 'trino', catalog: 'lake', schema: 'lake', schemas: ['lake'], clock: systemClock })).toThrow(/not an address/);
  });
});

/** Hours pass between two looks: whoever tries again for ten seconds gives up at once. */
function fastClock(): () => number {
  let now = 0;
  return () => (now += 3_600_000);
}

test('what slips past the guard is refused by the read-only catalog', async () => {
  await using client = new TrinoClient({ url: world.trino.url, catalog: 'lake', schema: 'store' }, systemClock);
  for (const sql of ['INSERT INTO posts (post_id) VALUES (\'x\')', 'DELETE FROM posts', 'DROP TABLE posts', 'CREATE TABLE t AS SELECT 1 AS a',
    'ALTER TABLE posts EXECUTE optimize', 'ALTER TABLE posts EXECUTE remove_orphan_files', 'DROP VIEW lake.lake.posts']) {
    const asked = (async () => {
      for await (const _page of client.run({ sql, onBehalfOf: 'test', signal: new AbortController().signal }));
    })();
    await expect(asked).rejects.toEqual(code('statement_refused'));
  }
  expect(await rows('SELECT count(*) FROM posts')).toEqual([[150]]);
});

describe('limits', () => {
  const endless = 'SELECT count(*) FROM posts a, posts b, posts c, posts d, posts e, posts f, posts g';

  test('rows and bytes stop at their limits, and say so only where something was left out', async () => {
    const all = await ask(engine, 'SELECT post_id FROM posts ORDER BY log_offset', [], { limits: { ...roomyLimits, rowsMax: 150 } });
    expect([all.rows.length, all.truncated]).toEqual([150, false]);
    const some = await ask(engine, 'SELECT post_id FROM posts ORDER BY log_offset', [], { limits: { ...roomyLimits, rowsMax: 7 } });
    expect([some.rows.length, some.rows.at(-1), some.truncated]).toEqual([7, ['p6'], true]);
    const few = await ask(engine, 'SELECT post_id FROM posts', [], { limits: { ...roomyLimits, bytesMax: 40 } });
    expect(few.truncated).toBe(true);
    expect(few.rows.length).toBeLessThan(10);
    const many = await ask(engine, 'SELECT n FROM UNNEST(sequence(1, 10000)) t(n), UNNEST(sequence(1, 5)) s(m)');
    expect([many.rows.length, many.truncated]).toEqual([50_000, false]);
  });

  const running = async (): Promise<number> => {
    await using admin = createTrinoEngine({ url: world.trino.url, catalog: 'system', schema: 'runtime', schemas: ['runtime'], clock: systemClock });
    const found = await ask(admin, "SELECT count(*) FROM queries WHERE state = 'RUNNING' AND query LIKE 'SELECT count(*) FROM posts a,%'");
    return Number(found.rows[0]?.[0]);
  };

  test('a statement that takes too long is stopped, in Trino too', async () => {
    await expect(ask(engine, endless, [], { limits: { ...roomyLimits, timeoutMs: 1500 } })).rejects.toEqual(code('limit_exceeded'));
    expect(await running()).toBe(0);
  });

  test('a statement is cancelled by its signal, and by whoever stops reading', async () => {
    const stop = new AbortController();
    const asked = ask(engine, endless, [], { signal: stop.signal });
    setTimeout(() => stop.abort(), 1000);
    await expect(asked).rejects.toEqual(code('cancelled'));
    const result = await engine.run(statement('SELECT * FROM posts a, posts b, posts c'));
    for await (const _piece of result.chunks) break;
    expect(await running()).toBe(0);
  });
});

describe('views', () => {
  test('are written once, and anew when their definition changed', async () => {
    expect(await writeTrinoViews(world.views)).toEqual([]);
    expect(await writeTrinoViews({ ...world.views, owner: 'somebody' })).toHaveLength(Object.keys(tables).length);
    expect(await rows('SELECT count(*) FROM posts')).toEqual([[150]]);
    expect(await writeTrinoViews(world.views)).toHaveLength(Object.keys(tables).length);
  });

  test('leave out what must be forgotten, at once', async () => {
    await world.lake.append('tombstones', `SELECT 'x' AS source, 'author' AS kind, 'a3' AS id, 'gone' AS state, now() AS received_at, 0 AS log_partition, 1 AS log_offset`);
    await world.publish();
    expect(await rows('SELECT count(*) FROM posts')).toEqual([[135]]);
    await world.lake.append('tombstones', `SELECT 'x' AS source, 'author' AS kind, 'a3' AS id, 'back' AS state, now() AS received_at, 0 AS log_partition, 2 AS log_offset`);
    await world.publish();
    expect(await rows('SELECT count(*) FROM posts')).toEqual([[150]]);
  });
});
