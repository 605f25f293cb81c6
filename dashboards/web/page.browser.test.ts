import { jest } from '@jest/globals';
import { join } from 'node:path';
import { systemClock } from '#core/clock.ts';
import { violations } from '#test/axe.ts';
import { type PageWorld, startPage } from '#test/page.ts';
import { type ReportHouse, reportHouse } from '#test/report-house.ts';

// The machine may be busy with other things: what is tried here is what comes, not how fast.
jest.setTimeout(90_000);
let world: PageWorld;
let house: ReportHouse;

beforeAll(async () => {
  world = await startPage(({ database, lake, url }) => {
    // Nothing is sent here.
    house = reportHouse({ database, clock: systemClock, store: lake.store, url, smtpUrl: 'smtp://127.0.0.1:1' });
    return house.routes;
  });
  await house.reports.create({ name: 'Every morning', layout: 'situation', parameters: { event: 'flood-2013' }, cron: '0 7 * * *', timeZone: 'America/Denver', catchUp: 'last',
    deliveries: [{ kind: 'mail', target: 'manager@example.org', format: 'pdf' }, { kind: 'webhook', target: 'https://hooks.example.org/in', format: 'xlsx' }],
    condition: { kind: 'posts', event: 'flood-2013', above: 0 } }, 'admin');
  await house.alerts.create({ name: 'Many posts', condition: { kind: 'burst', event: 'flood-2013' }, recipients: [{ kind: 'mail', target: 'duty@example.org' }] }, 'admin');
}, 180_000);

afterAll(() => world?.[Symbol.asyncDispose](), 60_000);

const open: PageWorld['open'] = (path, options) => world.open(path, options);

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

test('a card tells the pace at the end of an archive, and a gap for as long as it is open', async () => {
  const { page, troubles } = await open('/');
  const card = page.locator('.event-card', { hasText: 'Alberta floods' });
  // A post each 72 seconds until 15:58:48: 50 in the last 60 minutes, 5 in the last five.
  await card.getByText('50in its last hour').waitFor();
  await card.getByText('1.0posts/min at its end').waitFor();
  await card.getByText('newest on 2013-06-21').waitFor();
  expect(await card.getByText('open gap').count()).toBe(0);
  const [since, until] = [-600_000, -300_000].map((ms) => new Date(systemClock.now() + ms).toISOString());
  const gap = (filledAt: string): string => `select now() as at, 'x' as source, 'flood-2013' as event_id, 'gap' as kind, timestamptz '${since}' as since,
    timestamptz '${until}' as until, 'a cable was cut' as cause, ${filledAt} as filled_at, 9 as log_offset`;
  await world.lake.append('journal', gap('cast(null as timestamptz)'));
  await page.reload();
  await card.getByText('1 open gap', { exact: true }).waitFor();
  await world.lake.append('journal', gap('now()'));
  await page.reload();
  await card.getByText('50in its last hour').waitFor();
  await card.getByText('1 open gap', { exact: true }).waitFor({ state: 'detached' });
  expect(troubles).toEqual([]);
  await page.context().close();
});

test('words of ten thousand letters, marks that turn the writing and letters without width keep to their own post', async () => {
  const tricks = [['long', 'w'.repeat(10_000)], ['turned', '\u202E\u2066\u202D turned '.repeat(50)], ['nothing', '\u200B\u200D\u2060'.repeat(3_000)], ['stacked', `Z${'\u0335\u0489'.repeat(500)}`]];
  for (const [id, text] of tricks) {
    await world.lake.append('posts', `select 'flood-2013' as event_id, 'x' as source, '${id}' as post_id, timestamptz '2013-06-21 15:59:30+00' as created_at,
      '${id}${'h'.repeat(300)}' as author_handle, 'begin ${id} ${text}' as text, 0 as log_partition, 6000 as log_offset`);
  }
  for (const width of [390, 1280]) {
    const { page, troubles } = await open('/event/flood-2013', { viewport: { width, height: 900 } });
    for (const [id] of tricks) {
      const post = page.locator('.posts li', { hasText: `begin ${id}` });
      await post.waitFor();
      expect([id, await post.evaluate((element) => element.scrollWidth <= element.clientWidth && element.clientHeight < 900)]).toEqual([id, true]);
    }
    expect(await page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth')).toBe(0);
    // What turns the writing in one post leaves the line of the next as it is.
    expect(await page.locator('.posts li p').evaluateAll((all) => all.every((element) => getComputedStyle(element).unicodeBidi === 'isolate'))).toBe(true);
    expect(troubles).toEqual([]);
    await page.context().close();
  }
});

const pagesToLookAt = [['home', '/', 'Alberta floods'], ['event', '/event/flood-2013', 'original'], ['sql', '/sql', 'quarantine'],
  ['operations', '/operations', 'the network closed the connection'], ['reports', '/reports', 'Every morning'], ['report', '/reports?edit=every-morning', 'Whoever saves it'],
  ['alerts', '/alerts', 'Many posts'], ['alert', '/alerts?new=1', 'What is seen now']] as const;

test.each(pagesToLookAt.map(([name, path, sign]) => ({ name, path, sign })))(
  '$name from 390 to 2560 px, light and dark: no violation, no sideways scrolling', async ({ name, path, sign }) => {
    const { page, troubles } = await open(path);
    await page.getByText(sign).first().waitFor();
    if (name === 'event') await page.locator('.chart svg path[fill="#0072b2"]').first().waitFor();
    const folder = process.env['WATERSHED_PICTURES'];
    for (const scheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme: scheme });
      for (const width of [390, 1280, 2560]) {
        await page.setViewportSize({ width, height: 900 });
        expect({ scheme, width, found: await violations(page) }).toEqual({ scheme, width, found: [] });
        expect(await page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth')).toBe(0);
        if (folder !== undefined) await page.screenshot({ path: join(folder, `${name}-${scheme}-${width}.png`), fullPage: true });
      }
    }
    expect(troubles).toEqual([]);
    await page.context().close();
  });
