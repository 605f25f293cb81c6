import { performance } from 'node:perf_hooks';
import { manyPosts, openUpkeepLake } from '#test/upkeep-lake.ts';
import { createTableCache, loadManifestList } from '../table/files.ts';
import { planScan } from '../table/scan.ts';
import { keepTable } from './upkeep.ts';

const commits = 2_000;
const everyCommits = 30;

test('2,000 commits of one row with upkeep between end with few files, few snapshots and planning as quick as before', async () => {
  await using lake = await openUpkeepLake();
  const planned = async (): Promise<number> => {
    const metadata = await lake.current();
    const times: number[] = [];
    for (let turn = 0; turn < 9; turn++) {
      const from = performance.now();
      await planScan({ store: lake.context.store, metadata, cache: createTableCache() });
      times.push(performance.now() - from);
    }
    return times.sort((a, b) => a - b)[4] ?? 0;
  };
  let early = 0;
  for (let index = 0; index < commits; index++) {
    await lake.append(manyPosts(1, { from: index, events: 100 }));
    lake.clock.nowMs += 1_000;
    if (index % everyCommits === everyCommits - 1) await keepTable(lake.options, 'posts');
    if (index === 300) early = await planned();
  }
  expect(await lake.differences()).toEqual({ missing: 0, extra: 0 });
  const metadata = await lake.current();
  const { files } = await lake.plan();
  const manifests = await loadManifestList(lake.context.store, createTableCache(), metadata.snapshots.at(-1));
  let stored = 0;
  for await (const { key } of lake.context.store.list('store/posts/')) stored += key === '' ? 0 : 1;
  expect(files.length).toBeLessThan(60);
  expect(manifests.length).toBeLessThan(60);
  // Retention is 300 s at a commit a second, and an upkeep commit or two every 30 s.
  expect(metadata.snapshots.length).toBeLessThan(400);
  expect(stored).toBeLessThan(2_500);
  // Medians of a few milliseconds; a table that grew with its commits would be ten times slower here.
  expect(await planned()).toBeLessThan(early * 2 + 5);
}, 900_000);
