import { join } from 'node:path';
import { availableParallelism } from 'node:os';
import { catalogName } from '#core/contract/tables.ts';
import { acquireLease } from '#core/database/lease.ts';
import { reservedBytes, spaceGuard } from '#core/disk.ts';
import type { Foundation } from '#core/main.ts';
import { beginningAnew, runTogether, type Service } from '#core/service.ts';
import { encodeRecord } from '#core/contract/records.ts';
import { openPostgresCatalog } from './catalog/postgres.ts';
import type { Catalog } from './catalog/catalog.ts';
import { openDuck } from './duck.ts';
import type { LostRange } from './gather.ts';
import type { Landing } from './landing.ts';
import { postsLanding } from './landings/posts.ts';
import { rawLanding } from './landings/raw.ts';
import { rowLandings } from './landings/rows.ts';
import { inPrecedence, type Pace } from './precedence.ts';
import { shareReads } from './share.ts';
import { createTableCache, type TableCache } from './table/files.ts';
import { ensureTables } from './tables.ts';
import { trimProgram } from './trim.ts';
import { createWriter } from './writer.ts';

/** The catalog and what was read of the tables: shared by all programs of one process. */
export interface Warehouse {
  readonly catalog: Catalog;
  readonly cache: TableCache;
}

/** Opens the catalog and makes the tables that are missing. */
export async function openWarehouse(foundation: Foundation): Promise<Warehouse> {
  const { database, store, clock, random } = foundation;
  const catalog = openPostgresCatalog(database, { catalogName });
  const cache = createTableCache();
  await ensureTables({ catalog, store, clock, random, cache });
  return { catalog, cache };
}

export interface WarehouseHooks {
  readonly onCommit: (commit: { landing: string; records: number; kept: number }) => void;
}

/**
 * The writer of all landings, one active at a time by lease; a second process stands by. While database, log or store
 * are away it begins anew where the tables end, as after a restart of the process.
 */
export function warehouseProgram(foundation: Foundation, warehouse: Warehouse, hooks: WarehouseHooks): Service {
  return beginningAnew({ name: 'warehouse', run: (signal) => runWarehouse(foundation, warehouse, hooks, signal) }, foundation);
}

const leaseName = 'warehouse';
/**
 * A standby takes over after this long: below the 10 s that are promised, above what a slow disk makes a renewal wait.
 */
const leaseTtlMs = 8_000;

async function runWarehouse(foundation: Foundation, warehouse: Warehouse, hooks: WarehouseHooks, signal: AbortSignal): Promise<void> {
  const { config, database, log, store, clock, random, logger, metrics } = foundation;
  await using held = await acquireLease(database, leaseName, foundation.holder, {
    ttlMs: leaseTtlMs, clock, signal, holdThroughOutage: true, // every commit checks the epoch
  });
  await using duck = await openDuck({
    staging: join(foundation.dataDir, 'staging'), memoryBytes: config.WATERSHED_MEMORY_BYTES, threads: availableParallelism(),
  });
  // A batch is staged, and encoded beside it: refused in time, so that the database on the same disk lives.
  const requireRoom = spaceGuard(foundation.dataDir, reservedBytes + 3 * config.WATERSHED_BATCH_BYTES, clock);
  const keepingRoom = (landing: Landing): Landing => ({
    ...landing,
    async encode(batch, context) {
      await requireRoom('landing a batch');
      return landing.encode(batch, context);
    },
  });
  // `posts` and `raw` read one topic: once for both.
  const shared = { ...log, read: shareReads(log, config.WATERSHED_BATCH_BYTES).read };
  const { first, second } = inPrecedence(clock, config.WATERSHED_BATCH_BYTES);
  const paces: readonly { landing: Landing; pace?: Pace }[] = [
    { landing: postsLanding, pace: first }, { landing: rawLanding, pace: second }, ...rowLandings.map((landing) => ({ landing })),
  ];
  const writers = paces.map(({ landing, ...pace }) => createWriter({
    ...pace, landing: keepingRoom(landing), log: shared, catalog: warehouse.catalog, store, cache: warehouse.cache, duck, clock, random,
    logger: logger.child(`landing ${landing.name}`), metrics, epoch: { lease: leaseName, epoch: held.epoch },
    batchBytes: config.WATERSHED_BATCH_BYTES, intervalMs: config.WATERSHED_COMMIT_INTERVAL_MS,
    onCommit: hooks.onCommit, onLost: (topic, lost) => recordLost(foundation, topic, lost),
    crashPoint: () => undefined,
  }));
  const trim = trimProgram({
    log, catalog: warehouse.catalog, clock, logger: logger.child('log trim'), retentionMs: config.WATERSHED_LOG_RETENTION_HOURS * 3_600_000,
  });
  await runTogether([{ name: 'lease', run: (stop) => held.keep(stop) }, trim, ...writers], signal);
}

/** Records that retention took before they were landed are a gap, on record before the writer passes over them. */
async function recordLost({ log, clock }: Foundation, topic: string, lost: LostRange): Promise<void> {
  await log.append('journal', 0, [encodeRecord('journal', {
    at: new Date(clock.now()).toISOString(), source: 'log', kind: 'gap', cause: 'retention',
    count: Number(lost.to - lost.from),
    detail: JSON.stringify({ topic, partition: lost.partition, from: String(lost.from), to: String(lost.to) }),
  })]);
}
