import type { Clock } from '#core/clock.ts';
import { encodeEnvelope } from '#core/contract/envelope.ts';
import { encodeQuarantined, encodeRecord } from '#core/contract/records.ts';
import type { Database } from '#core/database/database.ts';
import { withLease } from '#core/database/lease.ts';
import { isWatershedError } from '#core/errors.ts';
import type { Log, Topic } from '#core/log/log.ts';
import type { Logger } from '#core/logger.ts';
import type { Metrics } from '#core/metrics.ts';
import { isAbort, type Service } from '#core/service.ts';
import type { CursorStore } from './cursor.ts';
import type { EventFeed, Source, SourceItem } from './sources/source.ts';

export interface CollectorOptions {
  readonly source: Source;
  /** Which of our accounts it reads with; empty where there is only one. */
  readonly account: string;
  readonly feed: EventFeed;
  readonly log: Log;
  readonly database: Database;
  readonly cursors: CursorStore;
  readonly holder: string;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly logger: Logger;
}

/** A batch for the log is closed at this size, or when its oldest item has waited so long: the wait is felt in every query. */
const batchBytesMax = 1024 * 1024;
const batchAgeMsMax = 100;
/** An append that fails is tried again with this pause; meanwhile the source is held back. */
const retryMs = 1_000;

/**
 * Source to log, one process at a time by lease: reads items, appends them in batches, and stores the source's cursor only after
 * everything before it is in the log. So a break repeats items, which the writer knows as duplicates, and loses none.
 */
export function createCollector(options: CollectorOptions): Service {
  const { source, account, database, holder, clock } = options;
  return {
    name: `collector ${source.name}`,
    run: (signal) => withLease(database, `collector/${source.name}/${account}`, holder, { clock, signal },
      (held) => collect(options, AbortSignal.any([signal, held]))).catch((error: unknown) => {
      if (!isAbort(error, signal)) throw error;
    }),
  };
}

async function collect(options: CollectorOptions, signal: AbortSignal): Promise<void> {
  const { source, account, feed, cursors, clock } = options;
  const cursor = await cursors.load(source.name, account);
  const batch = new PendingBatch(options, signal);
  const items = source.read({ cursor, events: feed, signal })[Symbol.asyncIterator]();
  let next = items.next();
  try {
    while (!signal.aborted) {
      // An item or the age of the batch, whichever comes first; the item that is still under way is kept for the next turn.
      const waitMs = batch.remainingMs();
      const turn = waitMs === undefined ? await next : await Promise.race([next, clock.sleep(waitMs, signal).then(() => undefined)]);
      if (turn?.done) break;
      if (turn !== undefined) {
        batch.add(turn.value);
        next = items.next();
      }
      if (batch.isDue()) await batch.flush();
    }
  } catch (error) {
    if (!isAbort(error, signal)) throw error;
  } finally {
    next.catch(() => undefined);
    await items.return?.();
    // What was taken from the source goes into the log also when we stop: the network will not send it again.
    await batch.flush();
  }
}

class PendingBatch {
  readonly #options: CollectorOptions;
  readonly #signal: AbortSignal;
  readonly #records = new Map<Topic, Buffer[]>();
  #cursor: string | undefined;
  #bytes = 0;
  #oldestAt: number | undefined;
  #partition = 0;

  constructor(options: CollectorOptions, signal: AbortSignal) {
    this.#options = options;
    this.#signal = signal;
  }

  add(item: SourceItem): void {
    this.#oldestAt ??= this.#options.clock.monotonic();
    if (item.kind === 'cursor') {
      this.#cursor = item.cursor;
      return;
    }
    const { topic, record } = this.#recordOf(item);
    const records = this.#records.get(topic);
    if (records === undefined) this.#records.set(topic, [record]);
    else records.push(record);
    this.#bytes += record.length;
    this.#options.metrics.counter('watershed_collected_records_total', 'Records taken from a source, by topic', ['source', 'topic'])
      .add(1, { source: this.#options.source.name, topic });
  }

  /** Until the oldest item has waited long enough; undefined while there is none. */
  remainingMs(): number | undefined {
    if (this.#oldestAt === undefined) return undefined;
    return Math.max(0, this.#oldestAt + batchAgeMsMax - this.#options.clock.monotonic());
  }

  isDue(): boolean {
    return this.#bytes >= batchBytesMax || this.remainingMs() === 0;
  }

  async flush(): Promise<void> {
    const { log, cursors, source, account } = this.#options;
    for (const [topic, records] of this.#records) {
      const partitions = await this.#persist(() => log.partitions(topic));
      // Whole batches go round the partitions: cheaper than hashing, and nothing downstream needs an order among posts.
      await this.#persist(() => log.append(topic, this.#partition++ % partitions, records));
      this.#records.delete(topic);
    }
    const cursor = this.#cursor;
    if (cursor !== undefined) await this.#persist(() => cursors.store(source.name, account, cursor));
    this.#cursor = undefined;
    this.#bytes = 0;
    this.#oldestAt = undefined;
  }

  /** Tries until it works; gives up only when we are stopping and it still fails. */
  async #persist<T>(work: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await work();
      } catch (error) {
        if (!isWatershedError(error) || !error.retryable || this.#signal.aborted) throw error;
        this.#options.logger.warn('append_retried', { source: this.#options.source.name, reason: error.message });
        await this.#options.clock.sleep(retryMs, this.#signal).catch(() => undefined);
      }
    }
  }

  #recordOf(item: Exclude<SourceItem, { kind: 'cursor' }>): { topic: Topic; record: Buffer } {
    const { source, account, clock } = this.#options;
    const now = new Date(clock.now());
    switch (item.kind) {
      case 'post': {
        const receivedAt = new Date(item.receivedAtMs).toISOString();
        return { topic: 'posts', record: encodeEnvelope({ ...item, receivedAt, account }, item.body) };
      }
      case 'dead':
        return { topic: 'quarantine', record: encodeQuarantined({
          atMs: clock.now(), component: `collector ${source.name}`, reason: item.reason, topic: 'posts', bytes: item.bytes,
          bytesLength: item.bytesLength }) };
      case 'tombstone':
        return { topic: 'tombstones', record: encodeRecord('tombstones', {
          source: item.source, kind: item.what, id: item.id, state: item.state, why: item.why, received_at: now }) };
      case 'journal': {
        const { entry } = item;
        return { topic: 'journal', record: encodeRecord('journal', {
          at: now, source: source.name, event_id: entry.eventId, kind: entry.kind, since: instant(entry.sinceMs),
          until: instant(entry.untilMs), cause: entry.cause, filled_at: instant(entry.filledAtMs), count: entry.count,
          detail: entry.detail === undefined ? undefined : JSON.stringify(entry.detail) }) };
      }
    }
  }
}

function instant(ms: number | undefined): Date | undefined {
  return ms === undefined ? undefined : new Date(ms);
}
