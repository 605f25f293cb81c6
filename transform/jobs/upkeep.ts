import Type from 'typebox';
import type { TableName } from '#core/contract/tables.ts';
import type { Logger } from '#core/logger.ts';
import type { Metrics } from '#core/metrics.ts';
import { keepTable, tableHealth, tableNames, type UpkeepOptions } from '#warehouse/upkeep/upkeep.ts';
import type { JobDefinition } from './job.ts';

const Payload = Type.Object({}, { additionalProperties: false });

export interface UpkeepJobOptions extends Omit<UpkeepOptions, 'signal' | 'only'> {
  readonly logger: Logger;
  readonly metrics: Metrics;
}

/** Keeps every table fast: see `warehouse/upkeep`. What it did is in its progress and in the log. */
export function upkeepJob(options: UpkeepJobOptions): JobDefinition<typeof Payload> {
  return {
    name: 'upkeep',
    description: 'Merges and files data files, expires snapshots',
    payload: Payload,
    // Two commits a second make 60 hot files in this time, which are then merged into one.
    schedule: { when: { everyMs: 30_000 }, payload: {} },
    concurrency: 1,
    attempts: 3,
    async run(_payload, { signal, progress }) {
      for (const table of tableNames) {
        signal.throwIfAborted();
        const done = await keepTable({ ...options, signal }, table);
        await show(options, table);
        if (done.merged + done.filed + done.packed + done.expiredSnapshots === 0) continue;
        options.logger.info('table_kept', { ...done });
        await progress({ ...done });
      }
    },
  };
}

async function show(options: UpkeepJobOptions, table: TableName): Promise<void> {
  const { metrics } = options;
  const health = await tableHealth(options, table);
  metrics.gauge('watershed_table_hot_bytes', 'In files of mixed events and days', ['table']).set(health.hotBytes, { table });
  metrics.gauge('watershed_table_hot_files', 'Files of mixed events and days', ['table']).set(health.hotFiles, { table });
  metrics.gauge('watershed_table_filed_files', 'Files of one event and day', ['table']).set(health.filedFiles, { table });
  metrics.gauge('watershed_table_bytes', 'In live files', ['table']).set(health.bytes, { table });
  metrics.gauge('watershed_table_snapshots', 'Snapshots that are kept', ['table']).set(health.snapshots, { table });
}
