import { jest } from '@jest/globals';
import { tables } from '#core/contract/tables.ts';
import { ask, sqlLake, type SqlLake, statement } from '#test/sql-lake.ts';
import { createTableCache, loadMetadata } from '#warehouse/table/files.ts';
import type { Engine } from '../engine.ts';

// Children are started: on a crowded machine that takes its time.
jest.setTimeout(60_000);

let lake: SqlLake;
let engine: Engine;

const minute = (i: string): string => `TIMESTAMPTZ '2013-06-20 00:00:00+00' + to_minutes(${i})`;
const posts = (
  event: string,
  from: number,
  to: number,
  more = '',
): string => `SELECT '${event}' AS event_id, 'x' AS source, 'p' || i AS post_id,
  'a' || (i % 10) AS author_id, i AS likes, ${minute('i')} AS created_at, 'post ' || i AS text, ['a', 'b' || (i % 3)] AS hashtags,
  0 AS log_partition, i AS log_offset ${more} FROM range(${from}, ${to}) r(i)`;

beforeAll(async () => {
  lake = await sqlLake();
  await lake.append('posts', posts('flood', 0, 100));
  await lake.append('posts', posts('fire', 100, 150));
  engine = lake.engine({ children: 2 });
});

afterAll(async () => await lake[Symbol.asyncDispose]());

const code = (wanted: string, more: object = {}): unknown => expect.objectContaining({ code: wanted, ...more });
const one = async (sql: string, params: (string | number | bigint | boolean | null)[] = []): Promise<unknown> =>
  (await ask(engine, sql, params)).rows[0]?.[0];

test('a statement is answered with columns and rows', async () => {
  expect(await ask(engine, 'SELECT count(*) AS n, min(created_at) AS first FROM posts')).toEqual({
    columns: ['n', 'first'],
    types: ['BIGINT', 'TIMESTAMP WITH TIME ZONE'],
    rows: [[150, '2013-06-20T00:00:00.000000Z']],
    truncated: false,
  });
  expect((await ask(engine, "SELECT hashtags, text FROM lake.posts WHERE post_id = 'p4'")).rows).toEqual([
    [['a', 'b1'], 'post 4'],
  ]);
});

test('every table of the contract can be asked, also those that nothing was written to', async () => {
  for (const [name, { columns }] of Object.entries(tables)) {
    for (const schema of ['lake', 'store']) {
      const result = await ask(engine, `SELECT * FROM ${schema}.${name} LIMIT 1`);
      expect(result.columns).toEqual(columns.map((column) => column.name));
    }
  }
});

test('a new commit is seen by the next statement', async () => {
  await using other = await sqlLake();
  const fresh = other.engine();
  const count = async (): Promise<unknown> => (await ask(fresh, 'SELECT count(*) FROM posts')).rows[0]?.[0];
  expect(await count()).toBe(0);
  await other.append('posts', posts('e', 0, 7));
  expect(await count()).toBe(7);
  await other.append('posts', posts('e', 7, 10));
  expect(await count()).toBe(10);
});

test('SHOW TABLES names the tables of schema lake, once', async () => {
  const names = Object.keys(tables)
    .toSorted()
    .map((name) => [name]);
  expect((await ask(engine, 'SHOW TABLES;')).rows).toEqual(names);
  expect((await ask(engine, 'show /* all */ tables from store')).rows).toEqual(names);
});

test('parameters are bound with their types, never spliced', async () => {
  expect(
    await one('SELECT count(*) FROM posts WHERE event_id = $1 AND created_at < $2', ['flood', '2013-06-20T00:30:00Z']),
  ).toBe(30);
  expect(await one('SELECT count(*) FROM posts WHERE text = $1', ["' OR 1=1 --"])).toBe(0);
  expect(await one('SELECT $1::BIGINT + 1', [9007199254740992n])).toBe(9007199254740992); // JSON.parse rounds 9007199254740993
  expect((await ask(engine, 'SELECT $1 IS NULL, $2, $3, ?', [null, 1.5, true, 'last'])).rows).toEqual([
    [true, 1.5, true, 'last'],
  ]);
  await expect(ask(engine, 'SELECT $2', ['one'])).rejects.toEqual(code('statement_failed'));
});

test('describe tells columns and parameter types without running', async () => {
  expect(await engine.describe(statement('SELECT post_id, likes + $1 AS l FROM posts WHERE created_at > $2'))).toEqual({
    columns: [
      { name: 'post_id', type: 'VARCHAR' },
      { name: 'l', type: 'BIGINT' },
    ],
    parameters: ['UNKNOWN', 'TIMESTAMP WITH TIME ZONE'],
  });
  expect(await engine.describe(statement('SELECT likes FROM posts WHERE event_id = $1 LIMIT $2'))).toEqual({
    columns: [{ name: 'likes', type: 'BIGINT' }],
    parameters: ['VARCHAR', 'BIGINT'],
  });
});

test('errors carry SQLSTATE and the position in the statement as it was sent', async () => {
  await expect(ask(engine, 'SELECT ü, nope FROM posts')).rejects.toEqual(
    code('statement_failed', { context: { sqlstate: '42703', position: 8 } }),
  );
  await expect(ask(engine, 'SELECT\n  frm posts x y')).rejects.toEqual(
    code('statement_failed', { context: { sqlstate: '42601', position: 20 } }),
  );
  await expect(ask(engine, "EXPLAIN SELECT 'é', nope FROM posts")).rejects.toEqual(
    code('statement_failed', { context: { sqlstate: '42703', position: 21 } }),
  );
  await expect(ask(engine, 'SELECT * FROM tweets')).rejects.toEqual(
    code('statement_failed', {
      context: { sqlstate: '42P01', position: 15 },
      hint: expect.stringContaining('posts, raw'),
    }),
  );
  await expect(ask(engine, "SELECT 'x'::int")).rejects.toEqual(
    code('statement_failed', { context: expect.objectContaining({ sqlstate: '22P02' }) }),
  );
  await expect(ask(engine, '   ')).rejects.toEqual(code('statement_failed'));
});

test.each(['SELECT 1e400::float8', 'SELECT 1e400', 'SELECT -1e400 + 1', 'EXPLAIN SELECT 1e400'])('%s: a number that no double holds, as PostgreSQL says it', async (sql) => {
  await expect(ask(engine, sql)).rejects.toMatchObject({
    code: 'statement_failed', message: '"1e400" is out of range for type double precision',
    context: { sqlstate: '22003', position: sql.indexOf('1e400') + 1 },
  });
});

test('rows and bytes stop at their limits, and say so only where something was left out', async () => {
  const limited = async (sql: string, limits: object): Promise<[number, boolean]> => {
    const { rows, truncated } = await ask(engine, sql, [], {
      limits: { timeoutMs: 30_000, rowsMax: 1e9, bytesMax: 1e9, ...limits },
    });
    return [rows.length, truncated];
  };
  expect(await limited('SELECT 1 FROM range(5000)', { rowsMax: 2048 })).toEqual([2048, true]);
  expect(await limited('SELECT 1 FROM range(2048)', { rowsMax: 2048 })).toEqual([2048, false]);
  expect(await limited('SELECT 1 FROM range(10)', { rowsMax: 0 })).toEqual([0, true]);
  expect(await limited("SELECT 'abcdefg' FROM range(100000)", { bytesMax: 1200 })).toEqual([101, true]); // 11 bytes and a comma each: 1199 after 100
});

test('a statement that takes too long, or is cancelled, ends and leaves its child to the next', async () => {
  const endless = 'SELECT sum(a.likes * b.i) FROM posts a, range(1000000000) b(i)';
  await expect(ask(engine, endless, [], { limits: { timeoutMs: 200, rowsMax: 1, bytesMax: 1 } })).rejects.toEqual(
    code('limit_exceeded', { context: expect.objectContaining({ sqlstate: '57014' }) }),
  );
  const controller = new AbortController();
  const cancelled = ask(engine, endless, [], { signal: controller.signal });
  setTimeout(() => controller.abort(), 100);
  await expect(cancelled).rejects.toEqual(code('cancelled'));
  expect(await one('SELECT 1')).toBe(1);
});

test('a statement that fails amid its rows fails, and says why', async () => {
  const late =
    "SELECT CASE WHEN i = 3000000 THEN error('late') ELSE 'fine' END AS t FROM range(3000001) r(i) -- in order";
  await expect(ask(engine, late)).rejects.toEqual(code('statement_failed', { message: 'late' }));
  await expect(
    ask(
      engine,
      "SELECT CASE WHEN i = $1 THEN error('late') ELSE i::VARCHAR END::BIGINT AS t FROM range(3000001) r(i);",
      [2_000_000],
    ),
  ).rejects.toEqual(code('statement_failed', { message: 'late' }));
  const slow = 'SELECT i, (SELECT count(*) FROM range(1000) s(j) WHERE j < i % 7) FROM range(1000000000) r(i)';
  await expect(
    ask(engine, slow, [], { limits: { timeoutMs: 700, rowsMax: 1e12, bytesMax: 1e12 }, encoding: 'csv' }),
  ).rejects.toEqual(code('limit_exceeded'));
});

test('whoever stops reading gives the child back', async () => {
  await using single = lake.engine({ children: 1 });
  const result = await single.run(statement("SELECT i, repeat('x', 1000) FROM range(10000000) r(i)"));
  for await (const _chunk of result.chunks) break;
  await expect(result.summary).rejects.toEqual(code('cancelled'));
  expect((await ask(single, 'SELECT 1')).rows).toEqual([[1]]);
});

test('a child that grows too large is killed, its statement alone fails, and another takes its place', async () => {
  await using small = lake.engine({ children: 2, memoryBytes: 64 * 2 ** 20 });
  const bomb = ask(small, "SELECT length(string_agg(repeat('x', 1000000), '')) FROM range(20000)", [], {
    limits: { timeoutMs: 60_000, rowsMax: 10, bytesMax: 1000 },
  });
  const calm = ask(small, 'SELECT count(*) FROM posts');
  await expect(bomb).rejects.toEqual(
    code('limit_exceeded', { context: expect.objectContaining({ sqlstate: '53200' }) }),
  );
  expect((await calm).rows).toEqual([[150]]);
  expect((await ask(small, 'SELECT 2')).rows).toEqual([[2]]);
});

test('a statement that spills beyond its limit fails alone, with a sentence', async () => {
  const small = lake.engine({ children: 1, memoryBytes: 64 * 2 ** 20, tempBytesMax: 8 * 2 ** 20 });
  // Some 300 MB to be sorted.
  const large = 'SELECT i, row_number() OVER (ORDER BY h) FROM (SELECT i, md5(i::VARCHAR) AS h FROM range(6000000) r(i))';
  const failed = expect(ask(small, large)).rejects.toMatchObject({
    code: 'limit_exceeded', message: 'the statement set more than 8.0 MiB aside on the disk', hint: expect.stringContaining('fewer rows'),
    context: { sqlstate: '53400' },
  });
  expect((await ask(small, 'SELECT count(*) FROM posts WHERE likes < 100')).rows).toEqual([[100]]);
  await failed;
  expect((await ask(small, 'SELECT 1')).rows).toEqual([[1]]);
});

test('users take turns', async () => {
  await using single = lake.engine({ children: 1 });
  const order: string[] = [];
  const queue = async (user: string, n: number): Promise<void> => {
    await ask(single, 'SELECT sum(i) FROM range(200000) r(i)', [], { user });
    order.push(`${user}${n}`);
  };
  await Promise.all([queue('a', 1), queue('a', 2), queue('a', 3), queue('b', 1), queue('c', 1)]);
  expect(order.indexOf('b1')).toBeLessThan(order.indexOf('a3'));
  expect(order.indexOf('c1')).toBeLessThan(order.indexOf('a3'));
});

test('a short statement does not wait behind long ones, whoever sent them', async () => {
  await using busy = lake.engine({ children: 1 });
  let ended = 0;
  const limits = { timeoutMs: 60_000, rowsMax: 1, bytesMax: 1000 };
  const stop = new AbortController();
  const endless = Array.from({ length: 4 }, async () => {
    // The smaller side is kept in memory: it must not outgrow what a statement may set aside.
    await ask(busy, 'SELECT sum(a.i * b.i) FROM range(1000000000) a(i), range(1000) b(i)', [], {
      limits,
      signal: stop.signal,
    }).catch(() => undefined);
    ended += 1;
  });
  for (let index = 0; index < 3; index++) {
    expect((await ask(busy, 'SELECT count(*) FROM posts', [], { user: index === 0 ? 'admin' : 'other' })).rows).toEqual(
      [[150]],
    );
  }
  expect(ended).toBe(0);
  stop.abort();
  await Promise.all(endless);
}, 60_000);

test('a statement that was sent back to begin again is answered once and wholly', async () => {
  await using busy = lake.engine({ children: 1 });
  const slow = async (n: number): Promise<unknown> =>
    (await ask(busy, `SELECT ${n}, count(*) FROM range(6000) a(i), range(6000) b(i) WHERE a.i + b.i = ${n}`)).rows[0];
  expect(await Promise.all([1, 2, 3, 4].map(slow))).toEqual([
    [1, 2],
    [2, 3],
    [3, 4],
    [4, 5],
  ]);
}, 60_000);

test('neither plans nor errors tell where the lake lies', async () => {
  for (const format of ['', '(FORMAT JSON)', '(FORMAT HTML)', '(FORMAT GRAPHVIZ)', 'ANALYZE', '(ANALYZE, FORMAT JSON)']) {
    const { rows } = await ask(engine, `EXPLAIN ${format} SELECT max(text) FROM posts WHERE event_id = 'flood'`);
    const [, plan = ''] = rows[0] ?? [];
    expect(plan).toMatch(/READ_PARQUET/i);
    // A plan in boxes breaks long names into lines: the beginning of the folder's name is short enough to stay whole.
    expect(plan).not.toContain(lake.folder.slice(0, 12));
  }
  await using broken = await sqlLake();
  await broken.append('posts', posts('flood', 0, 3));
  const fresh = broken.engine();
  expect((await ask(fresh, 'SELECT count(*) FROM posts')).rows).toEqual([[3]]);
  for await (const { key } of broken.store.list('store/posts/data/')) await broken.store.delete(key);
  const failed: unknown = await ask(fresh, 'SELECT max(text) FROM posts').catch((error: unknown) => error);
  expect(failed).toEqual(code('unavailable'));
  expect(JSON.stringify([failed, (failed as Error).message])).not.toContain(broken.folder);
});

test('progress is told while a statement runs', async () => {
  const told: (number | undefined)[] = [];
  const stop = new AbortController();
  const onProgress = (percent: number | undefined): void => {
    told.push(percent);
    if (told.length === 3) stop.abort();
  };
  await expect(
    ask(engine, 'SELECT sum(a.i * b.i) FROM range(100000) a(i), range(10000000) b(i)', [], {
      signal: stop.signal,
      onProgress,
    }),
  ).rejects.toEqual(code('cancelled'));
  expect(told.length).toBeGreaterThanOrEqual(3);
  expect(told.every((percent) => percent === undefined || (percent >= 0 && percent <= 100))).toBe(true);
});

test('time travel: by snapshot and by instant', async () => {
  const location = await lake.catalog.load({ namespace: 'store', name: 'posts' });
  const metadata = await loadMetadata(lake.store, createTableCache(), location ?? '');
  const [first] = metadata.snapshots;
  const id = first?.['snapshot-id'];
  expect(await one(`SELECT count(*) FROM posts AT (VERSION => ${id})`)).toBe(100);
  expect(await one(`SELECT count(*) FROM store.posts AS p AT (VERSION => ${id}) WHERE p.likes < 10`)).toBe(10);
  const at = new Date(first?.['timestamp-ms'] ?? 0).toISOString();
  expect(await one(`SELECT count(*) FROM posts AT (TIMESTAMP => TIMESTAMPTZ '${at}')`)).toBe(100);
  expect(
    (
      await ask(
        engine,
        `SELECT (SELECT count(*) FROM posts AT (VERSION => ${id})), count(posts.post_id) FROM lake.posts`,
      )
    ).rows,
  ).toEqual([[100, 150]]);
  await expect(ask(engine, 'SELECT * FROM posts AT (VERSION => 1)')).rejects.toEqual(code('not_found'));
  await expect(ask(engine, "SELECT * FROM posts AT (TIMESTAMP => '2001-01-01')")).rejects.toEqual(code('not_found'));
});

test('the database may be named', async () => {
  expect(await one('SELECT count(*) FROM lake.lake.posts AS p WHERE p.likes < 5')).toBe(5);
  expect(await one('SELECT count(posts.likes) FROM "lake"."store"."posts"')).toBe(150);
});

test('tables tells names, types and what they mean', async () => {
  const all = await engine.tables();
  expect(all.map(({ schema, name }) => `${schema}.${name}`)).toEqual(
    expect.arrayContaining(['lake.posts', 'store.posts', 'lake.activity_terms']),
  );
  expect(all.find(({ name }) => name === 'posts')?.columns.find(({ name }) => name === 'hashtags')).toEqual({
    name: 'hashtags',
    type: 'VARCHAR[]',
    comment: 'Without #, as written',
  });
});
