import { statfs } from 'node:fs/promises';
import type { Clock } from '#core/clock.ts';
import type { Database } from '#core/database/database.ts';
import { isWatershedError } from '#core/errors.ts';
import type { Log } from '#core/log/log.ts';
import type { Metrics } from '#core/metrics.ts';
import type { Service } from '#core/service.ts';
import { postsLanding } from './landings/posts.ts';
import { rawLanding } from './landings/raw.ts';
import { rowLandings } from './landings/rows.ts';

/** How far one landing is with its topic, over all partitions. */
export interface LandingHealth {
  readonly landing: string;
  readonly topic: string;
  /** Records in the log that are in no table yet. */
  readonly waitingRecords: number;
  /** The same by partition, from 0. */
  readonly waitingByPartition: readonly number[];
  /** Since the last commit; undefined where there was none. */
  readonly commitAgeSeconds: number | undefined;
}

interface HealthInput {
  readonly database: Database;
  readonly log: Log;
}

/** Read from ledger and log alone, so it is true also where no writer runs. */
export async function readLandings({ database, log }: HealthInput): Promise<LandingHealth[]> {
  return Promise.all([postsLanding, rawLanding, ...rowLandings].map(async ({ name, topic }) => {
    const identity = await log.identity(topic);
    const ends = await database.query<{ partition: number; ended: bigint; age: number }>(
      `select partition, max(to_offset) as ended, extract(epoch from clock_timestamp() - max(committed_at))::float8 as age
         from watershed.ledger where landing = $1 and log_identity = $2 group by partition`, [name, identity]);
    const waiting = await Promise.all(Array.from({ length: await log.partitions(topic) }, async (_, partition) => {
      const { earliest, next } = await log.bounds(topic, partition);
      return Number(next - (ends.find((end) => end.partition === partition)?.ended ?? earliest));
    }));
    return {
      landing: name, topic, waitingRecords: waiting.reduce((sum, records) => sum + records, 0), waitingByPartition: waiting,
      commitAgeSeconds: ends.length === 0 ? undefined : Math.min(...ends.map(({ age }) => age)),
    };
  }));
}

const everyMs = 10_000;

/**
 * Keeps the gauges that the alert rules read (helm/files/alerts.yaml): they go on growing where the writer stands
 * still.
 */
export function healthProgram(
  input: HealthInput & { readonly metrics: Metrics; readonly clock: Clock; readonly dataDir: string },
): Service {
  const { metrics, clock, dataDir } = input;
  const waiting = metrics.gauge('watershed_waiting_records', 'Records in the log that are in no table yet', ['landing']);
  const lag = metrics.gauge('watershed_log_lag_records', 'From the last committed offset of a landing to the end of the log, by partition',
    ['topic', 'partition', 'landing']);
  const age = metrics.gauge('watershed_commit_age_seconds', 'Since the last commit of a landing', ['landing']);
  const free = metrics.gauge('watershed_disk_free_bytes', 'Free space where the data folder lies');
  const size = metrics.gauge('watershed_disk_size_bytes', 'Size of the disk where the data folder lies');
  return {
    name: 'health',
    async run(signal) {
      while (!signal.aborted) {
        // A database that is away for a moment shows in the programs themselves; the gauges keep their last value.
        const landings = await readLandings(input).catch((error: unknown) => {
          if (isWatershedError(error, 'unavailable')) return [];
          throw error;
        });
        for (const { landing, topic, waitingRecords, waitingByPartition, commitAgeSeconds } of landings) {
          waiting.set(waitingRecords, { landing });
          waitingByPartition.forEach((records, partition) => lag.set(records, { topic, partition: String(partition), landing }));
          if (commitAgeSeconds !== undefined) age.set(commitAgeSeconds, { landing });
        }
        const disk = await statfs(dataDir);
        free.set(disk.bavail * disk.bsize);
        size.set(disk.blocks * disk.bsize);
        await clock.sleep(everyMs, signal).catch(() => undefined);
      }
    },
  };
}
