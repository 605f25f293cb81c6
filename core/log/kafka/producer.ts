import { isWatershedError, WatershedError } from '../../errors.ts';
import type { Clock } from '../../clock.ts';
import { encodeBatch } from './batch.ts';
import type { Cluster } from './cluster.ts';
import { newProducer, produceBatch } from './protocol.ts';
import { kafkaCodeOf, kafkaCodes } from './refusal.ts';

/** A batch is closed at this size before compression; a record is never split. */
const batchBytesTarget = 1024 * 1024;

/**
 * Appends to one partition, one batch at a time and in order. The broker recognises a batch that is sent again by its
 * producer id and sequence number, so that a lost answer doubles nothing while this producer lives. After an append
 * whose fate stayed unknown a new producer id is taken: the old sequence cannot go on.
 */
export class PartitionProducer {
  readonly #cluster: Cluster;
  readonly #clock: Clock;
  readonly #topic: string;
  readonly #partition: number;
  #producer: { readonly producerId: bigint; readonly epoch: number } | undefined;
  #sequence = 0;
  #queue: Promise<unknown> = Promise.resolve();

  constructor(cluster: Cluster, clock: Clock, topic: string, partition: number) {
    this.#cluster = cluster;
    this.#clock = clock;
    this.#topic = topic;
    this.#partition = partition;
  }

  /** Resolves to the offset of the first record, once all of them are acknowledged. */
  append(records: readonly Uint8Array[]): Promise<bigint> {
    const done = this.#queue.then(() => this.#appendAll(records));
    this.#queue = done.catch(() => undefined);
    return done;
  }

  async #appendAll(records: readonly Uint8Array[]): Promise<bigint> {
    const offsets: bigint[] = [];
    for (const batch of batches(records)) offsets.push(await this.#appendBatch(batch));
    return offsets[0] ?? -1n;
  }

  async #appendBatch(records: readonly Uint8Array[]): Promise<bigint> {
    for (let fresh = false; ; fresh = true) {
      this.#producer ??= await this.#cluster.onAny(newProducer);
      const batch = await encodeBatch(records, { ...this.#producer, sequence: this.#sequence }, this.#clock.now());
      try {
        const offset = await this.#cluster.onLeader(
          this.#topic,
          this.#partition,
          (connection) => produceBatch(connection, this.#topic, this.#partition, batch, 15_000),
          { sameTopic: true },
        );
        // Sequence numbers begin anew after the largest 32-bit integer (KIP-98).
        this.#sequence = (this.#sequence + records.length) % 2 ** 31;
        return offset;
      } catch (error) {
        this.#producer = undefined;
        this.#sequence = 0;
        if (!isForgotten(error)) throw error;
        // The broker has dropped what it knew of this producer (it was silent for long); a new one can go on at once.
        if (fresh) throw new WatershedError('unavailable', 'Kafka does not recognise our producer', { cause: error });
      }
    }
  }
}

function isForgotten(error: unknown): boolean {
  const code = kafkaCodeOf(error);
  return (
    !isWatershedError(error, 'unavailable') &&
    (code === kafkaCodes.outOfOrderSequence ||
      code === kafkaCodes.duplicateSequence ||
      code === kafkaCodes.invalidProducerEpoch ||
      code === kafkaCodes.unknownProducerId)
  );
}

function* batches(records: readonly Uint8Array[]): Generator<readonly Uint8Array[]> {
  let begin = 0;
  let bytes = 0;
  for (const [index, record] of records.entries()) {
    if (index > begin && bytes + record.length > batchBytesTarget) {
      yield records.slice(begin, index);
      begin = index;
      bytes = 0;
    }
    bytes += record.length;
  }
  if (begin < records.length) yield records.slice(begin);
}
