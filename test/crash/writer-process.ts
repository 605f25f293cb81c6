/**
 * The writer as a process of its own, for tests that kill it: `node writer-process.ts URL FOLDER POINT NTH`. At the NTH time that
 * crash point POINT is reached it kills itself with SIGKILL; POINT `never` lands everything and then ends.
 */
import { join } from 'node:path';
import { systemClock, systemRandom } from '#core/clock.ts';
import { catalogName } from '#core/contract/tables.ts';
import { openDatabase } from '#core/database/database.ts';
import { acquireLease } from '#core/database/lease.ts';
import { createPostgresLog } from '#core/log/postgres.ts';
import { silentLogger } from '#core/logger.ts';
import { createMetrics } from '#core/metrics.ts';
import { runTogether } from '#core/service.ts';
import { openFileStore } from '#core/store/file.ts';
import { openPostgresCatalog } from '#warehouse/catalog/postgres.ts';
import { openDuck } from '#warehouse/duck.ts';
import { postsLanding } from '#warehouse/landings/posts.ts';
import { createTableCache } from '#warehouse/table/files.ts';
import { ensureTables } from '#warehouse/tables.ts';
import { createWriter } from '#warehouse/writer.ts';

const [url = '', folder = '', point = 'never', nth = '1'] = process.argv.slice(2);
const clock = systemClock;
await using database = openDatabase(url, { max: 6, clock });
await using log = createPostgresLog(database, clock);
const store = await openFileStore(join(folder, 'lake'));
const catalog = openPostgresCatalog(database, { catalogName });
const cache = createTableCache();
await ensureTables({ catalog, store, clock, random: systemRandom, cache });
await using lease = await acquireLease(database, 'warehouse', String(process.pid), { clock, ttlMs: 1_000, holdThroughOutage: true });
await using duck = await openDuck({ staging: join(folder, `staging-${process.pid}`), memoryBytes: 400e6, threads: 1 });
let reached = 0;
let checking = Promise.resolve();
const stop = new AbortController();
const total = await log.bounds('posts', 0).then(async (first) => first.next + (await log.bounds('posts', 1)).next);

const writer = createWriter({
  landing: postsLanding, log, catalog, store, cache, duck, clock, random: systemRandom, logger: silentLogger, metrics: createMetrics(),
  epoch: { lease: 'warehouse', epoch: lease.epoch }, batchBytes: 8_000, intervalMs: 20,
  onCommit: () => { checking = checking.then(checkDone); }, onLost: async () => undefined,
  crashPoint(name) {
    if (name === point && ++reached === Number(nth)) process.kill(process.pid, 'SIGKILL');
  },
});
await checkDone();
await runTogether([writer], stop.signal);
await checking;

async function checkDone(): Promise<void> {
  const landed = await catalog.landed('posts', await log.identity('posts'));
  if ([...landed.values()].reduce((sum, offset) => sum + offset, 0n) === total) stop.abort();
}
