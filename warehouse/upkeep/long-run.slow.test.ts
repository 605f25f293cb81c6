import { manyPosts, openUpkeepLake } from '#test/upkeep-lake.ts';
import { createTableCache, loadManifestList } from '../table/files.ts';
import { upkeepLimits } from './plan.ts';
import { keepTable } from './upkeep.ts';

/**
 * A day of a commit a second, a hundred events, at a hundredth: a commit every 100 s of the lake's own clock for 26 hours,
 * upkeep after every 30th, snapshots kept for as many commits as in truth. bench/compaction.ts tells the times.
 */
const stepMs = 100_000;
const commits = (26 * 3_600_000) / stepMs;
const upkeepEvery = 30;
const retainedCommits = 300;

test('a day of commits and the hours after it end with at most some hundreds of files', async () => {
  await using lake = await openUpkeepLake();
  const options = { ...lake.options, limits: upkeepLimits, retentionMs: retainedCommits * stepMs };
  const day = lake.clock.nowMs / 86_400_000;
  let most = 0;
  for (let index = 0; index < commits; index++) {
    const rows = manyPosts(40, { from: index * 40, events: 100 });
    await lake.append(`select * replace (make_timestamptz(${lake.clock.nowMs * 1000}) as created_at) from (${rows})`);
    lake.clock.nowMs += stepMs;
    if (index % upkeepEvery !== upkeepEvery - 1) continue;
    await keepTable(options, 'posts');
    most = Math.max(most, (await lake.plan()).files.length);
  }
  expect(await lake.differences()).toEqual({ missing: 0, extra: 0 });
  const { files } = await lake.plan();
  const metadata = await lake.current();
  const manifests = await loadManifestList(lake.context.store, createTableCache(), metadata.snapshots.at(-1));
  let stored = 0;
  for await (const { key } of lake.context.store.list('store/posts/')) stored += key === '' ? 0 : 1;
  // The day that is over lies in one file for each event; the hours after it are hot.
  const filed = files.filter(({ specId }) => specId === 1);
  expect(new Set(filed.map(({ partition }) => `${String(partition['1000'])} ${String(partition['1001'])}`)).size).toBe(100);
  expect(filed.every(({ partition }) => Number(partition['1001']) === day)).toBe(true);
  expect(most).toBeLessThan(200);
  expect(manifests.length).toBeLessThan(60);
  expect(metadata.snapshots.length).toBeLessThan(400);
  expect(stored).toBeLessThan(2_500);
}, 900_000);
