import { readFileSync } from 'node:fs';
import { manualClock, systemClock, type Clock } from '#core/clock.ts';
import type { CrisisEvent } from '#core/contract/event.ts';
import { replaySource } from './replay.ts';
import { readSampleEvents, type SampleEvent } from './samples.ts';
import { createFakeFeed } from '#test/world/feed.ts';
import type { EventFeed, PostItem, SourceItem } from './source.ts';

const folder = new URL('../../samples/', import.meta.url).pathname;

function crisisEvent(sample: SampleEvent): CrisisEvent {
  return {
    id: sample.id, name: sample.name, description: sample.description, status: 'active', sources: ['replay'],
    rule: { any: [...sample.keywords] }, start: sample.start, end: sample.end, version: 1,
    createdAt: '2026-01-01T00:00:00.000Z', createdBy: 'admin', updatedAt: '2026-01-01T00:00:00.000Z', updatedBy: 'admin',
  };
}

/** Reads until a condition on what was read so far, then stops the source. */
async function readUntil(
  source: ReturnType<typeof replaySource>,
  feed: EventFeed,
  cursor: string | undefined,
  enough: (items: readonly SourceItem[]) => boolean,
): Promise<SourceItem[]> {
  const stop = new AbortController();
  const items: SourceItem[] = [];
  for await (const item of source.read({ cursor, events: feed, signal: stop.signal })) {
    items.push(item);
    if (enough(items)) stop.abort();
  }
  return items;
}

const posts = (items: readonly SourceItem[]): PostItem[] => items.filter((item) => item.kind === 'post');
const idOf = (post: PostItem): string => String(JSON.parse(Buffer.from(post.body).toString('utf8')).id);
async function collect(items: AsyncIterable<SourceItem>): Promise<SourceItem[]> {
  const all: SourceItem[] = [];
  for await (const item of items) all.push(item);
  return all;
}

async function setUp(speed: number | 'max', clock: Clock = systemClock) {
  const samples = await readSampleEvents(folder);
  const feed = createFakeFeed(samples.map(crisisEvent));
  return { samples, feed, source: replaySource({ samples, speed, clock }) };
}

test('every row of both files is played once, in order of creation within its event', async () => {
  const { feed, source } = await setUp('max');
  // Counted by eye and tool in the files themselves: 10,031 and 1,000 rows.
  const items = await readUntil(source, feed, undefined, (read) => read.length > 11_031 && read.at(-1)?.kind === 'cursor'
    && posts(read).length === 11_031);
  const byEvent = Map.groupBy(posts(items), (post) => post.events[0]?.id ?? '');
  expect(byEvent.get('2013-alberta-floods')).toHaveLength(10_031);
  expect(byEvent.get('2013-colorado-floods')).toHaveLength(1000);
  for (const [file, event] of [['2013-alberta-floods.t6.csv', '2013-alberta-floods'],
    ['2013-colorado-floods.t26.csv', '2013-colorado-floods']] as const) {
    const played = byEvent.get(event)?.map(idOf) ?? [];
    const inFile = [...readFileSync(`${folder}${file}`, 'utf8').matchAll(/^["']+(\d{18})["']+,/gm)].map((found) => found[1] ?? '');
    expect(played).toEqual(inFile.toSorted());
  }
});

test('a body is the row with its own columns, as strings', async () => {
  const { feed, source } = await setUp('max');
  const items = await readUntil(source, feed, undefined, (read) => posts(read).length === 200);
  const bodies = posts(items).map((post) => JSON.parse(Buffer.from(post.body).toString('utf8')));
  expect(bodies[0]).toEqual({
    id: '347868529837629441',
    text: '@LaitJ Stay safe! Got a live performance by Zebrassieres and a great show by @contramandave up right now.',
    label: 'off-topic',
  });
  expect(posts(items)[0]).toMatchObject({ source: 'x', format: 'crisislex',
    events: [{ id: '2013-alberta-floods', matched: [] }] });
  // "Calgary holds its breath … #yyc #yycflood"
  const flood = posts(items).find((post) => idOf(post) === '347868571105382400');
  expect(flood?.events).toEqual([{ id: '2013-alberta-floods', matched: ['#yycflood'] }]);
});

test('at N times the speed a post is due when its own time has come, on its own timeline', async () => {
  const clock = manualClock();
  const start = clock.now();
  const { feed, source } = await setUp(3600, clock);
  const stop = new AbortController();
  const items: SourceItem[] = [];
  const begun = Promise.withResolvers<void>();
  const reading = (async () => {
    for await (const item of source.read({ cursor: undefined, events: feed, signal: stop.signal })) {
      items.push(item);
      begun.resolve();
    }
  })();
  await begun.promise;
  // One hour of each event in one second.
  for (let second = 0; second < 24; second++) await clock.advance(1000);
  await new Promise((resolve) => setImmediate(resolve));
  stop.abort();
  await clock.advance(1000);
  await reading;
  const dueBy = (file: string): number => {
    const times = [...readFileSync(`${folder}${file}`, 'utf8').matchAll(/^["']+(\d{18})["']+,/gm)]
      .map((found) => Number((BigInt(found[1] ?? '') >> 22n) + 1_288_834_974_657n)).toSorted((a, b) => a - b);
    return times.filter((time) => time <= (times[0] ?? 0) + 24 * 3_600_000).length;
  };
  const byEvent = Map.groupBy(posts(items), (post) => post.events[0]?.id ?? '');
  expect(byEvent.get('2013-alberta-floods')).toHaveLength(dueBy('2013-alberta-floods.t6.csv'));
  expect(byEvent.get('2013-colorado-floods')).toHaveLength(dueBy('2013-colorado-floods.t26.csv'));
  expect(posts(items).every((post) => post.receivedAtMs >= start && post.receivedAtMs <= start + 24_000)).toBe(true);
});

test('a restart goes on behind the cursor and repeats nothing before it', async () => {
  const { feed, source } = await setUp('max');
  const first = await readUntil(source, feed, undefined, (read) => read.at(-1)?.kind === 'cursor' && posts(read).length > 3000);
  const last = first.at(-1);
  const cursor = last?.kind === 'cursor' ? last.cursor : undefined;
  const rest = await readUntil(source, feed, cursor, (read) =>
    read.at(-1)?.kind === 'cursor' && posts(first).length + posts(read).length >= 11_031);
  const all = [...posts(first), ...posts(rest)].map((post) => `${post.events[0]?.id} ${idOf(post)}`);
  expect(all).toHaveLength(11_031);
  // The Alberta file holds two ids twice.
  expect(new Set(all).size).toBe(11_029);
  // All played: started again, it plays nothing more and waits.
  const end = rest.at(-1);
  const finished = source.read({ cursor: end?.kind === 'cursor' ? end.cursor : undefined, events: feed,
    signal: AbortSignal.timeout(50) });
  expect(await collect(finished)).toEqual([]);
});

test('a paused event stops at once and goes on where it stopped', async () => {
  const { samples, feed, source } = await setUp('max');
  const [alberta, colorado] = samples.map(crisisEvent);
  if (alberta === undefined || colorado === undefined) throw new Error('two samples');
  feed.set([alberta]);
  const seen: string[] = [];
  const stop = new AbortController();
  for await (const item of source.read({ cursor: undefined, events: feed, signal: stop.signal })) {
    if (item.kind !== 'post') continue;
    seen.push(item.events[0]?.id ?? '');
    if (seen.length === 10) feed.set([colorado]);
    if (seen.length === 1010) feed.set([alberta]);
    if (seen.length === 1020) stop.abort();
  }
  expect(seen.slice(0, 10).every((id) => id === alberta.id)).toBe(true);
  expect(seen.slice(11, 1009).every((id) => id === colorado.id)).toBe(true);
  expect(seen.slice(1011).every((id) => id === alberta.id)).toBe(true);
});

test('a cursor that is none of ours is refused', async () => {
  const { feed, source } = await setUp('max');
  const reading = collect(source.read({ cursor: '{"a":-1}', events: feed, signal: new AbortController().signal }));
  await expect(reading).rejects.toMatchObject({ code: 'corrupt' });
});
