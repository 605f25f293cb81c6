// What arrives, looked at: the page in Chromium, the PDF as pictures and as text.
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { dashboardsLake, hostileText } from '#test/dashboards-lake.ts';
import { startChromium } from '#test/services/chromium.ts';
import { program, run } from '#test/services/install.ts';
import { removeFolder, temporaryFolder } from '#test/services/process.ts';
import { ask, type SqlLake } from '#test/sql-lake.ts';
import type { Answers, Cell, Parameters } from './layout.ts';
import { queriesReport } from './queries.ts';
import { type RenderedReport, renderReport } from './render.ts';
import { situationReport } from './situation.ts';

let lake: SqlLake;
let browser: Browser;
let folder: string;
let rendered: RenderedReport;

beforeAll(async () => {
  lake = await dashboardsLake();
  browser = await startChromium();
  folder = await temporaryFolder('delivered');
  const parameters: Parameters = { event: 'flood-2013', period: { from: Date.parse('2013-06-20T16:00:00Z'), to: Date.parse('2013-06-21T16:00:00Z') } };
  const answers: Record<string, { columns: readonly string[]; rows: Cell[][] }> = {};
  const engine = lake.engine();
  for (const [name, sql] of Object.entries(situationReport.questions(parameters))) {
    const { columns, rows } = await ask(engine, String(sql));
    answers[name] = { columns, rows: rows as Cell[][] };
  }
  const hostile: Cell[] = ['caution_and_advice', '2013-06-21T15:00:00Z', '"><script>document.title="owned"</script>', hostileText, 'javascript:alert(1)'];
  const given: Answers = { ...answers, examples: { columns: answers['examples']?.columns ?? [], rows: [hostile, ...answers['examples']?.rows ?? []] } };
  rendered = await renderReport(situationReport, parameters, given, ['html', 'pdf']);
}, 120_000);

afterAll(async () => {
  await browser.close();
  await lake[Symbol.asyncDispose]();
  await removeFolder(folder);
});

/** Keeps what was made where somebody wants to look at it. */
async function keep(name: string, bytes: Uint8Array): Promise<void> {
  const place = process.env['WATERSHED_PICTURES'];
  if (place === undefined) return;
  await mkdir(place, { recursive: true });
  await writeFile(join(place, name), bytes);
}

test.each([390, 1000])('the page fits %d pixels, draws its chart, asks nobody and runs nothing that a post says', async (width) => {
  const page = await browser.newPage({ viewport: { width, height: 900 } });
  const asked: string[] = [];
  page.on('request', (request) => { if (!request.url().startsWith('data:')) asked.push(request.url()); });
  page.on('dialog', (dialog) => { asked.push(dialog.message()); void dialog.dismiss(); });
  await page.setContent(rendered.files.html?.toString() ?? '', { waitUntil: 'load' });
  const seen = await page.evaluate(() => ({
    title: document.title, scripts: document.scripts.length, images: [...document.images].map(({ naturalWidth, alt }) => [naturalWidth > 500, alt.startsWith('Bar chart.')]),
    wide: document.documentElement.scrollWidth - document.documentElement.clientWidth, links: [...document.links].filter(({ protocol }) => !/^https?:$/.test(protocol)).length,
  }));
  expect(seen).toEqual({ title: 'Situation report: Alberta floods', scripts: 0, images: [[true, true]], wide: 0, links: 0 });
  expect(asked).toEqual([]);
  await keep(`mail-${width}.png`, await page.screenshot({ fullPage: true }));
  await page.close();
});

test('the PDF has pages with the numbers, the chart and the hostile post, and no page that is empty', async () => {
  const path = join(folder, 'report.pdf');
  await writeFile(path, rendered.files.pdf ?? Buffer.alloc(0));
  const text = await run(await program('pdftotext', 'poppler-utils'), ['-layout', path, '-']);
  for (const words of ['Situation report: Alberta floods', 'Posts per hour, by kind of information', 'this machine was down', '<img src=x', '1200']) expect(text).toContain(words);
  // Of a post 499 characters are shown; the word of many letters is broken to fit, and none of it is lost.
  expect(text.match(/w/g)?.length).toBeGreaterThanOrEqual(499 - hostileText.indexOf('ww'));
  await run(await program('pdftoppm', 'poppler-utils'), ['-png', '-r', '70', path, join(folder, 'page')]);
  const pages = (await readdir(folder)).filter((name) => name.endsWith('.png')).toSorted();
  expect(pages.length).toBeGreaterThan(1);
  for (const name of pages) {
    const picture = await readFile(join(folder, name));
    expect([name, picture.length > 3000]).toEqual([name, true]); // an empty page has less than a thousand bytes
    await keep(name, picture);
  }
  const images = await run(await program('pdfimages', 'poppler-utils'), ['-list', path]);
  // Five pixels for four of 860 by 320, without a mask.
  expect(images).toMatch(/image\s+1075\s+400\s+rgb/);
  expect(images).not.toContain('smask');
});

test('a PDF says which letters it cannot show, and marks each of them', async () => {
  const parts = [{ title: 'Words', show: 'table', question: { sql: '', params: [] } }] as const;
  const rows: Cell[][] = [['ab فيضان cd'], ['洪水'], ['Überflutung 😀'], ['Привет']];
  const { files } = await renderReport(queriesReport, { event: '', period: { from: 0, to: 1 }, title: 'Letters', content: parts }, { 'part 0': { columns: ['text'], rows } }, ['html', 'pdf']);
  const path = join(folder, 'letters.pdf');
  await writeFile(path, files.pdf ?? Buffer.alloc(0));
  const text = await run(await program('pdftotext', 'poppler-utils'), ['-layout', path, '-']);
  expect(text).toContain('This PDF has no letters for Arabic, Chinese, emoji');
  for (const words of ['ab ◊◊◊◊◊ cd', '◊◊', 'Überflutung ◊', 'Привет']) expect(text).toContain(words);
  await run(await program('pdftoppm', 'poppler-utils'), ['-png', '-r', '70', path, join(folder, 'letters')]);
  await keep('letters.png', await readFile(join(folder, 'letters-1.png')));
  for (const words of ['ab فيضان cd', '洪水', 'Überflutung 😀']) expect(files.html?.toString()).toContain(words);
});
