/**
 * The two exchanges that carry data, Fetch and Produce (https://kafka.apache.org/protocol), with the records left as
 * bytes, and small wrappers of the client's own API functions that throw our errors.
 */
import {
  ConfigResourceTypes,
  createTopicsV7,
  deleteRecordsV2,
  describeConfigsV4,
  initProducerIdV4,
  listOffsetsV7,
  metadataV12,
  MultipleErrors,
  ProtocolError,
  readKnownTaggedFields,
  Writer,
} from '@platformatic/kafka';
import type { Connection, Reader } from '@platformatic/kafka';
import { kafkaCodes, refusal } from './refusal.ts';
import type { AbortedTransaction } from './batch.ts';

const produceKey = 0;
const fetchKey = 1;
const noTags = {};

export interface FetchRequest {
  readonly topicId: string;
  readonly partition: number;
  readonly offset: bigint;
  readonly maxBytes: number;
  readonly waitMs: number;
}

export interface FetchAnswer {
  readonly records: Buffer;
  readonly aborted: readonly AbortedTransaction[];
}

/**
 * Fetch, version 13: the first that names the topic by its id, so that a topic deleted and made anew refuses us instead
 * of giving other records at the same offsets. Reads what is committed only.
 */
export function fetchRecords(connection: Connection, request: FetchRequest): Promise<FetchAnswer> {
  const payload = (): Writer =>
    Writer.create()
      .appendInt32(-1)
      .appendInt32(request.waitMs)
      .appendInt32(1)
      .appendInt32(request.maxBytes)
      .appendInt8(1)
      .appendInt32(0)
      .appendInt32(-1)
      .appendArray([request], (w, topic) => {
        w.appendUUID(topic.topicId).appendArray([topic], (p, { partition, offset, maxBytes }) => {
          p.appendInt32(partition)
            .appendInt32(-1)
            .appendInt64(offset)
            .appendInt32(-1)
            .appendInt64(-1n)
            .appendInt32(maxBytes);
        });
      })
      .appendArray([], () => undefined)
      .appendString('')
      .appendTaggedFields();
  return exchange(connection, fetchKey, 13, payload, (reader) =>
    parseFetch(reader, `reading partition ${request.partition}`),
  );
}

function parseFetch(reader: Reader, doing: string): FetchAnswer {
  reader.readInt32();
  let code = reader.readInt16();
  reader.readInt32();
  let answer: FetchAnswer = { records: Buffer.alloc(0), aborted: [] };
  reader.readArray((topic) => {
    topic.readUUID();
    topic.readArray(
      (partition) => {
        partition.readInt32();
        code ||= partition.readInt16();
        partition.skip(24);
        const aborted =
          partition.readNullableArray((r) => ({ producerId: r.readInt64(), firstOffset: r.readInt64() })) ?? [];
        partition.readInt32();
        answer = { records: partition.readNullableBytes() ?? Buffer.alloc(0), aborted };
        readKnownTaggedFields(partition, noTags);
      },
      true,
      false,
    );
  });
  if (code !== 0) throw refusal(code, doing);
  return answer;
}

/** Produce, version 9, one batch to one partition, acknowledged by all in-sync replicas. Returns its first offset. */
export function produceBatch(
  connection: Connection,
  topic: string,
  partition: number,
  batch: Buffer,
  timeoutMs: number,
): Promise<bigint> {
  const payload = (): Writer =>
    Writer.create()
      .appendString(null)
      .appendInt16(-1)
      .appendInt32(timeoutMs)
      .appendArray([topic], (w, name) => {
        w.appendString(name).appendArray([partition], (p, index) => {
          p.appendInt32(index).appendBytes(batch);
        });
      })
      .appendTaggedFields();
  return exchange(connection, produceKey, 9, payload, (reader) =>
    parseProduce(reader, `an append to ${topic}/${partition}`),
  );
}

function parseProduce(reader: Reader, doing: string): bigint {
  let code = 0;
  let offset = -1n;
  let detail: string | null = null;
  reader.readArray((topic) => {
    topic.readString();
    topic.readArray(
      (partition) => {
        partition.readInt32();
        code = partition.readInt16();
        offset = partition.readInt64();
        partition.skip(16);
        partition.readArray((r) => {
          r.readInt32();
          detail = r.readNullableString();
        });
        detail = partition.readNullableString() ?? detail;
        readKnownTaggedFields(partition, noTags);
      },
      true,
      false,
    );
  });
  if (code !== 0) throw refusal(code, doing, detail);
  return offset;
}

function exchange<T>(
  connection: Connection,
  key: number,
  version: number,
  payload: () => Writer,
  parse: (reader: Reader) => T,
): Promise<T> {
  return new Promise((resolve, reject) => {
    connection.send<T>(
      key,
      version,
      payload,
      (_correlation, _key, _version, reader) => parse(reader),
      true,
      true,
      (error, answer) => {
        if (error !== null) reject(error);
        else if (answer === undefined) reject(new TypeError('an empty answer'));
        else resolve(answer);
      },
    );
  });
}

export interface TopicMetadata {
  readonly clusterId: string;
  readonly topicId: string;
  /** Leader of each partition, undefined where there is none at the moment. */
  readonly leaders: readonly ({ readonly host: string; readonly port: number } | undefined)[];
  readonly replication: number;
}

/** Metadata of one topic, or undefined where it does not exist. */
export async function topicMetadata(connection: Connection, topic: string): Promise<TopicMetadata | undefined> {
  const answer = await metadataV12.api.async(connection, [topic], false).catch(metadataOf);
  const found = answer.topics.find(({ name }) => name === topic);
  if (found === undefined || found.errorCode === kafkaCodes.unknownTopicOrPartition) return undefined;
  // Error 5 here only says that some partition has no leader at the moment.
  if (found.errorCode !== 0 && found.errorCode !== 5) throw refusal(found.errorCode, `telling about topic ${topic}`);
  const brokers = new Map(answer.brokers.map((broker) => [broker.nodeId, { host: broker.host, port: broker.port }]));
  const partitions = found.partitions.toSorted((a, b) => a.partitionIndex - b.partitionIndex);
  return {
    clusterId: answer.clusterId ?? '',
    topicId: found.topicId,
    leaders: partitions.map(({ leaderId }) => brokers.get(leaderId)),
    replication: partitions[0]?.replicaNodes.length ?? 0,
  };
}

/** The brokers of the cluster. */
export async function clusterBrokers(connection: Connection): Promise<{ host: string; port: number }[]> {
  const answer = await metadataV12.api.async(connection, [], false).catch(metadataOf);
  return answer.brokers.map(({ host, port }) => ({ host, port }));
}

/** A producer id of our own: the broker tells batches of one producer apart by their sequence numbers. */
export async function newProducer(connection: Connection): Promise<{ producerId: bigint; epoch: number }> {
  const answer = await initProducerIdV4.api.async(connection, null, 60_000).catch(asRefusal('a producer id'));
  return { producerId: answer.producerId, epoch: answer.producerEpoch };
}

/** The offset of a partition at a time stamp; -2 is the earliest, -1 the next one to be written. */
export async function offsetAt(
  connection: Connection,
  topic: string,
  partition: number,
  timestamp: -1n | -2n,
): Promise<bigint> {
  const wanted = { name: topic, partitions: [{ partitionIndex: partition, currentLeaderEpoch: -1, timestamp }] };
  const doing = `telling the offsets of ${topic}/${partition}`;
  const answer = await listOffsetsV7.api.async(connection, -1, 0, [wanted]).catch(asRefusal(doing));
  const found = answer.topics[0]?.partitions[0];
  if (found === undefined) throw refusal(-1, doing);
  return found.offset;
}

/** Deletes what lies below `before`. */
export async function deleteRecords(
  connection: Connection,
  topic: string,
  partition: number,
  before: bigint,
): Promise<void> {
  const wanted = { name: topic, partitions: [{ partitionIndex: partition, offset: before }] };
  await deleteRecordsV2.api.async(connection, [wanted], 30_000).catch(asRefusal(`trimming ${topic}/${partition}`));
}

/** Creates a topic; refused with `topicAlreadyExists` where there is one. */
export async function createTopic(
  connection: Connection,
  topic: string,
  partitions: number,
  replication: number,
  settings: Readonly<Record<string, string>>,
): Promise<void> {
  const configs = Object.entries(settings).map(([name, value]) => ({ name, value }));
  const wanted = { name: topic, numPartitions: partitions, replicationFactor: replication, assignments: [], configs };
  await createTopicsV7.api.async(connection, [wanted], 30_000, false).catch(asRefusal(`making topic ${topic}`));
}

/** The settings of a topic that are asked for. */
export async function topicSettings(
  connection: Connection,
  topic: string,
  names: readonly string[],
): Promise<ReadonlyMap<string, string>> {
  const resource = { resourceType: ConfigResourceTypes.TOPIC, resourceName: topic, configurationKeys: [...names] };
  const answer = await describeConfigsV4.api
    .async(connection, [resource], false, false)
    .catch(asRefusal(`telling the settings of topic ${topic}`));
  return new Map((answer.results[0]?.configs ?? []).map(({ name, value }) => [name, value ?? '']));
}

// The client throws where an answer holds an error code anywhere: this takes the first one.
function asRefusal(doing: string): (error: unknown) => never {
  return (error) => {
    const members: unknown[] = error instanceof MultipleErrors ? error.errors : [];
    const first = members.find((member) => member instanceof ProtocolError);
    if (first === undefined) throw error;
    const code: unknown = first['apiCode'];
    const detail: unknown = first['serverErrorMessage'];
    throw refusal(typeof code === 'number' ? code : -1, doing, typeof detail === 'string' ? detail : null);
  };
}

// In metadata an error code concerns one topic or partition, and the rest of the answer is good.
function metadataOf(error: unknown): metadataV12.MetadataResponse {
  if (!(error instanceof MultipleErrors) || error['response'] === undefined) throw error;
  return error['response'];
}
