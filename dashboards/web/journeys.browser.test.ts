import { jest } from '@jest/globals';
import { readFile } from 'node:fs/promises';
import { gzipSync } from 'node:zlib';
import type { Page } from 'playwright-core';
import { encodeEnvelope } from '#core/contract/envelope.ts';
import { violations } from '#test/axe.ts';
import { type PageWorld, startPage } from '#test/page.ts';

// The machine may be busy with other things: what is tried here is what comes, not how fast.
jest.setTimeout(120_000);
let world: PageWorld;

beforeAll(async () => { world = await startPage(); }, 180_000);
afterAll(() => world?.[Symbol.asyncDispose](), 60_000);

const write = async (page: Page, text: string): Promise<void> => {
  await page.locator('.cm-content').click();
  await page.keyboard.press('Control+a');
  await page.keyboard.insertText(text);
};

test('the editor completes what stands in the lake, by keyboard alone', async () => {
  const { page, troubles } = await world.open('/sql');
  await write(page, 'select \nfrom lake.posts p');
  await page.keyboard.press('Control+Home');
  await page.keyboard.press('End');
  await page.keyboard.type('p.author_ha');
  await page.locator('.cm-tooltip-autocomplete').getByText('author_handle').waitFor();
  await page.locator('.cm-tooltip-autocomplete [aria-selected]', { hasText: 'author_handle' }).waitFor();
  // CodeMirror takes no Enter for a choice in the first 75 ms that a list is there (its `interactionDelay`): it was meant for the line.
  await page.waitForFunction((since) => Date.now() > since + 75, await page.evaluate(() => Date.now()));
  await page.keyboard.press('Enter');
  await page.locator('.cm-tooltip-autocomplete').waitFor({ state: 'detached' });
  await expect(page.locator('.cm-content').innerText()).resolves.toContain('select p.author_handle');
  expect(await violations(page)).toEqual([]);
  expect(troubles).toEqual([]);
  await page.context().close();
});

test('a hundred thousand rows scroll, a row is read whole by keyboard, a chart is drawn, and a reload shows the same', async () => {
  const { page, troubles } = await world.open('/sql');
  await write(page, "select i as number, 'text ' || i as words from range(100000) t(i)");
  await page.keyboard.press('Control+Enter');
  await page.getByText(/^100,000 rows in/).waitFor();
  const rows = page.locator('.grid tbody tr');
  expect(await rows.count()).toBeLessThan(120); // what is in sight, not what there is
  await page.getByRole('region', { name: /^Rows/ }).focus();
  await page.keyboard.press('End');
  await page.getByRole('heading', { name: 'Row 100,000' }).waitFor();
  await page.locator('.row-detail dd', { hasText: 'text 99999' }).waitFor();
  await page.locator('.grid td', { hasText: 'text 99999' }).waitFor();
  await page.getByRole('button', { name: 'Draw a chart' }).click();
  await page.getByText(/rows are not drawn/).waitFor();
  expect(await violations(page)).toEqual([]);
  await page.reload();
  await page.getByText(/^100,000 rows in/).waitFor();
  await page.locator('.chart svg').waitFor();
  expect(troubles).toEqual([]);
  await page.context().close();
});

test('a statement that would never end is cancelled', async () => {
  const { page, troubles } = await world.open('/sql');
  await write(page, 'select count(*) from range(100000000000) a, range(1000) b');
  await page.keyboard.press('Control+Enter');
  await page.getByText('running…').waitFor();
  await page.getByRole('button', { name: 'Cancel' }).click();
  await page.getByText('Cancelled.', { exact: true }).waitFor();
  await write(page, 'select 42 as answer');
  await page.keyboard.press('Control+Enter');
  await page.getByText(/^1 row in/).waitFor();
  expect(troubles).toEqual([]);
  await page.context().close();
});

test('a query with a value is saved, found in another browser, changed and deleted', async () => {
  const { page, troubles } = await world.open('/sql');
  await write(page, 'select count(*) as posts from lake.posts where author_handle = $1');
  await page.getByLabel('Value of $1').fill('user7');
  await page.keyboard.press('Tab');
  await page.getByRole('button', { name: 'Run' }).click();
  await page.locator('.grid td', { hasText: /^40$/ }).waitFor(); // 2,000 posts by 50 accounts
  await page.getByText('Saved queries (0)').click();
  await page.getByLabel('Name').fill('Posts of an account');
  await page.getByRole('button', { name: 'Save this statement' }).click();
  await page.waitForURL(/saved=/);
  expect(await violations(page)).toEqual([]);
  const other = await world.open('/sql');
  await other.page.getByText('Saved queries (1)').click();
  await other.page.getByRole('button', { name: 'Posts of an account' }).click();
  await other.page.waitForFunction(() => document.querySelector('.cm-content')?.textContent?.includes('author_handle = $1'));
  expect(await other.page.getByLabel('Value of $1').inputValue()).toBe('user7');
  await other.page.getByRole('button', { name: 'Save the changes' }).click();
  await other.page.getByText('admin, version 2').waitFor();
  other.page.on('dialog', (dialog) => void dialog.accept());
  await other.page.getByRole('button', { name: 'Delete', exact: true }).click();
  await other.page.getByText('Saved queries (0)').waitFor();
  expect([...troubles, ...other.troubles]).toEqual([]);
  await page.context().close();
  await other.page.context().close();
});

test('a file is saved; one for spreadsheets holds no formula', async () => {
  const { page, troubles } = await world.open('/sql');
  await write(page, "select post_id, text from lake.posts where post_id in ('p1999', 'p1') order by post_id;");
  const save = async (format: string): Promise<string> => {
    await page.getByLabel('Download as').selectOption(format);
    const [file] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'Download' }).click()]);
    await page.getByText('is saved').waitFor();
    return await readFile(await file.path(), 'utf8');
  };
  expect(await save('csv')).toContain(`"'=HYPERLINK(""http://evil.test""`);
  expect(await save('csv-raw')).toContain('"=HYPERLINK(""http://evil.test""');
  expect(await save('ids')).toBe('p1\np1999\n');
  expect((await save('parquet')).slice(0, 4)).toBe('PAR1');
  expect((await save('xlsx')).slice(0, 2)).toBe('PK');
  await write(page, 'select 1 as nothing');
  await page.getByLabel('Download as').selectOption('ids');
  await page.getByRole('button', { name: 'Download' }).click();
  await page.getByText('this statement gives no post ids').waitFor();
  expect(troubles).toEqual([]);
  await page.context().close();
});

test('every panel follows the filter, and reload and back bring it back', async () => {
  const { page, troubles } = await world.open('/event/flood-2013');
  const fits = (posts: string): Promise<void> => page.locator('.numbers b', { hasText: posts }).first().waitFor();
  await fits('2,000');
  await page.getByLabel('This phrase').fill('post 10');
  await page.keyboard.press('Enter');
  await fits('111'); // 10, 100 … 109, 1000 … 1099
  await page.getByRole('button', { name: 'Only posts with #abflood' }).locator('..').getByText('111').waitFor();
  expect(await page.locator('#shown-sql').innerText()).toContain("strpos(lower(p.text), 'post 10') > 0");
  await page.reload();
  await fits('111');
  expect(await page.getByLabel('This phrase').inputValue()).toBe('post 10');
  await page.goBack();
  await fits('2,000');
  await page.getByRole('button', { name: 'last hour' }).click();
  await fits('50');
  expect(await violations(page)).toEqual([]);
  await page.getByLabel('None of these').fill('water, hyperlink');
  await page.keyboard.press('Enter');
  await page.getByText('No post fits.').waitFor();
  expect(troubles).toEqual([]);
  await page.context().close();
});

test('new posts come by themselves with their labels, and not while held still', async () => {
  const { page, troubles } = await world.open('/event/flood-2013');
  await page.getByText('live', { exact: true }).waitFor();
  const newest = page.locator('.posts li').first();
  await newest.waitFor();
  const add = async (id: string): Promise<void> => {
    await world.lake.append('posts', `select 'flood-2013' as event_id, 'x' as source, '${id}' as post_id, timestamptz '2013-06-21 15:59:30+00' as created_at, 'Just in: ${id}' as text,
      'https://example.org/${id}' as uri, 0 as log_partition, 5000 as log_offset`);
    world.tell({ landing: 'posts', kept: 1 });
  };
  await add('new-1');
  await page.getByText('Just in: new-1').waitFor();
  await world.lake.append('classifications', `select 'flood-2013' as event_id, 'x' as source, 'new-1' as post_id, timestamptz '2013-06-21 15:59:30+00' as created_at,
    'information_type' as classifier, 'm1' as model_version, 'caution_and_advice' as label, 0.9 as score, now() as classified_at`);
  await page.locator('.posts li', { hasText: 'Just in: new-1' }).getByText('Caution and advice').waitFor();
  await page.getByRole('button', { name: 'Hold still' }).click();
  await page.getByText('held still').waitFor();
  await add('new-2');
  await page.waitForResponse((response) => response.url().endsWith('/api/status'));
  await page.waitForResponse((response) => response.url().endsWith('/api/status'));
  expect(await page.getByText('Just in: new-2').count()).toBe(0);
  await page.getByRole('button', { name: 'Go on' }).click();
  await page.getByText('Just in: new-2').waitFor();
  expect(troubles).toEqual([]);
  await page.context().close();
});

test('two editors: the second sees what the first changed and decides', async () => {
  const event = await world.registry.create({ name: 'Elbe', description: '', sources: ['bluesky'], rule: { any: ['elbe'] } }, 'admin');
  const { page, troubles } = await world.open(`/event/${event.id}`);
  await page.getByText('No post has come yet.').waitFor();
  await page.getByRole('button', { name: 'Edit keywords' }).click();
  await page.getByRole('dialog').getByLabel('None of these').fill('concert');
  await world.registry.edit(event.id, { description: 'High water at Dresden' }, 'somebody');
  await page.getByRole('button', { name: 'Save', exact: true }).click();
  await page.getByRole('alert').getByText('High water at Dresden').waitFor();
  expect(await violations(page)).toEqual([]);
  await page.getByRole('button', { name: 'Go on from theirs' }).click();
  await page.getByRole('dialog').getByLabel('None of these').fill('concert');
  await page.getByRole('button', { name: 'Save', exact: true }).click();
  await page.getByText('none of concert').waitFor();
  await page.getByText('High water at Dresden').waitFor();
  await page.getByRole('button', { name: 'History' }).click();
  await page.getByText('by somebody').waitFor();
  await page.getByRole('button', { name: 'Archive' }).click();
  await page.getByRole('button', { name: 'Restore' }).waitFor();
  await page.getByRole('button', { name: 'Delete…' }).click();
  expect(await page.getByRole('button', { name: 'Delete it' }).isDisabled()).toBe(true);
  await page.getByLabel('Its name, to be sure').fill('Elbe');
  expect(await violations(page)).toEqual([]);
  await page.getByRole('button', { name: 'Delete it' }).click();
  await page.waitForURL(`${world.url}/`);
  await page.getByText('Alberta floods').first().waitFor();
  expect(await page.getByText('Elbe').count()).toBe(0);
  expect(troubles).toEqual([]);
  await page.context().close();
});

test('a record that was set aside is looked at, mended and put back', async () => {
  const { page, troubles } = await world.open('/operations');
  await page.getByRole('button', { name: 'quarantine/0/7' }).click();
  const bytes = page.getByLabel('Its bytes, as text');
  expect(await bytes.inputValue()).toBe('{');
  await page.getByRole('button', { name: 'Put it back as it is' }).click();
  await page.getByText(/this is no record of topic posts/).waitFor();
  const mended = encodeEnvelope({ source: 'x', format: 'x.v2', events: [{ id: 'flood-2013', matched: ['flood'] }], receivedAt: '2013-06-20T05:00:00.000Z', account: '' }, Buffer.from('{"data":{"id":"1"}}')).toString();
  await bytes.fill(mended);
  expect(await violations(page)).toEqual([]);
  await page.getByRole('button', { name: 'Put it back, mended' }).click();
  await page.getByText('It is back, as posts/0/0.').waitFor();
  const [chunk] = await world.log.read('posts', 0, 0n, { maxBytes: 1e6, waitMs: 0 });
  expect(Buffer.from(chunk?.lines ?? []).toString().trim()).toBe(mended.trim());
  expect((await world.log.bounds('quarantine', 0)).next).toBe(1n);
  expect(troubles).toEqual([]);
  await page.context().close();
});

test('the server goes and comes back, and the page says so', async () => {
  const { page } = await world.open('/event/flood-2013');
  await page.locator('.posts li').first().waitFor();
  await world.stopServer();
  await page.getByText('Watershed does not answer.').first().waitFor();
  expect(await page.locator('.posts li').count()).toBeGreaterThan(0); // what was known stays
  expect(await violations(page)).toEqual([]);
  await world.startServer();
  await page.getByText('Watershed does not answer.').first().waitFor({ state: 'detached' });
  await page.getByText('live', { exact: true }).waitFor();
  await page.context().close();
});

test('a session that ends in mid-work takes nothing that was written', async () => {
  const { page } = await world.open('/sql');
  await write(page, 'select 7 as kept');
  world.session = false;
  await page.getByText('Your session has ended').first().waitFor();
  await page.keyboard.press('Control+Enter');
  await page.locator('main > .error', { hasText: 'Your session has ended.' }).waitFor();
  world.session = true;
  await page.getByText('Your session has ended;').waitFor({ state: 'detached' });
  await page.getByRole('button', { name: 'Run' }).click();
  await page.getByText(/^1 row in/).waitFor();
  expect(await page.locator('.cm-content').innerText()).toContain('select 7 as kept');
  await page.context().close();
});

test('the first page weighs under 150 kB before charts, and no outside host may be asked', async () => {
  const { page, troubles } = await world.open('/');
  const asked = new Map<string, number>();
  page.on('response', (response) => {
    const { pathname } = new URL(response.url());
    if (!pathname.startsWith('/api/')) void response.body().then((body) => asked.set(pathname, gzipSync(body).length), () => undefined);
  });
  await page.reload();
  await page.locator('.event-card .numbers b').nth(1).waitFor();
  expect([...asked.keys()].some((path) => path.endsWith('.js'))).toBe(true);
  expect([...asked.values()].reduce((sum, bytes) => sum + bytes, 0)).toBeLessThan(150_000);
  const policy = (await page.request.get(`${world.url}/`)).headers()['content-security-policy'] ?? '';
  expect(policy).toContain("default-src 'none'");
  expect(policy).toContain("connect-src 'self'");
  expect(policy).not.toMatch(/https?:|\*/);
  expect(troubles).toEqual([]);
  await page.context().close();
});
