import { openJobsLake, type JobsLake } from '#test/jobs-lake.ts';
import { createMemoryClassifier } from '../classifiers/memory.ts';
import { activityJob } from './activity.ts';
import { classifyJob } from './classify.ts';

const identity = 'log-1';
const context = { signal: new AbortController().signal, progress: async () => undefined };

async function count(lake: JobsLake, crashAt?: string): Promise<void> {
  await activityJob({
    ...lake.fresh(),
    crashPoint: (name) => {
      if (name === crashAt) throw new Error(`killed at ${name}`);
    },
  }).run({}, context);
}

async function classify(lake: JobsLake, words: readonly string[], version?: string): Promise<void> {
  await classifyJob({
    ...lake.fresh(),
    classifier: createMemoryClassifier(words, version),
    logIdentity: identity,
    onCommit: () => undefined,
    crashPoint: () => undefined,
  }).run({}, context);
}

interface Given {
  readonly id: number;
  readonly at: string;
  readonly event?: string;
  readonly author?: string;
  readonly text?: string;
  readonly tags?: readonly string[];
}

const post = ({ id, at, event = 'flood', author = 'a1', text = 'water', tags = [] }: Given) => ({
  event_id: event,
  source: 'x',
  post_id: String(id),
  created_at: at,
  author_id: author,
  author_handle: `h-${author}`,
  text,
  lang: 'en',
  hashtags: tags,
  mentions: [],
  urls: [],
});

const gone = (kind: string, id: string, state = 'gone', at = '2026-02-01 00:00:00+00') => ({
  source: 'x',
  kind,
  id,
  state,
  why: 'deleted',
  received_at: at,
});

const minutes = async (lake: JobsLake): Promise<string[]> =>
  (await lake.rows('activity', 'event_id, minute, lang')).map(
    (row) =>
      `${String(row['event_id'])} ${(row['minute'] as Date).toISOString().slice(0, 16)} ${String(row['posts'])}/${String(row['authors'])}`,
  );
const labels = async (lake: JobsLake): Promise<string[]> =>
  (await lake.rows('activity_labels', 'event_id, minute, label')).map(
    (row) =>
      `${String(row['event_id'])} ${(row['minute'] as Date).toISOString().slice(0, 16)} ${String(row['label'])} ${String(row['posts'])}`,
  );
const terms = async (lake: JobsLake, kind: string): Promise<string[]> =>
  (await lake.rows('activity_terms', 'event_id, hour, posts desc, value'))
    .filter((row) => row['kind'] === kind)
    .map(
      (row) => `${(row['hour'] as Date).toISOString().slice(0, 13)} ${String(row['value'])} ${String(row['posts'])}`,
    );

test('counts posts by minute, and late posts into the minutes they belong to', async () => {
  await using lake = await openJobsLake(identity);
  await lake.land('posts', 0, 0, [
    post({ id: 1, at: '2026-01-02 03:04:05+00' }),
    post({ id: 2, at: '2026-01-02 03:04:59.999999+00', author: 'a2' }),
    post({ id: 3, at: '2026-01-02 03:05:00+00' }),
    post({ id: 4, at: '2026-01-03 00:00:00+00', event: 'quake' }),
  ]);
  await count(lake);
  const first = ['flood 2026-01-02T03:04 2/2', 'flood 2026-01-02T03:05 1/1', 'quake 2026-01-03T00:00 1/1'];
  expect(await minutes(lake)).toEqual(first);
  await count(lake);
  expect(await minutes(lake)).toEqual(first);
  await lake.land('posts', 0, 4, [
    post({ id: 5, at: '2026-01-02 03:04:30+00' }),
    post({ id: 6, at: '2026-01-02 09:00:00+00' }),
  ]);
  await count(lake);
  expect(await minutes(lake)).toEqual([
    'flood 2026-01-02T03:04 3/2',
    'flood 2026-01-02T03:05 1/1',
    'flood 2026-01-02T09:00 1/1',
    'quake 2026-01-03T00:00 1/1',
  ]);
});

test('counts posts from before 1970 into the right minute and day', async () => {
  await using lake = await openJobsLake(identity);
  await lake.land('posts', 0, 0, [
    post({ id: 1, at: '1969-12-31 23:59:59.5+00' }),
    post({ id: 2, at: '1970-01-01 00:00:00+00' }),
  ]);
  await count(lake);
  expect(await minutes(lake)).toEqual(['flood 1969-12-31T23:59 1/1', 'flood 1970-01-01T00:00 1/1']);
});

test('forgets posts and authors that are gone, and counts them again when they come back', async () => {
  await using lake = await openJobsLake(identity);
  await lake.land('posts', 0, 0, [
    post({ id: 1, at: '2026-01-02 03:04:05+00' }),
    post({ id: 2, at: '2026-01-02 03:04:06+00', author: 'a2' }),
    post({ id: 3, at: '2026-01-02 05:00:00+00', author: 'a2' }),
  ]);
  await count(lake);
  await lake.land('tombstones', 0, 0, [gone('post', '1')]);
  await count(lake);
  expect(await minutes(lake)).toEqual(['flood 2026-01-02T03:04 1/1', 'flood 2026-01-02T05:00 1/1']);
  await lake.land('tombstones', 0, 1, [gone('author', 'a2')]);
  await count(lake);
  expect(await minutes(lake)).toEqual([]);
  await lake.land('tombstones', 0, 2, [gone('author', 'a2', 'back', '2026-02-02 00:00:00+00')]);
  await count(lake);
  expect(await minutes(lake)).toEqual(['flood 2026-01-02T03:04 1/1', 'flood 2026-01-02T05:00 1/1']);
});

test('a tombstone that came before its post counts too', async () => {
  await using lake = await openJobsLake(identity);
  await lake.land('tombstones', 0, 0, [gone('post', '1')]);
  await count(lake);
  await lake.land('posts', 0, 0, [
    post({ id: 1, at: '2026-01-02 03:04:05+00' }),
    post({ id: 2, at: '2026-01-02 03:04:05+00' }),
  ]);
  await count(lake);
  expect(await minutes(lake)).toEqual(['flood 2026-01-02T03:04 1/1']);
});

test('counts the newest label of each post, also after another model has judged', async () => {
  await using lake = await openJobsLake(identity);
  await lake.land('posts', 0, 0, [
    post({ id: 1, at: '2026-01-02 03:04:05+00' }),
    post({ id: 2, at: '2026-01-02 03:04:05+00', text: 'fire' }),
  ]);
  await classify(lake, ['water']);
  await count(lake);
  expect(await labels(lake)).toEqual(['flood 2026-01-02T03:04 not_relevant 1', 'flood 2026-01-02T03:04 relevant 1']);
  await classify(lake, ['water', 'fire'], 'memory-2');
  await count(lake);
  expect(await labels(lake)).toEqual(['flood 2026-01-02T03:04 relevant 2']);
  await lake.land('tombstones', 0, 0, [gone('post', '2')]);
  await count(lake);
  expect(await labels(lake)).toEqual(['flood 2026-01-02T03:04 relevant 1']);
});

test('counts hashtags and words once per post, without links, names and small words', async () => {
  await using lake = await openJobsLake(identity);
  await lake.land('posts', 0, 0, [
    post({
      id: 1,
      at: '2026-01-02 03:04:05+00',
      text: 'The water, water at https://t.co/bridge and @bridge',
      tags: ['Flood', 'flood'],
    }),
    post({ id: 2, at: '2026-01-02 03:30:00+00', text: 'Water über alles', tags: ['FLOOD'] }),
  ]);
  await count(lake);
  expect(await terms(lake, 'hashtag')).toEqual(['2026-01-02T03 flood 2']);
  expect(await terms(lake, 'word')).toEqual(['2026-01-02T03 water 2', '2026-01-02T03 alles 1', '2026-01-02T03 über 1']);
  expect(await terms(lake, 'author')).toEqual(['2026-01-02T03 h-a1 2']);
});

test('puts its rows into the partition of their event and day', async () => {
  await using lake = await openJobsLake(identity);
  await lake.land('posts', 0, 0, [
    post({ id: 1, at: '2026-01-02 03:04:05+00' }),
    post({ id: 2, at: '2026-01-03 03:04:05+00' }),
  ]);
  await count(lake);
  await lake.land('posts', 0, 2, [post({ id: 3, at: '2026-01-03 04:04:05+00' })]);
  await count(lake);
  const { planScan } = await import('#warehouse/table/scan.ts');
  const plan = await planScan({ store: lake.fresh().store, metadata: await lake.metadata('activity') });
  // 2026-01-02 is the 20,455th day since 1970.
  expect(plan.files.map(({ specId, partition }) => [specId, Object.values(partition)]).sort()).toEqual([
    [1, ['flood', 20455]],
    [1, ['flood', 20456]],
  ]);
});

const crashPoints = ['found', 'counted', 'placed', 'manifest-written', 'manifest-list-written', 'metadata-written'];

test.each(crashPoints)('killed at %s, the counts are right afterwards', async (crashAt) => {
  await using lake = await openJobsLake(identity);
  await lake.land('posts', 0, 0, [post({ id: 1, at: '2026-01-02 03:04:05+00' })]);
  await count(lake);
  await lake.land('posts', 0, 1, [post({ id: 2, at: '2026-01-02 03:04:05+00' })]);
  await expect(count(lake, crashAt)).rejects.toThrow(`killed at ${crashAt}`);
  await count(lake);
  expect(await minutes(lake)).toEqual(['flood 2026-01-02T03:04 2/1']);
});

test('writes many days at once into one file, and takes them from there again', async () => {
  await using lake = await openJobsLake(identity);
  const day = (index: number): string => new Date(Date.UTC(2026, 0, 1 + index, 3, 4)).toISOString();
  await lake.land(
    'posts',
    0,
    0,
    Array.from({ length: 40 }, (_, index) => post({ id: index, at: day(index) })),
  );
  await count(lake);
  const { planScan } = await import('#warehouse/table/scan.ts');
  const plan = await planScan({ store: lake.fresh().store, metadata: await lake.metadata('activity') });
  expect(plan.files).toHaveLength(1);
  await lake.land('posts', 0, 40, [post({ id: 40, at: day(7) })]);
  await count(lake);
  const expected = Array.from({ length: 40 }, (_, index) => `flood ${day(index).slice(0, 16)} ${index === 7 ? 2 : 1}/1`);
  expect(await minutes(lake)).toEqual(expected);
});
