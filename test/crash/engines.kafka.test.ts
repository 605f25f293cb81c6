// The faults of the writer on the real parts: Kafka, S3 and PostgreSQL. After each the tables are counted against what was appended.
import { Admin } from '@platformatic/kafka';
import pg from 'pg';
import { startFaultProxy, type Fault, type FaultProxy } from '#test/services/fault-proxy.ts';
import { startKafka, type KafkaService } from '#test/services/kafka.ts';
import { startPostgres, type TestPostgres } from '#test/services/postgres.ts';
import { startS3, type S3Service } from '#test/services/s3.ts';
import { appendPosts, dieAtEveryPoint, expectEachOnce, finish, openGround, type Ground } from './ground.ts';

let kafka: KafkaService;
let s3: S3Service;
let proxy: FaultProxy;
let postgres: TestPostgres;
let lakes = 0;

beforeAll(async () => {
  [kafka, s3, postgres] = await Promise.all([startKafka(), startS3(), startPostgres()]);
  proxy = await startFaultProxy(s3.endpoint);
}, 600_000);

afterAll(async () => {
  await proxy?.stop();
  await Promise.all([kafka?.stop(), s3?.stop(), postgres?.stop()]);
});

/** A lake of its own, with topic `posts` made anew. */
async function newGround(): Promise<Ground> {
  proxy.inject(500, 0);
  const admin = new Admin({ clientId: 'test', bootstrapBrokers: [kafka.brokers] });
  if ((await admin.listTopics()).includes('posts')) await admin.deleteTopics({ topics: ['posts'] });
  await admin.close();
  return openGround({
    database: await postgres.createDatabase(),
    kafka: { brokers: kafka.brokers, copies: 1 },
    s3: { uri: `s3://${s3.bucket}/lake-${++lakes}`, endpoint: proxy.url, region: s3.region, accessKey: s3.accessKey, secretKey: s3.secretKey },
  });
}

test.each([11, 12, 13])('killed at every crash point in turn, each record has one fate (seed %i)', async (seed) => {
  await using ground = await newGround();
  const appended = await appendPosts(ground.log, seed);
  await dieAtEveryPoint(ground, seed);
  await expectEachOnce(ground, appended);
}, 300_000);

test.each<[Fault, number]>([[500, 21], [503, 22], ['silence', 23], ['cut', 24], ['half', 25], ['lost', 26], ['lost-cut', 27]])(
  'S3 suffers %p in every third request while the writer works (seed %i)', async (fault, seed) => {
    await using ground = await newGround();
    const appended = await appendPosts(ground.log, seed);
    let requests = 0;
    const before = proxy.suffered;
    // Every third, so that a request that is tried again gets through; what hangs costs a second each time.
    proxy.inject(fault, fault === 'silence' ? 12 : 1_000, () => ++requests % 3 === 0);
    await finish(ground);
    proxy.inject(500, 0);
    expect(proxy.suffered - before).toBeGreaterThan(10);
    await expectEachOnce(ground, appended);
  }, 240_000);

test('S3 is away for longer than any request is tried: the writer ends, and the next goes on (seed 28)', async () => {
  await using ground = await newGround();
  const appended = await appendPosts(ground.log, 28);
  const writer = ground.writer('encoded', 2, 'tell');
  await writer.reached;
  proxy.inject(503, 100_000);
  expect(await writer.ended).not.toBe(0);
  expect(writer.said()).toContain('unavailable');
  proxy.inject(500, 0);
  await finish(ground);
  await expectEachOnce(ground, appended);
}, 240_000);

test.each([31, 32])('the database is killed while a commit waits within its transaction, and started again (seed %i)', async (seed) => {
  await using ground = await newGround();
  const appended = await appendPosts(ground.log, seed);
  expect(await ground.writer('committed', seed % 3 + 1).ended).toBe('SIGKILL');
  // The row of table `posts` is held, so that the writer's transaction stands in the middle when the server dies.
  const holder = new pg.Client({ connectionString: ground.engines.database });
  holder.on('error', () => undefined);
  await holder.connect();
  await holder.query('begin');
  await holder.query("select from public.iceberg_tables where table_namespace = 'store' and table_name = 'posts' for update");
  const writer = ground.writer();
  await until(async () => {
    const waiting = await ground.database.query(
      "select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' and query ilike 'update public.iceberg_tables%'");
    return waiting.length > 0;
  });
  await postgres.kill();
  await postgres.restart();
  // It outlives the restart or ends with an error; what counts is what the tables hold when all is landed.
  await writer.ended;
  await finish(ground);
  await expectEachOnce(ground, appended);
}, 240_000);

test('a writer that was stopped (SIGSTOP) within its commit is fenced when it goes on, after another took over (seed 41)', async () => {
  await using ground = await newGround();
  const appended = await appendPosts(ground.log, 41);
  const first = ground.writer('manifest-written', 1, 'tell');
  await first.reached;
  first.child.kill('SIGSTOP');
  await finish(ground);
  first.child.kill('SIGCONT');
  expect(await first.ended).toBe(1);
  expect(first.said()).toContain('fenced');
  await expectEachOnce(ground, appended);
}, 120_000);

async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!await condition()) await new Promise((resolve) => setTimeout(resolve, 20));
}
