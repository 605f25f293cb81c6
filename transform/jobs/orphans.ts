import Type from 'typebox';
import type { Logger } from '#core/logger.ts';
import type { Metrics } from '#core/metrics.ts';
import { deleteOrphans, findOrphans, type SweepOptions } from '#warehouse/upkeep/orphans.ts';
import { tableNames } from '#warehouse/upkeep/upkeep.ts';
import { sweepAdaptations } from './adaptations.ts';
import type { JobDefinition } from './job.ts';

const Payload = Type.Object({}, { additionalProperties: false });

export interface OrphansJobOptions extends Omit<SweepOptions, 'signal'> {
  /** The one that is in use. */
  readonly modelVersion: string;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

/**
 * Deletes what crashed writers left behind in the store. Each table is looked at first, without changing anything, and
 * what was found is logged before any of it goes. A table of which nothing can be said keeps all it has, and the others
 * are swept all the same.
 */
export function orphansJob(options: OrphansJobOptions): JobDefinition<typeof Payload> {
  const { context, logger, metrics } = options;
  return {
    name: 'orphans',
    description: 'Deletes files that no table names, after days',
    payload: Payload,
    schedule: { when: { everyMs: 6 * 3_600_000 }, payload: {} },
    concurrency: 1,
    attempts: 3,
    async run(_payload, { signal, progress }) {
      const failures: unknown[] = [];
      let deleted = await sweepAdaptations(context, options.modelVersion, options.minAgeMs);
      for (const table of tableNames) {
        try {
          const plan = await findOrphans({ ...options, signal }, table);
          if (plan.orphans.length === 0) continue;
          const bytes = plan.orphans.reduce((sum, orphan) => sum + orphan.bytes, 0);
          logger.info('orphans_found', { table, files: plan.orphans.length, bytes, first: plan.orphans[0]?.key });
          const gone = await deleteOrphans({ ...options, signal }, plan);
          metrics.counter('watershed_swept_files_total', 'Orphans deleted', ['table']).add(gone, { table });
          deleted += gone;
          await progress({ table, deleted });
        } catch (error) {
          signal.throwIfAborted();
          failures.push(error);
        }
      }
      if (failures.length > 0) throw failures[0];
    },
  };
}
