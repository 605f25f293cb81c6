/**
 * The page in Chromium: bytes and time of the first page; how soon an event of millions of posts shows its numbers, its chart
 * and its newest posts; the longest task of the page while 200 posts a second stream in; a result of a hundred thousand rows.
 * `node bench/page.ts [millions of posts] [seconds of streaming]` prints a line of JSON per claim.
 */
import { cpus, loadavg } from 'node:os';
import type { Page } from 'playwright-core';
import { startPage } from '#test/page.ts';

const millions = Number(process.argv[2] ?? 3);
const seconds = Number(process.argv[3] ?? 20);
await using world = await startPage();
const { lake, registry } = world;

const report = (claim: string, numbers: Record<string, unknown>): void => console.log(JSON.stringify({
  bench: 'page', claim, ...numbers, at: new Date().toISOString(), machine: `${cpus().length} × ${cpus()[0]?.model ?? '?'}`, load: Number(loadavg()[0]?.toFixed(1)),
}));

const days = 30;
const begin = "timestamptz '2026-10-01 00:00:00+00'";
const kinds = "['affected_individuals', 'infrastructure_and_utilities', 'caution_and_advice', 'donations_and_volunteering', 'sympathy_and_support', 'other_useful_information']";

/** A month in which the posts are spread evenly, with its counts by minute and hour. */
async function fillBig(): Promise<void> {
  await registry.create({ name: 'Big', description: 'A month of posts', sources: ['x'], rule: { any: ['flood'] } }, 'admin', 'big');
  const rows = millions * 1_000_000;
  const files = Math.max(1, Math.ceil(rows / 500_000));
  const each = Math.ceil(rows / files);
  const at = `${begin} + to_milliseconds(cast(i * ${(days * 86_400_000) / rows} as bigint))`;
  for (let file = 0; file < files; file++) {
    const from = `from range(${file * each}, ${Math.min(rows, (file + 1) * each)}) t(i)`;
    await lake.append('posts', `select 'big' as event_id, 'x' as source, 'b' || i as post_id, ${at} as created_at, 'u' || (i % 5000) as author_handle, 'en' as lang,
      'The river is rising near bridge ' || i || ' #flood' as text, ['flood'] as hashtags, 0 as log_partition, i as log_offset ${from}`);
    await lake.append('classifications', `select 'big' as event_id, 'x' as source, 'b' || i as post_id, ${at} as created_at, 'information_type' as classifier, 'm1' as model_version,
      (${kinds})[1 + i % 6] as label, 0.9 as score, ${at} as classified_at, 0 as log_partition, i as log_offset ${from}`);
  }
  const minutes = days * 1440;
  const minute = `${begin} + to_minutes(i)`;
  await lake.append('activity', `select 'big' as event_id, 'x' as source, ${minute} as minute, lang, ${Math.round(rows / minutes / 2)} as posts, 10 as authors, 5 as reposts
    from range(${minutes}) t(i), (values ('en'), ('es')) l(lang)`);
  await lake.append('activity_labels', `select 'big' as event_id, 'x' as source, ${minute} as minute, 'information_type' as classifier, unnest(${kinds}) as label, ${Math.round(rows / minutes / 6)} as posts from range(${minutes}) t(i)`);
  await lake.append('activity_terms', `select 'big' as event_id, ${begin} + to_hours(h) as hour, kind, kind || v as value, 100 - v as posts
    from range(${days * 24}) t(h), range(50) w(v), (values ('hashtag'), ('word'), ('domain'), ('mention'), ('author')) k(kind)`);
}

/** Milliseconds from the start of the navigation until each of these is there. */
async function opening(path: string, signs: Readonly<Record<string, (page: Page) => Promise<unknown>>>): Promise<Record<string, number>> {
  const { page } = await world.open('/operations');
  const started = performance.now();
  await page.goto(`${world.url}${path}`);
  const times = await Promise.all(Object.entries(signs).map(async ([name, sign]) => {
    await sign(page);
    return [name, Math.round(performance.now() - started)] as const;
  }));
  await page.context().close();
  return Object.fromEntries(times);
}

const home = { cards: (page: Page) => page.getByText('Alberta floods').first().waitFor(), numbers: (page: Page) => page.locator('.event-card .numbers b').nth(1).waitFor() };
await opening('/', home);
report('first page', { ms: await opening('/', home) });

await fillBig();
const event = {
  numbers: (page: Page) => page.locator('.numbers b', { hasText: ',' }).first().waitFor(), chart: (page: Page) => page.locator('.chart svg path[fill="#0072b2"]').first().waitFor(),
  terms: (page: Page) => page.locator('.ranking li').first().waitFor(), newest: (page: Page) => page.locator('.posts li').first().waitFor(),
};
await opening('/event/big', event);
for (let run = 0; run < 3; run++) report('an event opens', { posts: millions * 1e6, ms: await opening('/event/big', event) });
report('an event, words', { posts: millions * 1e6, ms: await opening('/event/big?any=bridge', event) });

/** Watches for tasks of over 50 ms while `work` runs. */
async function longTasks(page: Page, work: () => Promise<void>): Promise<{ longest: number; over50: number }> {
  await page.evaluate(`globalThis.tasks = []; new PerformanceObserver((list) => { for (const entry of list.getEntries()) globalThis.tasks.push(entry.duration); }).observe({ type: 'longtask' })`);
  await work();
  const tasks: unknown = await page.evaluate('globalThis.tasks');
  const durations = Array.isArray(tasks) ? tasks.map(Number) : [];
  return { longest: Math.max(0, ...durations), over50: durations.length };
}

const { page } = await world.open('/event/big');
await event.chart(page);
await event.newest(page);
let landedPosts = 0;
report('200 posts a second stream in', { seconds, ...await longTasks(page, async () => {
  const ends = performance.now() + seconds * 1000;
  for (let second = 0; performance.now() < ends; second++) {
    const next = performance.now() + 1000;
    const at = `${begin} + to_days(${days}) + to_milliseconds(${second * 1000} + i * 5)`;
    await lake.append('posts', `select 'big' as event_id, 'x' as source, 's' || ${second} || '-' || i as post_id, ${at} as created_at, 'user' || i as author_handle, 'en' as lang,
      'Streaming in, post ' || i || ' of second ${second}: ' || repeat('the water rises ', 10) as text, 0 as log_partition, 1 as log_offset from range(200) t(i)`);
    await lake.append('activity', `select 'big' as event_id, 'x' as source, date_trunc('minute', ${begin} + to_days(${days}) + to_seconds(${second})) as minute, 'en' as lang, 200 as posts, 100 as authors, 0 as reposts`);
    landedPosts += 200;
    world.tell({ landing: 'posts', kept: 200 });
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, next - performance.now())));
  }
}), landedPosts, shown: await page.locator('.posts li', { hasText: 'Streaming in' }).count() });
await page.context().close();

const query = await world.open(`/sql?q=${encodeURIComponent("select i as number, 'text ' || i as words, i * 1.5 as half from range(100000) t(i)")}`);
await query.page.locator('.cm-content').waitFor();
report('a hundred thousand rows in the query box', await longTasks(query.page, async () => {
  await query.page.getByRole('button', { name: 'Run' }).click();
  await query.page.getByText(/^100,000 rows in/).waitFor();
  for (let step = 0; step < 30; step++) {
    await query.page.locator('.grid').evaluate((box, top) => box.scrollTo(0, top), step * 90_000);
    await query.page.waitForTimeout(50);
  }
}));
