import { randomUUID } from 'node:crypto';
import { type Clock, systemClock } from '../clock.ts';
import { WatershedError } from '../errors.ts';
import { checkRecords, joinLines, skipLines } from './lines.ts';
import type { Log, LogChunk } from './log.ts';

interface Partition {
  batches: { base: bigint; count: number; lines: Uint8Array; appendedAtMs: number }[];
  next: bigint;
  /** Called, and cleared, at the next append. */
  waiting: Set<() => void>;
}
interface MemoryTopic {
  readonly identity: string;
  readonly partitions: Partition[];
}

/** A log that ends with the process: for tests. Trims whole appends. */
export function createMemoryLog(clock: Clock = systemClock): Log {
  const topics = new Map<string, MemoryTopic>();
  const topicOf = (topic: string): MemoryTopic => {
    const found = topics.get(topic);
    if (found === undefined) throw new WatershedError('not_found', `there is no topic ${topic}`);
    return found;
  };
  const partitionOf = (topic: string, partition: number): Partition => {
    const found = topicOf(topic).partitions[partition];
    if (found === undefined) throw new WatershedError('not_found', `topic ${topic} has no partition ${partition}`);
    return found;
  };
  return {
    kind: 'memory',
    async ensureTopic(topic, partitions) {
      if (topics.has(topic)) return;
      const empty = (): Partition => ({ batches: [], next: 0n, waiting: new Set() });
      topics.set(topic, { identity: `memory:${randomUUID()}`, partitions: Array.from({ length: partitions }, empty) });
    },
    identity: async (topic) => topicOf(topic).identity,
    partitions: async (topic) => topicOf(topic).partitions.length,
    async append(topic, partition, records) {
      checkRecords(records);
      const target = partitionOf(topic, partition);
      const base = target.next;
      target.batches.push({ base, count: records.length, lines: joinLines(records), appendedAtMs: clock.now() });
      target.next += BigInt(records.length);
      const woken = [...target.waiting];
      target.waiting.clear();
      for (const wake of woken) wake();
      return base;
    },
    async read(topic, partition, from, options) {
      options.signal?.throwIfAborted();
      const source = partitionOf(topic, partition);
      const { earliest, next } = boundsOf(source);
      if (from < earliest || from > next) throw outOfRange(topic, partition, from);
      if (from === next && options.waitMs > 0) await waitForAppend(source, options.waitMs, options.signal, clock);
      return chunksFrom(source, from, options.maxBytes);
    },
    bounds: async (topic, partition) => boundsOf(partitionOf(topic, partition)),
    async trim(topic, partition, before) {
      const target = partitionOf(topic, partition);
      target.batches = target.batches.filter(({ base, count }) => base + BigInt(count) > before);
    },
    [Symbol.asyncDispose]: async () => undefined,
  };
}

function boundsOf({ batches, next }: Partition): { earliest: bigint; next: bigint } {
  return { earliest: batches[0]?.base ?? next, next };
}

function outOfRange(topic: string, partition: number, offset: bigint): WatershedError {
  return new WatershedError(
    'offset_out_of_range',
    `topic ${topic} does not hold offset ${offset} of partition ${partition}`,
    { context: { topic, partition, offset } },
  );
}

async function waitForAppend(
  source: Partition,
  waitMs: number,
  signal: AbortSignal | undefined,
  clock: Clock,
): Promise<void> {
  const woken = Promise.withResolvers<void>();
  const wake = (): void => woken.resolve();
  source.waiting.add(wake);
  const cancel = clock.timer(waitMs, wake);
  const onAbort = (): void => woken.reject(signal?.reason);
  signal?.addEventListener('abort', onAbort, { once: true });
  try {
    await woken.promise;
  } finally {
    cancel();
    source.waiting.delete(wake);
    signal?.removeEventListener('abort', onAbort);
  }
}

function chunksFrom(source: Partition, from: bigint, maxBytes: number): LogChunk[] {
  const chunks: LogChunk[] = [];
  let bytes = 0;
  for (const { base, count, lines, appendedAtMs } of source.batches) {
    if (base + BigInt(count) <= from) continue;
    if (bytes >= maxBytes) break;
    const skipped = base < from ? Number(from - base) : 0;
    const rest = skipLines(lines, skipped);
    chunks.push({ baseOffset: base + BigInt(skipped), count: count - skipped, lines: rest, appendedAtMs, poison: [] });
    bytes += rest.length;
  }
  return chunks;
}
