import { jest } from '@jest/globals';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { dashboardsLake, hostileText } from '#test/dashboards-lake.ts';
import { ask, type SqlLake } from '#test/sql-lake.ts';
import type { Answers, Cell, Layout, Parameters } from './layout.ts';
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
    const { columns, rows } = await ask(engine, sql);
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
  for (const layout of layouts) {
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
