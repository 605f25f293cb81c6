import type { Clock } from '../../clock.ts';
import { WatershedError } from '../../errors.ts';
import { recordBytesMax } from '../log.ts';
import type { Log, LogChunk, ReadOptions } from '../log.ts';
import { decodeBatches, fetchedBatches } from './batch.ts';
import type { FetchedBatches } from './batch.ts';
import { Cluster } from './cluster.ts';
import type { KafkaAccess } from './connections.ts';
import { PartitionProducer } from './producer.ts';
import { deleteRecords, fetchRecords, offsetAt } from './protocol.ts';
import { kafkaCodeOf, kafkaCodes } from './refusal.ts';
import { ensureTopic } from './topics.ts';

export interface KafkaLogOptions extends Partial<KafkaAccess> {
  /** host:port, separated by commas. */
  readonly brokers: string;
  /** Copies of each topic that is made. */
  readonly replication: number;
  readonly clock: Clock;
  /** How long a broker that is away is waited for before `unavailable`. Default 15 s: a leader is replaced in less. */
  readonly retryForMs?: number;
}

/**
 * The log on Apache Kafka (3.1 or newer). No consumer groups: readers bring their own offsets. The identity of a topic
 * is the cluster's id and the topic's, so a topic that is deleted and made anew is another log, and reading the old
 * one's offsets in it is refused by the broker.
 */
export function createKafkaLog(options: KafkaLogOptions): Log {
  const { clock, replication, retryForMs = 15_000 } = options;
  const cluster = new Cluster({
    clientId: options.clientId ?? 'watershed',
    ...(options.tls === undefined ? {} : { tls: options.tls }),
    ...(options.login === undefined ? {} : { login: options.login }),
    brokers: parseBrokers(options.brokers),
    clock,
    retryForMs,
  });
  const producers = new Map<string, PartitionProducer>();
  const reader = new Reader(cluster, clock);
  return {
    kind: 'kafka',
    ensureTopic: (topic, partitions) =>
      ensureTopic(cluster, topic, { partitions, replication, brokers: options.brokers }),
    async identity(topic) {
      const { clusterId, topicId } = await cluster.describe(topic);
      return `kafka:${clusterId}:${topicId}`;
    },
    partitions: async (topic) => (await cluster.describe(topic)).leaders.length,
    async append(topic, partition, records) {
      if (records.length === 0) throw new WatershedError('bad_request', 'there is nothing to append');
      records.forEach(checkRecord);
      const key = `${topic}/${partition}`;
      const producer = producers.get(key) ?? new PartitionProducer(cluster, clock, topic, partition);
      producers.set(key, producer);
      return producer.append(records);
    },
    read: (topic, partition, from, readOptions) => reader.read(topic, partition, from, readOptions),
    bounds: (topic, partition) => bounds(cluster, topic, partition),
    async trim(topic, partition, before) {
      const { earliest, next } = await bounds(cluster, topic, partition);
      const until = before < next ? before : next;
      if (until <= earliest) return;
      await cluster.onLeader(topic, partition, (connection) => deleteRecords(connection, topic, partition, until), {
        sameTopic: true,
      });
    },
    [Symbol.asyncDispose]: () => cluster[Symbol.asyncDispose](),
  };
}

function parseBrokers(text: string): { host: string; port: number }[] {
  return text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')
    .map((part) => {
      const found = /^(?:\[(.+)\]|([^:]+))(?::(\d+))?$/.exec(part);
      const host = found?.[1] ?? found?.[2];
      if (host === undefined) {
        throw new WatershedError('bad_config', `"${part}" is not the address of a Kafka broker`, {
          hint: 'KAFKA_BROKERS is host:port,host:port',
        });
      }
      return { host, port: Number(found?.[3] ?? 9092) };
    });
}

function checkRecord(record: Uint8Array, index: number): void {
  if (record.length > recordBytesMax) {
    throw new WatershedError(
      'bad_request',
      `record ${index} has ${record.length} bytes; at most ${recordBytesMax} are allowed`,
    );
  }
  if (record.includes(0x0a)) throw new WatershedError('bad_request', `record ${index} holds a line break`);
}

async function bounds(cluster: Cluster, topic: string, partition: number): Promise<{ earliest: bigint; next: bigint }> {
  return cluster.onLeader(
    topic,
    partition,
    async (connection) => ({
      earliest: await offsetAt(connection, topic, partition, -2n),
      next: await offsetAt(connection, topic, partition, -1n),
    }),
    { sameTopic: false },
  );
}

async function explainRange(
  error: unknown,
  cluster: Cluster,
  topic: string,
  partition: number,
  offset: bigint,
): Promise<never> {
  if (kafkaCodeOf(error) !== kafkaCodes.offsetOutOfRange) throw error;
  const { earliest, next } = await bounds(cluster, topic, partition);
  const message =
    offset < earliest
      ? `${topic}/${partition} no longer holds offset ${offset}: its oldest record is ${earliest}`
      : `${topic}/${partition} ends at offset ${next}, before ${offset}`;
  throw new WatershedError('offset_out_of_range', message, {
    cause: error,
    context: { topic, partition, offset, earliest, next },
    ...(offset < earliest
      ? {}
      : {
          hint:
            'the brokers have lost records that they had acknowledged: bring them back from a replica; if they are gone for good, ' +
            'delete the topic and run `watershed log change --give-up`',
        }),
  });
}

/** How many readers (a partition each) may have fetched more than they have read. */
const aheadMax = 64;

/**
 * Reads of one partition at a time. Batches come compressed, so a fetch of `maxBytes` may hold several times as many
 * bytes of lines: what is over waits here for the reader that comes back for it.
 */
class Reader {
  readonly #cluster: Cluster;
  readonly #clock: Clock;
  readonly #ahead = new Map<string, FetchedBatches>();

  constructor(cluster: Cluster, clock: Clock) {
    this.#cluster = cluster;
    this.#clock = clock;
  }

  async read(topic: string, partition: number, from: bigint, options: ReadOptions): Promise<LogChunk[]> {
    const until = this.#clock.monotonic() + options.waitMs;
    for (let offset = from; ;) {
      const waitMs = Math.max(0, Math.ceil(until - this.#clock.monotonic()));
      const fetched =
        this.#takeAhead(topic, partition, offset) ?? (await this.#fetch(topic, partition, offset, waitMs, options));
      const { chunks, nextOffset, rest } = await decodeBatches(fetched, offset, options.maxBytes);
      if (rest !== undefined) this.#keepAhead(topic, partition, nextOffset, rest);
      if (chunks.length > 0) return chunks;
      // Offsets without records (markers of transactions, what was compacted away) are passed over at once.
      if (nextOffset === offset && this.#clock.monotonic() >= until) return [];
      offset = nextOffset;
    }
  }

  async #fetch(
    topic: string,
    partition: number,
    offset: bigint,
    waitMs: number,
    options: ReadOptions,
  ): Promise<FetchedBatches> {
    const { maxBytes, signal } = options;
    const answer = await this.#cluster
      .onLeader(
        topic,
        partition,
        (connection, topicId) =>
          // A wait is cut into seconds, so that it stays far below the connection's own limit of 30 s.
          fetchRecords(connection, { topicId, partition, offset, maxBytes, waitMs: Math.min(waitMs, 5000) }),
        { sameTopic: true, signal },
      )
      .catch((error: unknown) => explainRange(error, this.#cluster, topic, partition, offset));
    return fetchedBatches(answer.records, answer.aborted);
  }

  #takeAhead(topic: string, partition: number, offset: bigint): FetchedBatches | undefined {
    const key = `${topic}/${partition}/${offset}`;
    const found = this.#ahead.get(key);
    this.#ahead.delete(key);
    return found;
  }

  #keepAhead(topic: string, partition: number, offset: bigint, batches: FetchedBatches): void {
    this.#ahead.set(`${topic}/${partition}/${offset}`, batches);
    const [oldest] = this.#ahead.keys();
    if (this.#ahead.size > aheadMax && oldest !== undefined) this.#ahead.delete(oldest);
  }
}
