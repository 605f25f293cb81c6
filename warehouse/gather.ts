import type { Clock } from '#core/clock.ts';
import { isWatershedError } from '#core/errors.ts';
import type { Log, LogChunk } from '#core/log/log.ts';
import { isAbort } from '#core/service.ts';

/** Records of one topic that will be committed together. */
export interface Batch {
  readonly ranges: readonly BatchRange[];
  readonly records: number;
  readonly bytes: number;
}

/** The records [from, to) of one partition; offsets that no chunk covers are holes of the log. */
export interface BatchRange {
  readonly partition: number;
  readonly from: bigint;
  readonly to: bigint;
  readonly chunks: readonly LogChunk[];
}

/** Records that retention took before they were read. */
export interface LostRange {
  readonly partition: number;
  readonly from: bigint;
  readonly to: bigint;
}

export interface GatherOptions {
  readonly log: Pick<Log, 'read' | 'bounds'>;
  readonly topic: string;
  /** Where to begin in each partition: what the table holds. */
  readonly positions: ReadonlyMap<number, bigint>;
  readonly clock: Clock;
  /** A batch is closed at this size, or when its first record has waited for `intervalMs`. */
  readonly batchBytes: number;
  readonly intervalMs: number;
  /** Told when the log no longer holds what comes next; the range is then passed over. */
  readonly onLost: (lost: LostRange) => Promise<void>;
}

/**
 * Reads all partitions of a topic ahead and yields batches, on a clock of its own: a record waits at most `intervalMs`
 * for its batch to be closed, also when nothing follows. Memory is bounded by twice `batchBytes`, and one read a
 * partition.
 */
export async function* gather(options: GatherOptions, signal: AbortSignal): AsyncGenerator<Batch> {
  const { clock, batchBytes, intervalMs } = options;
  const buffer = new ReadAhead(batchBytes);
  const stop = new AbortController();
  const inner = AbortSignal.any([signal, stop.signal]);
  const pumps = [...options.positions].map(([partition, from]) =>
    pump(options, buffer, partition, from, inner).catch((error: unknown) => buffer.fail(error)));
  const positions = new Map(options.positions);
  try {
    while (await buffer.waitForAny(signal)) {
      const closeAt = clock.monotonic() + intervalMs;
      while (buffer.bytes < batchBytes) {
        const remaining = closeAt - clock.monotonic();
        if (remaining <= 0) break;
        await Promise.race([buffer.pushed(), clock.sleep(remaining, inner).catch(() => undefined)]);
        if (signal.aborted) break;
      }
      yield toBatch(buffer.take(), positions);
    }
  } finally {
    stop.abort();
    await Promise.all(pumps);
  }
}

const readBytesMax = 8 * 1024 * 1024;
const readWaitMs = 5_000;

async function pump(
  options: GatherOptions, buffer: ReadAhead, partition: number, from: bigint, signal: AbortSignal,
): Promise<void> {
  let next = from;
  while (!signal.aborted) {
    try {
      const maxBytes = Math.min(readBytesMax, options.batchBytes);
      const chunks = await options.log.read(options.topic, partition, next, { maxBytes, waitMs: readWaitMs, signal });
      for (const chunk of chunks) {
        await buffer.push(partition, chunk, signal);
        next = chunk.baseOffset + BigInt(chunk.count);
      }
    } catch (error) {
      if (isAbort(error, signal)) return;
      if (isWatershedError(error, 'offset_out_of_range')) {
        const { earliest } = await options.log.bounds(options.topic, partition);
        // Behind the log's end would mean that the log is not the one we know: that is for a person.
        if (earliest <= next) throw error;
        await options.onLost({ partition, from: next, to: earliest });
        next = earliest;
      } else if (isWatershedError(error) && error.retryable) {
        await options.clock.sleep(1_000, signal).catch(() => undefined);
      } else {
        throw error;
      }
    }
  }
}

function toBatch(taken: readonly { partition: number; chunk: LogChunk }[], positions: Map<number, bigint>): Batch {
  const byPartition = Map.groupBy(taken, ({ partition }) => partition);
  const ranges = [...byPartition].map(([partition, entries]) => {
    const chunks = entries.map(({ chunk }) => chunk);
    const from = positions.get(partition) ?? 0n;
    const to = chunks.reduce((_, chunk) => chunk.baseOffset + BigInt(chunk.count), from);
    positions.set(partition, to);
    return { partition, from, to, chunks };
  });
  return {
    ranges: ranges.toSorted((a, b) => a.partition - b.partition),
    records: taken.reduce((sum, { chunk }) => sum + chunk.count, 0),
    bytes: taken.reduce((sum, { chunk }) => sum + chunk.lines.byteLength, 0),
  };
}

/** What was read and not yet taken. Pushing waits while more than `bytesMax` lie here. */
class ReadAhead {
  bytes = 0;
  #entries: { partition: number; chunk: LogChunk }[] = [];
  #failure: { error: unknown } | undefined;
  #changed = Promise.withResolvers<void>();
  readonly #bytesMax: number;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  async push(partition: number, chunk: LogChunk, signal: AbortSignal): Promise<void> {
    while (this.bytes >= this.#bytesMax && !signal.aborted) await this.#next(signal);
    if (signal.aborted) throw signal.reason;
    this.#entries.push({ partition, chunk });
    this.bytes += chunk.lines.byteLength;
    this.#wake();
  }

  fail(error: unknown): void {
    this.#failure = { error };
    this.#wake();
  }

  /** Resolves at the next push or failure. */
  pushed(): Promise<void> {
    return this.#changed.promise;
  }

  /** True when there is something to take, false when the signal was aborted first; throws what a pump threw. */
  async waitForAny(signal: AbortSignal): Promise<boolean> {
    for (;;) {
      if (this.#failure !== undefined) throw this.#failure.error;
      if (this.#entries.length > 0) return true;
      if (signal.aborted) return false;
      await this.#next(signal);
    }
  }

  take(): readonly { partition: number; chunk: LogChunk }[] {
    const taken = this.#entries;
    this.#entries = [];
    this.bytes = 0;
    this.#wake();
    return taken;
  }

  #next(signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const settle = (): void => {
      signal.removeEventListener('abort', settle);
      resolve();
    };
    signal.addEventListener('abort', settle, { once: true });
    void this.#changed.promise.then(settle);
    return promise;
  }

  #wake(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers<void>();
  }
}
