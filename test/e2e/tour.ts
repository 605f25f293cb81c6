// The pictures of docs/tour.md and of the README, taken from a running lake with the samples: `npm run tour`, or
// some of them: `npm run tour -- query home`. A few minutes; needs Chromium. Answers 0 when every picture was taken.
import { chmod, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { startChromium } from '../services/chromium.ts';
import { removeFolder, startProcess, temporaryFolder, waitUntilReady } from '../services/process.ts';

const root = join(import.meta.dirname, '..', '..');
const pictures = join(root, 'docs', 'images');
const alberta = '/event/2013-alberta-floods';

interface Picture {
  readonly name: string;
  readonly path: string;
  readonly scheme?: 'dark';
  readonly width?: number;
  readonly height?: number;
  /** Brings the page to what the picture shows. */
  readonly ready: (page: Page) => Promise<void>;
}

const statement = `select date_trunc('hour', minute) as hour, label, sum(posts) as posts
from lake.activity_labels
where event_id = '2013-alberta-floods' and classifier = 'information_type'
  and minute < timestamp '2013-06-24 00:00:00+00'
group by 1, 2 order by 1`;

// Attached, not visible: the first bar may stand for no post.
const chartDrawn = (page: Page): Promise<void> => page.locator('.chart svg path[fill^="#"]').first().waitFor({ state: 'attached' });

const list: readonly Picture[] = [
  { name: 'home', path: '/', height: 560, ready: (page) => page.locator('.event-card .numbers b').nth(2).waitFor() },
  {
    name: 'follow', path: '/', height: 860,
    async ready(page) {
      await page.getByRole('button', { name: 'Follow an event' }).click();
      await page.getByLabel('Name').fill('Bow River');
      await page.getByLabel(/^Any of these/).fill('"bow river", evacuation, #yycflood');
      await page.getByLabel('None of these').fill('concert');
      await page.getByRole('button', { name: 'Preview' }).click();
      await page.getByText('would be matched').waitFor();
    },
  },
  { name: 'event', path: alberta, height: 1180, ready: async (page) => { await chartDrawn(page); await page.locator('.ranking li').first().waitFor(); } },
  {
    name: 'event-filtered', path: `${alberta}?any=evacuation%2C+evacuated&from=2013-06-21T12%3A00Z&to=2013-06-23T00%3A00Z`, scheme: 'dark', height: 1180,
    ready: async (page) => { await chartDrawn(page); await page.locator('.ranking li').first().waitFor(); },
  },
  { name: 'newest', path: `${alberta}?kind=caution_and_advice`, height: 760, async ready(page) {
    await page.locator('.posts .kind').first().waitFor();
    await page.locator('#newest').scrollIntoViewIfNeeded();
    await page.evaluate('document.getElementById("newest").scrollIntoView()');
  } },
  { name: 'phone', path: alberta, width: 390, height: 844, ready: async (page) => { await chartDrawn(page); await page.evaluate('document.getElementById("timeline").scrollIntoView()'); } },
  {
    name: 'query', path: `/sql?q=${encodeURIComponent(statement)}&run=1&chart=1`, height: 1180,
    ready: async (page) => { await page.getByText(/rows in \d+ ms/).waitFor(); await page.locator('.cm-content').waitFor(); await page.locator('.chart svg path[stroke="#0072b2"]').first().waitFor({ state: 'attached' }); },
  },
  { name: 'reports', path: '/reports', height: 700, ready: (page) => page.getByText('Make a report').first().waitFor() },
  { name: 'operations', path: '/operations', height: 1000, ready: (page) => page.locator('#tables ~ .table-wrap td').nth(5).waitFor() },
];

const names = process.argv.slice(2);
const wanted = names.length === 0 ? list : list.filter(({ name }) => names.includes(name));
if (wanted.length < names.length) throw new Error(`there are these pictures: ${list.map(({ name }) => name).join(', ')}`);
const folder = await temporaryFolder('tour');
await chmod(folder, 0o711); // as root, the database server runs as another user, who must get to its files
const data = join(folder, 'data');
const lake = await startProcess({
  command: process.execPath, args: [join(root, 'cli', 'main.ts'), 'start'], folder,
  env: { WATERSHED_DATA_DIR: data, WATERSHED_HTTP_PORT: '0', WATERSHED_PGWIRE_PORT: '0', WATERSHED_SAMPLE_SPEED: 'max' },
});
const browser = await startChromium();
try {
  const ask = async (path: string, body?: object): Promise<unknown> => {
    const { http }: { http: string } = JSON.parse(await readFile(join(data, 'address.json'), 'utf8'));
    const response = await fetch(`${http}${path}`, {
      method: body === undefined ? 'GET' : 'POST', headers: { authorization: `Bearer ${(await readFile(join(data, 'admin.token'), 'utf8')).trim()}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return await response.json();
  };
  const one = async (sql: string): Promise<number> => {
    const answer = await ask('/api/sql', { sql });
    const rows: unknown = typeof answer === 'object' && answer !== null ? Reflect.get(answer, 'rows') : undefined;
    return Array.isArray(rows) && Array.isArray(rows[0]) ? Number(rows[0][0]) : 0;
  };
  console.error('waiting until the samples are in the lake, labelled and counted…');
  await waitUntilReady('the samples', { folder, process: lake, timeoutMs: 300_000 }, async () =>
    await one("select least(coalesce(sum(posts), 0), coalesce((select sum(posts) from lake.activity_labels where classifier = 'information_type'), 0)) from lake.activity") >= 11_029 ? true : undefined);
  const { http }: { http: string } = JSON.parse(await readFile(join(data, 'address.json'), 'utf8'));
  const code = await ask('/api/codes', {});
  const context = await browser.newContext();
  await (await context.newPage()).goto(`${http}/?code=${typeof code === 'object' && code !== null ? String(Reflect.get(code, 'code')) : ''}`);
  const storageState = await context.storageState();
  for (const { name, path, scheme, width = 1280, height = 900, ready } of wanted) {
    const picture = await browser.newContext({ storageState, colorScheme: scheme ?? 'light', viewport: { width, height } });
    picture.setDefaultTimeout(60_000);
    const page = await picture.newPage();
    await page.goto(`${http}${path}`);
    await ready(page);
    await page.screenshot({ path: join(pictures, `${name}.png`) });
    console.error(`docs/images/${name}.png`);
    await picture.close();
  }
} finally {
  await browser.close();
  await lake.stop();
  await removeFolder(folder);
}
