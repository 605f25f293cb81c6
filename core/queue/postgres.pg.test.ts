import { startPostgres } from '#test/services/postgres.ts';
import { openPostgresQueue } from './postgres.ts';
import { queueSuite } from './queue.suite.ts';

queueSuite('BullMQ on PostgreSQL', async () => {
  const server = await startPostgres();
  const queue = await openPostgresQueue(server.url, { backoffMs: 50 });
  return {
    queue,
    another: () => openPostgresQueue(server.url, { backoffMs: 50 }),
    async dispose() {
      await queue[Symbol.asyncDispose]();
      await server.stop();
    },
  };
});

test('a database that is not there is unavailable, with what to look at', async () => {
  await expect(openPostgresQueue('postgres://nobody@127.0.0.1:1/none')).rejects.toMatchObject({ code: 'unavailable', retryable: true });
});

test('jobs survive a PostgreSQL that is killed and started again, and so do those who work', async () => {
  const server = await startPostgres();
  try {
    await using queue = await openPostgresQueue(server.url, { backoffMs: 50 });
    const seen: unknown[] = [];
    await using _worker = await queue.work('other', { concurrency: 1 }, async ({ payload }) => void seen.push(payload));
    await queue.enqueue('jobs', { id: 'kept', payload: { n: 1 } });
    await server.kill();
    await expect(queue.enqueue('jobs', { id: 'lost', payload: {} })).rejects.toMatchObject({ code: 'unavailable' });
    await server.restart();
    expect(await queue.stats('jobs')).toMatchObject({ waiting: 1 });
    await queue.enqueue('other', { id: 'after', payload: 'after' });
    for (let tries = 0; tries < 600 && seen.length === 0; tries++) await new Promise((resolve) => setTimeout(resolve, 50));
    expect(seen).toEqual(['after']);
  } finally {
    await server.stop();
  }
}, 60_000);
