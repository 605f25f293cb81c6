import { WatershedError } from '#core/errors.ts';
import type { Store } from '#core/store/store.ts';
import { createTableCache, loadManifestList, loadScannedManifest } from './files.ts';
import type { ScannedFile, TableCache } from './files.ts';
import type { ManifestFile } from './manifest-list.ts';
import { currentSchema, currentSnapshot, schemaById, snapshotById } from './metadata.ts';
import type { Schema, Snapshot, TableMetadata } from './metadata.ts';
import { createPruner, fileRange } from './filter.ts';
import type { ColumnRange, Filter, Pruner } from './filter.ts';
import type { Value } from './values.ts';

/** Which files hold a table's rows. */

export type { Filter };

/** The current snapshot unless told. */
export interface SnapshotChoice {
  readonly snapshotId?: bigint;
  /** The snapshot that was current at that moment, milliseconds since 1970. */
  readonly asOfMs?: number;
}

export interface ScanRequest extends SnapshotChoice {
  readonly store: Store;
  readonly metadata: TableMetadata;
  /** Share one among all scans: what was read once is not read again. */
  readonly cache?: TableCache;
  /** Files in which no row can match are left out; the rows of the others must still be tested. */
  readonly filter?: Filter;
}

export interface ScanPlan {
  /** Undefined for a table without snapshots, which has no files. */
  readonly snapshotId: bigint | undefined;
  readonly sequenceNumber: number;
  readonly schema: Schema;
  readonly files: readonly PlannedFile[];
  /** Files of the snapshot that the filter left out, as far as they were looked at. */
  readonly prunedFiles: number;
  readonly prunedManifests: number;
}

export interface PlannedFile {
  /** Full Iceberg path, as stored. */
  readonly path: string;
  readonly recordCount: number;
  readonly bytes: number;
  readonly specId: number;
  /** Values by partition field id. */
  readonly partition: Readonly<Record<string, Value | null>>;
  readonly sequenceNumber: number;
  readonly sortOrderId: number | undefined;
  /** Position delete files whose rows may lie in this file. */
  readonly deletes: readonly string[];
  /** What is known of a column (of the plan's schema) in this file. */
  range(column: string): ColumnRange;
}

/**
 * Plans the reading of one snapshot. **Errors**: `not_found` (no such snapshot), `unsupported` (equality deletes,
 * deletion vectors, files that are not Parquet), `corrupt`, and those of the store.
 */
export async function planScan(request: ScanRequest): Promise<ScanPlan> {
  const { store, metadata, cache = createTableCache(), filter } = request;
  const snapshot = snapshotFor(metadata, request);
  const schema = schemaFor(metadata, request);
  const manifests = await loadManifestList(store, cache, snapshot);
  const pruners = new Map<number, Pruner | undefined>();
  const prunerOf = (specId: number): Pruner | undefined => {
    if (!pruners.has(specId)) pruners.set(specId, filter && createPruner(metadata, schema, specId, filter));
    return pruners.get(specId);
  };
  const live = manifests.filter(({ addedFiles, existingFiles }) => addedFiles !== 0 || existingFiles !== 0);
  const wanted = live.filter((manifest) =>
    manifest.content === 1 || (prunerOf(manifest.specId)?.manifest(manifest) ?? true));
  const scanned = await Promise.all(wanted.map(async (manifest) => ({
    manifest,
    files: await loadScannedManifest(store, cache, manifest),
  })));
  const deletes = indexDeletes(scanned.filter(({ manifest }) => manifest.content === 1));
  const files: PlannedFile[] = [];
  let pruned = 0;
  for (const { manifest, files: candidates } of scanned) {
    if (manifest.content === 1) continue;
    const pruner = prunerOf(manifest.specId);
    for (const file of candidates) {
      if (pruner !== undefined && !pruner.file(file)) pruned += 1;
      else files.push(planned(file, manifest.specId, schema, deletes));
    }
  }
  return {
    snapshotId: snapshot?.['snapshot-id'],
    sequenceNumber: snapshot?.['sequence-number'] ?? 0,
    schema,
    files,
    prunedFiles: pruned,
    prunedManifests: live.length - wanted.length,
  };
}

function snapshotFor(metadata: TableMetadata, { snapshotId, asOfMs }: SnapshotChoice): Snapshot | undefined {
  if (snapshotId !== undefined) return known(metadata, snapshotId);
  if (asOfMs === undefined) return currentSnapshot(metadata);
  const entry = metadata['snapshot-log'].findLast((candidate) => candidate['timestamp-ms'] <= asOfMs);
  if (entry !== undefined) return known(metadata, entry['snapshot-id']);
  const moment = new Date(asOfMs).toISOString();
  throw new WatershedError('not_found', `${metadata.location} has no snapshot from ${moment} or before`, {
    hint: 'It was empty then, or its older snapshots have expired.',
  });
}

function known(metadata: TableMetadata, id: bigint): Snapshot {
  const snapshot = snapshotById(metadata, id);
  if (snapshot !== undefined) return snapshot;
  throw new WatershedError('not_found', `${metadata.location} has no snapshot ${id}`, {
    hint: 'It has expired, or belongs to another table.',
  });
}

/** The schema to read by: the current one, or for an older snapshot the one that was current then. */
export function schemaFor(metadata: TableMetadata, at: SnapshotChoice = {}): Schema {
  if (at.snapshotId === undefined && at.asOfMs === undefined) return currentSchema(metadata);
  const id = snapshotFor(metadata, at)?.['schema-id'];
  return id === undefined ? currentSchema(metadata) : schemaById(metadata, id);
}

function planned(file: ScannedFile, specId: number, schema: Schema, deletes: DeleteIndex): PlannedFile {
  return {
    path: file.path,
    recordCount: file.recordCount,
    bytes: file.bytes,
    specId,
    partition: file.partition,
    sequenceNumber: file.sequenceNumber,
    sortOrderId: file.sortOrderId ?? undefined,
    deletes: deletes.of(file, specId),
    range(column) {
      const field = schema.fields.find(({ name }) => name === column);
      return field === undefined ? { nulls: 'unknown' } : fileRange(file, field);
    },
  };
}

// --- Position deletes
// ---------------------------------------------------------------------------------------------------

export interface DeleteIndex {
  of(file: Pick<ScannedFile, 'path' | 'sequenceNumber' | 'partition'>, specId: number): readonly string[];
}

const none: readonly string[] = [];

/**
 * A position delete file applies to a data file that is not newer and has the same spec and partition (specification,
 * Scan Planning), unless it names another data file or its bounds of the path leave this one out.
 */
export function indexDeletes(
  scanned: readonly { readonly manifest: ManifestFile; readonly files: readonly ScannedFile[] }[],
): DeleteIndex {
  const byPartition = new Map<string, ScannedFile[]>();
  for (const { manifest, files } of scanned) {
    for (const file of files) {
      const key = partitionKey(manifest.specId, file.partition);
      byPartition.set(key, [...(byPartition.get(key) ?? []), file]);
    }
  }
  if (byPartition.size === 0) return { of: () => none };
  return {
    of(file, specId) {
      const candidates = byPartition.get(partitionKey(specId, file.partition));
      if (candidates === undefined) return none;
      const path = Buffer.from(file.path);
      return candidates
        .filter((each) => each.sequenceNumber >= file.sequenceNumber && mayName(each, file.path, path))
        .map((each) => each.path);
    },
  };
}

/** Column `file_path` of position delete files (specification, Reserved Field IDs). */
const filePathId = 2_147_483_546;

function mayName(deletes: ScannedFile, path: string, bytes: Buffer): boolean {
  if (deletes.referencedDataFile) return deletes.referencedDataFile === path;
  const lower = deletes.lowerBounds?.get(filePathId);
  const upper = deletes.upperBounds?.get(filePathId);
  if (lower !== undefined && Buffer.compare(lower, bytes) > 0) return false;
  return upper === undefined || Buffer.compare(upper, bytes) >= 0;
}

function partitionKey(specId: number, partition: ScannedFile['partition']): string {
  return JSON.stringify([specId, ...Object.entries(partition).map(([id, value]) => [id, typeof value, String(value)])]);
}
