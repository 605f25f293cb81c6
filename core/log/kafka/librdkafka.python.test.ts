import { kafkaPython, runPython } from '#test/services/python.ts';
import { startKafka } from '#test/services/kafka.ts';
import { systemClock } from '../../clock.ts';
import { createKafkaLog } from './kafka.ts';

const script = `
import json, sys
from confluent_kafka import Consumer, Producer, TopicPartition
brokers, count = sys.argv[1], int(sys.argv[2])
consumer = Consumer({'bootstrap.servers': brokers, 'group.id': 'test', 'enable.auto.commit': False, 'check.crcs': True})
consumer.assign([TopicPartition('ours', 0, 0)])
values = []
while len(values) < count:
    message = consumer.poll(30)
    if message is None or message.error():
        raise SystemExit(f'after {len(values)} records: {message and message.error()}')
    values.append(message.value().decode())
consumer.close()
for codec in ('none', 'gzip', 'snappy', 'lz4', 'zstd'):
    producer = Producer({'bootstrap.servers': brokers, 'compression.type': codec, 'linger.ms': 200, 'enable.idempotence': True})
    for index in range(300):
        producer.produce('theirs', value=f'{codec} {index} ' + 'water rises ' * 40, key=f'key {index}', headers={'h': 'v'}, partition=0)
    producer.flush()
print(json.dumps(values))
`;

test('librdkafka reads what we append, and we read what it appends, in every compression', async () => {
  await using kafka = await startKafka();
  await using log = createKafkaLog({ brokers: kafka.brokers, replication: 1, clock: systemClock });
  await log.ensureTopic('ours', 1);
  await log.ensureTopic('theirs', 1);
  const values = [
    ...Array.from({ length: 2_000 }, (_, index) => `post ${index} 🌊 ${'the same words again '.repeat(30)}`), // compressed
    'short', // as it is
  ];
  await log.append('ours', 0, values.slice(0, -1).map((value) => Buffer.from(value)));
  await log.append('ours', 0, values.slice(-1).map((value) => Buffer.from(value)));
  expect(await runPython(script, [kafka.brokers, String(values.length)], kafkaPython())).toEqual(values);

  const wanted = ['none', 'gzip', 'snappy', 'lz4', 'zstd'].flatMap((codec) =>
    Array.from({ length: 300 }, (_, index) => `${codec} ${index} ${'water rises '.repeat(40)}`));
  const found: string[] = [];
  while (found.length < wanted.length) {
    for (const chunk of await log.read('theirs', 0, BigInt(found.length), { maxBytes: 1e5, waitMs: 10_000 })) {
      found.push(...Buffer.from(chunk.lines).toString().split('\n').slice(0, -1));
    }
  }
  expect(found).toEqual(wanted);
}, 300_000);
