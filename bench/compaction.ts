/**
 * Upkeep on a lake of real files in a temporary folder. `node bench/compaction.ts speed [megabytes]` tells the input per
 * second that merging and filing take; `node bench/compaction.ts day [commits]` makes a commit a second of the lake's
 * own clock (a hundred events, 40 posts each time; 86,400 is a day, which takes an hour) with upkeep after every 30th, and
 * tells what a commit, a plan and a question cost in the first and in the last tenth, and once all is in one file.
 */
import { cpus } from 'node:os';
import { manyPosts, openUpkeepLake, timelessLimits } from '../test/upkeep-lake.ts';
import { createTableCache } from '../warehouse/table/files.ts';
import { planScan } from '../warehouse/table/scan.ts';
import { upkeepLimits } from '../warehouse/upkeep/plan.ts';
import { keepTable } from '../warehouse/upkeep/upkeep.ts';

const [what = 'speed', count = what === 'speed' ? '64' : '86400'] = process.argv.slice(2);
const mib = 1024 * 1024;
const tell = (found: object): void => console.log(JSON.stringify({
  bench: `compaction-${what}`, ...found, cores: cpus().length, cpu: cpus()[0]?.model, node: process.version }));
const median = (times: readonly number[]): number => Number((times.toSorted((a, b) => a - b)[times.length >> 1] ?? 0).toFixed(2));
const timed = async (work: () => Promise<unknown>): Promise<number> => {
  const from = performance.now();
  await work();
  return performance.now() - from;
};

if (what === 'speed') await speed(Number(count) * mib);
else await day(Number(count));

async function speed(bytes: number): Promise<void> {
  await using lake = await openUpkeepLake();
  const rows = 25_000;
  for (let from = 0, stored = 0; stored < bytes; from += rows) {
    await lake.append(`select * replace (text || ' ' || md5(text) || ' ' || md5(post_id) || ' of words that repeat themselves in many posts' as text)
      from (${manyPosts(rows, { from, events: 5, days: 4 })})`);
    stored = (await lake.plan()).files.reduce((sum, file) => sum + file.bytes, 0);
  }
  const input = (await lake.plan()).files;
  const megabytes = input.reduce((sum, file) => sum + file.bytes, 0) / 1e6;
  const big = 1e12;
  const runs = [
    ['merge', { ...timelessLimits, hotBytesTarget: big, partitionBytesEnough: big, hotBytesMax: big, mergeFilesMin: 2 }],
    ['file', { ...upkeepLimits, overEveryMs: 0, overRowsMin: 0 }],
  ] as const;
  for (const [only, limits] of runs) {
    const seconds = await timed(() => keepTable({ ...lake.options, limits, only }, 'posts')) / 1000;
    const files = (await lake.plan()).files.length;
    tell({ piece: only, megabytes: Math.round(megabytes), seconds: Number(seconds.toFixed(2)), megabytesPerSecond: Math.round(megabytes / seconds), files });
  }
}

async function day(commits: number): Promise<void> {
  await using lake = await openUpkeepLake();
  const options = { ...lake.options, limits: upkeepLimits };
  const [commitMs, planMs]: number[][] = [[], []];
  const question = `select event_id, count(*) as n, max(likes) as m from posts group by all`;
  for (let index = 0; index < commits; index++) {
    const rows = manyPosts(40, { from: index * 40, events: 100 });
    const posts = `select * replace (make_timestamptz(${lake.clock.nowMs * 1000}) as created_at) from (${rows})`;
    commitMs?.push(await timed(() => lake.append(posts)));
    lake.clock.nowMs += Math.round(90_000_000 / commits);
    if (index % 30 === 29) await keepTable({ ...options, retentionMs: 300 * Math.round(90_000_000 / commits) }, 'posts');
    if (index % 10 !== 0) continue;
    const metadata = await lake.current();
    planMs?.push(await timed(() => planScan({ store: lake.context.store, metadata, cache: createTableCache() })));
  }
  const share = (times: readonly number[] = []): { first: number; last: number } => {
    const tenth = Math.ceil(times.length / 10);
    return { first: median(times.slice(tenth, 2 * tenth)), last: median(times.slice(-tenth)) };
  };
  const ask = async (): Promise<number> => {
    const times: number[] = [];
    for (let turn = 0; turn < 5; turn++) times.push(await timed(() => lake.ask(question)));
    return median(times);
  };
  const questionMs = await ask();
  const files = (await lake.plan()).files.length;
  const { snapshots } = await lake.current();
  const big = 1e12;
  await keepTable({ ...options, limits: { ...timelessLimits, mergeFilesMin: 2, hotBytesTarget: big, packFilesMin: 2 } }, 'posts');
  tell({ commits, files, snapshots: snapshots.length, commitMs: share(commitMs), planMs: share(planMs), questionMs, compactedQuestionMs: await ask() });
}
