import { storeNamespace, tables, type TableName, type TableSpec } from '#core/contract/tables.ts';
import { isWatershedError, WatershedError } from '#core/errors.ts';
import type { Duck } from '../duck.ts';
import { keyOf } from '#core/store/store.ts';
import { changeMetadata } from '../table/ensure.ts';
import { createTableCache, loadManifestList, loadMetadata } from '../table/files.ts';
import { commitExpire, expireSnapshots, type Retention } from '../table/expire.ts';
import { currentSchema, currentSnapshot, type TableMetadata } from '../table/metadata.ts';
import { planScan, type ScanPlan } from '../table/scan.ts';
import type { CommitContext } from '../table/transaction.ts';
import { emptyPlan, planUpkeep, upkeepLimits, type UpkeepLimits, type UpkeepPlan, type UpkeepSituation } from './plan.ts';
import { fileAway, mergeFiles, type RewriteInput } from './rewrite.ts';

/** What upkeep consists of. */
export const upkeepPieces = ['merge', 'file', 'pack', 'expire'] as const;
export type UpkeepPiece = (typeof upkeepPieces)[number];

export interface UpkeepOptions {
  readonly context: CommitContext;
  readonly duck: Duck;
  /**
   * Snapshots that were replaced by a newer one before this time expire, and files that only they reached are deleted:
   * longer than any statement or job reads.
   */
  readonly retentionMs: number;
  /** Snapshots that stay whatever their age, because a backup reads them. */
  readonly held?: () => Promise<ReadonlySet<bigint>>;
  readonly limits?: UpkeepLimits;
  /** Only this one of the pieces. */
  readonly only?: UpkeepPiece | undefined;
  readonly signal: AbortSignal;
}

/** What a table is like, and what upkeep would do. */
export interface TableHealth {
  readonly table: TableName;
  readonly hotFiles: number;
  readonly hotBytes: number;
  readonly filedFiles: number;
  readonly bytes: number;
  readonly rows: number;
  readonly manifests: number;
  readonly snapshots: number;
  readonly wouldMerge: number;
  readonly wouldFile: number;
  readonly wouldPack: number;
  readonly wouldExpire: number;
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
 * Keeps one table fast beside its writer: merges hot files, files rows away, packs small files of a partition, and
 * expires old snapshots with the files that only they reached. A rewrite that lost its files to somebody else's commit
 * is left for the next run (invariant 6): nothing is retried blindly.
 */
export async function keepTable(options: UpkeepOptions, table: TableName): Promise<UpkeepDone> {
  const spec: TableSpec = tables[table];
  const done = { table, merged: 0, filed: 0, packed: 0, expiredSnapshots: 0, deletedFiles: 0 };
  const { only } = options;
  const { metadata, scan, plan } = await look(options, table);
  const input = (files: RewriteInput['files']): RewriteInput => (
    { context: options.context, duck: options.duck, spec, metadata, scan, files });
  if (wants(only, 'file') && plan.file.length > 0) {
    const filed = await unlessLost(options, () => fileAway(input(plan.file), plan.filing));
    if (filed === true) done.filed += plan.file.length;
    if (filed !== undefined && plan.filing.overBeforeDay !== undefined) await noteFiled(options, table);
  }
  // What was filed is no longer there to be merged.
  for (const group of done.filed > 0 || !wants(only, 'merge') ? [] : plan.merge) {
    if (await unlessLost(options, () => mergeFiles(input(group)))) done.merged += group.length;
  }
  for (const group of wants(only, 'pack') ? plan.pack : []) {
    if (await unlessLost(options, () => mergeFiles(input(group)))) done.packed += group.length;
  }
  options.signal.throwIfAborted();
  return wants(only, 'expire') ? { ...done, ...await expire(options, table) } : done;
}

const wants = (only: UpkeepPiece | undefined, piece: UpkeepPiece): boolean => only === undefined || only === piece;

/** When the days that were over were filed last, in a property of the table: milliseconds since 1970. */
const overFiledProperty = 'watershed.filed-at-ms';

async function noteFiled({ context }: UpkeepOptions, table: TableName): Promise<void> {
  await changeMetadata(context, { namespace: storeNamespace, name: table }, (base) => (
    { ...base, properties: { ...base.properties, [overFiledProperty]: String(context.clock.now()) } }));
}

async function expire({ context, retentionMs, held }: UpkeepOptions, table: TableName): Promise<Pick<UpkeepDone, 'expiredSnapshots' | 'deletedFiles'>> {
  const metadata = await loadTable(context, table);
  const retention = { ...retentionOf(metadata, context.clock.now() - retentionMs), ...held === undefined ? {} : { held: await held() } };
  const expired = await commitExpire(context, { namespace: storeNamespace, name: table }, retention);
  let deletedFiles = 0;
  for (const path of expired.files) {
    const key = keyOf(context.store, path);
    // What another engine put elsewhere is not ours to delete.
    if (key === undefined) continue;
    await context.store.delete(key);
    context.crashPoint?.('deleted');
    deletedFiles++;
  }
  return { expiredSnapshots: expired.snapshots, deletedFiles };
}

/**
 * A reader may have begun with a snapshot until the next one came: so the newest snapshot from before `momentMs` was
 * still current at that moment and stays, and those before it go.
 */
function retentionOf({ snapshots }: TableMetadata, momentMs: number): Retention {
  const older = snapshots.map((snapshot) => snapshot['timestamp-ms']).filter((madeMs) => madeMs < momentMs);
  return { olderThanMs: Math.max(0, ...older), keep: snapshotsKept };
}

/** Looks at a table without changing it. */
export async function tableHealth(
  options: Pick<UpkeepOptions, 'context' | 'limits' | 'retentionMs'>, table: TableName,
): Promise<TableHealth> {
  const { metadata, scan, plan, hotSpecIds } = await look(options, table);
  const { store, clock, cache = createTableCache() } = options.context;
  const after = expireSnapshots(metadata, retentionOf(metadata, clock.now() - options.retentionMs));
  const hot = scan.files.filter(({ specId }) => hotSpecIds.has(specId));
  const manifests = await loadManifestList(store, cache, currentSnapshot(metadata));
  const bytesOf = (files: ScanPlan['files']): number => files.reduce((sum, { bytes }) => sum + bytes, 0);
  return {
    table, hotFiles: hot.length, hotBytes: bytesOf(hot), filedFiles: scan.files.length - hot.length, bytes: bytesOf(scan.files),
    rows: scan.files.reduce((sum, { recordCount }) => sum + recordCount, 0), manifests: manifests.length, snapshots: metadata.snapshots.length,
    wouldMerge: plan.merge.flat().length, wouldFile: plan.file.length, wouldPack: plan.pack.flat().length,
    wouldExpire: metadata.snapshots.length - after.snapshots.length,
  };
}

async function look({ context, limits = upkeepLimits }: Pick<UpkeepOptions, 'context' | 'limits'>, table: TableName): Promise<{
  metadata: TableMetadata; scan: ScanPlan; plan: UpkeepPlan; hotSpecIds: ReadonlySet<number>;
}> {
  const metadata = await loadTable(context, table);
  const scan = await planScan({ store: context.store, metadata, ...(context.cache === undefined ? {} : { cache: context.cache }) });
  const hotSpecIds = new Set(metadata['partition-specs'].filter(({ fields }) => fields.length === 0).map((spec) => spec['spec-id']));
  const { partition }: TableSpec = tables[table];
  const situation: UpkeepSituation = {
    hotSpecIds, nowMs: context.clock.now(), overFiledAtMs: Number(metadata.properties[overFiledProperty] ?? -Infinity),
    fileBy: isFileable(metadata, table) ? { day: partition.find(({ transform }) => transform === 'day')?.column } : undefined,
  };
  const plan = isRewritable(metadata, table) ? planUpkeep(scan.files, situation, limits) : emptyPlan;
  return { metadata, scan, hotSpecIds, plan };
}

async function loadTable({ catalog, store, cache }: CommitContext, table: TableName): Promise<TableMetadata> {
  const location = await catalog.load({ namespace: storeNamespace, name: table });
  if (location === undefined) throw new WatershedError('not_found', `there is no table ${storeNamespace}.${table}`);
  return loadMetadata(store, cache ?? createTableCache(), location);
}

/**
 * A column that somebody else added would be lost in a rewrite of ours: such a table is left to that engine, and to a
 * newer version.
 */
function isRewritable(metadata: TableMetadata, table: TableName): boolean {
  const known = new Set<number>(tables[table].columns.map(({ id }) => id));
  return currentSchema(metadata).fields.every(({ id }) => known.has(id));
}

/** Only into a default spec that is the one we made: a user's own partitioning is left to the user's own engine. */
function isFileable(metadata: TableMetadata, table: TableName): boolean {
  const { partition, columns }: TableSpec = tables[table];
  const fields = metadata['partition-specs'].find((spec) => spec['spec-id'] === metadata['default-spec-id'])?.fields ?? [];
  const isOurs = (field: (typeof fields)[number], index: number): boolean => {
    const ours = partition[index];
    return field.transform === ours?.transform && columns.find(({ id }) => id === field['source-id'])?.name === ours.column;
  };
  return partition.length > 0 && fields.length === partition.length && fields.every(isOurs);
}

/** What `rewrite` says, or undefined where it lost its files to somebody else's commit. */
async function unlessLost({ signal }: UpkeepOptions, rewrite: () => Promise<boolean>): Promise<boolean | undefined> {
  signal.throwIfAborted();
  try {
    return await rewrite();
  } catch (error) {
    if (isWatershedError(error, 'conflict')) return undefined;
    throw error;
  }
}
