import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { jest } from '@jest/globals';
import { systemClock } from '#core/clock.ts';
import { silentLogger } from '#core/logger.ts';
import { createMetrics } from '#core/metrics.ts';
import { pretendedAuth, token } from '#test/pretended-auth.ts';
import { notebookPython, runPython } from '#test/services/python.ts';
import { roomyLimits, sqlLake, type SqlLake } from '#test/sql-lake.ts';
import { createHttpServer, type HttpServer } from './server.ts';

// Python's packages may have to be fetched first.
jest.setTimeout(300_000);
let lake: SqlLake;
let server: HttpServer;
let url: string;

beforeAll(async () => {
  lake = await sqlLake();
  server = await createHttpServer({
    engine: lake.engine(), auth: pretendedAuth(), limits: roomyLimits, metrics: createMetrics(), logger: silentLogger, clock: systemClock,
  });
  ({ url } = await server.listen('127.0.0.1', 0));
});
afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  await lake?.[Symbol.asyncDispose]();
});

async function download(sql: string, format: string): Promise<Response> {
  return await fetch(`${url}/api/downloads`, {
    method: 'POST', headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' }, body: JSON.stringify({ sql, format }),
  });
}

async function saved(sql: string, format: string): Promise<string> {
  const response = await download(sql, format);
  expect(response.status).toBe(200);
  const path = join(lake.folder, `download.${format}`);
  await writeFile(path, Buffer.from(await response.arrayBuffer()));
  return path;
}

/** Texts that a sheet could take for something else, and what must stand in the cell. */
const texts = ['=1+1', '+49 30', '-2', '@reboot', "=cmd|' /C calc'!A0", ' =1', '_x0041_', 'a & <b> "c"', 'line\nline', '\u{1F30A} \u202Ex', "it's", 'ü'];
const list = texts.map((text) => `'${text.replaceAll("'", "''").replace('\n', "' || chr(10) || '")}'`).join(', ');

test('openpyxl reads the sheet: texts as texts, numbers, instants, ids in full', async () => {
  const path = await saved(`select unnest([${list}]) as words, 12345678901234567890::hugeint as id, 1.5 as half, true as yes, null as nothing,
    timestamptz '2013-06-20 18:30:00+00' as "when", [1, 2] as many`, 'xlsx');
  const read = await runPython(`
import json, sys, openpyxl
from openpyxl.utils.escape import unescape # ECMA-376 §22.9.2.19, which openpyxl leaves to its caller in inline strings
sheet = openpyxl.load_workbook(sys.argv[1]).active
rows = [[cell.value for cell in row] for row in sheet.iter_rows()]
print(json.dumps({ 'head': rows[0], 'words': [unescape(row[0]) for row in rows[1:]], 'types': sorted({cell.data_type for row in sheet.iter_rows(min_row=2, max_col=1) for cell in row}),
  'first': [str(value) for value in rows[1][1:]] }))`, [path], notebookPython());
  expect(read).toEqual({
    head: ['words', 'id', 'half', 'yes', 'nothing', 'when', 'many'], words: texts, types: ['s'],
    first: ['12345678901234567890', '1.5', 'True', 'None', '2013-06-20 18:30:00', '[1,2]'],
  });
});

test('a sheet of a hundred thousand rows is whole', async () => {
  const path = await saved("select i, 'row ' || i as words from range(100000) t(i) order by i", 'xlsx');
  expect(await runPython(`
import json, sys, zipfile, openpyxl
bad = zipfile.ZipFile(sys.argv[1]).testzip()
sheet = openpyxl.load_workbook(sys.argv[1], read_only=True).active
rows = list(sheet.iter_rows(values_only=True))
print(json.dumps([bad, len(rows), rows[-1]]))`, [path], notebookPython())).toEqual([null, 100_001, [99_999, 'row 99999']]);
});

test('what does not fit a sheet breaks off, and what never ran says why', async () => {
  const response = await download('select i from range(1048577) t(i)', 'xlsx');
  await expect(response.arrayBuffer()).rejects.toThrow();
  const refused = await download('drop table lake.posts', 'csv');
  expect([refused.status, await refused.json()]).toEqual([403, expect.objectContaining({ code: 'statement_refused' })]);
});

test("Python's csv reads the safe one: each formula has its apostrophe", async () => {
  const path = await saved(`select unnest([${list}]) as words, -5 as number`, 'csv');
  const read = await runPython(`
import csv, json, sys
print(json.dumps(list(csv.reader(open(sys.argv[1], newline='', encoding='utf-8-sig')))))`, [path], notebookPython());
  const risky = new Set(['=1+1', '+49 30', '-2', '@reboot', "=cmd|' /C calc'!A0", ' =1']);
  expect(read).toEqual([['words', 'number'], ...texts.map((text) => [risky.has(text) ? `'${text}` : text, '-5'])]);
});

test('post ids are the different ones, in order', async () => {
  const response = await download("select unnest(['b', 'a', null, 'b']) as post_id, 1 as n -- a remark", 'ids');
  expect(await response.text()).toBe('a\nb\n');
});
