import type { Broker, Connection } from '@platformatic/kafka';
import type { Clock } from '../../clock.ts';
import { isWatershedError, messageOf, WatershedError } from '../../errors.ts';
import { Connections } from './connections.ts';
import type { KafkaAccess } from './connections.ts';
import { clusterBrokers, topicMetadata } from './protocol.ts';
import type { TopicMetadata } from './protocol.ts';

export interface ClusterOptions extends KafkaAccess {
  /** Where to begin: host and port of some brokers. */
  readonly brokers: readonly Broker[];
  readonly clock: Clock;
  /** How long a leader that moves or a broker that is away is waited for. */
  readonly retryForMs: number;
}

/** Lends a connection to the broker that leads, and tries again while leaders move. */
export class Cluster implements AsyncDisposable {
  readonly #options: ClusterOptions;
  readonly #connections: Connections;
  readonly #topics = new Map<string, TopicMetadata>();
  /** The topic id that offsets of this process mean: what was there when the topic was first used. */
  readonly #pins = new Map<string, string>();
  #brokers: readonly Broker[];

  constructor(options: ClusterOptions) {
    this.#options = options;
    this.#connections = new Connections(options);
    this.#brokers = options.brokers;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#connections[Symbol.asyncDispose]();
  }

  /** Runs an exchange on any broker that answers. */
  async onAny<T>(exchange: (connection: Connection) => Promise<T>, signal?: AbortSignal): Promise<T> {
    return this.#retry(signal, () => this.#onFirst(exchange, signal));
  }

  /**
   * Runs an exchange on the leader of a partition; `retryForMs` bounds the trying. `sameTopic` refuses a topic that is
   * not the one that this process began with: offsets of the old one mean nothing in it.
   */
  async onLeader<T>(
    topic: string,
    partition: number,
    exchange: (connection: Connection, topicId: string) => Promise<T>,
    options: { readonly sameTopic: boolean; readonly signal?: AbortSignal | undefined },
  ): Promise<T> {
    const { sameTopic, signal } = options;
    return this.#retry(signal, async () => {
      const known = this.#topics.get(topic) ?? (await this.#load(topic, signal));
      if (sameTopic) this.#checkPin(topic, known.topicId);
      if (partition < 0 || partition >= known.leaders.length) {
        throw new WatershedError('not_found', `topic ${topic} has no partition ${partition}`, {
          context: { topic, partition },
        });
      }
      try {
        const leader = known.leaders[partition];
        if (leader === undefined)
          throw new WatershedError('unavailable', `partition ${topic}/${partition} has no leader at the moment`);
        return await this.#connections.with(leader, signal, (connection) => exchange(connection, known.topicId));
      } catch (error) {
        this.#topics.delete(topic);
        throw error;
      }
    });
  }

  /** What the topic is now, asked anew. Throws `not_found` where there is none. */
  async describe(topic: string): Promise<TopicMetadata> {
    return this.#retry(undefined, () => this.#load(topic, undefined));
  }

  /** Waits until every partition of a topic that was just made has a leader. */
  async ready(topic: string): Promise<TopicMetadata> {
    return this.#retry(undefined, async () => {
      const found = await this.#load(topic, undefined).catch((error: unknown) => {
        if (!isWatershedError(error, 'not_found')) throw error;
        throw new WatershedError('unavailable', `topic ${topic} is not known to every broker yet`, { cause: error });
      });
      if (found.leaders.includes(undefined))
        throw new WatershedError('unavailable', `topic ${topic} has partitions without a leader`);
      return found;
    });
  }

  async #load(topic: string, signal: AbortSignal | undefined): Promise<TopicMetadata> {
    const found = await this.#onFirst(async (connection) => {
      const [brokers, metadata] = [await clusterBrokers(connection), await topicMetadata(connection, topic)];
      if (brokers.length > 0) this.#brokers = brokers;
      return metadata;
    }, signal);
    if (found === undefined) {
      throw new WatershedError('not_found', `Kafka has no topic ${topic}`, {
        hint:
          this.#pins.has(topic)
            ? 'it was deleted while we used it; what is in the tables stays. If it is gone for good, `watershed log change --give-up` ' +
              'makes it anew and records the gap'
            : 'a start of Watershed makes the topics it needs',
        context: { topic },
      });
    }
    this.#topics.set(topic, found);
    if (!this.#pins.has(topic)) this.#pins.set(topic, found.topicId);
    return found;
  }

  #checkPin(topic: string, topicId: string): void {
    if (this.#pins.get(topic) === topicId) return;
    this.#topics.delete(topic);
    throw new WatershedError('foreign_lake', `topic ${topic} was deleted and made anew while we were using it`, {
      hint: 'stop this program and start it again: it then compares the topic with the one the lake is made of',
      context: { topic },
    });
  }

  async #onFirst<T>(exchange: (connection: Connection) => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    // The addresses that were configured are tried too: the cluster may have moved while all that we knew of were away.
    const brokers = [...this.#brokers, ...this.#options.brokers];
    let last: unknown;
    for (const broker of brokers) {
      try {
        return await this.#connections.with(broker, signal, exchange);
      } catch (error) {
        if (signal?.aborted === true || !isWatershedError(error, 'unavailable')) throw error;
        last = error;
      }
    }
    throw last;
  }

  async #retry<T>(signal: AbortSignal | undefined, attempt: () => Promise<T>): Promise<T> {
    const { clock, retryForMs } = this.#options;
    const until = clock.monotonic() + retryForMs;
    for (let waitMs = 20; ; waitMs = Math.min(waitMs * 2, 1000)) {
      try {
        return await attempt();
      } catch (error) {
        if (!isWatershedError(error, 'unavailable') || clock.monotonic() + waitMs > until)
          throw given(error, retryForMs);
        await clock.sleep(waitMs, signal);
      }
    }
  }
}

function given(error: unknown, retryForMs: number): unknown {
  if (!isWatershedError(error, 'unavailable')) return error;
  return new WatershedError('unavailable', `${messageOf(error)}; tried for ${retryForMs} ms`, {
    cause: error,
    context: error.context,
    ...(error.hint === undefined ? {} : { hint: error.hint }),
  });
}
