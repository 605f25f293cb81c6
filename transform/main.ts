import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { availableParallelism } from 'node:os';
import type { Clock } from '#core/clock.ts';
import type { Config } from '#core/config.ts';
import { WatershedError } from '#core/errors.ts';
import type { Foundation } from '#core/main.ts';
import { jobNames, type Queue } from '#core/queue/queue.ts';
import type { Service } from '#core/service.ts';
import { heldSnapshots } from '#warehouse/backup/hold.ts';
import { openDuck } from '#warehouse/duck.ts';
import type { Warehouse } from '#warehouse/main.ts';
import { upkeepLimits } from '#warehouse/upkeep/plan.ts';
import { createHttpClassifier } from './classifiers/http.ts';
import { openLinear } from './classifiers/linear.ts';
import type { Classifier } from './classifiers/classifier.ts';
import { activityJob } from './jobs/activity.ts';
import { classifyJob } from './jobs/classify.ts';
import type { JobDefinition } from './jobs/job.ts';
import { orphansJob } from './jobs/orphans.ts';
import { createRunner, type Runner } from './jobs/runner.ts';
import { upkeepJob } from './jobs/upkeep.ts';
import { vectorsFile, weightsFile } from './train/train.ts';

export interface Transform extends AsyncDisposable {
  readonly service: Service;
  /** To be called with each commit of the writer: it asks for the jobs that follow from it. Quick, and may be lost. */
  readonly onCommit: (commit: { readonly landing: string; readonly kept: number }) => void;
  readonly runner: Runner;
}

/**
 * Opens the model and the jobs; they run while `service` runs. Throws `corrupt` or `unsupported` for a model that is
 * not whole.
 */
export async function openTransform(
  foundation: Foundation, warehouse: Warehouse, queue: Queue, more: readonly JobDefinition[] = [],
): Promise<Transform> {
  const { config, dataDir, database, store, clock, random, log, metrics, logger } = foundation;
  await using stack = new AsyncDisposableStack();
  const classifier = stack.use(await openClassifier(config, clock));
  const duck = stack.use(
    await openDuck({
      staging: join(dataDir, 'staging-transform'),
      memoryBytes: config.WATERSHED_MEMORY_BYTES,
      threads: availableParallelism(),
    }),
  );
  const lake = {
    catalog: warehouse.catalog,
    cache: warehouse.cache,
    store,
    clock,
    random,
    duck,
    crashPoint: () => undefined,
  };
  const jobs: JobDefinition[] = [
    classifyJob({
      ...lake,
      metrics,
      classifier,
      logIdentity: await log.identity('posts'),
      onCommit: () => runner.hint('activity'),
    }),
    activityJob(lake),
    upkeepJob({
      context: lake,
      duck,
      retentionMs: upkeepRetentionMs(config),
      held: () => heldSnapshots(database),
      limits: { ...upkeepLimits, hotBytesMax: config.WATERSHED_HOT_BYTES },
      logger: logger.child('upkeep'),
      metrics,
    }),
    orphansJob({
      context: lake,
      minAgeMs: orphanAgeMs(config),
      modelVersion: classifier.version,
      logger: logger.child('orphans'),
      metrics,
    }),
    ...more,
  ];
  expectKnown(jobs);
  const runner: Runner = createRunner({ queue, clock, metrics, logger: logger.child('jobs'), jobs });
  const owned = stack.move();
  return {
    service: runner.service,
    runner,
    onCommit({ landing, kept }) {
      if (kept === 0) return;
      if (landing === 'posts') runner.hint('classify');
      if (landing === 'tombstones') runner.hint('activity');
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** The API and the board list the kinds of jobs by the names that stand in core/queue. */
function expectKnown(jobs: readonly JobDefinition[]): void {
  const names: readonly string[] = jobNames;
  const unknown = jobs.find(({ name }) => !names.includes(name));
  if (unknown !== undefined) throw new WatershedError('internal', `job ${unknown.name} does not stand in core/queue/queue.ts`);
}

/** Files stay at least this long after the commit that let go of them: a statement or job may still be reading them. */
const retentionMsMin = 5 * 60_000;

/** How long upkeep keeps what was replaced, for readers that began before. */
export function upkeepRetentionMs(config: Config): number {
  return Math.max(retentionMsMin, 2 * config.WATERSHED_SQL_TIMEOUT_MS);
}

/** How old an object must be before it counts as left behind. */
export function orphanAgeMs(config: Config): number {
  return config.WATERSHED_ORPHAN_AGE_HOURS * 3_600_000;
}

/** The model that ships with the program, or the one behind an API where its address is given. */
async function openClassifier(config: Config, clock: Clock): Promise<Classifier> {
  const { WATERSHED_CLASSIFIER_URL: baseUrl, WATERSHED_CLASSIFIER_MODEL: model } = config;
  if (baseUrl === undefined) return openModel();
  if (model === undefined) {
    throw new WatershedError('bad_config', 'WATERSHED_CLASSIFIER_URL is given, and no WATERSHED_CLASSIFIER_MODEL', {
      hint: 'name the model that the API is to use',
    });
  }
  const apiKey = config.WATERSHED_CLASSIFIER_API_KEY;
  return createHttpClassifier({
    baseUrl,
    model,
    clock,
    ...(apiKey === undefined ? {} : { apiKey }),
    batchPosts: 20,
    concurrency: 4,
    timeoutMs: 60_000,
    attempts: 4,
    budgetPosts: config.WATERSHED_CLASSIFIER_POSTS_PER_DAY,
    cachePosts: 50_000,
  });
}

async function openModel(): Promise<Classifier> {
  const root = join(import.meta.dirname, '..');
  const read = async (path: string): Promise<{ path: string; bytes: Uint8Array }> => ({
    path,
    bytes: await readFile(join(root, path)),
  });
  return openLinear({ vectors: await read(vectorsFile), weights: await read(weightsFile) });
}
