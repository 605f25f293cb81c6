import { randomUUID } from 'node:crypto';
import type { Clock, Random } from '#core/clock.ts';
import { storeNamespace, tables, type TableName } from '#core/contract/tables.ts';
import { WatershedError } from '#core/errors.ts';
import type { Log } from '#core/log/log.ts';
import type { Logger } from '#core/logger.ts';
import type { Metrics } from '#core/metrics.ts';
import type { Service } from '#core/service.ts';
import type { Store } from '#core/store/store.ts';
import type { Catalog, LedgerRow } from './catalog/catalog.ts';
import type { Duck } from './duck.ts';
import { DuplicateIndex } from './duplicates.ts';
import { gather, type Batch, type LostRange } from './gather.ts';
import type { EncodedBatch, Landing } from './landing.ts';
import type { Pace } from './precedence.ts';
import { resume, offsetProperties } from './resume.ts';
import { commitAppend, type CrashPoint } from './table/append.ts';
import { dataFileFromStats } from './table/datafile.ts';
import type { TableCache } from './table/files.ts';

export interface WriterOptions {
  readonly landing: Landing;
  readonly log: Log;
  readonly catalog: Catalog;
  readonly store: Store;
  readonly cache: TableCache;
  readonly duck: Duck;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** The lease under which this process may append; checked inside every commit. */
  readonly epoch: { readonly lease: string; readonly epoch: bigint };
  readonly batchBytes: number;
  readonly intervalMs: number;
  /** When a batch is encoded; at once where nothing is said. */
  readonly pace?: Pace;
  /** Told after each commit; what it does with it must be quick and may be lost. */
  readonly onCommit: (commit: { landing: string; records: number; kept: number }) => void;
  readonly onLost: (topic: string, lost: LostRange) => Promise<void>;
  readonly crashPoint: CrashPoint;
}

/**
 * The life of a record from log to table, for one landing: read on from the offsets that the table holds, gather a
 * batch, let DuckDB encode it, commit the files of all tables together with the new offsets and a ledger row per
 * partition. While one batch is committed the next is gathered and encoded. Whatever fails, nothing was acknowledged:
 * the next start begins where the table ends.
 */
export function createWriter(options: WriterOptions): Service {
  return { name: `landing ${options.landing.name}`, run: (signal) => runWriter(options, signal) };
}

async function runWriter(options: WriterOptions, signal: AbortSignal): Promise<void> {
  const { landing, log, clock, duck, pace = atOnce } = options;
  const { identity, positions, landed, files, newestFirst } = await resume(options);
  const connection = await duck.connect();
  const duplicates = new DuplicateIndex(files);
  try {
    if (landing.name === 'posts') await duplicates.open(connection, newestFirst);
    let committing: Promise<void> = Promise.resolve();
    const batches = gather({
      log, topic: landing.topic, positions, clock,
      batchBytes: options.batchBytes, intervalMs: options.intervalMs,
      onLost: (lost) => options.onLost(landing.topic, lost),
    }, signal);
    let waitingSince = clock.monotonic();
    for await (const batch of batches) {
      options.crashPoint('gathered');
      observe(options, 'gather', clock.monotonic() - waitingSince);
      const encoded = await pace(batch, signal, async () => {
        const encodedFrom = clock.monotonic();
        const files = await landing.encode(batch, { connection, staging: duck.staging, duplicates, nowMs: clock.now() });
        observe(options, 'encode', clock.monotonic() - encodedFrom);
        return files;
      });
      options.crashPoint('encoded');
      await committing;
      committing = commit(options, { identity, landed, batch, encoded, duplicates });
      // An error is thrown at the next `await committing`; until then it must not count as unhandled.
      committing.catch(() => undefined);
      waitingSince = clock.monotonic();
    }
    await committing;
  } finally {
    connection.closeSync();
  }
}

const atOnce: Pace = (_batch, _signal, work) => work();

interface CommitInput {
  readonly identity: string;
  /** Partitions that have an offset in the table; grows with the first commit of each. */
  readonly landed: Set<number>;
  readonly batch: Batch;
  readonly encoded: EncodedBatch;
  readonly duplicates: DuplicateIndex;
}

async function commit(options: WriterOptions, input: CommitInput): Promise<void> {
  const { identity, landed, batch, encoded, duplicates } = input;
  const { landing, catalog, store, clock, random } = options;
  const startedAt = clock.monotonic();
  const placed = await duplicates.moving(async () => {
    const files = await Promise.all(encoded.files.map(async ({ table, file }) => {
      const key = `${storeNamespace}/${table}/data/${randomUUID()}.parquet`;
      await store.putFile(key, file.localPath);
      return { table, file, path: `${store.uri}/${key}` };
    }));
    encoded.onPlaced?.(new Map(files.map(({ file, path }) => [file.localPath, path])));
    return files;
  });
  options.crashPoint('placed');
  const touched: readonly TableName[] = [...new Set([landing.table, ...placed.map(({ table }) => table)])];
  await commitAppend({
    catalog, store, clock, random, cache: options.cache, epoch: options.epoch, crashPoint: options.crashPoint,
    ledger: ledgerRows(landing, identity, batch, encoded),
    tables: touched.map((name) => ({
      ref: { namespace: storeNamespace, name },
      spec: tables[name],
      files: placed.filter(({ table }) => table === name).map(({ file, path }) => dataFileFromStats(tables[name], path, file.stats)),
      ...(name === landing.table ? offsetProperties(identity, batch, landed) : {}),
    })),
  });
  for (const { partition } of batch.ranges) landed.add(partition);
  await encoded.onCommitted?.();
  count(options, batch, encoded, clock.monotonic() - startedAt);
}

function ledgerRows(landing: Landing, identity: string, batch: Batch, encoded: EncodedBatch): LedgerRow[] {
  return batch.ranges.map(({ partition, from, to, chunks }) => {
    const fates = encoded.fates.get(partition) ?? { kept: 0, duplicate: 0, dead: 0 };
    const records = chunks.reduce((sum, chunk) => sum + chunk.count, 0);
    const fated = fates.kept + fates.duplicate + fates.dead;
    if (fated !== records) {
      throw new WatershedError('corrupt', `landing ${landing.name} read ${records} records and has a fate for ${fated}`, {
        context: { partition, from, to }, hint: 'this is a defect: keep the log and report it; nothing was committed',
      });
    }
    return { landing: landing.name, logIdentity: identity, topic: landing.topic, partition, from, to, ...fates };
  });
}

function count(options: WriterOptions, batch: Batch, encoded: EncodedBatch, commitMs: number): void {
  const { landing, metrics, clock, onCommit } = options;
  const labels = { landing: landing.name };
  const sum = (pick: 'kept' | 'duplicate' | 'dead'): number => [...encoded.fates.values()].reduce((total, fates) => total + fates[pick], 0);
  const records = metrics.counter('watershed_landed_records_total', 'Records landed, by fate', ['landing', 'fate']);
  for (const fate of ['kept', 'duplicate', 'dead'] as const) records.add(sum(fate), { ...labels, fate });
  const newestMs = Math.max(...batch.ranges.flatMap(({ chunks }) => chunks.map(({ appendedAtMs }) => appendedAtMs)));
  metrics.gauge('watershed_landing_delay_seconds', 'From append to commit of the newest record of the last batch', ['landing'])
    .set((clock.now() - newestMs) / 1000, labels);
  observe(options, 'commit', commitMs);
  onCommit({ landing: landing.name, records: batch.records, kept: sum('kept') });
}

const stages = {
  gather: ['watershed_gather_duration_seconds', 'Waiting for and reading a batch'],
  encode: ['watershed_encode_duration_seconds', 'Staging, projecting, looking for duplicates and writing Parquet'],
  commit: ['watershed_commit_duration_seconds', 'Placing files and committing'],
} as const;

function observe({ landing, metrics }: WriterOptions, stage: keyof typeof stages, ms: number): void {
  const [name, help] = stages[stage];
  metrics.histogram(name, help, [0.01, 0.03, 0.1, 0.3, 1, 3, 10], ['landing']).observe(ms / 1000, { landing: landing.name });
}
