import Type from 'typebox';
import type { Logger } from '#core/logger.ts';
import { keepTable, tableNames, type UpkeepOptions } from '#warehouse/upkeep/upkeep.ts';
import type { JobDefinition } from './job.ts';

const Payload = Type.Object({}, { additionalProperties: false });

/** Keeps every table fast: see `warehouse/upkeep`. What it did is in its progress and in the log. */
export function upkeepJob(options: Omit<UpkeepOptions, 'signal'> & { readonly logger: Logger }): JobDefinition<typeof Payload> {
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
        if (done.merged + done.filed + done.packed + done.expiredSnapshots === 0) continue;
        options.logger.info('table_kept', { ...done });
        await progress({ ...done });
      }
    },
  };
}
