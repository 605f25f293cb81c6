import { openJobsLake, type JobsLake } from '#test/jobs-lake.ts';
import type { Classifier } from '../classifiers/classifier.ts';
import { createMemoryClassifier } from '../classifiers/memory.ts';
import { classifyJob } from './classify.ts';

const identity = 'log-1';

async function run(lake: JobsLake, classifier: Classifier, crashAt?: string): Promise<void> {
  const job = classifyJob({
    ...lake.fresh(),
    classifier,
    logIdentity: identity,
    onCommit: () => {
      if (crashAt === 'after the commit') throw new Error(`killed at ${crashAt}`);
    },
    crashPoint: (name) => {
      if (name === crashAt) throw new Error(`killed at ${name}`);
    },
  });
  await job.run({}, { signal: new AbortController().signal, progress: async () => undefined });
}

const labels = (lake: JobsLake) => lake.rows('classifications', 'log_partition, log_offset, event_id, model_version');
const post = (event: string, id: number, text: string) => ({
  event_id: event,
  source: 'x',
  post_id: String(id),
  created_at: '2026-01-02 03:04:05+00',
  text,
});
const flood = (ids: readonly number[], text = 'water everywhere') => ids.map((id) => post('flood', id, text));
const view = (rows: readonly Readonly<Record<string, unknown>>[]) =>
  rows.map(
    (row) =>
      `${String(row['event_id'])}/${String(row['post_id'])} ${String(row['label'])} ${Number(row['score']).toFixed(4)} ${String(row['model_version'])}`,
  );

test('labels what landed, once, in the order of the log, and remembers how far it came', async () => {
  await using lake = await openJobsLake(identity);
  const classifier = createMemoryClassifier(['water']);
  await lake.land('posts', 0, 0, [...flood([1, 2]), post('quake', 3, 'nothing')]);
  await lake.land('posts', 1, 0, flood([4]));
  await run(lake, classifier);
  await run(lake, classifier);
  expect(view(await labels(lake))).toEqual([
    'flood/1 relevant 0.5000 memory-1',
    'flood/2 relevant 0.6667 memory-1',
    'quake/3 not_relevant 0.5000 memory-1',
    'flood/4 relevant 0.7500 memory-1',
  ]);
  await lake.land('posts', 0, 3, flood([5]));
  await run(lake, classifier);
  expect(view(await labels(lake))).toContain('flood/5 relevant 0.8000 memory-1');
  expect((await lake.properties('classifications'))[`watershed.classified.memory-1.${identity}.0`]).toBe('4');
});

const crashPoints = [
  'read',
  'classified',
  'encoded',
  'placed',
  'manifest-written',
  'manifest-list-written',
  'metadata-written',
  'after the commit',
];

test.each(crashPoints)('killed at %s, it ends with the same labels as if it had not been', async (crashAt) => {
  await using lake = await openJobsLake(identity);
  const classifier = createMemoryClassifier(['water']);
  await lake.land('posts', 0, 0, flood([1, 2, 3]));
  await run(lake, classifier);
  await lake.land('posts', 0, 3, flood([4, 5]));
  await expect(run(lake, classifier, crashAt)).rejects.toThrow(`killed at ${crashAt}`);
  await run(lake, classifier);
  expect(view(await labels(lake))).toEqual([
    'flood/1 relevant 0.5000 memory-1',
    'flood/2 relevant 0.6667 memory-1',
    'flood/3 relevant 0.7500 memory-1',
    'flood/4 relevant 0.8000 memory-1',
    'flood/5 relevant 0.8333 memory-1',
  ]);
});

test('a new model takes new posts first and then does the old ones again', async () => {
  await using lake = await openJobsLake(identity);
  await lake.land('posts', 0, 0, flood([1, 2]));
  await run(lake, createMemoryClassifier(['water']));
  await lake.land('posts', 0, 2, flood([3]));
  await run(lake, createMemoryClassifier(['everywhere'], 'memory-2'));
  expect(view(await labels(lake))).toEqual([
    'flood/1 relevant 0.5000 memory-1',
    'flood/1 relevant 0.6667 memory-2',
    'flood/2 relevant 0.6667 memory-1',
    'flood/2 relevant 0.7500 memory-2',
    'flood/3 relevant 0.5000 memory-2',
  ]);
});

test('two at once label every post once', async () => {
  await using lake = await openJobsLake(identity);
  const classifier = createMemoryClassifier(['water']);
  await lake.land('posts', 0, 0, flood(Array.from({ length: 50 }, (_, index) => index)));
  await Promise.all([run(lake, classifier), run(lake, classifier)]);
  expect((await labels(lake)).map((row) => row['post_id'])).toHaveLength(50);
});

test('commits after as few posts as a costly classifier asks for', async () => {
  await using lake = await openJobsLake(identity);
  await lake.land('posts', 0, 0, flood([1, 2, 3, 4, 5]));
  await run(lake, { ...createMemoryClassifier(['water']), commitPostsMax: 2 });
  expect((await lake.metadata('classifications')).snapshots).toHaveLength(3);
  expect(await labels(lake)).toHaveLength(5);
});
