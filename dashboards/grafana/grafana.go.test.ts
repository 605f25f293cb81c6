// Every query of the generated files through the wire door by pgx, as Grafana's back end asks and reads: backend/main.go.
import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { join } from 'node:path';
import { createSlowdown } from '#core/auth/slowdown.ts';
import { scramVerifier } from '#core/auth/scram.ts';
import { systemClock } from '#core/clock.ts';
import { silentLogger } from '#core/logger.ts';
import { createMetrics } from '#core/metrics.ts';
import { createWireServer } from '#sql/pgwire/server.ts';
import { dashboardsLake } from '#test/dashboards-lake.ts';
import { type Asked, expandGrafana, type GrafanaTime, queriesIn } from '#test/grafana-macros.ts';
import { cachedFolder, go, run } from '#test/services/install.ts';
import { roomyLimits, type SqlLake } from '#test/sql-lake.ts';
import { generate } from './build.ts';

const token = 'a-token-of-twenty-characters-and-more';
const stop = new AbortController();
let lake: SqlLake;
let running: Promise<void>;
let program: string;
let url: string;

beforeAll(async () => {
  // Built anew when the program changes: the name holds the version of what it stands for.
  const folder = await cachedFolder('grafana-backend-1', async (half) => {
    await run(await go(), ['build', '-o', join(half, 'backend'), '.'], { cwd: join(import.meta.dirname, 'backend') });
  });
  program = join(folder, 'backend');
  lake = await dashboardsLake();
  const verifier = await scramVerifier(token);
  const server = createWireServer({
    host: '127.0.0.1', port: 0, engine: lake.engine(), shadow: undefined, limits: roomyLimits, spoolFolder: join(lake.folder, 'spool'), clock: systemClock,
    logger: silentLogger, metrics: createMetrics(), slowdown: createSlowdown(systemClock),
    logins: { wireLogin: async (name) => ({ principal: { name, kind: 'read', credential: 'c' }, verifier }) },
  });
  running = server.run(stop.signal);
  url = `postgres://analyst:${token}@127.0.0.1:${(await server.address).port}/lake?sslmode=disable`;
}, 600_000);

afterAll(async () => {
  stop.abort();
  await running;
  await lake[Symbol.asyncDispose]();
});

interface Frame {
  readonly name: string;
  readonly error: string;
  readonly rows: number;
  readonly fields: readonly string[];
  readonly series: readonly string[];
  readonly from: string;
  readonly to: string;
  readonly sums: Readonly<Record<string, number>>;
  readonly labels: readonly string[];
}

const queries: readonly Asked[] = [...generate()].filter(([file]) => file.startsWith('postgres/')).flatMap(([file, content]) => queriesIn(file, content));
const whole: GrafanaTime = { from: new Date('2013-06-20T00:00:00Z'), to: new Date('2013-06-21T16:00:00Z'), intervalMs: 300_000 };

async function frames(time: GrafanaTime, event = 'flood-2013'): Promise<Frame[]> {
  const child = spawn(program, [url], { stdio: ['pipe', 'pipe', 'inherit'] });
  child.stdin.end(JSON.stringify(queries.map(({ where, kind, sql, series }) =>
    ({ name: where, kind, sql: expandGrafana(sql, 'postgres', time, { event }), format: series ? 'time_series' : 'table' }))));
  return JSON.parse(await text(child.stdout));
}

const errors = (made: readonly Frame[]): string[] => made.filter(({ error }) => error !== '').map(({ name, error }) => `${name}: ${error}`);

test('every panel, variable, annotation and alert becomes the frame that Grafana draws', async () => {
  const made = await frames(whole);
  expect(errors(made)).toEqual([]);
  expect(made).toHaveLength(queries.length);
  for (const [index, frame] of made.entries()) {
    const asked = queries[index];
    if (asked === undefined) continue;
    // Nothing in the lake is forgotten, so those panels have no data; every other one shows something.
    if (!/lake\.tombstones/.test(asked.sql)) expect([frame.name, frame.rows > 0]).toEqual([frame.name, true]);
    if (asked.series && frame.rows > 0) {
      expect([frame.name, frame.series.length > 0, Date.parse(frame.from) >= whole.from.getTime() - 3_600_000, Date.parse(frame.to) <= whole.to.getTime()])
        .toEqual([frame.name, true, true, true]);
    }
    if (asked.kind === 'annotation') expect(frame.fields).toEqual(['time time', 'timeend time', 'text string', 'tags string']);
    if (asked.kind === 'variable') expect(frame.fields).toEqual(['__value string', '__text string']);
    if (asked.kind === 'alert') expect(frame.labels).toHaveLength(frame.rows);
  }
  const byEvent = made[queries.findIndex(({ where, sql }) => where.includes('crisis-overview') && sql.includes('event_id as "metric"'))];
  expect([byEvent?.series, byEvent?.sums]).toEqual([['flood-2013'], { posts: 2000 }]);
  const byKind = made[queries.findIndex(({ where, sql }) => where.includes('one-event') && sql.includes('label as "metric"'))];
  expect([byKind?.series.length, byKind?.sums]).toEqual([6, { posts: 1500 }]);
});

test.each([
  ['nothing was posted yet', { from: new Date('1999-01-01'), to: new Date('1999-01-02'), intervalMs: 60_000 }, 'flood-2013'],
  ['forty years', { from: new Date('1990-01-01'), to: new Date('2030-01-01'), intervalMs: 86_400_000 }, 'flood-2013'],
  ['steps of a second', { ...whole, intervalMs: 1000 }, 'flood-2013'],
  ['an event that is not there', whole, "o'clock"],
] as const)('no frame fails with %s', async (_name, time, event) => {
  expect(errors(await frames(time, event))).toEqual([]);
});
