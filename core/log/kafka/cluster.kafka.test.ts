import { Admin, Producer } from '@platformatic/kafka';
import { jest } from '@jest/globals';
import { startKafka } from '#test/services/kafka.ts';
import type { KafkaService } from '#test/services/kafka.ts';
import { systemClock } from '../../clock.ts';
import type { Log } from '../log.ts';
import { createKafkaLog } from './kafka.ts';
import type { KafkaLogOptions } from './kafka.ts';

jest.setTimeout(600_000);

const text = new TextEncoder();
const lines = (...values: string[]): Uint8Array[] => values.map((value) => text.encode(value));
const code = (wanted: string, more: object = {}): unknown => expect.objectContaining({ code: wanted, ...more });

async function readAll(log: Log, topic: string, partition = 0): Promise<string[]> {
  const { earliest, next } = await log.bounds(topic, partition);
  const found: string[] = [];
  for (let from = earliest; from < next;) {
    const chunks = await log.read(topic, partition, from, { maxBytes: 1e6, waitMs: 100 });
    if (chunks.length === 0) break;
    for (const chunk of chunks) {
      found.push(...Buffer.from(chunk.lines).toString().split('\n').slice(0, -1));
      from = chunk.baseOffset + BigInt(chunk.count);
    }
  }
  return found;
}

describe('one broker', () => {
  const login = { username: 'alice', password: 'correct horse' };
  let kafka: KafkaService;
  let log: Log;
  const open = (more: Partial<KafkaLogOptions> = {}): Log =>
    createKafkaLog({ brokers: kafka.brokers, replication: 1, clock: systemClock, retryForMs: 5000, ...more });
  beforeAll(async () => {
    kafka = await startKafka({ login });
    log = open();
  });
  afterAll(async () => {
    await log?.[Symbol.asyncDispose]();
    await kafka?.stop();
  });

  test('Kafka\'s own consumer reads what we append', async () => {
    await log.ensureTopic('others', 1);
    const values = Array.from({ length: 50 }, (_, index) => `post ${index} 🌊 ${'words '.repeat(50)}`);
    await log.append('others', 0, lines(...values));
    const printed = await kafka.command(
      `kafka-console-consumer.sh --bootstrap-server ${kafka.brokers} --topic others --partition 0 --offset 0 --max-messages 50`);
    expect(printed.trimEnd().split('\n').map((line) => line.trimEnd())).toEqual(values.map((line) => line.trimEnd()));
  });

  test('a topic that is deleted and made anew is not read with the offsets of the old one', async () => {
    await using own = open();
    await own.ensureTopic('anew', 1);
    await own.append('anew', 0, lines('old 0', 'old 1', 'old 2'));
    await own.read('anew', 0, 0n, { maxBytes: 1000, waitMs: 0 });
    const admin = new Admin({ clientId: 'test', bootstrapBrokers: [kafka.brokers] });
    await admin.deleteTopics({ topics: ['anew'] });
    await admin.close();
    const options = { maxBytes: 1000, waitMs: 0 };
    await expect(own.read('anew', 0, 2n, options)).rejects.toEqual(code('not_found'));
    await using fresh = open();
    await fresh.ensureTopic('anew', 1);
    await fresh.append('anew', 0, lines('new 0', 'new 1', 'new 2'));
    const refused = code('foreign_lake', { message: expect.stringContaining('made anew'), hint: expect.stringContaining('start it again') });
    await expect(own.read('anew', 0, 2n, options)).rejects.toEqual(refused);
    await expect(own.append('anew', 0, lines('x'))).rejects.toEqual(refused);
    await expect(own.trim('anew', 0, 2n)).rejects.toEqual(refused);
    expect(await readAll(fresh, 'anew')).toEqual(['new 0', 'new 1', 'new 2']);
  });

  test('a reader that retention passed by is told the oldest offset', async () => {
    await log.ensureTopic('trimmed', 1);
    await log.append('trimmed', 0, lines('a', 'b', 'c', 'd'));
    await log.trim('trimmed', 0, 3n);
    await expect(log.read('trimmed', 0, 1n, { maxBytes: 1000, waitMs: 0 })).rejects.toEqual(
      code('offset_out_of_range', { context: expect.objectContaining({ earliest: 3n, next: 4n, offset: 1n }) }));
    expect(await readAll(log, 'trimmed')).toEqual(['d']);
  });

  test('what others write in transactions is read when it is committed, and not when it is aborted', async () => {
    await log.ensureTopic('transactions', 1);
    const producer = new Producer({ clientId: 'test', bootstrapBrokers: [kafka.brokers], transactionalId: 'test', idempotent: true });
    for (const [value, commit] of [['committed 1', true], ['aborted', false], ['committed 2', true]] as const) {
      const transaction = await producer.beginTransaction();
      await transaction.send({ messages: [{ topic: 'transactions', partition: 0, value: Buffer.from(value) }] });
      await (commit ? transaction.commit() : transaction.abort());
    }
    await producer.close();
    await log.append('transactions', 0, lines('plain'));
    expect(await readAll(log, 'transactions')).toEqual(['committed 1', 'committed 2', 'plain']);
  });

  test('a topic is made with the settings it needs; one with others is refused with a command that mends it', async () => {
    await log.ensureTopic('ours', 3);
    await log.ensureTopic('ours', 2);
    await kafka.command(`kafka-topics.sh --bootstrap-server ${kafka.brokers} --create --topic theirs --partitions 1 `
      + '--config cleanup.policy=compact --config max.message.bytes=1000000 --config retention.ms=60000');
    const refusal: unknown = await log.ensureTopic('theirs', 1).catch((error: unknown) => error);
    expect(refusal).toEqual(code('bad_config', { message: expect.stringMatching(/cleanup\.policy=compact.*max\.message\.bytes=1000000.*retention\.ms=60000/) }));
    await kafka.command(hintOf(refusal));
    await log.ensureTopic('theirs', 1);
    const tooFew: unknown = await log.ensureTopic('theirs', 4).catch((error: unknown) => error);
    expect(tooFew).toEqual(code('bad_config', { message: expect.stringContaining('has 1 partitions, not 4') }));
    await kafka.command(hintOf(tooFew));
    await log.ensureTopic('theirs', 4);
    expect(await log.partitions('theirs')).toBe(4);
  });

  test('more copies than brokers are refused', async () => {
    await using three = open({ replication: 3 });
    await expect(three.ensureTopic('copies', 1)).rejects.toEqual(code('bad_config', { hint: expect.stringContaining('KAFKA_REPLICATION') }));
  });

  test.each(['plain', 'scram-sha-256', 'scram-sha-512'] as const)('a login by %s, open and encrypted', async (mechanism) => {
    for (const more of [{ brokers: kafka.loginBrokers }, { brokers: kafka.encryptedBrokers, tls: { ca: kafka.certificate } }]) {
      await using known = open({ ...more, login: { mechanism, ...login } });
      await known.ensureTopic(`login-${mechanism}`, 1);
      const offset = await known.append(`login-${mechanism}`, 0, lines('hello'));
      expect((await known.bounds(`login-${mechanism}`, 0)).next).toBe(offset + 1n);
    }
    await using stranger = open({ brokers: kafka.loginBrokers, login: { mechanism, ...login, password: 'wrong' } });
    await expect(stranger.partitions('ours')).rejects.toEqual(code('unauthorized', { hint: expect.stringContaining('KAFKA_PASSWORD') }));
  });

  test('the wrong way of speaking to a broker is said in a sentence', async () => {
    const plain = { mechanism: 'plain', ...login } as const;
    await using untrusting = open({ brokers: kafka.encryptedBrokers, tls: {}, login: plain });
    await expect(untrusting.partitions('ours')).rejects.toEqual(code('unauthorized', { hint: expect.stringContaining('NODE_EXTRA_CA_CERTS') }));
    await using open1 = open({ brokers: kafka.encryptedBrokers, retryForMs: 500 });
    await expect(open1.partitions('ours')).rejects.toEqual(expect.objectContaining({ hint: expect.stringContaining('TLS') }));
    await using open2 = open({ brokers: kafka.encryptedBrokers, login: plain, retryForMs: 500 });
    await expect(open2.partitions('ours')).rejects.toEqual(code('unavailable', { hint: expect.stringContaining('TLS') }));
    await using encrypted = open({ brokers: kafka.brokers, tls: {} });
    await expect(encrypted.partitions('ours')).rejects.toEqual(expect.objectContaining({ hint: expect.stringMatching(/KAFKA_TLS|KAFKA_BROKERS/) }));
    await using silent = open({ brokers: kafka.loginBrokers, retryForMs: 500 });
    await expect(silent.partitions('ours')).rejects.toEqual(code('unavailable', { hint: expect.stringContaining('login') }));
    expect(() => open({ brokers: 'a:b:c,' })).toThrow(/not the address/);
  });

  test('peers g2 6: a broker that is killed and comes back in the middle of appends has each record once, in order', async () => {
    await using patient = open({ retryForMs: 60_000 });
    await patient.ensureTopic('killed', 1);
    const written: string[] = [];
    let dead: Promise<void> | undefined;
    for (let batch = 0; batch < 300; batch++) {
      const values = Array.from({ length: 20 }, (_, index) => `${batch}-${index}`);
      if (batch === 100) dead = kafka.nodes[0]?.process().kill().then(() => kafka.nodes[0]?.restart());
      await patient.append('killed', 0, lines(...values));
      written.push(...values);
    }
    await dead;
    expect(await readAll(patient, 'killed')).toEqual(written);
  });

  test('no broker at all is unavailable', async () => {
    await using away = open({ brokers: '127.0.0.1:1,127.0.0.1:2', retryForMs: 300 });
    await expect(away.append('ours', 0, lines('a'))).rejects.toEqual(
      code('unavailable', { retryable: true, message: expect.stringContaining('ECONNREFUSED'), hint: expect.stringContaining('KAFKA_BROKERS') }));
  });
});

function hintOf(error: unknown): string {
  return typeof error === 'object' && error !== null && 'hint' in error ? String(error.hint) : '';
}

test('three brokers: the leader is killed in the middle of appends and reads, and nothing is lost or doubled', async () => {
  await using kafka = await startKafka({ brokers: 3 });
  const open = (): Log => createKafkaLog({ brokers: kafka.brokers, replication: 3, clock: systemClock, retryForMs: 60_000 });
  await using log = open();
  await log.ensureTopic('posts', 1);
  const described = await kafka.command(`kafka-topics.sh --bootstrap-server ${kafka.brokers} --describe --topic posts`);
  expect(described).toContain('min.insync.replicas=2');
  const leader = Number(/Leader: (\d)/.exec(described)?.[1]);
  await using reader = open();
  const seen: string[] = [];
  const total = 200 * 20;
  const reading = (async () => {
    for (let from = 0n; seen.length < total;) {
      for (const chunk of await reader.read('posts', 0, from, { maxBytes: 1e5, waitMs: 5000 })) {
        seen.push(...Buffer.from(chunk.lines).toString().split('\n').slice(0, -1));
        from = chunk.baseOffset + BigInt(chunk.count);
      }
    }
  })();
  const written: string[] = [];
  for (let batch = 0; batch < 200; batch++) {
    const values = Array.from({ length: 20 }, (_, index) => `${batch}-${index}`);
    if (batch === 60) await kafka.nodes[leader - 1]?.process().kill();
    await log.append('posts', 0, lines(...values));
    written.push(...values);
  }
  await reading;
  expect(seen).toEqual(written);
  await kafka.nodes[leader - 1]?.restart();
  expect(await readAll(log, 'posts')).toEqual(written);
});
