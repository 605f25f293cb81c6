// The spreadsheet and the CSV as other programs read them.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { notebookPython, runPython } from '#test/services/python.ts';
import { removeFolder, temporaryFolder } from '#test/services/process.ts';
import type { Cell } from './layout.ts';
import { queriesReport } from './queries.ts';
import { renderReport } from './render.ts';

let folder: string;
beforeAll(async () => {
  folder = await temporaryFolder('delivered');
  await notebookPython();
}, 600_000);
afterAll(() => removeFolder(folder));

const read = `
import csv, json, sys, openpyxl
book = openpyxl.load_workbook(sys.argv[1])
sheets = [[sheet.title, [[[cell.value, cell.data_type] for cell in row] for row in sheet.iter_rows()]] for sheet in book]
with open(sys.argv[2], encoding='utf-8-sig', newline='') as file:
    lines = list(csv.reader(file))
print(json.dumps({'sheets': sheets, 'lines': lines}))
`;

test('openpyxl finds numbers as numbers, texts as texts, and no formula; csv the same cells', async () => {
  const period = { from: Date.parse('2013-06-20T16:00:00Z'), to: Date.parse('2013-06-21T16:00:00Z') };
  const part = (title: string) => ({ title, show: 'table' as const, question: { sql: '', params: [] } });
  const rows: Cell[][] = [['=1+1', 5], ['+49 40', -1.5], ['@SUM(A1)', 0], ['-cmd|calc', null], ['two\nlines "q", é😀', 1e15], ['\u0001\uD800 odd', true], ['w'.repeat(40_000), 1]];
  const { files } = await renderReport(queriesReport, { event: '', period, title: '=HYPERLINK("x")', content: [part('A/B:[*]?\\'), part('a/b:[*]?\\')] },
    { 'part 0': { columns: ['=text', 'number'], rows }, 'part 1': { columns: ['n'], rows: [[1]] } }, ['xlsx', 'csv']);
  await writeFile(join(folder, 'r.xlsx'), files.xlsx ?? '');
  await writeFile(join(folder, 'r.csv'), files.csv ?? '');
  const found = await runPython(read, [join(folder, 'r.xlsx'), join(folder, 'r.csv')], notebookPython());
  const text = (value: string): [string, string] => [value, 's'];
  expect(found).toMatchObject({
    sheets: [
      [expect.stringMatching(/^A B/) as unknown, [
        [text('=text'), text('number')],
        [text('=1+1'), [5, 'n']], [text('+49 40'), [-1.5, 'n']], [text('@SUM(A1)'), [0, 'n']], [text('-cmd|calc'), [null, 'n']],
        [text('two\nlines "q", é😀'), [1e15, 'n']], [[expect.stringMatching(/^\uFFFD? odd$/) as unknown, 's'], [true, 'b']], [[expect.stringMatching(/^w{32767}$/) as unknown, 's'], [1, 'n']],
      ]],
      [expect.stringMatching(/^a b.* 2$/) as unknown, [[text('n')], [[1, 'n']]]],
    ],
  });
  const { lines } = found as { lines: string[][] };
  expect(lines.flat().filter((cell) => /^[=+@-]/.test(cell) && !/^-?\d/.test(cell))).toEqual([]);
  expect(lines).toContainEqual(["'=1+1", '5']);
  expect(lines).toContainEqual(['two\nlines "q", é😀', '1000000000000000']);
});
