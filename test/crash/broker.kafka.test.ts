// The log's fault that one broker cannot show: of three, the leader dies while posts are appended and landed.
import { startKafka } from '#test/services/kafka.ts';
import { startPostgres } from '#test/services/postgres.ts';
import { startS3 } from '#test/services/s3.ts';
import { appendPosts, expectEachOnce, finish, openGround } from './ground.ts';

test('the leader of three brokers (min.insync.replicas 2) is killed while posts are appended and landed (seed 51)', async () => {
  await using stack = new AsyncDisposableStack();
  const [kafka, s3, postgres] = await Promise.all([startKafka({ brokers: 3 }), startS3(), startPostgres()]);
  stack.defer(async () => void await Promise.all([kafka.stop(), s3.stop(), postgres.stop()]));
  await using ground = await openGround({
    database: postgres.url, kafka: { brokers: kafka.brokers, copies: 3 },
    s3: { uri: `s3://${s3.bucket}/lake`, endpoint: s3.endpoint, region: s3.region, accessKey: s3.accessKey, secretKey: s3.secretKey },
  });
  const described = await kafka.command(`kafka-topics.sh --bootstrap-server ${kafka.brokers} --describe --topic posts`);
  expect(described).toContain('min.insync.replicas=2');
  const leader = kafka.nodes[Number(/Partition: 0\tLeader: (\d)/.exec(described)?.[1]) - 1];
  let writer = ground.writer();
  const appended = await appendPosts(ground.log, 51, 60, async (batch) => {
    // A writer ends when it has landed what was there when it began: the next one goes on.
    if (batch === 10 || batch === 20) {
      await writer.ended;
      writer = ground.writer();
    }
    if (batch === 21) await leader?.process().kill();
    if (batch === 40) await leader?.restart();
  });
  await writer.ended;
  await finish(ground);
  await expectEachOnce(ground, appended);
}, 600_000);
