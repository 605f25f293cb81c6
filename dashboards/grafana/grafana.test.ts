import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import type { Engine } from '#sql/engine/engine.ts';
import { silentLogger } from '#core/logger.ts';
import { createMetrics } from '#core/metrics.ts';
import { createSlowdown } from '#core/auth/slowdown.ts';
import { scramVerifier } from '#core/auth/scram.ts';
import { systemClock } from '#core/clock.ts';
import { createWireServer } from '#sql/pgwire/server.ts';
import { dashboardsLake } from '#test/dashboards-lake.ts';
import { expandGrafana, type GrafanaTime, queriesIn } from '#test/grafana-macros.ts';
import { roomyLimits, type SqlLake } from '#test/sql-lake.ts';
import { generate } from './build.ts';
import { variants } from './query.ts';

const folder = join(import.meta.dirname, 'generated');
const token = 'a-token-of-twenty-characters-and-more';
let lake: SqlLake;
let engine: Engine;
let client: pg.Client;
const stop = new AbortController();
let running: Promise<void>;

beforeAll(async () => {
  lake = await dashboardsLake();
  engine = lake.engine();
  const verifier = await scramVerifier(token);
  const server = createWireServer({
    host: '127.0.0.1', port: 0, engine, shadow: undefined, limits: roomyLimits, spoolFolder: join(lake.folder, 'spool'), clock: systemClock,
    logger: silentLogger, metrics: createMetrics(), slowdown: createSlowdown(systemClock),
    logins: { wireLogin: async (name) => ({ principal: { name, kind: 'read', credential: 'c' }, verifier }) },
  });
  running = server.run(stop.signal);
  const { port } = await server.address;
  client = new pg.Client({ connectionString: `postgres://analyst:${token}@127.0.0.1:${port}/lake` });
  await client.connect();
});

afterAll(async () => {
  await client.end();
  stop.abort();
  await running;
  await lake[Symbol.asyncDispose]();
});

const queries = [...generate()].flatMap(([file, content]) => queriesIn(file, content));
const ofPostgres = queries.filter(({ where }) => where.startsWith('postgres'));
const whole: GrafanaTime = { from: new Date('2013-06-20T00:00:00Z'), to: new Date('2013-06-21T16:00:00Z'), intervalMs: 300_000 };

test('what is generated is what was committed', async () => {
  const committed = (await readdir(folder, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1)).toSorted();
  const fresh = generate();
  expect(committed).toEqual([...fresh.keys()].toSorted());
  for (const [file, content] of fresh) expect(await readFile(join(folder, file), 'utf8')).toBe(content);
});

test('both variants ask the same', () => {
  const sqlOf = (variant: string): string[] => queries.filter(({ where }) => where.startsWith(variant)).map(({ sql }) => sql);
  expect(sqlOf('postgres').length).toBeGreaterThan(40);
  expect(sqlOf('trino')).toEqual(sqlOf('postgres'));
});

test.each(ofPostgres.map((asked) => [asked.where, asked] as const))('%s', async (_where, asked) => {
  const result = await client.query(expandGrafana(asked.sql, 'postgres', whole, { event: 'flood-2013' }));
  const oids = Object.fromEntries(result.fields.map(({ name, dataTypeID }) => [name, dataTypeID]));
  // Grafana decodes these by itself (bool, int8, int2, int4, text, float4, float8, varchar, date, timestamp, timestamptz, numeric).
  for (const oid of Object.values(oids)) expect([16, 20, 21, 23, 25, 700, 701, 1043, 1082, 1114, 1184, 1700]).toContain(oid);
  if (asked.series) {
    expect(oids['time']).toBe(701); // floor(extract(epoch …)) is double precision: seconds since 1970
    expect(result.fields.slice(2).map(({ dataTypeID }) => [20, 701, 1700].includes(dataTypeID))).toEqual([true]);
    expect(oids['metric']).toBe(25);
    const times: number[] = result.rows.map(({ time }) => Number(time));
    expect(times.every((time) => time >= whole.from.getTime() / 1000 - 3600 && time <= whole.to.getTime() / 1000)).toBe(true);
    expect(times).toEqual(times.toSorted((a, b) => a - b));
  }
  if (asked.kind === 'annotation') expect([oids['time'], oids['timeend']]).toEqual([1184, 1184]);
  if (asked.kind === 'variable') expect(result.rows).toEqual([{ __value: 'flood-2013', __text: 'Alberta floods' }]);
  if (asked.kind === 'alert') expect(result.fields.filter(({ dataTypeID }) => [20, 701, 1700].includes(dataTypeID))).toHaveLength(1);
});

test('the numbers are those of the posts', async () => {
  const total = ofPostgres.find(({ where, sql }) => where.includes('crisis-overview') && sql.startsWith('select coalesce(sum(posts), 0)'));
  expect((await client.query(expandGrafana(total?.sql ?? '', 'postgres', whole))).rows).toEqual([{ posts: '2000' }]);
  const byKind = ofPostgres.find(({ where, sql }) => where.includes('one-event') && sql.includes('label as "metric"'));
  const { rows } = await client.query(expandGrafana(byKind?.sql ?? '', 'postgres', whole, { event: 'flood-2013' }));
  expect(rows.reduce((sum, { posts }) => sum + Number(posts), 0)).toBe(1500);
  const gaps = ofPostgres.find(({ kind }) => kind === 'annotation');
  expect((await client.query(expandGrafana(gaps?.sql ?? '', 'postgres', whole))).rows.map(({ text, tags }) => [text, tags])).toEqual([
    ['x: the network closed the connection', 'open'], ['x: this machine was down', 'filled']]);
});

test('the alerts tell a burst, a stall and a gap from a quiet day', async () => {
  const ask = async (word: string, to: string): Promise<unknown[]> => {
    const alert = ofPostgres.find(({ kind, sql }) => kind === 'alert' && sql.includes(word));
    const time = { from: new Date(Date.parse(to) - 86_400_000), to: new Date(to), intervalMs: 60_000 };
    return (await client.query({ text: expandGrafana(alert?.sql ?? '', 'postgres', time), rowMode: 'array' })).rows.map((row) => row.map(String));
  };
  // Even posts: ten minutes have eight, the floor of ten is what they are held against.
  expect(Number((await ask('/ 144', '2013-06-21T00:00:00Z'))[0]?.toString().split(',')[1])).toBeLessThan(1);
  // The last post is of 15:58:48 in the second afternoon.
  expect(await ask('seconds', '2013-06-21T16:28:00Z')).toEqual([['x', '1800']]);
  expect(await ask('gaps', '2013-06-20T13:00:00Z')).toEqual([['x', '1']]);
});

test.each([
  ['nothing was posted yet', { from: new Date('1999-01-01'), to: new Date('1999-01-02'), intervalMs: 60_000 }],
  ['forty years', { from: new Date('1990-01-01'), to: new Date('2030-01-01'), intervalMs: 86_400_000 }],
  ['an event that is not there', { ...whole }],
] as const)('no query fails where %s', async (name, time) => {
  for (const { sql } of ofPostgres) await client.query(expandGrafana(sql, 'postgres', time, { event: name.includes('event') ? "o'clock" : 'flood-2013' }));
});

test('dashboards are laid out without overlap and say what they show', () => {
  for (const [file, content] of generate()) {
    if (!file.includes('/dashboards/') || !file.endsWith('.json')) continue;
    const model: { uid: string; panels: { id: number; title: string; description: string; datasource: { uid: string }; gridPos: { x: number; y: number; w: number; h: number } }[] } =
      JSON.parse(content);
    const ids = model.panels.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    const cells = model.panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, index) => `${x + (index % w)} ${y + Math.floor(index / w)}`));
    expect(new Set(cells).size).toBe(cells.length);
    for (const panel of model.panels) {
      expect(panel.gridPos.x + panel.gridPos.w).toBeLessThanOrEqual(24);
      expect(panel.description).not.toBe('');
      expect(panel.datasource.uid).toBe('${datasource}');
    }
  }
  const uids = [...generate()].filter(([file]) => file.endsWith('.json')).map(([, content]) => JSON.parse(content).uid);
  expect(new Set(uids).size).toBe(uids.length);
  expect(variants.map(({ name }) => name)).toEqual(['postgres', 'trino']);
});
