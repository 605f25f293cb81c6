import { storeNamespace, tables, type TableName, type TableSpec } from '#core/contract/tables.ts';
import { isWatershedError, WatershedError } from '#core/errors.ts';
import type { Duck } from '../duck.ts';
import { createTableCache, loadMetadata, storeKey } from '../table/files.ts';
import { commitExpire } from '../table/expire.ts';
import type { TableMetadata } from '../table/metadata.ts';
import { planScan, type ScanPlan } from '../table/scan.ts';
import type { CommitContext } from '../table/transaction.ts';
import { planUpkeep, upkeepLimits, type UpkeepLimits, type UpkeepPlan } from './plan.ts';
import { fileAway, mergeFiles, type RewriteInput } from './rewrite.ts';

export interface UpkeepOptions {
  readonly context: CommitContext;
  readonly duck: Duck;
  /** Snapshots older than this expire, and files that only they reached are deleted: longer than any statement or job. */
  readonly retentionMs: number;
  readonly limits?: UpkeepLimits;
  readonly signal: AbortSignal;
}

/** What a table is like, and what upkeep would do. */
export interface TableHealth {
  readonly table: TableName;
  readonly hotFiles: number;
  readonly filedFiles: number;
  readonly bytes: number;
  readonly rows: number;
  readonly snapshots: number;
  readonly wouldMerge: number;
  readonly wouldFile: number;
  readonly wouldPack: number;
}

export interface UpkeepDone {
  readonly table: TableName;
  readonly merged: number;
  readonly filed: number;
  readonly packed: number;
  readonly expiredSnapshots: number;
  readonly deletedFiles: number;
}

/** The newest snapshots that stay whatever their age. */
const snapshotsKept = 10;

export const tableNames = Object.keys(tables).filter((name): name is TableName => Object.hasOwn(tables, name));

/**
 * Keeps one table fast beside its writer: merges hot files, files rows away, packs small files of a partition, and expires old
 * snapshots with the files that only they reached. A rewrite that lost its files to somebody else's commit is left for the next
 * run (invariant 6): nothing is retried blindly.
 */
export async function keepTable(options: UpkeepOptions, table: TableName): Promise<UpkeepDone> {
  const spec: TableSpec = tables[table];
  const done = { table, merged: 0, filed: 0, packed: 0, expiredSnapshots: 0, deletedFiles: 0 };
  const { metadata, scan, plan } = await look(options, table);
  const input = (files: RewriteInput['files']): RewriteInput => (
    { context: options.context, duck: options.duck, spec, metadata, sequenceNumber: scan.sequenceNumber, files });
  for (const group of plan.merge) {
    if (await unlessLost(options, () => mergeFiles(input(group)))) done.merged += group.length;
  }
  if (plan.file.length > 0 && await unlessLost(options, () => fileAway(input(plan.file)))) done.filed += plan.file.length;
  for (const group of plan.pack) {
    if (await unlessLost(options, () => mergeFiles(input(group)))) done.packed += group.length;
  }
  const { context, retentionMs } = options;
  const expired = await commitExpire(context, { namespace: storeNamespace, name: table },
    { olderThanMs: context.clock.now() - retentionMs, keep: snapshotsKept });
  done.expiredSnapshots = expired.snapshots;
  for (const path of expired.files) {
    await context.store.delete(storeKey(context.store, path));
    done.deletedFiles++;
  }
  return done;
}

/** Looks at a table without changing it. */
export async function tableHealth(options: Pick<UpkeepOptions, 'context' | 'limits'>, table: TableName): Promise<TableHealth> {
  const { metadata, scan, plan, hotSpecIds } = await look(options, table);
  const hot = scan.files.filter(({ specId }) => hotSpecIds.has(specId));
  return {
    table, hotFiles: hot.length, filedFiles: scan.files.length - hot.length, snapshots: metadata.snapshots.length,
    bytes: scan.files.reduce((sum, { bytes }) => sum + bytes, 0), rows: scan.files.reduce((sum, { recordCount }) => sum + recordCount, 0),
    wouldMerge: plan.merge.flat().length, wouldFile: plan.file.length, wouldPack: plan.pack.flat().length,
  };
}

async function look({ context, limits = upkeepLimits }: Pick<UpkeepOptions, 'context' | 'limits'>, table: TableName): Promise<{
  metadata: TableMetadata; scan: ScanPlan; plan: UpkeepPlan; hotSpecIds: ReadonlySet<number>;
}> {
  const cache = context.cache ?? createTableCache();
  const location = await context.catalog.load({ namespace: storeNamespace, name: table });
  if (location === undefined) throw new WatershedError('not_found', `there is no table ${storeNamespace}.${table}`);
  const metadata = await loadMetadata(context.store, cache, location);
  const scan = await planScan({ store: context.store, metadata, cache });
  const hotSpecIds = new Set(metadata['partition-specs'].filter(({ fields }) => fields.length === 0).map((spec) => spec['spec-id']));
  return { metadata, scan, hotSpecIds, plan: planUpkeep(scan.files, hotSpecIds, isFileable(metadata, table), limits) };
}

/** Only into a default spec that is the one we made: a user's own partitioning is left to the user's own engine. */
function isFileable(metadata: TableMetadata, table: TableName): boolean {
  const ours = tables[table].partition;
  const fields = metadata['partition-specs'].find((spec) => spec['spec-id'] === metadata['default-spec-id'])?.fields ?? [];
  return ours.length > 0 && fields.length === ours.length && fields.every(({ transform }, index) => transform === ours[index]?.transform);
}

async function unlessLost({ signal }: UpkeepOptions, rewrite: () => Promise<void>): Promise<boolean> {
  signal.throwIfAborted();
  try {
    await rewrite();
    return true;
  } catch (error) {
    if (isWatershedError(error, 'conflict')) return false;
    throw error;
  }
}
