/**
 * The HTTP door against DuckDB called directly on the same files: what it adds to a short statement, the first row and the
 * last of a million, memory; a count by hour; fifty dashboard statements
 * at once; what a child costs; a short one behind long ones; planning ten thousand files.
 * `node bench/sql-door.ts [rows]` prints a line of JSON per claim.
 */
import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { systemClock } from '#core/clock.ts';
import { silentLogger } from '#core/logger.ts';
import { createMetrics } from '#core/metrics.ts';
import { createHttpServer } from '#sql/http/server.ts';
import { createPlanner } from '#sql/engine/duckdb/plan.ts';
import { pretendedAuth, token } from '#test/pretended-auth.ts';
import { roomyLimits, sqlLake } from '#test/sql-lake.ts';

const rows = Number(process.argv[2] ?? 1_000_000);
await using lake = await sqlLake();
const perFile = Math.ceil(rows / 30);
for (let from = 0; from < rows; from += perFile) {
  await lake.append(
    'posts',
    `SELECT 'event ' || (i % 5) AS event_id, 'x' AS source, 'p' || i AS post_id, i % 100 AS likes, 'en' AS lang,
    TIMESTAMPTZ '2013-06-20 00:00:00+00' + to_seconds(i) AS created_at, 'a' || (i % 10000) AS author_id, ['flood', 'tag' || (i % 50)] AS hashtags,
    'The river is rising near the bridge, post number ' || i || ' of many #flood' AS text FROM range(${from}, ${Math.min(from + perFile, rows)}) r(i)`,
  );
}
const engine = lake.engine({ children: 2, memoryBytes: 2 ** 30 });
await using server = await createHttpServer({
  engine,
  auth: pretendedAuth(),
  limits: roomyLimits,
  metrics: createMetrics(),
  logger: silentLogger,
  clock: systemClock,
  spoolFolder: lake.folder,
});
const { url } = await server.listen('127.0.0.1', 0);

const files: string[] = [];
for await (const { key } of lake.store.list('store/posts/data/')) files.push(`'${lake.folder}/lake/${key}'`);
await lake.duck.run('CREATE SCHEMA lake');
await lake.duck.run(`CREATE VIEW lake.posts AS FROM read_parquet([${files.join(', ')}])`);

const report = (claim: string, numbers: Record<string, unknown>): void =>
  console.log(
    JSON.stringify({
      bench: 'sql-door',
      claim,
      rows,
      ...numbers,
      cores: cpus().length,
      cpu: cpus()[0]?.model,
      node: process.version,
    }),
  );
const round = (number: number): number => Math.round(number * 100) / 100;
const median = (numbers: number[]): number =>
  round(numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? 0);

interface Taken {
  readonly firstMs: number;
  readonly totalMs: number;
  readonly bytes: number;
  readonly grownMb: number;
}

async function door(sql: string, format: string): Promise<Taken> {
  const before = process.memoryUsage.rss();
  let highest = before;
  const startedMs = performance.now();
  const response = await fetch(`${url}/api/sql?format=${format}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ sql }),
  });
  if (!response.ok || response.body === null) throw new Error(await response.text());
  let firstMs = 0;
  let bytes = 0;
  for await (const piece of response.body) {
    firstMs ||= performance.now() - startedMs;
    bytes += piece.length;
    highest = Math.max(highest, process.memoryUsage.rss());
  }
  return { firstMs, totalMs: performance.now() - startedMs, bytes, grownMb: (highest - before) / 2 ** 20 };
}

/** What the client library does for rows as values. */
async function direct(sql: string): Promise<Taken> {
  const startedMs = performance.now();
  const result = await lake.duck.stream(sql);
  let firstMs = 0;
  for (;;) {
    const chunk = await result.fetchChunk();
    if (chunk === null || chunk.rowCount === 0) break;
    chunk.getRows();
    firstMs ||= performance.now() - startedMs;
  }
  return { firstMs, totalMs: performance.now() - startedMs, bytes: 0, grownMb: 0 };
}

const short: Record<string, { door: number[]; direct: number[] }> = {
  'SELECT 1': { door: [], direct: [] },
  "SELECT count(*) FROM lake.posts WHERE event_id = 'event 1'": { door: [], direct: [] },
  "SELECT date_trunc('hour', created_at) AS hour, count(*) FROM lake.posts GROUP BY 1": { door: [], direct: [] },
};
// The first turns compile code, of the client and of the server alike: they are told apart.
for (let turn = 0; turn < 60; turn++) {
  for (const [sql, times] of Object.entries(short)) {
    times.direct.push((await direct(sql)).firstMs);
    times.door.push((await door(sql, 'json')).firstMs);
  }
}
for (const [sql, times] of Object.entries(short)) {
  const at = (from: number, to: number): Record<string, number> => {
    const [directMs, doorMs] = [median(times.direct.slice(from, to)), median(times.door.slice(from, to))];
    return { directMs, doorMs, addedMs: round(doorMs - directMs) };
  };
  report('first row of a short statement', { sql, ...at(15, 60), firstTurns: at(0, 15) });
}

const wide = 'SELECT event_id, post_id, created_at, text, lang, hashtags, likes, author_id FROM lake.posts';
for (let turn = 0; turn < 3; turn++) {
  const ways: [string, Taken][] = [['direct', await direct(wide)]];
  for (const format of ['arrow', 'json', 'csv', 'ndjson']) ways.push([format, await door(wide, format)]);
  for (const [way, taken] of ways)
    report('all rows', {
      way,
      firstMs: round(taken.firstMs),
      totalMs: round(taken.totalMs),
      megabytes: Math.round(taken.bytes / 2 ** 20),
      grownMb: Math.round(taken.grownMb),
    });
}

const dashboard = Array.from(
  { length: 50 },
  (_, index) =>
    `SELECT date_trunc('hour', created_at) AS hour, count(*), sum(likes) FROM lake.posts WHERE event_id = 'event ${index % 5}' GROUP BY 1 ORDER BY 1`,
);
let startedMs = performance.now();
for (const sql of dashboard) await door(sql, 'json');
const oneByOneMs = performance.now() - startedMs;
startedMs = performance.now();
await Promise.all(dashboard.map((sql) => door(sql, 'json')));
const atOnceMs = performance.now() - startedMs;
report('fifty dashboard statements', {
  oneByOneMs: round(oneByOneMs),
  atOnceMs: round(atOnceMs),
  factor: round(atOnceMs / oneByOneMs),
});

/** Ids of the processes that were started by this one. */
function childIds(): string[] {
  return readFileSync(`/proc/self/task/${process.pid}/children`, 'utf8').trim().split(/\s+/).filter((id) => id !== '');
}

/** Megabytes a process occupies: all, its share where others have the same pages, and its own. */
function memoryOf(pid: string): { rssMb: number; pssMb: number; anonymousMb: number } {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1');
  const read = (name: string): number =>
    Math.round(Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? 0) / 1024);
  return { rssMb: read('Rss'), pssMb: read('Pss'), anonymousMb: read('Pss_Anon') };
}

for (const pid of childIds()) report('a child after all that', memoryOf(pid));

startedMs = performance.now();
const another = lake.engine({ children: 2 });
for await (const _rows of (await another.run({
  sql: 'SELECT 1', params: [], user: 'first', encoding: 'json', limits: roomyLimits, signal: AbortSignal.timeout(60_000),
})).chunks);
report('start of a child and its first statement', { ms: round(performance.now() - startedMs) });
const idle = childIds().at(-1);
if (idle !== undefined) report('an idle child', memoryOf(idle));
await another[Symbol.asyncDispose]();

const stop = new AbortController();
const endless = Array.from(
  { length: 6 },
  async () =>
    await engine
      .run({
        sql: 'SELECT sum(a.i * b.i) FROM range(1000000000) a(i), range(1000) b(i)',
        params: [],
        user: 'long',
        encoding: 'json',
        limits: roomyLimits,
        signal: stop.signal,
      })
      .catch(() => undefined),
);
const waits: number[] = [];
// From the first moment on, and after the long ones had time to take every child.
for (let turn = 0; turn < 40; turn++) {
  if (turn % 10 === 9) await systemClock.sleep(6_000);
  waits.push((await door('SELECT 1', 'json')).totalMs);
}
report('short statement behind six long ones', { medianMs: median(waits), maxMs: round(Math.max(...waits)) });
stop.abort();
await Promise.all(endless);

await using many = await sqlLake();
await many.appendManyFiles('posts', 10_000);
const planner = createPlanner({ ...many, namespace: 'store' });
for (const claim of ['planning 10,000 files', 'planning them again', 'and again']) {
  startedMs = performance.now();
  const plan = await planner.plan([{ schema: 'store', name: 'posts' }], false);
  report(claim, { ms: round(performance.now() - startedMs), files: plan.tables[0]?.content?.files.length });
}
startedMs = performance.now();
const some = await planner.plan(
  [{ schema: 'store', name: 'posts', filter: { kind: 'compare', column: 'event_id', op: '=', value: 'event 7' } }],
  false,
);
report('planning with a condition', {
  ms: round(performance.now() - startedMs),
  files: some.tables[0]?.content?.files.length,
});
