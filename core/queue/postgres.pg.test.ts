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
