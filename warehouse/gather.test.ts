import { manualClock, systemClock } from '#core/clock.ts';
import { createMemoryLog } from '#core/log/memory.ts';
import type { Log } from '#core/log/log.ts';
import { gather, type Batch } from './gather.ts';

const record = (text: string): Buffer => Buffer.from(`{"n":"${text}"}`);
const texts = (batch: Batch): string[] => batch.ranges.flatMap(({ chunks }) =>
  chunks.flatMap(({ lines }) => [...Buffer.from(lines).toString().matchAll(/"n":"(\w+)"/g)].map((match) => match[1] ?? '')));

async function logWith(partitions: number): Promise<Log> {
  const log = createMemoryLog(systemClock);
  await log.ensureTopic('posts', partitions);
  return log;
}

test('what lies in the log comes in one batch, with ranges that begin where the table ends', async () => {
  await using log = await logWith(2);
  await log.append('posts', 0, [record('skipped'), record('a'), record('b')]);
  await log.append('posts', 1, [record('c')]);
  const stop = new AbortController();
  const batches = gather({
    log, topic: 'posts', positions: new Map([[0, 1n], [1, 0n]]), clock: systemClock, batchBytes: 1e6, intervalMs: 50,
    onLost: async () => undefined,
  }, stop.signal);
  const { value } = await batches.next();
  expect(value?.ranges.map(({ partition, from, to }: { partition: number; from: bigint; to: bigint }) => [partition, from, to]))
    .toEqual([[0, 1n, 3n], [1, 0n, 1n]]);
  expect(value === undefined ? [] : texts(value)).toEqual(['a', 'b', 'c']);
  stop.abort();
  expect((await batches.next()).done).toBe(true);
});

test('a topic that falls silent is closed by our own clock', async () => {
  await using log = await logWith(1);
  const clock = manualClock();
  const stop = new AbortController();
  const batches = gather({
    log, topic: 'posts', positions: new Map([[0, 0n]]), clock, batchBytes: 1e6, intervalMs: 500, onLost: async () => undefined,
  }, stop.signal);
  const next = batches.next();
  await log.append('posts', 0, [record('only')]);
  await clock.advance(499);
  let closed = false;
  void next.then(() => { closed = true; });
  await clock.advance(0);
  expect(closed).toBe(false);
  await clock.advance(1);
  const { value } = await next;
  expect(value?.records).toBe(1);
  stop.abort();
  await batches.return(undefined);
});

test('a full batch does not wait', async () => {
  await using log = await logWith(1);
  const clock = manualClock();
  await log.append('posts', 0, Array.from({ length: 100 }, (_, index) => record(`x${index}`)));
  const stop = new AbortController();
  const batches = gather({
    log, topic: 'posts', positions: new Map([[0, 0n]]), clock, batchBytes: 100, intervalMs: 60_000, onLost: async () => undefined,
  }, stop.signal);
  const { value } = await batches.next();
  expect(value?.records).toBeGreaterThan(0);
  stop.abort();
  await batches.return(undefined);
});

test('records that retention took are told before the writer goes on behind them', async () => {
  await using log = await logWith(1);
  for (const text of ['a', 'b', 'c']) await log.append('posts', 0, [record(text)]);
  await log.trim('posts', 0, 2n);
  const lost: unknown[] = [];
  const stop = new AbortController();
  const batches = gather({
    log, topic: 'posts', positions: new Map([[0, 0n]]), clock: systemClock, batchBytes: 1e6, intervalMs: 10,
    onLost: async (range) => { lost.push(range); },
  }, stop.signal);
  const { value } = await batches.next();
  expect(lost).toEqual([{ partition: 0, from: 0n, to: 2n }]);
  // The range still begins where the table ends: the ledger stays a chain.
  expect(value?.ranges).toMatchObject([{ partition: 0, from: 0n, to: 3n }]);
  stop.abort();
  await batches.return(undefined);
});
