import fc from 'fast-check';
import { manualClock } from '#core/clock.ts';
import { createMemoryLog } from '#core/log/memory.ts';
import { topics, type Log } from '#core/log/log.ts';
import { createMemoryCatalog } from './catalog/memory.ts';
import { trimLog } from './trim.ts';

const hourMs = 3_600_000;
const line = Buffer.from('{}');

async function openLog(clock: ReturnType<typeof manualClock>): Promise<Log> {
  const log = createMemoryLog(clock);
  for (const topic of topics) await log.ensureTopic(topic, topic === 'posts' ? 2 : 1);
  return log;
}

async function land(catalog: ReturnType<typeof createMemoryCatalog>, log: Log, landing: string, partition: number, to: bigint): Promise<void> {
  const logIdentity = await log.identity('posts');
  const from = (await catalog.landed(landing, logIdentity)).get(partition) ?? null;
  await catalog.commit({ swaps: [], ledger: [{ landing, logIdentity, topic: 'posts', partition, from: from ?? 0n, to, kept: 0, duplicate: 0, dead: 0 }] });
}

test('only what is old and in every table is forgotten', async () => {
  const clock = manualClock();
  const log = await openLog(clock);
  const catalog = createMemoryCatalog();
  for (let hour = 0; hour < 10; hour++) {
    await log.append('posts', 0, [line, line]);
    await clock.advance(hourMs);
  }
  const trim = () => trimLog({ log, catalog, clock, retentionMs: 4 * hourMs });
  const earliest = async () => (await log.bounds('posts', 0)).earliest;
  // Landing `raw` has nothing yet.
  await land(catalog, log, 'posts', 0, 20n);
  expect(await trim()).toEqual([]);
  await land(catalog, log, 'raw', 0, 5n);
  // Offset 4 shares its append with 5, so both stay.
  expect(await trim()).toEqual([{ topic: 'posts', partition: 0, before: 5n }]);
  expect(await earliest()).toBe(4n);
  await land(catalog, log, 'raw', 0, 20n);
  // The appends of hours 0 to 5 are more than four hours old, that of hour 6 is just four.
  expect(await trim()).toEqual([{ topic: 'posts', partition: 0, before: 12n }]);
  expect(await earliest()).toBe(12n);
  await clock.advance(100 * hourMs);
  await trim();
  expect(await log.bounds('posts', 0)).toEqual({ earliest: 20n, next: 20n });
});

test('however appends, landings and time fall, nothing that one landing still needs or that is young is forgotten', async () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant('append' as const), count: fc.integer({ min: 1, max: 5 }) }),
    fc.record({ kind: fc.constant('wait' as const), count: fc.integer({ min: 1, max: 5 }) }),
    fc.record({ kind: fc.constantFrom('posts' as const, 'raw' as const), count: fc.integer({ min: 1, max: 9 }) }),
    fc.record({ kind: fc.constant('trim' as const), count: fc.constant(0) }),
  );
  await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
    const clock = manualClock();
    const log = await openLog(clock);
    const catalog = createMemoryCatalog();
    const appendedAt: number[] = [];
    const landed = { posts: 0, raw: 0 };
    for (const { kind, count } of steps) {
      if (kind === 'append') {
        await log.append('posts', 1, Array.from({ length: count }, () => line));
        appendedAt.push(...Array.from({ length: count }, () => clock.now()));
      } else if (kind === 'wait') await clock.advance(count * hourMs);
      else if (kind === 'trim') await trimLog({ log, catalog, clock, retentionMs: 6 * hourMs });
      else {
        const to = Math.min(appendedAt.length, landed[kind] + count);
        if (to === landed[kind]) continue;
        landed[kind] = to;
        await land(catalog, log, kind, 1, BigInt(to));
      }
      const { earliest } = await log.bounds('posts', 1);
      const youngest = appendedAt.findIndex((at) => at >= clock.now() - 6 * hourMs);
      expect(Number(earliest)).toBeLessThanOrEqual(Math.min(landed.posts, landed.raw));
      if (youngest >= 0) expect(Number(earliest)).toBeLessThanOrEqual(youngest);
    }
  }), { numRuns: 100 });
});
