/**
 * Which client for Kafka: records of 1.1 KB appended to and drained from a real broker (one, on the same machine) by
 * kafkajs, by @platformatic/kafka's own producer and stream, and by core/log/kafka (the same package's protocol layer).
 * `node bench/kafka-clients.ts [records] [runs]` prints a line of JSON per run.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import kafkajs from 'kafkajs';
import { Consumer, MessagesStreamModes, Producer } from '@platformatic/kafka';
import { systemClock } from '../core/clock.ts';
import { createKafkaLog } from '../core/log/kafka/kafka.ts';
import { startKafka } from '../test/services/kafka.ts';

const records = Number(process.argv[2] ?? 300_000);
const runs = Number(process.argv[3] ?? 3) || 1;
const partitions = 4;
const batchSize = 1000;

// kafkajs takes other codecs through a table of its own; zstd is 4 in the protocol.
kafkajs.CompressionCodecs[kafkajs.CompressionTypes.ZSTD] = () => ({
  compress: async (encoder: { buffer: Buffer }) => zstdCompressSync(encoder.buffer, { params: { [constants.ZSTD_c_compressionLevel]: 1 } }),
  decompress: async (buffer: Buffer) => zstdDecompressSync(buffer),
});

/** Posts of about 1.1 KB whose text differs, as posts do: a batch compresses about four times. */
function makeRecords(count: number): Buffer[] {
  const words = 'flood water bridge rescue closed road help need shelter river rain power north south family safe'.split(' ');
  let state = 7;
  const next = (): number => (state = (Math.imul(state, 1103515245) + 12345) >>> 0) >>> 8;
  return Array.from({ length: count }, (_, index) => {
    const text = Array.from({ length: 112 }, () => words[next() % words.length]).join(' ');
    const ids = Array.from({ length: 14 }, () => String(1_000_000_000_000_000_000n + BigInt(next()) * 1_000_003n));
    return Buffer.from(JSON.stringify({ v: 1, source: 'x', events: [{ id: 'flood', matched: ['flood'] }], index, text, ids }));
  });
}

interface Contestant {
  readonly name: string;
  append(topic: string, posts: readonly Buffer[]): Promise<void>;
  drain(topic: string, expected: number): Promise<number>;
}

function slices(posts: readonly Buffer[]): { partition: number; part: Buffer[] }[] {
  return Array.from({ length: Math.ceil(posts.length / batchSize) }, (_, index) =>
    ({ partition: index % partitions, part: posts.slice(index * batchSize, (index + 1) * batchSize) }));
}

/** Every partition has one batch under way, as the collector does. */
async function perPartition(posts: readonly Buffer[], send: (partition: number, part: Buffer[]) => Promise<unknown>): Promise<void> {
  const all = slices(posts);
  await Promise.all(Array.from({ length: partitions }, async (_, partition) => {
    for (const slice of all) if (slice.partition === partition) await send(partition, slice.part);
  }));
}

function viaKafkajs(brokers: string): Contestant {
  const kafka = new kafkajs.Kafka({ brokers: [brokers], logLevel: kafkajs.logLevel.NOTHING });
  return {
    name: 'kafkajs',
    async append(topic, posts) {
      const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 5 });
      await producer.connect();
      await perPartition(posts, (partition, part) => producer.send({
        topic, acks: -1, compression: kafkajs.CompressionTypes.ZSTD, messages: part.map((value) => ({ value, partition })),
      }));
      await producer.disconnect();
    },
    async drain(topic, expected) {
      const consumer = kafka.consumer({ groupId: `drain-${process.hrtime.bigint()}`, maxBytesPerPartition: 4 << 20, maxBytes: 16 << 20 });
      await consumer.connect();
      await consumer.subscribe({ topic, fromBeginning: true });
      const started = Promise.withResolvers<number>();
      const done = Promise.withResolvers<void>();
      let seen = 0;
      await consumer.run({
        autoCommit: false,
        async eachBatch({ batch }) {
          started.resolve(performance.now());
          const values = batch.messages.map(({ value }) => value ?? Buffer.alloc(0));
          seen += values.length;
          joinLines(values);
          if (seen >= expected) done.resolve();
        },
      });
      await done.promise;
      const elapsed = performance.now() - (await started.promise);
      await consumer.disconnect();
      return elapsed;
    },
  };
}

function viaPlatformatic(brokers: string): Contestant {
  return {
    name: '@platformatic/kafka',
    async append(topic, posts) {
      const producer = new Producer({ clientId: 'bench', bootstrapBrokers: [brokers], idempotent: true, acks: -1, compression: 'zstd' });
      await perPartition(posts, (partition, part) => producer.send({ messages: part.map((value) => ({ topic, partition, value })) }));
      await producer.close();
    },
    async drain(topic, expected) {
      const consumer = new Consumer({ clientId: 'bench', groupId: `drain-${process.hrtime.bigint()}`, bootstrapBrokers: [brokers], maxBytes: 16 << 20 });
      const stream = await consumer.consume({ topics: [topic], mode: MessagesStreamModes.EARLIEST, autocommit: false });
      let begin = 0;
      let values: Buffer[] = [];
      let seen = 0;
      for await (const message of stream) {
        if (seen === 0) begin = performance.now();
        values.push(message.value ?? Buffer.alloc(0));
        if (values.length === batchSize) {
          joinLines(values);
          values = [];
        }
        if (++seen >= expected) break;
      }
      const elapsed = performance.now() - begin;
      await stream.close();
      await consumer.close(true);
      return elapsed;
    },
  };
}

function viaOurs(brokers: string): Contestant {
  return {
    name: 'core/log/kafka',
    async append(topic, posts) {
      await using log = createKafkaLog({ brokers, replication: 1, clock: systemClock });
      await perPartition(posts, (partition, part) => log.append(topic, partition, part));
    },
    async drain(topic, expected) {
      await using log = createKafkaLog({ brokers, replication: 1, clock: systemClock });
      await log.partitions(topic);
      const begin = performance.now();
      let seen = 0;
      await Promise.all(Array.from({ length: partitions }, async (_, partition) => {
        for (let from = 0n, chunks = []; ; ) {
          chunks = await log.read(topic, partition, from, { maxBytes: 4 << 20, waitMs: 0 });
          if (chunks.length === 0) return;
          for (const chunk of chunks) {
            seen += chunk.count;
            from = chunk.baseOffset + BigInt(chunk.count);
          }
        }
      }));
      if (seen !== expected) throw new Error(`read ${seen} of ${expected}`);
      return performance.now() - begin;
    },
  };
}

/** What the writer needs of every client: one buffer of lines. */
function joinLines(values: readonly Buffer[]): Buffer {
  const out = Buffer.allocUnsafe(values.reduce((sum, value) => sum + value.length + 1, 0));
  let at = 0;
  for (const value of values) {
    at += value.copy(out, at);
    out[at++] = 10;
  }
  return out;
}

async function measure(work: () => Promise<number | void>): Promise<{ seconds: number; cpuSeconds: number }> {
  const cpu = process.cpuUsage();
  const begin = performance.now();
  const elapsed = await work();
  const used = process.cpuUsage(cpu);
  return { seconds: (elapsed ?? performance.now() - begin) / 1000, cpuSeconds: (used.user + used.system) / 1e6 };
}

function contestant(name: string, brokers: string): Contestant {
  const found = [viaKafkajs, viaPlatformatic, viaOurs].map((make) => make(brokers)).find((made) => made.name === name);
  if (found === undefined) throw new Error(`there is no contestant ${name}`);
  return found;
}

/** One contestant in a process of its own, so that none lives with what another has left in memory. */
async function runChild(name: string, brokers: string, run: string): Promise<void> {
  const client = contestant(name, brokers);
  const posts = makeRecords(records / 3);
  const append = await measure(() => client.append(`append-${run}-${name.replaceAll(/\W/g, '')}`, posts));
  posts.length = 0;
  await client.drain('drain', records);
  const drain = await measure(() => client.drain('drain', records));
  console.log(JSON.stringify({
    bench: 'kafka-clients', at: new Date().toISOString(), node: process.version, cores: cpus().length, client: name, records,
    appendPerSecond: Math.round(records / 3 / append.seconds), appendCpuSecondsPerMillion: +(append.cpuSeconds * 3e6 / records).toFixed(2),
    drainPerSecond: Math.round(records / drain.seconds), drainCpuSecondsPerMillion: +(drain.cpuSeconds * 1e6 / records).toFixed(2),
    residentMiB: Math.round(process.memoryUsage.rss() / 2 ** 20),
  }));
}

async function runAll(): Promise<void> {
  await using kafka = await startKafka();
  await using log = createKafkaLog({ brokers: kafka.brokers, replication: 1, clock: systemClock });
  await log.ensureTopic('drain', partitions);
  const posts = makeRecords(records);
  console.error(`${records} records of ${Math.round(posts.reduce((sum, post) => sum + post.length, 0) / records)} bytes`);
  await perPartition(posts, (partition, part) => log.append('drain', partition, part));
  for (let run = 0; run < runs; run++) {
    for (const name of ['kafkajs', '@platformatic/kafka', 'core/log/kafka']) {
      await log.ensureTopic(`append-${run}-${name.replaceAll(/\W/g, '')}`, partitions);
      const child = spawn(process.execPath, [fileURLToPath(import.meta.url), String(records), 'child', name, kafka.brokers, String(run)],
        { stdio: ['ignore', 'inherit', 'ignore'] });
      await once(child, 'exit');
    }
  }
}

const [, , , mode, name, brokers, run] = process.argv;
if (mode === 'child') await runChild(name ?? '', brokers ?? '', run ?? '');
else await runAll();
