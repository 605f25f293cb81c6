import { manualClock, systemClock } from '../clock.ts';
import { createMemoryQueue } from './memory.ts';
import { queueSuite } from './queue.suite.ts';

queueSuite('the memory queue', async () => {
  const queue = createMemoryQueue(systemClock, { backoffMs: 50 });
  // There is no other process: another handle is the same one, and disposing it must not end the first.
  return { queue, another: async () => ({ ...queue, [Symbol.asyncDispose]: async () => undefined }), dispose: async () => queue[Symbol.asyncDispose]() };
});

test('a schedule in a time zone follows the clock, over the change to winter time too', async () => {
  const clock = manualClock(Date.parse('2026-10-24T00:00:00Z'));
  await using queue = createMemoryQueue(clock);
  const at: string[] = [];
  await using _worker = await queue.work('reports', { concurrency: 1 }, async () => void at.push(new Date(clock.now()).toISOString()));
  await queue.schedule('reports', 'morning', { cron: '0 8 * * *', timeZone: 'Europe/Prague' }, { id: 'morning', payload: {} });
  await clock.advance(48 * 3_600_000);
  await Promise.resolve();
  expect(at).toEqual(['2026-10-24T06:00:00.000Z', '2026-10-25T07:00:00.000Z']);
});
