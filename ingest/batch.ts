import { isWatershedError } from '#core/errors.ts';
import { topics, type Log, type Topic } from '#core/log/log.ts';
import type { Metrics } from '#core/metrics.ts';
import type { CollectorOptions } from './collector.ts';
import type { CollectorStatus } from './cursor.ts';
import { recordOf } from './item.ts';
import type { JournalItem, SourceItem } from './sources/source.ts';

/** What was taken from a source and is not in the log yet. */
export interface Batch {
  add(item: SourceItem): void;
  /** Resolves, to undefined, when the oldest item has waited long enough. */
  readonly due: Promise<undefined>;
  isDue(): boolean;
  /** Appends everything, then stores the cursor. Holds on while the log cannot be reached: the source is held back. */
  flush(): Promise<void>;
  report(status: CollectorStatus): Promise<void>;
  /** Tells the state again, with how far behind it is by now; never rejects. */
  beat(): Promise<void>;
  /** Tries until it works; gives up only when we are stopping and it still fails. */
  persist<T>(work: () => Promise<T>): Promise<T>;
}

/**
 * A batch for the log is closed at this size, or when its oldest item has waited so long: the wait is felt in every
 * query.
 */
const batchBytesMax = 1024 * 1024;
const batchAgeMsMax = 100;
/** An append that fails is tried again with this pause; meanwhile the source is held back. */
const retryMs = 1_000;
/** The state of a collector is written this often, when nothing else happened. */
const reportMs = 1_000;

export function createBatch(options: CollectorOptions, signal: AbortSignal): Batch {
  const { source: { name: source }, account, log, cursors, clock } = options;
  const meters = createMeters(options);
  const waiting = new Map<Topic, Buffer[]>();
  let bytes = 0;
  let cursor: string | undefined;
  let status: CollectorStatus = { state: 'starting' };
  let reported = { state: '', atMs: 0 };
  let isOpen = false;
  let isOld = false;
  let due = Promise.withResolvers<undefined>();
  let cancelTimer = (): void => undefined;

  const persist = <T>(work: () => Promise<T>): Promise<T> => untilDone(options, signal, work);
  const append = createAppend(log, persist);
  const report = async (next: CollectorStatus): Promise<void> => {
    status = next;
    meters.read(next.readUntilMs);
    reported = { state: next.state, atMs: clock.monotonic() };
    await persist(() => cursors.report(source, account, next));
  };
  return {
    persist, report,
    async beat() {
      meters.read(status.readUntilMs);
      // What does not pass by itself is thrown by the next batch, which tells the state as well.
      await cursors.report(source, account, status).catch(() => undefined);
    },
    get due() { return due.promise; },
    isDue: () => isOld || bytes >= batchBytesMax,
    add(item) {
      if (!isOpen) {
        isOpen = true;
        cancelTimer = clock.timer(batchAgeMsMax, () => {
          isOld = true;
          due.resolve(undefined);
        });
      }
      if (item.kind === 'cursor') {
        cursor = item.cursor;
        if (item.readUntilMs !== undefined) status = { ...status, readUntilMs: item.readUntilMs };
        return meters.read(item.readUntilMs);
      }
      if (item.kind === 'journal') status = statusAfter(status, item.entry);
      // A source that delivers is connected, also one that has no connection to tell of.
      if (item.kind === 'post' && status.state === 'starting') status = { state: 'connected' };
      const { topic, record } = recordOf(item, { source, account, nowMs: clock.now() });
      const records = waiting.get(topic) ?? [];
      records.push(record);
      waiting.set(topic, records);
      bytes += record.length;
      meters.item(item, topic);
    },
    async flush() {
      await append(waiting);
      const reached = cursor;
      if (reached !== undefined) await persist(() => cursors.store(source, account, reached));
      cancelTimer();
      due = Promise.withResolvers();
      cursor = undefined;
      bytes = 0;
      isOpen = false;
      isOld = false;
      if (status.state !== reported.state || clock.monotonic() - reported.atMs >= reportMs) await report(status);
    },
  };
}

/** Appends what waits, and takes it out. */
function createAppend(log: Log, persist: Batch['persist']): (waiting: Map<Topic, Buffer[]>) => Promise<void> {
  let partition = 0;
  return async (waiting) => {
    // Posts first: a tombstone or a journal entry that is read means that what it speaks of can be read as well.
    for (const topic of topics) {
      const records = waiting.get(topic);
      if (records === undefined) continue;
      const partitions = await persist(() => log.partitions(topic));
      // Whole batches go round the partitions: cheaper than hashing, and nothing downstream needs an order among posts.
      await persist(() => log.append(topic, partition++ % partitions, records));
      waiting.delete(topic);
    }
  };
}

/** Tries until it works; gives up where it cannot pass by itself, or when we are stopping. */
async function untilDone<T>(
  { source, clock, logger }: CollectorOptions, signal: AbortSignal, work: () => Promise<T>,
): Promise<T> {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      // A commit whose answer was lost is repeated, for the log is at least once; a full disk waits for somebody to
      // make room.
      if (!isWatershedError(error) || !(error.retryable || mayPass.has(error.code)) || signal.aborted) throw error;
      logger.warn('append_retried', { source: source.name, reason: error.message });
      await clock.sleep(retryMs, signal).catch(() => undefined);
    }
  }
}

const mayPass: ReadonlySet<string> = new Set(['commit_unknown', 'disk']);

function statusAfter(before: CollectorStatus, entry: JournalItem['entry']): CollectorStatus {
  const { readUntilMs } = before;
  const until = readUntilMs === undefined ? {} : { readUntilMs };
  if (entry.kind === 'connected') return { state: 'connected', ...until };
  // Rules that the network does not take, for now or for good, are told by their cause.
  const unruled = entry.kind === 'rules_changed' && entry.cause !== undefined && before.state !== 'connected';
  if (!unruled && entry.kind !== 'disconnected' && entry.kind !== 'rate_limited') return before;
  return { state: 'disconnected', ...until, ...(entry.cause === undefined ? {} : { message: entry.cause }) };
}

/**
 * Counts every message that was received by its fate: kept, dead, tombstone; dropped is counted by the sources, who
 * know the reason.
 */
export function receivedMessages(metrics: Metrics): ReturnType<Metrics['counter']> {
  return metrics.counter('watershed_received_messages_total', 'Messages of a network by what became of them', ['source', 'fate', 'reason']);
}

/** Every item of a source has one fate, and each is counted. */
function createMeters({ metrics, source: { name: source }, clock }: CollectorOptions): {
  item(item: SourceItem, topic: Topic): void;
  /** The network's time up to which it has read; null where there is nothing to be behind of. */
  read(untilMs: number | null | undefined): void;
} {
  const records = metrics.counter('watershed_collected_records_total', 'Records taken from a source, by topic', ['source', 'topic']);
  const fates = receivedMessages(metrics);
  const gaps = metrics.counter('watershed_gaps_total', 'Times that something of a network was missed', ['source', 'filled']);
  const connected = metrics.gauge('watershed_collector_connections', 'Whether a collector is connected, 1 or 0', ['source']);
  const lag = metrics.gauge('watershed_collector_lag_seconds', "Between the network's time that was read last and now", ['source']);
  connected.set(0, { source });
  return {
    read(untilMs) {
      if (untilMs === undefined) return;
      lag.set(untilMs === null ? 0 : Math.max(0, (clock.now() - untilMs) / 1000), { source });
    },
    item(item, topic) {
      records.add(1, { source, topic });
      if (item.kind === 'post') fates.add(1, { source, fate: topic === 'posts' ? 'kept' : 'dead', reason: '' });
      if (item.kind === 'dead' || item.kind === 'tombstone') fates.add(1, { source, fate: item.kind, reason: '' });
      if (item.kind !== 'journal') return;
      const { kind, filledAtMs, detail } = item.entry;
      if (kind === 'connected') connected.set(1, { source });
      if (kind === 'disconnected' || kind === 'rate_limited') connected.set(0, { source });
      // A gap that is being asked for is told twice: it counts once its outcome is known.
      if (kind === 'gap' && (filledAtMs !== undefined || detail !== undefined)) gaps.add(1, { source, filled: String(filledAtMs !== undefined) });
    },
  };
}
