import { startPostgres } from '#test/services/postgres.ts';
import { systemClock } from '../clock.ts';
import { openDatabase } from '../database/database.ts';
import { migrate } from '../database/migrate.ts';
import { logSuite } from './log.suite.ts';
import { createPostgresLog } from './postgres.ts';

logSuite('the Postgres log', async () => {
  const server = await startPostgres();
  const database = openDatabase(server.url, { max: 8 });
  await migrate(database);
  const log = createPostgresLog(database, systemClock);
  return {
    log,
    async another() {
      const other = openDatabase(server.url, { max: 4 });
      const handle = createPostgresLog(other, systemClock);
      return {
        ...handle,
        async [Symbol.asyncDispose]() {
          await handle[Symbol.asyncDispose]();
          await other[Symbol.asyncDispose]();
        },
      };
    },
    async remake(topic, partitions) {
      await database.execute(`drop table watershed.log_${topic}`);
      await database.execute('delete from watershed.log_topic where topic = $1', [topic]);
      await log.ensureTopic(topic, partitions);
    },
    async dispose() {
      await log[Symbol.asyncDispose]();
      await database[Symbol.asyncDispose]();
      await server.stop();
    },
  };
});
