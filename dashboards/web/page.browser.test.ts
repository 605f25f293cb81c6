import { jest } from '@jest/globals';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { systemClock } from '#core/clock.ts';
import { createReports } from '#core/reports/reports.ts';
import { reportRoutes } from '#sql/http/reports.ts';
import { pageToken } from '#test/dashboards-lake.ts';
import { type PageWorld, startPage } from '#test/page.ts';
import { askOverHttp } from '#transform/jobs/report-ask.ts';
import { previewReport, reportJob } from '#transform/jobs/report.ts';
import { layouts } from '../reports/render.ts';

// The machine may be busy with other things: what is tried here is what comes, not how fast.
jest.setTimeout(90_000);
const axe = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
let world: PageWorld;

beforeAll(async () => {
  world = await startPage(({ database, lake, url }) => {
    const reports = createReports({ database, clock: systemClock });
    const ask = askOverHttp({ url, tokenOf: async () => pageToken });
    const job = reportJob({ database, reports, clock: systemClock, ask, send: async () => undefined, store: lake.store });
    return [reportRoutes({
      reports, clock: systemClock, layouts, preview: (report, at, format, signal) => previewReport({ ask }, report, at, format, signal),
      hint: () => void job.run({}, { signal: new AbortController().signal, progress: async () => undefined }),
    })];
  });
}, 180_000);

afterAll(() => world?.[Symbol.asyncDispose](), 60_000);

const open: PageWorld['open'] = (path, options) => world.open(path, options);

async function violations(page: Page): Promise<string[]> {
  await page.addScriptTag({ content: await readFile(axe, 'utf8') }).catch(async () => page.evaluate(await readFile(axe, 'utf8')));
  const found: unknown = await page.evaluate('axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"] })'
    + '.then(({ violations }) => violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target.join(" ")).join(", ")}`))');
  return Array.isArray(found) ? found.map(String) : [String(found)];
}

test('the event page shows the counts by kind, and what a post brings with it is text', async () => {
  const { page, troubles } = await open('/event/flood-2013');
  await page.locator('.numbers b', { hasText: '2,000' }).waitFor();
  // 2,000 posts, of which every fourth has no label: i % 6 = 5 is odd, so half of the even kinds are without.
  await page.getByRole('button', { name: 'Other useful information 333' }).waitFor();
  await page.locator('.chart svg path[fill="#0072b2"]').first().waitFor();
  const hostile = page.locator('.posts li').first();
  await hostile.waitFor();
  expect(await hostile.locator('p').textContent()).toContain('<img src=x onerror=alert(1)>');
  expect(await page.locator('.posts img').count()).toBe(0);
  await page.getByText('shaded times were not collected').waitFor();
  expect(troubles).toEqual([]);
  await page.context().close();
});

test('a kind is chosen by keyboard, stands in the address, and the way back leads to where it was', async () => {
  const { page, troubles } = await open('/event/flood-2013');
  const chip = page.getByRole('button', { name: /^Caution and advice/ });
  await chip.focus();
  await page.keyboard.press('Enter');
  await page.locator('.numbers b', { hasText: /^167$/ }).waitFor();
  expect(new URL(page.url()).searchParams.get('kind')).toBe('caution_and_advice');
  await page.getByLabel('Any of these words').fill('post 9');
  await page.keyboard.press('Enter');
  await page.waitForURL(/any=post/);
  expect(await page.locator('#shown-sql').textContent()).toContain("strpos(lower(p.text), 'post 9') > 0");
  await page.getByRole('link', { name: 'Open in the query box' }).click();
  await page.getByRole('button', { name: 'Run' }).click();
  await page.getByText(/rows in \d+ ms/).first().waitFor();
  expect(troubles).toEqual([]);
  await page.context().close();
});

test('drawing over the chart zooms every panel', async () => {
  const { page, troubles } = await open('/event/flood-2013');
  await page.locator('.chart svg path[fill="#0072b2"]').first().waitFor();
  const box = await page.locator('.chart').boundingBox();
  if (box === null) throw new Error('the chart has no place');
  await page.mouse.move(box.x + box.width * 0.3, box.y + box.height / 2);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.6, box.y + box.height / 2, { steps: 8 });
  await page.mouse.up();
  await page.waitForURL(/from=2013-06-20T.*to=2013-06-2/);
  await page.getByText('posts fit').waitFor();
  expect(troubles).toEqual([]);
  await page.context().close();
});

test('an event is made, previewed, edited, paused and resumed', async () => {
  const { page, troubles } = await open('/');
  await page.getByRole('button', { name: 'Follow an event' }).click();
  await page.getByLabel('Name').fill('River Elbe');
  await page.getByLabel(/^Any of these/).fill('water, "high water"');
  await page.getByRole('button', { name: 'Preview' }).click();
  await page.getByText(/Of the newest 2,000 posts here, 1,999 would be matched/).waitFor();
  expect(await violations(page)).toEqual([]);
  await page.getByRole('button', { name: 'Follow', exact: true }).click();
  await page.waitForURL(/\/event\/river-elbe$/);
  await page.getByText('any of water, "high water"').waitFor();
  await page.getByRole('button', { name: 'Pause' }).click();
  await page.getByRole('button', { name: 'Resume' }).click();
  await page.getByRole('button', { name: 'Pause' }).waitFor();
  await page.getByRole('button', { name: 'Edit keywords' }).click();
  await page.getByRole('dialog').getByLabel('None of these').fill('concert');
  await page.getByRole('button', { name: 'Save' }).click();
  await page.getByText('none of concert').waitFor();
  expect(troubles).toEqual([]);
  await page.context().close();
});

test('a statement is run by keyboard and kept in the history', async () => {
  const { page, troubles } = await open('/sql');
  await page.locator('.cm-content').click();
  await page.keyboard.press('Control+a');
  await page.keyboard.insertText('select post_id from lake.posts order by log_offset limit 3');
  await page.keyboard.press('Control+Enter');
  await page.getByText(/3 rows in/).first().waitFor();
  await page.getByText('History of this browser (1)').waitFor();
  await page.getByText('activity_labels', { exact: true }).first().click();
  await page.getByRole('button', { name: 'classifier', exact: true }).waitFor();
  expect(troubles).toEqual([]);
  await page.context().close();
});

test('a report is made, sent by hand, fetched and paused', async () => {
  const { page, troubles } = await open('/reports');
  await page.getByLabel('Name').fill('Every morning');
  await page.locator('select[name=event]').selectOption('flood-2013');
  await page.locator('select[name=format]').selectOption('csv');
  await page.getByRole('button', { name: 'Make it' }).click();
  await page.getByRole('button', { name: 'Send now' }).click();
  await page.getByText('sent by hand').waitFor();
  const [file] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name: 'csv' }).click()]);
  expect(await readFile(await file.path(), 'utf8')).toContain('Situation report: Alberta floods');
  expect(await violations(page)).toEqual([]);
  await page.getByRole('button', { name: 'Pause' }).click();
  await page.getByRole('button', { name: 'Resume' }).waitFor();
  expect(troubles).toEqual([]);
  await page.context().close();
});

const pagesToLookAt = [['home', '/', 'Alberta floods'], ['event', '/event/flood-2013', 'original'], ['sql', '/sql', 'quarantine'],
  ['operations', '/operations', 'the network closed the connection'], ['reports', '/reports', 'Make a report']] as const;

test.each(pagesToLookAt.flatMap(([name, path, sign]) =>
  ([['light', 390], ['dark', 1280], ['light', 2560]] as const).map(([scheme, width]) => ({ name, path, sign, scheme, width }))))(
  '$name at $width px in $scheme colours: no violation, no sideways scrolling', async ({ name, path, sign, scheme, width }) => {
    const { page, troubles } = await open(path, { colorScheme: scheme, viewport: { width, height: 900 } });
    await page.getByText(sign).first().waitFor();
    if (name === 'event') await page.locator('.chart svg path[fill="#0072b2"]').first().waitFor();
    expect(await violations(page)).toEqual([]);
    expect(await page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth')).toBe(0);
    const folder = process.env['WATERSHED_PICTURES'];
    if (folder !== undefined) await page.screenshot({ path: join(folder, `${name}-${scheme}-${width}.png`), fullPage: true });
    expect(troubles).toEqual([]);
    await page.context().close();
  });
