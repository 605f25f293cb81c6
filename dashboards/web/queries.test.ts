import { dashboardsLake } from '#test/dashboards-lake.ts';
import { ask, type SqlLake } from '#test/sql-lake.ts';
import type { Engine } from '#sql/engine/engine.ts';
import { filterOf, quote } from './src/filter.ts';
import * as queries from './src/queries.ts';
import { aligned, stack, stepOf, unitOf } from './src/timeline.ts';

let lake: SqlLake;
let engine: Engine;

beforeAll(async () => {
  lake = await dashboardsLake();
  engine = lake.engine();
});
afterAll(() => lake[Symbol.asyncDispose]());

const all = filterOf('flood-2013', new URLSearchParams());
const narrow = filterOf('flood-2013', new URLSearchParams({
  any: 'water, hail', all: 'rising', none: "it's dry", phrase: 'of the flood', kind: 'caution_and_advice', lang: 'es',
  from: '2013-06-20T06:00Z', to: '2013-06-20T18:00Z',
}));

test('the range and the totals of an event are those of its posts', async () => {
  const range = await ask(engine, queries.rangeSql('flood-2013'));
  expect(range.rows).toEqual([['2013-06-20T00:00:00.000000Z', '2013-06-21T15:58:00.000000Z', 2000]]);
  expect((await ask(engine, queries.rangeOfPostsSql('flood-2013'))).rows[0]?.[2]).toBe(2000);
  const hours = await ask(engine, queries.totalsSql(all, 'hour'));
  expect(hours.rows).toHaveLength(40);
  expect(hours.rows[0]).toEqual(['2013-06-20T00:00:00.000000Z', 50]);
});

test('the counts by kind and the posts themselves say the same', async () => {
  const counted = await ask(engine, queries.kindsSql(all, 'day'));
  const posts = await ask(engine, queries.matchingSql(all, 'day'));
  expect(counted.rows).toEqual(posts.rows.filter(([, label]) => label !== null));
  expect(posts.rows.reduce((sum, [, , n]) => sum + Number(n), 0)).toBe(2000);
});

test('a filter leaves what its words, kind, language and time say', async () => {
  // i % 6 = 2 is the kind, i % 3 = 2 the language, i % 4 <> 0 labelled, 300 <= i < 900 the time: 600 / 6 of which half are labelled.
  const found = await ask(engine, queries.matchingSql(narrow, 'hour'));
  expect(found.rows.reduce((sum, [, , n]) => sum + Number(n), 0)).toBe(50);
  expect((await ask(engine, queries.newestSql(narrow, undefined, 100))).rows).toHaveLength(50);
});

test('the newest posts come with their answers', async () => {
  const newest = await ask(engine, queries.newestSql(all, Date.parse('2013-06-21T12:00:00Z'), 2));
  expect(newest.rows.map((row) => row[6])).toEqual(['p1999', 'p1998']);
  const labels = await ask(engine, queries.labelsSql('flood-2013', Date.parse('2013-06-21T15:00:00Z'), Date.parse('2013-06-21T16:00:00Z'), ['p1999', 'p1996']));
  expect(labels.rows).toEqual([['x', 'p1999', 'information_type', 'infrastructure_and_utilities', 0.9]]);
});

test('languages, terms, sparks, pace, momentum, gaps and changes', async () => {
  expect((await ask(engine, queries.languagesSql(all))).rows).toEqual([['en', 667], ['fr', 667], ['es', 666]]);
  const terms = await ask(engine, queries.termsSql(all, 3));
  expect(terms.rows.filter(([kind]) => kind !== 'author')).toEqual([['domain', 'example.org', 2000], ['hashtag', 'abflood', 2000], ['word', 'water', 2000]]);
  expect(terms.rows.filter(([kind]) => kind === 'author')).toHaveLength(3);
  const sparks = await ask(engine, queries.sparksSql(48));
  expect(sparks.rows.reduce((sum, [, , n]) => sum + Number(n), 0)).toBe(2000);
  expect(Math.max(...sparks.rows.map(([, step]) => Number(step)))).toBe(47);
  expect((await ask(engine, queries.paceSql())).rows).toEqual([['flood-2013', '2013-06-21T15:58:00.000000Z', 50, 5]]); // posts of 15:54:00, 15:55:12 … 15:58:48
  expect((await ask(engine, queries.changesSql(5))).rows.map((row) => row.slice(3))).toEqual([['flood-2013', 1]]);
  expect((await ask(engine, queries.momentumSql('flood-2013', Date.parse('2013-06-21T16:00:00Z')))).rows).toEqual([[50, 50]]);
  expect((await ask(engine, queries.gapsSql(0, 'flood-2013'))).rows).toHaveLength(2);
  expect((await ask(engine, queries.gapsSql(0, 'another'))).rows).toHaveLength(1);
});

test('languages and terms of posts with a word are those of these posts', async () => {
  // Every post has "water" and #abflood; i = 10, 100 … 109, 1000 … 1099 begin with "post 10": 111 posts.
  const filter = filterOf('flood-2013', new URLSearchParams({ phrase: 'post 10' }));
  const { rows } = await ask(engine, queries.sampleSql(filter, Date.parse('2013-06-20T00:00:00Z'), 5_000, 3));
  const of = (kind: string): unknown[] => rows.filter(([name]) => name === kind).map((row) => row.slice(1));
  expect(of('hashtag')).toEqual([['abflood', 111]]);
  expect(of('domain')).toEqual([]); // the sample's posts have no urls, only an address of their own
  expect(of('word')).toEqual([['water', 111]]);
  expect(of('lang').reduce((sum: number, row) => sum + Number(Array.isArray(row) ? row[1] : 0), 0)).toBe(111);
  expect((await ask(engine, queries.sampleSql(filter, Date.parse('2013-06-20T00:00:00Z'), 7, 3))).rows[0]).toEqual(['author', 'user43', 1]); // of i = 1093 … 1099
});

test('the last hour and the one before, of posts that fit', async () => {
  // 50 posts an hour; "fr" is i % 3 = 1: of i = 1950 … 1999 these are 1951, 1954 … 1999, before 1900, 1903 … 1948.
  const filter = filterOf('flood-2013', new URLSearchParams({ lang: 'fr' }));
  expect((await ask(engine, queries.matchingMomentumSql(filter, Date.parse('2013-06-21T16:00:00Z')))).rows).toEqual([[17, 17]]);
});

test('a quote in a word stays a word', async () => {
  expect(quote("a'); drop")).toBe("'a''); drop'");
  const odd = filterOf("x' or '1'='1", new URLSearchParams({ phrase: "it's" }));
  expect((await ask(engine, queries.newestSql(odd, undefined, 5))).rows).toEqual([]);
});

test('rows become stacked series that all have a value at each step', () => {
  const minute = 60_000;
  const series = aligned(stack([[0, 'caution_and_advice', 2], [minute, 'caution_and_advice', 1], [7 * minute, '', 4], [7 * minute, 'new_label', 1]], 5 * minute));
  expect(series).toEqual([
    { label: 'caution_and_advice', points: [[0, 3], [5 * minute, 0]] },
    { label: '', points: [[0, 0], [5 * minute, 5]] },
  ]);
});

test.each([[3_600_000, 60_000, 'minute'], [40 * 3_600_000, 900_000, 'minute'], [20 * 86_400_000, 10_800_000, 'hour'], [300 * 86_400_000, 259_200_000, 'day']])(
  'a span of %d ms is cut into steps of %d ms, counted by the %s', (span, step, unit) => {
    expect(stepOf(span)).toBe(step);
    expect(unitOf(stepOf(span))).toBe(unit);
  });
