import { utimes } from 'node:fs/promises';
import { silentLogger } from '#core/logger.ts';
import { openJobsLake, type JobsLake } from '#test/jobs-lake.ts';
import { createMemoryClassifier } from '../classifiers/memory.ts';
import { classifyJob } from './classify.ts';
import { orphansJob } from './orphans.ts';

const hourMs = 3_600_000;

async function sweep(lake: JobsLake, modelVersion: string): Promise<void> {
  const { metrics, ...context } = lake.fresh();
  const job = orphansJob({ context, minAgeMs: 72 * hourMs, modelVersion, logger: silentLogger, metrics });
  await job.run({}, { signal: new AbortController().signal, progress: async () => undefined });
}

async function classify(lake: JobsLake, version: string): Promise<void> {
  const classifier = createMemoryClassifier(['water'], version);
  const job = classifyJob({ ...lake.fresh(), classifier, logIdentity: 'log', onCommit: () => undefined, crashPoint: () => undefined });
  await job.run({}, { signal: new AbortController().signal, progress: async () => undefined });
}

const posts = (ids: readonly number[]) => ids.map((id) => (
  { event_id: `e${id % 2}`, source: 'x', post_id: String(id), created_at: '2026-01-02 03:04:05+00', text: 'water' }));

async function keys(lake: JobsLake, prefix: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { key } of lake.fresh().store.list(prefix)) found.push(key);
  return found.sort();
}

async function age(lake: JobsLake, hours: number): Promise<void> {
  const at = (Date.now() - hours * hourMs) / 1000;
  for (const key of await keys(lake, '')) await utimes(await lake.fresh().store.localPath(key), at, at);
}

test('what crashed runs left goes with time, and what the labels lean on stays', async () => {
  await using lake = await openJobsLake('log');
  await lake.land('posts', 0, 0, posts([1, 2, 3]));
  await classify(lake, 'v1');
  await lake.fresh().store.put('state/classify/v1/left', Buffer.from('x'));
  await lake.fresh().store.put('store/posts/data/left.parquet', Buffer.from('x'));
  const before = await keys(lake, '');
  await sweep(lake, 'v1');
  expect(await keys(lake, '')).toEqual(before);
  await age(lake, 73);
  await sweep(lake, 'v1');
  expect(await keys(lake, '')).toEqual(before.filter((key) => !key.endsWith('/left') && !key.endsWith('/left.parquet')));
  await lake.land('posts', 0, 3, posts([4]));
  await classify(lake, 'v1');
  expect(await lake.rows('classifications', 'post_id')).toHaveLength(4);
});

test('a model version that has labelled nothing for days is given up, with its marks and what it adapted to', async () => {
  await using lake = await openJobsLake('log');
  await lake.land('posts', 0, 0, posts([1, 2, 3]));
  await classify(lake, 'v1');
  await age(lake, 73);
  // Another version that has not begun: the old marks are what it will start from.
  await sweep(lake, 'v2');
  expect(await keys(lake, 'state/classify/v1/')).not.toEqual([]);
  await classify(lake, 'v2');
  await sweep(lake, 'v2');
  expect(await keys(lake, 'state/classify/v1/')).toEqual([]);
  const names = Object.keys(await lake.properties('classifications'));
  expect(names.filter((name) => name.includes('.v1'))).toEqual([]);
  expect(names.filter((name) => name.includes('.v2'))).toHaveLength(3);
  await lake.land('posts', 0, 3, posts([4]));
  await classify(lake, 'v2');
  expect(await lake.rows('classifications', 'post_id')).toHaveLength(7);
});

test('a table of which nothing can be said keeps all it has, the others are swept, and the job says why', async () => {
  await using lake = await openJobsLake('log');
  await lake.land('posts', 0, 0, posts([1, 2, 3]));
  await lake.fresh().store.put('store/posts/data/left.parquet', Buffer.from('x'));
  await lake.fresh().store.put('store/raw/data/left.parquet', Buffer.from('x'));
  const [file] = (await keys(lake, 'store/posts/data/')).filter((key) => !key.includes('left'));
  await age(lake, 73);
  await lake.fresh().store.delete(file ?? '');
  await expect(sweep(lake, 'v1')).rejects.toMatchObject({ code: 'corrupt' });
  expect(await keys(lake, 'store/posts/data/')).toEqual(['store/posts/data/left.parquet']);
  expect(await keys(lake, 'store/raw/data/')).toEqual([]);
});
