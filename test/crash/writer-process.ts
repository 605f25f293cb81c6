/**
 * The writer (landings `posts` and `raw`) as a process of its own, for tests that kill it: `node writer-process.ts ORDER`, an order in
 * JSON. At the order's NTH passing of its crash point it dies by SIGKILL, or says `reached` and goes on; point `never` lands everything
 * and then ends.
 */
import { join } from 'node:path';
import { systemClock, systemRandom } from '#core/clock.ts';
import { catalogName } from '#core/contract/tables.ts';
import { openDatabase } from '#core/database/database.ts';
import { acquireLease } from '#core/database/lease.ts';
import { silentLogger } from '#core/logger.ts';
import { createMetrics } from '#core/metrics.ts';
import { runTogether } from '#core/service.ts';
import { openPostgresCatalog } from '#warehouse/catalog/postgres.ts';
import { openDuck } from '#warehouse/duck.ts';
import { postsLanding } from '#warehouse/landings/posts.ts';
import { rawLanding } from '#warehouse/landings/raw.ts';
import { shareReads } from '#warehouse/share.ts';
import { createTableCache } from '#warehouse/table/files.ts';
import { ensureTables } from '#warehouse/tables.ts';
import { createWriter } from '#warehouse/writer.ts';
import { openParts, type WriterOrder } from './ground.ts';

const order = JSON.parse(process.argv[2] ?? '') as WriterOrder;
const clock = systemClock;
await using database = openDatabase(order.database, { max: 6, clock });
await using parts = await openParts(order, database, `writer-${process.pid}`);
const { log, store } = parts;
const catalog = openPostgresCatalog(database, { catalogName });
const cache = createTableCache();
await ensureTables({ catalog, store, clock, random: systemRandom, cache });
await using lease = await acquireLease(database, 'warehouse', String(process.pid), { clock, ttlMs: 1_000, holdThroughOutage: true });
await using duck = await openDuck({ staging: join(order.folder, `staging-${process.pid}`), memoryBytes: 400e6, threads: 1 });
let reached = 0;
let checking = Promise.resolve();
const stop = new AbortController();
const total = (await log.bounds('posts', 0)).next + (await log.bounds('posts', 1)).next;
const landings = [postsLanding, rawLanding];
const batchBytes = 8_000;
const shared = { ...log, read: shareReads(log, batchBytes).read };

const writers = landings.map((landing) => createWriter({
  landing, log: shared, catalog, store, cache, duck, clock, random: systemRandom, logger: silentLogger, metrics: createMetrics(),
  epoch: { lease: 'warehouse', epoch: lease.epoch }, batchBytes, intervalMs: 20,
  onCommit: () => { checking = checking.then(checkDone); }, onLost: async () => undefined,
  crashPoint(name) {
    if (name !== order.point || ++reached !== order.nth) return;
    if (order.does === 'die') process.kill(process.pid, 'SIGKILL');
    else process.stdout.write('reached\n');
  },
}));
await checkDone();
await runTogether([{ name: 'lease', run: (signal) => lease.keep(signal) }, ...writers], stop.signal);
await checking;

async function checkDone(): Promise<void> {
  const identity = await log.identity('posts');
  const landed = await Promise.all(landings.map(({ name }) => catalog.landed(name, identity)));
  if (landed.every((offsets) => [...offsets.values()].reduce((sum, offset) => sum + offset, 0n) >= total)) stop.abort();
}
