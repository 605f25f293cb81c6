import { startRedis } from '#test/services/redis.ts';
import { queueSuite } from './queue.suite.ts';
import { openRedisQueue } from './redis.ts';

queueSuite('BullMQ on Redis', async () => {
  const server = await startRedis();
  const queue = await openRedisQueue(server.url, { backoffMs: 50 });
  return {
    queue,
    another: () => openRedisQueue(server.url, { backoffMs: 50 }),
    async dispose() {
      await queue[Symbol.asyncDispose]();
      await server.stop();
    },
  };
});

test('a Redis that evicts keys is refused with the command that mends it', async () => {
  await using server = await startRedis({ evicting: true });
  await expect(openRedisQueue(server.url)).rejects.toMatchObject({
    code: 'bad_config', message: expect.stringContaining('allkeys-lru'), hint: expect.stringContaining('CONFIG SET maxmemory-policy noeviction'),
  });
});

test('a Redis that is not there is unavailable', async () => {
  await expect(openRedisQueue('redis://127.0.0.1:1')).rejects.toMatchObject({ code: 'unavailable', retryable: true });
});

test('jobs survive a Redis that is killed and started again', async () => {
  await using server = await startRedis();
  await using queue = await openRedisQueue(server.url, { backoffMs: 50 });
  await queue.enqueue('jobs', { id: 'kept', payload: { n: 1 } });
  await server.process().kill();
  await expect(queue.enqueue('jobs', { id: 'other', payload: {} })).rejects.toMatchObject({ code: 'unavailable' });
  await server.restart();
  const seen = Promise.withResolvers<unknown>();
  await using _worker = await queue.work('jobs', { concurrency: 1 }, async ({ payload }) => seen.resolve(payload));
  expect(await seen.promise).toEqual({ n: 1 });
}, 30_000);
