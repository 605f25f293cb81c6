import { type TestPostgres, startPostgres } from '#test/services/postgres.ts';
import { systemClock } from '../clock.ts';
import { type Database, openDatabase } from '../database/database.ts';
import { migrate } from '../database/migrate.ts';
import { logSuite } from './log.suite.ts';
import type { Log } from './log.ts';
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

describe('the Postgres log', () => {
  let server: TestPostgres;
  let database: Database;
  beforeAll(async () => {
    server = await startPostgres();
  }, 30_000);
  beforeEach(async () => {
    database = openDatabase(await server.createDatabase(), { max: 8 });
    await migrate(database);
  });
  afterEach(() => database[Symbol.asyncDispose]());
  afterAll(() => server.stop());

  const records = (...values: string[]): Uint8Array[] => values.map((value) => new TextEncoder().encode(value));
  const now = { maxBytes: 100_000_000, waitMs: 0 };
  const slices = async (topic: string): Promise<number> =>
    (await database.query('select from pg_inherits where inhparent = to_regclass($1)', [`watershed.log_${topic}`]))
      .length;
  /** Appends one record at a time until the topic has `count` slices of time. */
  const fillSlices = async (log: Log, topic: string, partition: number, count: number): Promise<void> => {
    while ((await slices(topic)) < count) await log.append(topic, partition, records('x'));
  };

  test('bodies are kept outside of the row and not compressed a second time', async () => {
    await using log = createPostgresLog(database, systemClock);
    await log.ensureTopic('posts', 1);
    await log.append('posts', 0, records('x'));
    const storage = await database.query<{ attstorage: string }>(
      `select distinct attstorage::text from pg_attribute join pg_class on pg_class.oid = attrelid
        where relname like 'log\\_posts%' and relkind in ('r', 'p') and attname = 'body'`,
    );
    expect(storage).toEqual([{ attstorage: 'e' }]);
  });

  test('trim drops the slices of time that nobody needs, and only those', async () => {
    await using log = createPostgresLog(database, systemClock, { sliceMs: 60 });
    await log.ensureTopic('posts', 2);
    await fillSlices(log, 'posts', 0, 4);
    const { next } = await log.bounds('posts', 0);
    await fillSlices(log, 'posts', 1, 8);
    expect(await slices('posts')).toBeGreaterThanOrEqual(8);

    await log.trim('posts', 0, next);
    const kept = await slices('posts');
    expect(kept).toBeLessThan(8);
    // The last slice of partition 0 may hold the first batch of partition 1, which is wanted.
    const { earliest } = await log.bounds('posts', 0);
    expect(earliest).toBeGreaterThan(0n);
    expect(earliest).toBeLessThanOrEqual(next);
    await expect(log.read('posts', 0, 0n, now)).rejects.toMatchObject({ code: 'offset_out_of_range' });
    const other = await log.bounds('posts', 1);
    expect(other.earliest).toBe(0n);
    const held = await log.read('posts', 1, 0n, now);
    expect(held.reduce((sum, { count }) => sum + count, 0)).toBe(Number(other.next));
  });

  test('a topic of which little is trimmed does not keep the slices of another', async () => {
    await using log = createPostgresLog(database, systemClock, { sliceMs: 60 });
    await log.ensureTopic('events', 1);
    await log.ensureTopic('posts', 1);
    await log.append('events', 0, records('{"kept":"for ever"}'));
    await fillSlices(log, 'posts', 0, 5);
    await log.trim('posts', 0, (await log.bounds('posts', 0)).next);
    expect(await slices('posts')).toBeLessThanOrEqual(2);
    expect((await log.read('events', 0, 0n, now))[0]?.count).toBe(1);
  });

  test('slices of another length fit between those that are there', async () => {
    await using short = createPostgresLog(database, systemClock, { sliceMs: 60 });
    await short.ensureTopic('posts', 1);
    await fillSlices(short, 'posts', 0, 3);
    await using long = createPostgresLog(database, systemClock);
    const before = await slices('posts');
    while ((await slices('posts')) === before) await long.append('posts', 0, records('y'));
    const { next } = await short.bounds('posts', 0);
    const held = await long.read('posts', 0, 0n, now);
    expect(held.reduce((sum, { count }) => sum + count, 0)).toBe(Number(next));
  });

  test('who reads the topic in a long transaction, as a backup does, holds up no append, not even one that needs a new slice', async () => {
    await using log = createPostgresLog(database, systemClock, { sliceMs: 60 });
    await log.ensureTopic('posts', 1);
    await log.append('posts', 0, records('x'));
    const before = await slices('posts');
    await database.transaction(async (sql) => {
      await sql.query('select count(*) from watershed.log_batch');
      await fillSlices(log, 'posts', 0, before + 2);
    });
    expect(await slices('posts')).toBeGreaterThanOrEqual(before + 2);
  });

  test('a reader goes on across slices, also when those it has read are dropped', async () => {
    await using log = createPostgresLog(database, systemClock, { sliceMs: 60 });
    await log.ensureTopic('posts', 1);
    let from = 0n;
    for (let round = 0; round < 6; round++) {
      await fillSlices(log, 'posts', 0, (await slices('posts')) + 1);
      for (const { baseOffset, count } of await log.read('posts', 0, from, now)) {
        expect(baseOffset).toBe(from);
        from += BigInt(count);
      }
      await log.trim('posts', 0, from);
    }
    expect(await slices('posts')).toBeLessThanOrEqual(2);
    expect(from).toBe((await log.bounds('posts', 0)).next);
  });

  test('a batch that is damaged on disk stops the reader', async () => {
    await using log = createPostgresLog(database, systemClock);
    await log.ensureTopic('posts', 1);
    await log.append('posts', 0, records('a'.repeat(500), 'b'.repeat(500)));
    await database.execute(
      'update watershed.log_batch set body = set_byte(body, length(body) - 1, 255 - get_byte(body, length(body) - 1))',
    );
    await expect(log.read('posts', 0, 0n, now)).rejects.toMatchObject({ code: 'corrupt', retryable: false });
  });

  test('what was acknowledged is there after the server was killed, and a reader finds what comes later', async () => {
    await using log = createPostgresLog(database, systemClock);
    await log.ensureTopic('posts', 1);
    await log.append('posts', 0, records('before'));
    const waiting = log.read('posts', 0, 1n, { maxBytes: 1000, waitMs: 60_000 }).catch((error: unknown) => error);
    await server.kill();
    await expect(log.append('posts', 0, records('lost'))).rejects.toMatchObject({
      code: 'unavailable',
      retryable: true,
    });
    await server.restart();
    // The reader was told that the database is gone, or never noticed: both are right.
    const again = log.read('posts', 0, 1n, { maxBytes: 1000, waitMs: 60_000 });
    const appended = await log.append('posts', 0, records('after'));
    expect(appended).toBe(1n);
    expect(Buffer.from((await again)[0]?.lines ?? []).toString()).toBe('after\n');
    expect(await waiting).toMatchObject(Array.isArray(await waiting) ? { length: 1 } : { code: 'unavailable' });
    expect(Buffer.from((await log.read('posts', 0, 0n, now))[0]?.lines ?? []).toString()).toBe('before\n');
  }, 20_000);

  test('a reader whose notifications are lost is late, not deaf', async () => {
    const deaf: Database = { ...database, listen: () => Promise.reject(new Error('a pooler stands in between')) };
    await using log = createPostgresLog(deaf, systemClock);
    await log.ensureTopic('posts', 1);
    const waiting = log.read('posts', 0, 0n, { maxBytes: 1000, waitMs: 60_000 });
    await log.append('posts', 0, records('a'));
    expect((await waiting)[0]?.count).toBe(1);
  }, 20_000);
});
