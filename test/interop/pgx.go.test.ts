import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { cachedFolder, go, run } from '#test/services/install.ts';
import { type Door, startDoor, token } from './door.ts';
import { recipes } from './recipes.ts';

let door: Door;
let program: string;
let recipe: string;

// The recipe of docs/connect.md: its lines as they stand there, but for the port.
const lines = recipes('## Go', { '127.0.0.1:5439/lake': '127.0.0.1:"+os.Args[1]+"/lake', ', 10)': ', 5)' });
const recipeSource = `package main

import (
	"context"
	"fmt"
	"os"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

func main() {
	ctx, token := context.Background(), os.Args[2]
${lines.join('')}
	fmt.Print(len(texts), err)
	pool.Close()
}
`;

beforeAll(async () => {
  // Built anew when the program changes: the name holds the version of what it stands for.
  const folder = await cachedFolder('pgx-5.12.0-1', async (half) => {
    await run(await go(), ['build', '-o', join(half, 'pgx'), '.'], { cwd: join(import.meta.dirname, 'pgx') });
  });
  program = join(folder, 'pgx');
  const version = createHash('sha256').update(recipeSource).digest('hex').slice(0, 16);
  recipe = join(await cachedFolder(`pgx-recipe-${version}`, async (half) => {
    for (const name of ['go.mod', 'go.sum']) await copyFile(join(import.meta.dirname, 'pgx', name), join(half, name));
    await writeFile(join(half, 'main.go'), recipeSource);
    await run(await go(), ['build', '-o', 'recipe', '.'], { cwd: half });
  }), 'recipe');
  door = await startDoor({ catalogue: true });
}, 600_000);
afterAll(() => door[Symbol.asyncDispose]());

// Grafana's macros as it expands them, its own questions about the server, and what its pool sends.
const range = `created_at BETWEEN '2013-06-20T00:00:00Z' AND '2013-06-20T00:20:00.123456789Z'`;
const series = `SELECT floor(extract(epoch from created_at)/300)*300 AS "time", count(*) AS value FROM posts WHERE ${range} GROUP BY 1 ORDER BY 1`;
const bucket = `SELECT time_bucket('300.000s',created_at) AS "time", lang AS metric, count(*) AS value FROM lake.posts WHERE ${range} GROUP BY 1, 2 ORDER BY 1`;
const several = `select 1 as a; set application_name = 'grafana'; select 2 as b`;
const version = `SELECT current_setting('server_version_num')::int/100`;
const timescale = `SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'`;
const schemas = `select quote_ident(schema_name) as "schema" from information_schema.schemata where schema_name not like 'pg!_%' escape '!' order by 1`;
const tables = `select quote_ident(table_name) as "table" from information_schema.tables
  where quote_ident(table_schema) not in ('information_schema', 'pg_catalog', '_timescaledb_cache')
    and quote_ident(table_schema) in (SELECT CASE WHEN trim(s[i]) = '"$user"' THEN user ELSE trim(s[i]) END
      FROM generate_series(array_lower(string_to_array(current_setting('search_path'),','),1), array_upper(string_to_array(current_setting('search_path'),','),1)) as i,
           string_to_array(current_setting('search_path'),',') s) order by 1`;
const columns = `select quote_ident(column_name) as "column", data_type as "type" from information_schema.columns where quote_ident(table_name) = 'events' and quote_ident(table_schema) = 'lake' order by ordinal_position limit 2`;
const infinite = `select 'infinity'::timestamp as "time", 1 as value`;

test('what Grafana does with pgx works: ping, panels, its own questions, several statements, a panel that times out', async () => {
  const sql = ['-- ping', ';', series, bucket, several, version, timescale, schemas, tables, columns, infinite, 'selec'];
  const { stdout } = await promisify(execFile)(program, [`${door.url}?sslmode=disable`, ...sql]);
  const found: unknown = JSON.parse(stdout);
  const select = (tag: string, names: string[], oids: number[], rows: string[][]): object => ({ tag, select: true, names, oids, rows });
  const start = Date.UTC(2013, 5, 20) / 1000;
  expect(found).toMatchObject({
    frames: {
      '-- ping': [{ tag: '', select: false }], ';': [{ tag: '', select: false }],
      [series]: [select('SELECT 5', ['time', 'value'], [701, 20], [0, 300, 600, 900, 1200].map((offset) => [String(start + offset), offset === 1200 ? '1' : '300']))],
      [bucket]: [{ tag: 'SELECT 5', select: true, names: ['time', 'metric', 'value'], oids: [1184, 25, 20] }],
      [several]: [select('SELECT 1', ['a'], [23], [['1']]), { tag: 'SET', select: false }, select('SELECT 1', ['b'], [23], [['2']])],
      [version]: [{ select: true, oids: [23], rows: [['1800']] }],
      // pgx copies the columns with the first row only.
      [timescale]: [select('SELECT 0', [], [], [])],
      [schemas]: [{ rows: [['information_schema'], ['lake'], ['store']] }],
      [tables]: [{ rows: expect.arrayContaining([['posts'], ['events']]) as unknown }],
      [columns]: [{ rows: [['event_id', 'text'], ['version', 'bigint']] }],
      [infinite]: [{ tag: '22008' }], selec: [{ tag: '42601' }],
    },
    row: ['post 1 “é😀”', '2013-06-20T00:00:01Z', 1, ['flood', 'a "b", c'], 0.125],
    groups: expect.stringContaining('event_id:flood-2013') as unknown,
    timeout: true, after: 1,
  });
}, 120_000);

test('the recipe of docs/connect.md', async () => {
  const { stdout } = await promisify(execFile)(recipe, [String(door.port), token]);
  expect(stdout).toBe('714 <nil>');
}, 60_000);
