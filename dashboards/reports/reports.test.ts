import { jest } from '@jest/globals';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { dashboardsLake, hostileText } from '#test/dashboards-lake.ts';
import { ask, type SqlLake } from '#test/sql-lake.ts';
import type { Answers, Cell, Layout, Parameters, Part } from './layout.ts';
import { queriesReport } from './queries.ts';
import { layouts, renderReport } from './render.ts';
import { situationReport } from './situation.ts';
import { csvCell } from './tables.ts';

jest.setTimeout(60_000);
let lake: SqlLake;
beforeAll(async () => { lake = await dashboardsLake(); });
afterAll(() => lake[Symbol.asyncDispose]());

const period = { from: Date.parse('2013-06-20T16:00:00Z'), to: Date.parse('2013-06-21T16:00:00Z') };
const parameters: Parameters = { event: 'flood-2013', period };

async function answersOf(layout: Layout, given: Parameters): Promise<Answers> {
  const engine = lake.engine();
  const answers: Record<string, { columns: string[]; rows: Cell[][] }> = {};
  for (const [name, sql] of Object.entries(layout.questions(given))) {
    const { columns, rows } = await ask(engine, typeof sql === 'string' ? sql : sql.sql);
    answers[name] = { columns, rows: rows as Cell[][] };
  }
  return answers;
}

test('the situation report counts the last day against the day before and names the gaps first', async () => {
  const document = situationReport.compose(parameters, await answersOf(situationReport, parameters));
  expect(document.title).toBe('Situation report: Alberta floods');
  const [gaps, numbers] = document.sections;
  // One gap ended before this day began; the other lies in it and was filled.
  expect(gaps).toMatchObject({ kind: 'table', rows: [['x', '2013-06-21 02:00 UTC', '2013-06-21 03:00 UTC', 'this machine was down', '2013-06-21 05:00 UTC']] });
  // 50 posts an hour: 24 hours of them, and the 16 hours that were before.
  expect(numbers).toMatchObject({ numbers: [{ name: 'Posts', value: 1200, before: 800 }, { name: 'of them reposts', value: 150, before: 100 },
    { name: 'Affected people', value: 100 }, ...Array.from({ length: 5 }, () => ({}))] });
  const examples = document.sections.find(({ title }) => title === 'Examples');
  expect(examples?.kind === 'table' && examples.rows.length).toBe(18);
});

test('all layouts run on an empty time and say so', async () => {
  for (const layout of layouts.filter(({ name }) => name !== 'queries')) {
    const nothing = { event: "no such event'; --", period: { from: 0, to: 86_400_000 } };
    const { files } = await renderReport(layout, nothing, await answersOf(layout, nothing));
    expect(files.html?.toString()).toContain('No gap in collection is known for this time.');
    expect(files.pdf?.subarray(0, 5).toString()).toBe('%PDF-');
    expect(files.xlsx?.subarray(0, 2).toString()).toBe('PK');
  }
});

test('what a post says is text in every format', async () => {
  const answers = await answersOf(situationReport, parameters);
  const hostile = { ...answers, examples: { columns: ['label', 'created_at', 'author_handle', 'text', 'uri'],
    rows: [['caution_and_advice', '2013-06-21T15:00:00Z', '=cmd|calc', `${hostileText}\u0001\uD800`, 'javascript:alert(1)']] } };
  const { files } = await renderReport(situationReport, parameters, hostile);
  const html = files.html?.toString() ?? '';
  expect(html).not.toMatch(/<img src=x|<script|href="javascript/);
  expect(html).toContain('&lt;img src=x onerror=alert(1)&gt;');
  expect(html.match(/<img /g)).toHaveLength(1);
  const csv = files.csv?.toString() ?? '';
  expect(csv).toContain(`"'=HYPERLINK(""http://evil.test"",""x"")`);
  expect(csv).toContain(",'=cmd|calc,");
  const folder = process.env['WATERSHED_PICTURES'];
  if (folder === undefined) return;
  await mkdir(folder, { recursive: true });
  for (const [format, bytes] of Object.entries(files)) await writeFile(join(folder, `situation.${format}`), bytes);
});

test.each([
  ['=1+1', "'=1+1"], ['+1', "'+1"], ['-1', "'-1"], ['@SUM(A1)', "'@SUM(A1)"], ['  =1', "'  =1"], ['\t=1', "'\t=1"], ['\uFEFF=1', "'\uFEFF=1"],
  ['\r=1', '"\'\r=1"'], ['a "b"', '"a ""b"""'], ['a,b', '"a,b"'], [-5, '-5'], [null, ''], ['plain', 'plain'],
])('%j in CSV is %j', (cell, expected) => expect(csvCell(cell)).toBe(expected));

const part = (title: string, show: Part['show']): Part => ({ title, show, question: { sql: `select '${title}'`, params: [] } });

test('saved queries become numbers, bars and tables; ten thousand rows are cut and it is said', async () => {
  const day = Date.parse('2013-06-21T00:00:00Z');
  const content = [part('Posts', 'number'), part('Reposts', 'number'), part('Per hour', 'bars'), part('Two columns', 'bars'), part('Nothing', 'bars'),
    part('Words', 'bars'), part('Many', 'table'), part('No rows', 'table')];
  const asked = queriesReport.questions({ event: '', period, content });
  expect(Object.values(asked)).toEqual(content.map(({ question }) => question));
  const rows: Cell[][][] = [
    [[1200, 800]], [[150]], [['2013-06-21T00:00:00Z', 'en', 3], ['2013-06-21T00:00:00Z', 'fr', 1], ['2013-06-21T01:00:00Z', 'en', 2]],
    [[day, 4, 5], [day + 1, 6, null]], [], [['water', 'is wet']], Array.from({ length: 10_000 }, (_, index) => [index, `row ${index}`]), [],
  ];
  const answers = Object.fromEntries(Object.keys(asked).map((name, index) =>
    [name, { columns: rows[index]?.[0]?.map((_, column) => `c${column}`) ?? ['c0'], rows: rows[index] ?? [], truncated: index === 6 }]));
  const document = queriesReport.compose({ event: '', period, title: 'Mine', content }, answers);
  expect(document.title).toBe('Mine');
  expect(document.sections).toMatchObject([
    { kind: 'numbers', numbers: [{ name: 'Posts', value: 1200, before: 800 }, { name: 'Reposts', value: 150, before: undefined }] },
    { kind: 'bars', bars: { steps: ['2013-06-21', '06-21 01:00'], series: [{ name: 'en', values: [3, 2] }, { name: 'fr', values: [1, 0] }] } },
    { kind: 'bars', bars: { series: [{ name: 'c1', values: [4, 6] }, { name: 'c2', values: [5, 0] }] } },
    { kind: 'notice', text: 'The query returned no row.' }, { kind: 'notice', text: expect.stringContaining('Bars need') as unknown },
    { kind: 'table', cut: true }, { kind: 'table', rows: [] },
  ]);
  const { files } = await renderReport(queriesReport, { event: '', period, title: 'Mine', content }, answers, ['html', 'csv', 'xlsx', 'pdf']);
  const html = files.html?.toString() ?? '';
  expect(html.match(/<tr>/g)?.length).toBeLessThan(300);
  expect(html).toContain('The first 200 rows of more than 10000; CSV and XLSX have the others.');
  expect(files.csv?.toString().split('\r\n').filter((line) => line.includes(',row '))).toHaveLength(10_000);
});

test('a title that is a program stays a title', async () => {
  const content = [part('<script>alert(1)</script>{{constructor}}${7*7}', 'table')];
  const { files } = await renderReport(queriesReport, { event: '', period, title: '<b>=cmd|x', content }, { 'part 0': { columns: ['<i>a</i>'], rows: [['=1+1']] } });
  const html = files.html?.toString() ?? '';
  expect(html).not.toMatch(/<script|<b>|<i>|49/);
  expect(html).toContain('&lt;script&gt;alert(1)&lt;/script&gt;{{constructor}}${7*7}');
  expect(files.csv?.toString()).toContain("'=1+1");
  expect(files.csv?.toString()).not.toMatch(/(^|,|\n)=/);
});

test('of many series the largest keep their names, of many steps the last are drawn', () => {
  const content = [part('Per minute', 'bars')];
  const rows = Array.from({ length: 6000 }, (_, index): Cell[] => [`step ${Math.floor(index / 12)}`, `s${index % 12}`, index % 12]);
  const [section] = queriesReport.compose({ event: '', period, content }, { 'part 0': { columns: ['a', 'b', 'c'], rows } }).sections;
  if (section?.kind !== 'bars') throw new Error('no bars');
  expect(section.title).toBe('Per minute (the last 400 steps)');
  expect(section.bars.steps[0]).toBe('step 100');
  expect(section.bars.series.map(({ name }) => name)).toEqual(['s5', 's6', 's7', 's8', 's9', 's10', 's11', 'others']);
  expect(section.bars.series.at(-1)?.values[0]).toBe(1 + 2 + 3 + 4);
});
