/**
 * Classification and counting as a process of its own, for tests that kill it: `node jobs-process.ts URL FOLDER POINT NTH`.
 * At the NTH time that crash point POINT is reached it kills itself with SIGKILL; `never` does all there is to do.
 */
import { join } from 'node:path';
import { systemClock, systemRandom } from '#core/clock.ts';
import { catalogName } from '#core/contract/tables.ts';
import { openDatabase } from '#core/database/database.ts';
import { createMetrics } from '#core/metrics.ts';
import { openFileStore } from '#core/store/file.ts';
import { createMemoryClassifier } from '#transform/classifiers/memory.ts';
import { activityJob } from '#transform/jobs/activity.ts';
import { classifyJob } from '#transform/jobs/classify.ts';
import { openPostgresCatalog } from '#warehouse/catalog/postgres.ts';
import { openDuck } from '#warehouse/duck.ts';
import { createTableCache } from '#warehouse/table/files.ts';

const [url = '', folder = '', point = 'never', nth = '1'] = process.argv.slice(2);
await using database = openDatabase(url, { max: 4, clock: systemClock });
const store = await openFileStore(join(folder, 'lake'));
const staging = join(folder, `staging-${process.pid}`);
await using duck = await openDuck({ staging, memoryBytes: 400e6, threads: 1 });
let reached = 0;
const options = {
  catalog: openPostgresCatalog(database, { catalogName }),
  store,
  cache: createTableCache(),
  clock: systemClock,
  random: systemRandom,
  duck,
  crashPoint(name: string): void {
    if (name === point && ++reached === Number(nth)) process.kill(process.pid, 'SIGKILL');
  },
};
const context = { signal: new AbortController().signal, progress: async () => undefined };
const classifier = createMemoryClassifier(['water']);
const more = { metrics: createMetrics(), classifier, logIdentity: 'log-1', onCommit: () => undefined };
await classifyJob({ ...options, ...more }).run({}, context);
await activityJob(options).run({}, context);
