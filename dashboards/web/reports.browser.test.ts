// Reports and alerts as a person makes, tries, changes, sends and deletes them.
import { jest } from '@jest/globals';
import { readFile } from 'node:fs/promises';
import type { Page } from 'playwright-core';
import { systemClock } from '#core/clock.ts';
import { violations } from '#test/axe.ts';
import { pageToken } from '#test/dashboards-lake.ts';
import { type PageWorld, startPage } from '#test/page.ts';
import { type ReportHouse, reportHouse } from '#test/report-house.ts';
import { openPostbox, openReceiver, type Postbox, type Receiver } from '#test/report-world.ts';

// The machine may be busy with other things: what is tried here is what comes, not how fast.
jest.setTimeout(120_000);
let world: PageWorld;
let house: ReportHouse;
let box: Postbox;
let hook: Receiver;

beforeAll(async () => {
  box = await openPostbox();
  hook = await openReceiver();
  world = await startPage(({ database, lake, url }) => {
    house = reportHouse({ database, clock: systemClock, store: lake.store, url, smtpUrl: box.url, hints: true });
    return house.routes;
  });
}, 180_000);

afterAll(async () => {
  await house?.settled();
  await world?.[Symbol.asyncDispose]();
  await hook?.[Symbol.asyncDispose]();
  await box?.[Symbol.asyncDispose]();
}, 60_000);

beforeEach(() => {
  box.mails.length = 0;
  box.fate = () => 'take';
});

async function api(method: string, path: string, body?: object): Promise<unknown> {
  const response = await fetch(`${world.url}${path}`, {
    method, headers: { authorization: `Bearer ${pageToken}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }) }, ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return await response.json();
}

/** Tab until this is focused: whoever has no mouse must get there. */
async function tabTo(page: Page, role: 'button' | 'textbox' | 'spinbutton' | 'combobox', name: string | RegExp): Promise<void> {
  const target = page.getByRole(role, { name, ...(typeof name === 'string' ? { exact: true } : {}) }).first();
  await target.waitFor();
  for (let presses = 0; presses < 80; presses++) {
    if (await target.evaluate((element) => element === document.activeElement)) return;
    await page.keyboard.press('Tab');
  }
  throw new Error(`${role} ${String(name)} cannot be reached by keyboard`);
}

test('a report of saved queries with all its fields is made, previewed, changed and found again by its address', async () => {
  const total = await api('POST', '/api/queries', { name: 'Posts of an event', sql: 'select count(*) as posts from lake.posts where event_id = $1', parameters: [{ name: 'event', type: 'text' }] });
  const accounts = await api('POST', '/api/queries', { name: 'Big accounts', sql: 'select author_handle, count(*) as posts from lake.posts group by 1 having count(*) >= $1 order by 1 limit 3',
    parameters: [{ name: 'at_least', type: 'number', default: 1 }] });
  const { page, troubles } = await world.open('/reports');
  await page.getByRole('button', { name: 'Make a report' }).first().click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Name').fill('Morning numbers');
  await dialog.getByLabel('What it shows').selectOption('queries');
  await dialog.getByRole('combobox', { name: 'Event', exact: true }).selectOption('flood-2013');
  await dialog.getByLabel('Hours it covers').fill('48');
  await dialog.getByRole('button', { name: 'Add a query' }).click();
  const first = dialog.getByRole('group', { name: 'Query 1' });
  await first.getByRole('combobox', { name: 'Query', exact: true }).selectOption({ label: 'Big accounts' });
  await first.getByLabel('Value of at_least').fill('40');
  await dialog.getByRole('button', { name: 'Add a query' }).click();
  const second = dialog.getByRole('group', { name: 'Query 2' });
  await second.getByRole('combobox', { name: 'Query', exact: true }).selectOption({ label: 'Posts of an event' });
  await second.getByLabel('Shown as').selectOption('number');
  await second.getByLabel('Heading').fill('All posts');
  await dialog.getByRole('button', { name: 'Move query 2 up' }).click();
  await dialog.getByLabel('Sent only where').selectOption('posts');
  await dialog.getByRole('spinbutton', { name: 'More posts than' }).fill('7');
  await dialog.getByLabel(/^When/).fill('30 6 * * 1-5');
  await dialog.getByLabel('Time zone').fill('America/Edmonton');
  await dialog.getByLabel('After downtime').selectOption('all');
  await dialog.getByLabel('Days that files are kept').fill('14');
  await dialog.getByRole('button', { name: 'Add a recipient' }).click();
  const recipient = dialog.getByRole('group', { name: 'Recipient 2' });
  await recipient.getByLabel('Address').fill('manager@example.org');
  await recipient.getByLabel('Format').selectOption('pdf');
  expect(await violations(page)).toEqual([]);
  // What is written is shown before anything of it is kept.
  await dialog.getByRole('button', { name: 'Preview' }).click();
  const link = dialog.getByRole('link', { name: 'Open the preview' });
  await link.waitFor();
  const [tab] = await Promise.all([page.context().waitForEvent('page'), link.click()]);
  await tab.getByRole('heading', { name: 'Morning numbers' }).waitFor();
  await tab.getByText('All posts').first().waitFor();
  await tab.getByText('2,000').waitFor();
  await tab.close();
  expect(await api('GET', '/api/reports')).toMatchObject({ reports: [] });
  await dialog.getByRole('button', { name: 'Make it' }).click();
  await page.waitForURL(/report=morning-numbers/);
  await page.getByRole('heading', { name: 'Morning numbers' }).waitFor();
  expect(await api('GET', '/api/reports/morning-numbers')).toMatchObject({
    name: 'Morning numbers', layout: 'queries', parameters: { event: 'flood-2013', hours: 48 }, cron: '30 6 * * 1-5', timeZone: 'America/Edmonton', catchUp: 'all',
    keepDays: 14, condition: { kind: 'posts', above: 7 },
    content: [{ query: Object(total).id, title: 'All posts', show: 'number' }, { query: Object(accounts).id, show: 'table', values: { at_least: 40 } }],
    deliveries: [{ kind: 'file', target: '', format: 'html' }, { kind: 'mail', target: 'manager@example.org', format: 'pdf' }],
  });
  // A colleague opens the same address, sees the same, and changes one thing: nothing else is lost.
  const before = await api('GET', '/api/reports/morning-numbers');
  await page.goto(`${world.url}/reports?edit=morning-numbers`);
  expect(await dialog.getByRole('group', { name: 'Query 2' }).getByLabel('Value of at_least').inputValue()).toBe('40');
  await dialog.getByRole('button', { name: 'Take out recipient 1' }).click();
  await dialog.getByLabel(/^When/).fill('whenever');
  await dialog.getByRole('button', { name: 'Save' }).click();
  await dialog.getByRole('alert').getByText('cannot be read').waitFor();
  await dialog.getByLabel(/^When/).fill('0 6 * * *');
  await dialog.getByRole('button', { name: 'Save' }).click();
  await dialog.waitFor({ state: 'detached' });
  await page.getByText('0 6 * * * (America/Edmonton)').waitFor();
  expect(await api('GET', '/api/reports/morning-numbers')).toEqual({ ...Object(before), version: 2, cron: '0 6 * * *', nextAt: expect.any(String),
    deliveries: [{ kind: 'mail', target: 'manager@example.org', format: 'pdf' }] });
  expect(troubles).toEqual([]);
  await page.context().close();
});

test('a report is sent by hand, its history tells what came of it, what failed is tried again, and it is paused and deleted', async () => {
  await api('POST', '/api/reports', { name: 'Situation', layout: 'situation', parameters: { event: 'flood-2013' }, cron: '0 7 * * *', timeZone: 'UTC', catchUp: 'last',
    deliveries: [{ kind: 'mail', target: 'duty@example.org', format: 'html' }, { kind: 'file', target: '', format: 'csv' }] });
  const { page, troubles } = await world.open('/reports');
  const card = page.getByRole('region', { name: 'Situation' });
  box.fate = () => 'never';
  await card.getByRole('button', { name: 'Send now' }).click();
  await card.getByText('failed', { exact: true }).waitFor();
  await card.getByText(/duty@example\.org \(HTML\): failed/).waitFor();
  expect(await violations(page)).toEqual([]);
  box.fate = () => 'take';
  await card.getByRole('button', { name: 'Try again' }).click();
  await card.getByText('sent', { exact: true }).waitFor();
  await card.getByText(/duty@example\.org \(HTML\): sent 2/).waitFor();
  expect(box.mails.map(({ subject }) => subject?.slice(0, 15))).toEqual(['Test: Situation']);
  const [file] = await Promise.all([page.waitForEvent('download'), card.getByRole('link', { name: /^Fetch csv/ }).click()]);
  expect(await readFile(await file.path(), 'utf8')).toContain('Situation report: Alberta floods');
  await card.getByLabel('Format of the preview').selectOption('xlsx');
  await card.getByRole('button', { name: 'Preview' }).click();
  const [book] = await Promise.all([page.waitForEvent('download'), card.getByRole('link', { name: 'Save the preview' }).click()]);
  expect((await readFile(await book.path())).subarray(0, 2).toString()).toBe('PK');
  await page.reload();
  await card.getByText('sent by hand').waitFor(); // what is open stands in the address
  await card.getByRole('button', { name: 'Pause' }).click();
  await card.getByRole('button', { name: 'Resume' }).waitFor();
  await card.getByRole('button', { name: 'Delete…' }).click();
  expect(await violations(page)).toEqual([]);
  await page.getByRole('dialog').getByRole('button', { name: 'Delete it' }).click();
  await card.waitFor({ state: 'detached' });
  expect(troubles).toEqual([]);
  await page.context().close();
});

test('an alert is made, looked at, sent as a test, changed and deleted, by keyboard alone', async () => {
  const { page, troubles } = await world.open('/alerts');
  await tabTo(page, 'button', 'Make an alert');
  await page.keyboard.press('Enter');
  await page.getByRole('dialog').waitFor();
  await tabTo(page, 'textbox', 'Name');
  await page.keyboard.type('Statement');
  await tabTo(page, 'combobox', 'Tell when');
  await page.keyboard.type('a statement');
  await tabTo(page, 'textbox', /^Statement: it holds/);
  await page.keyboard.insertText('select count(*) as posts from lake.posts having count(*) > 10');
  await tabTo(page, 'textbox', 'Address');
  await page.keyboard.type('duty@example.org');
  await tabTo(page, 'button', 'Add a recipient');
  await page.keyboard.press('Enter');
  const second = page.getByRole('group', { name: 'Recipient 2' });
  await second.waitFor();
  await second.getByLabel('By').focus();
  await page.keyboard.type('webhook');
  await second.getByLabel('Address').focus();
  await page.keyboard.type(hook.url);
  await tabTo(page, 'button', 'What is seen now');
  await page.keyboard.press('Enter');
  await page.getByText('It would be told now.').waitFor();
  await page.getByText('posts 2000').waitFor();
  expect(await violations(page)).toEqual([]);
  await tabTo(page, 'button', 'Make it');
  await page.keyboard.press('Enter');
  await page.waitForURL(/alert=statement/);
  expect(await api('GET', '/api/alerts/statement')).toMatchObject({
    name: 'Statement', forMinutes: 0, condition: { kind: 'rows', sql: 'select count(*) as posts from lake.posts having count(*) > 10' },
    recipients: [{ kind: 'mail', target: 'duty@example.org' }, { kind: 'webhook', target: hook.url }],
  });
  await tabTo(page, 'button', 'Send a test');
  await page.keyboard.press('Enter');
  await page.getByText(/duty@example\.org \(HTML\): sent/).waitFor();
  expect(box.mails.map(({ subject }) => subject)).toEqual(['Test: Statement']);
  expect(hook.calls.map(({ body }) => JSON.parse(body.toString()))).toMatchObject([{ alert: 'statement', state: 'test', detail: 'posts 2000' }]);
  expect(await violations(page)).toEqual([]);
  await tabTo(page, 'button', 'Edit');
  await page.keyboard.press('Enter');
  await tabTo(page, 'spinbutton', 'Only when it lasts so many minutes');
  await page.keyboard.press('Control+a');
  await page.keyboard.type('5');
  await page.keyboard.press('Enter');
  await page.getByText('for 5 minutes').waitFor();
  await tabTo(page, 'button', 'Pause');
  await page.keyboard.press('Enter');
  await page.getByText('paused', { exact: true }).waitFor();
  await tabTo(page, 'button', 'Delete…');
  await page.keyboard.press('Enter');
  await tabTo(page, 'button', 'Delete it');
  await page.keyboard.press('Enter');
  await page.getByText('No alert yet.').waitFor();
  expect(troubles).toEqual([]);
  await page.context().close();
});

test('an alert that holds says so, and what was told when it began and when it was over', async () => {
  const made = await house.alerts.create({ name: 'River', condition: { kind: 'burst', event: 'flood-2013', minutes: 5 }, recipients: [{ kind: 'mail', target: 'duty@example.org' }] }, 'admin');
  const { page, troubles } = await world.open('/alerts?alert=river');
  const card = page.getByRole('region', { name: 'River' });
  await card.getByText('Not looked at yet').waitFor();
  const now = systemClock.now();
  await house.alerts.observe(made, { holds: true, detail: 'flood-2013: 600 posts in 5 minutes' }, now);
  await card.getByText(/^holds since/).waitFor();
  await card.getByText('it began').waitFor();
  await house.alerts.observe(made, { holds: false, detail: 'flood-2013: 2 posts in 5 minutes' }, now + 60_000);
  await card.getByText('it is over').waitFor();
  await card.getByText('quiet', { exact: true }).waitFor();
  expect(troubles).toEqual([]);
  await page.context().close();
});
