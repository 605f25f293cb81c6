// Everything that is shipped runs on both engines, and says the same: the page's statements, Grafana's queries, the reports' questions.
import { jest } from '@jest/globals';
import { load } from 'js-yaml';
import type { Engine } from '#sql/engine/engine.ts';
import { writeTrinoViews } from '#sql/engine/trino/views.ts';
import { fillDashboardsLake } from '#test/dashboards-lake.ts';
import { expandGrafana } from '#test/grafana-macros.ts';
import { ask } from '#test/sql-lake.ts';
import { type TrinoLake, trinoLake } from '#test/trino-lake.ts';
import { generate } from './grafana/build.ts';
import { layouts } from './reports/render.ts';
import { filterOf } from './web/src/filter.ts';
import * as queries from './web/src/queries.ts';

jest.setTimeout(300_000);
let world: TrinoLake;
let duck: Engine;
let trino: Engine;

beforeAll(async () => {
  world = await trinoLake();
  await fillDashboardsLake(world.lake);
  await world.publish();
  await writeTrinoViews(world.views);
  duck = world.lake.engine();
  trino = world.engine();
}, 600_000);

afterAll(async () => {
  await trino?.[Symbol.asyncDispose]();
  await world?.[Symbol.asyncDispose]();
}, 60_000);

/** Decimals and doubles of the two engines as one: both to nine digits. */
function plain(rows: unknown[][]): unknown[][] {
  return rows.map((row) => row.map((cell) => (typeof cell === 'number' || (typeof cell === 'string' && /^-?\d+(\.\d+)?$/.test(cell))
    ? Number(Number(cell).toPrecision(9)) : cell)));
}

async function same(sql: string): Promise<void> {
  const [here, there] = [await ask(duck, sql), await ask(trino, sql)];
  expect(there.columns.map((name) => name.toLowerCase())).toEqual(here.columns.map((name) => name.toLowerCase()));
  expect(plain(there.rows)).toEqual(plain(here.rows));
}

const all = filterOf('flood-2013', new URLSearchParams());
const narrow = filterOf('flood-2013', new URLSearchParams({
  any: 'water', none: "it's dry", phrase: 'of the flood', kind: 'caution_and_advice', lang: 'es', from: '2013-06-20T06:00Z', to: '2013-06-20T18:00Z' }));
const end = Date.parse('2013-06-21T16:00:00Z');

test.each([
  queries.rangeSql('flood-2013'), queries.rangeOfPostsSql('flood-2013'), queries.totalsSql(all, 'hour'), queries.kindsSql(all, 'minute'),
  queries.matchingSql(narrow, 'hour'), queries.newestSql(narrow, undefined, 20), queries.newestSql(all, end - 7_200_000, 20),
  `${queries.labelsSql('flood-2013', end - 3_600_000, end, ['p1999', 'p1998'])} order by post_id`, queries.languagesSql(all), queries.termsSql(all, 5),
  queries.momentumSql('flood-2013', end), `${queries.sparksSql(48)} order by 1, 2`, `${queries.paceSql()} order by 1`, queries.gapsSql(0, 'flood-2013'),
  queries.changesSql(5), queries.sampleSql(narrow, Date.parse('2013-06-20T06:00:00Z'), 5000, 3), queries.matchingMomentumSql(narrow, end), 'select event_id, sum(posts) as posts, min(minute) as first, max(minute) as last from lake.activity group by event_id order by posts desc',
])('the page: %s', same);

test.each(layouts.flatMap((layout) => Object.entries(layout.questions({ event: 'flood-2013', period: { from: end - 86_400_000, to: end } }))
  .map(([name, sql]) => [layout.name, name, sql] as const)))('report %s: %s', (_layout, _name, sql) => same(typeof sql === 'string' ? sql : sql.sql));

/** The SQL of every query, variable and alert of the Trino variant, as the plugin would send it. */
function grafanaQueries(): string[] {
  const found = new Set<string>();
  const visit = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return;
    for (const [key, inner] of Object.entries(value)) {
      if (key === 'rawSQL' && typeof inner === 'string') found.add(inner);
      else visit(inner);
    }
  };
  for (const [file, content] of generate()) if (file.startsWith('trino/')) visit(file.endsWith('.json') ? JSON.parse(content) : load(content));
  return [...found];
}

const time = { from: new Date('2013-06-20T00:00:00Z'), to: new Date(end), intervalMs: 3_600_000 };

test.each(grafanaQueries())('Grafana: %s', async (sql) => {
  const answer = await ask(trino, expandGrafana(sql, 'trino', time, { event: 'flood-2013' }));
  const there = answer.columns.indexOf('time');
  if (sql.includes('$__timeGroup')) expect(answer.types[there]).toMatch(/^timestamp/i);
  if (!/lake\.tombstones/.test(sql)) expect(answer.rows.length).toBeGreaterThan(0);
  // The other plugin's macros give seconds where these give instants: numbers and names must be the same.
  const here = await ask(duck, expandGrafana(sql, 'postgres', time, { event: 'flood-2013' }));
  const without = (rows: unknown[][]): unknown[][] => (sql.includes('current_timestamp') ? [] : plain(rows.map((row) => row.filter((_cell, index) => index !== there))));
  expect(without(answer.rows).toSorted(byText)).toEqual(without(here.rows).toSorted(byText));
});

function byText(a: unknown[], b: unknown[]): number {
  return JSON.stringify(a) < JSON.stringify(b) ? -1 : 1;
}
