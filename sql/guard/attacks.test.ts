import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { jest } from '@jest/globals';
import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';
import { isWatershedError, messageOf } from '#core/errors.ts';
import { ask, sqlLake, type SqlLake } from '#test/sql-lake.ts';
import type { Engine } from '../engine/engine.ts';
import { type Attack, readAttacks } from './testdata/attacks.ts';

// Children are started: on a crowded machine that takes its time.
jest.setTimeout(60_000);

let lake: SqlLake;
let engine: Engine;
let dir: string;
let attacks: Attack[];
/** Everything in the folder of the bait, by name. */
const contents = async (): Promise<Record<string, string>> =>
  Object.fromEntries(
    await Promise.all(
      (await readdir(dir)).toSorted().map(async (name) => [name, (await readFile(join(dir, name))).toString('base64')]),
    ),
  );

beforeAll(async () => {
  lake = await sqlLake();
  // The bait lies where the engine may read, so that it is the guard that must keep people off it.
  dir = join(lake.folder, 'lake', 'bait');
  await mkdir(dir, { recursive: true });
  await lake.append('posts', "SELECT 'flood' AS event_id, 'p' || i AS post_id, i AS likes FROM range(5) r(i)");
  await lake.append('tombstones', "SELECT 'x' AS source, 'post' AS kind, 'p1' AS id, 'gone' AS state");
  for (const name of ['bait.csv', 'bait.tsv'])
    await lake.duck.run(`COPY (SELECT '1' AS a, 2 AS n) TO '${dir}/${name}' (FORMAT csv)`);
  await lake.duck.run(`COPY (SELECT '1' AS a, 2 AS n) TO '${dir}/bait.json' (FORMAT json)`);
  await lake.duck.run(`COPY (SELECT '1' AS a, 2 AS n) TO '${dir}/bait.parquet' (FORMAT parquet)`);
  await lake.duck.run(`COPY (SELECT 'the secret of this house' AS a) TO '${dir}/bait.txt' (FORMAT csv)`);
  attacks = readAttacks(dir);
  engine = lake.engine({ children: 1 });
});

afterAll(async () => await lake[Symbol.asyncDispose]());

/** A database as a careless program would open it, with the same schemas as ours. */
async function unguarded(): Promise<{ connection: DuckDBConnection; close(): void }> {
  const instance = await DuckDBInstance.create(':memory:', {
    autoinstall_known_extensions: 'false',
    autoload_known_extensions: 'false',
  });
  const connection = await instance.connect();
  const result = await connection.extractStatements(`CREATE SCHEMA lake; CREATE SCHEMA store; CREATE SCHEMA helper;
    CREATE TABLE victim AS SELECT 1 AS x; CREATE SEQUENCE counter; SET VARIABLE evil = 1;
    CREATE VIEW store.posts AS SELECT 'flood' AS event_id, 'p1' AS post_id, 1 AS likes; CREATE VIEW lake.posts AS FROM store.posts;
    CREATE TABLE helper.gone_rows AS SELECT 'x' AS source, 'post' AS kind, '1' AS id; CREATE VIEW helper.gone AS FROM helper.gone_rows`);
  for (let index = 0; index < result.count; index++) await (await result.prepare(index)).run();
  return {
    connection,
    close() {
      connection.closeSync();
      instance.closeSync();
    },
  };
}

test('there are at least 200 attacks, no two alike', () => {
  expect(new Set(attacks.map(({ sql }) => sql)).size).toBe(attacks.length);
  expect(attacks.length).toBeGreaterThanOrEqual(200);
});

test('each of them bites on an unguarded DuckDB', async () => {
  const harmless: string[] = [];
  let shared = await unguarded();
  for (const { effect, sql } of attacks) {
    if (effect === 'spends') continue; // shown in attacks.slow.test.ts
    try {
      await shared.connection.run(sql);
      if (effect === 'tries') harmless.push(`runs after all: ${sql}`);
    } catch (error) {
      const text = messageOf(error);
      // What could not be understood, or names what is not there, shows nothing.
      if (effect === 'runs' || /^(Parser|Binder|Syntax) Error/.test(text))
        harmless.push(`${sql}\n  ${text.slice(0, 200)}`);
    }
    // What only reads leaves the database to the next one.
    if (
      /^(SELECT|FROM|WITH|VALUES|TABLE|DESCRIBE|SHOW|SUMMARIZE|PIVOT|UNPIVOT|EXPLAIN SELECT)\b[^;]*$/.test(sql) &&
      !/_logging|checkpoint/.test(sql)
    )
      continue;
    shared.close();
    shared = await unguarded();
    for (const name of await readdir(dir)) if (name.startsWith('evil')) await rm(join(dir, name), { recursive: true });
  }
  shared.close();
  expect(harmless).toEqual([]);
}, 60_000);

test('a text that ends early for the one who runs it is refused', async () => {
  await expect(ask(engine, "SELECT 1\0 FROM '/etc/passwd'")).rejects.toMatchObject({ code: 'statement_refused' });
});

test('none of them gets through, each is told what is allowed, and nothing has changed afterwards', async () => {
  const before = await contents();
  const through: string[] = [];
  for (const { effect, sql } of attacks) {
    if (effect === 'spends') continue;
    const error: unknown = await ask(engine, sql).then(
      (answer) => `answered ${JSON.stringify(answer.rows).slice(0, 80)}`,
      (failure: unknown) => failure,
    );
    const refused =
      isWatershedError(error, 'statement_refused') ||
      (isWatershedError(error, 'statement_failed') && error.context['sqlstate'] === '42P01');
    if (!refused)
      through.push(`${sql}\n  ${isWatershedError(error) ? `${error.code}: ${error.message}` : String(error)}`);
    else if (error.hint === undefined) through.push(`${sql}\n  has no hint: ${error.message}`);
    else if (JSON.stringify([error.message, error.hint]).includes('the secret of'))
      through.push(`${sql}\n  tells the secret`);
  }
  expect(through).toEqual([]);
  expect(await contents()).toEqual(before);
  expect((await ask(engine, 'SELECT count(*) FROM posts')).rows).toEqual([[5]]);
}, 60_000);
