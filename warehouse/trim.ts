import type { Clock } from '#core/clock.ts';
import { isWatershedError } from '#core/errors.ts';
import { topics, type Log, type Topic } from '#core/log/log.ts';
import type { Logger } from '#core/logger.ts';
import type { Service } from '#core/service.ts';
import type { Catalog } from './catalog/catalog.ts';
import { postsLanding } from './landings/posts.ts';
import { rawLanding } from './landings/raw.ts';
import { rowLandings } from './landings/rows.ts';

export interface TrimOptions {
  readonly log: Log;
  readonly catalog: Catalog;
  readonly clock: Clock;
  /** Records younger than this stay, landed or not. */
  readonly retentionMs: number;
}

const landings = [postsLanding, rawLanding, ...rowLandings];

/**
 * Forgets what every landing of a topic has in its table and what is older than the retention; never more: a partition
 * of which one landing has committed nothing yet stays whole. Resolves to the partitions in which something could be
 * forgotten.
 */
export async function trimLog(options: TrimOptions): Promise<{ topic: Topic; partition: number; before: bigint }[]> {
  const { log, catalog } = options;
  const trimmed: { topic: Topic; partition: number; before: bigint }[] = [];
  for (const topic of topics) {
    const identity = await log.identity(topic);
    const landed = await Promise.all(landings.filter((landing) => landing.topic === topic).map(({ name }) => catalog.landed(name, identity)));
    for (let partition = 0; partition < await log.partitions(topic); partition++) {
      const { earliest } = await log.bounds(topic, partition);
      const ends = landed.map((offsets) => offsets.get(partition) ?? earliest);
      const everywhere = ends.reduce((least, end) => (end < least ? end : least), ends[0] ?? earliest);
      const before = await firstYoung(options, topic, partition, { from: earliest, to: everywhere });
      if (before <= earliest) continue;
      await log.trim(topic, partition, before);
      trimmed.push({ topic, partition, before });
    }
  }
  return trimmed;
}

/**
 * The first offset of [from, to) whose record is younger than the retention, else `to`. Time grows with offsets: found
 * by halving.
 */
async function firstYoung(
  { log, clock, retentionMs }: TrimOptions, topic: Topic, partition: number, { from, to }: { from: bigint; to: bigint },
): Promise<bigint> {
  const youngMs = clock.now() - retentionMs;
  let low = from;
  let high = to;
  while (low < high) {
    const middle = (low + high) / 2n;
    const [chunk] = await log.read(topic, partition, middle, { maxBytes: 1, waitMs: 0 });
    // A chunk tells the time of its newest record: it stays whole until that one is old.
    if (chunk === undefined || chunk.appendedAtMs >= youngMs) high = middle;
    else low = middle + 1n;
  }
  return low;
}

/** Often enough that space comes back soon after a slice of the log (an hour) is over. */
const everyMs = 15 * 60_000;

/** Trims the log from time to time. Runs beside the active writer. */
export function trimProgram(options: TrimOptions & { readonly logger: Logger }): Service {
  const { clock, logger } = options;
  return {
    name: 'log trim',
    async run(signal) {
      while (!signal.aborted) {
        try {
          for (const { topic, partition, before } of await trimLog(options)) logger.info('log_trimmed', { topic, partition, before: String(before) });
        } catch (error) {
          // The next round comes; what is lost meanwhile is space.
          if (!isWatershedError(error) || !error.retryable) throw error;
        }
        await clock.sleep(everyMs, signal).catch(() => undefined);
      }
    },
  };
}
