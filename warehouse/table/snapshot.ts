import { WatershedError } from '#core/errors.ts';
import type { ManifestFile } from './manifest-list.ts';
import { currentSnapshot } from './metadata.ts';
import type { PartitionSpec, Snapshot, TableMetadata } from './metadata.ts';

/** Changes of metadata, pure: what comes in is not touched. */

type Operation = 'append' | 'replace' | 'overwrite' | 'delete';

/** What a commit adds and removes, for the summary of its snapshot. */
interface FileCounts {
  readonly files: number;
  readonly records: number;
  readonly bytes: number;
}

export interface SnapshotChange {
  readonly snapshotId: bigint;
  readonly operation: Operation;
  readonly manifestList: string;
  /** All manifests of the new snapshot. */
  readonly manifests: readonly ManifestFile[];
  readonly added: FileCounts;
  readonly removed: FileCounts;
  /** Of delete files (position deletes): those that this commit drops. */
  readonly removedDeletes: FileCounts;
  readonly partitions: number;
  readonly summary: Readonly<Record<string, string>>;
  readonly properties: Readonly<Record<string, string>>;
  readonly nowMs: number;
}

/** The metadata with a snapshot more, which becomes the current one, and with the given properties set. */
export function addSnapshot(base: TableMetadata, change: SnapshotChange): TableMetadata {
  const parent = currentSnapshot(base);
  const id = change.snapshotId;
  // Iceberg refuses time that goes back by more than a minute; ours never does, even beside a clock that is ahead.
  const timestampMs = Math.max(change.nowMs, base['last-updated-ms']);
  const sequenceNumber = base['last-sequence-number'] + 1;
  const snapshot: Snapshot = {
    'snapshot-id': id,
    ...(parent ? { 'parent-snapshot-id': parent['snapshot-id'] } : {}),
    'sequence-number': sequenceNumber,
    'timestamp-ms': timestampMs,
    'manifest-list': change.manifestList,
    summary: { ...change.summary, ...summaryOf(parent, change) },
    'schema-id': base['current-schema-id'],
  };
  return {
    ...base,
    'last-sequence-number': sequenceNumber,
    'last-updated-ms': timestampMs,
    properties: { ...base.properties, ...change.properties },
    'current-snapshot-id': id,
    snapshots: [...base.snapshots, snapshot],
    'snapshot-log': [...base['snapshot-log'], { 'snapshot-id': id, 'timestamp-ms': timestampMs }],
    refs: { ...base.refs, main: { type: 'branch', ...base.refs['main'], 'snapshot-id': id } },
  };
}

function summaryOf(parent: Snapshot | undefined, change: SnapshotChange): Record<string, string> {
  const { added, removed, removedDeletes, manifests } = change;
  const summary: Record<string, string> = { operation: change.operation };
  const note = (name: string, value: number): void => {
    if (value > 0) summary[name] = String(value);
  };
  note('added-data-files', added.files);
  note('added-records', added.records);
  note('added-files-size', added.bytes);
  note('deleted-data-files', removed.files);
  note('deleted-records', removed.records);
  note('removed-files-size', removed.bytes + removedDeletes.bytes);
  note('removed-delete-files', removedDeletes.files);
  note('removed-position-delete-files', removedDeletes.files);
  note('removed-position-deletes', removedDeletes.records);
  note('changed-partition-count', change.partitions);
  const data = manifests.filter(({ content }) => content === 0);
  const deletes = manifests.filter(({ content }) => content === 1);
  const files = (of: readonly ManifestFile[]): number =>
    of.reduce((sum, { addedFiles, existingFiles }) => sum + addedFiles + existingFiles, 0);
  const rows = data.reduce((sum, { addedRows, existingRows }) => sum + addedRows + existingRows, 0);
  summary['total-data-files'] = String(files(data));
  summary['total-records'] = String(rows);
  summary['total-delete-files'] = String(files(deletes));
  // The list does not tell these; a parent that does not say leaves them unsaid, for a wrong total is worse than none.
  const carry = (name: string, change_: number): void => {
    const before = parent === undefined ? '0' : parent.summary[name];
    if (before !== undefined && /^\d+$/.test(before)) summary[name] = String(Math.max(0, Number(before) + change_));
  };
  carry('total-files-size', added.bytes - removed.bytes - removedDeletes.bytes);
  carry('total-position-deletes', -removedDeletes.records);
  carry('total-equality-deletes', 0);
  return summary;
}

/**
 * The metadata as it is written: with the file before it in `metadata-log`, trimmed to
 * `write.metadata.previous-versions-max`. `forgotten` are the files that fell out of the log and may be deleted after
 * the commit, if the table's properties say so.
 */
export function logMetadata(
  metadata: TableMetadata,
  before: { readonly location: string; readonly metadata: TableMetadata },
): { metadata: TableMetadata; forgotten: readonly string[] } {
  const max = Math.max(1, Number(metadata.properties['write.metadata.previous-versions-max'] ?? 100) || 100);
  const entry = { 'timestamp-ms': before.metadata['last-updated-ms'], 'metadata-file': before.location };
  const log = [...before.metadata['metadata-log'], entry];
  const kept = log.slice(-max);
  const deletes = metadata.properties['write.metadata.delete-after-commit.enabled'] === 'true';
  return {
    metadata: { ...metadata, 'metadata-log': kept },
    forgotten: deletes ? log.slice(0, -max).map((old) => old['metadata-file']) : [],
  };
}

/**
 * The unpartitioned spec, found by its having no fields and not by its number, and the metadata with it: Spark's
 * `expire_snapshots(clean_expired_metadata => true)` drops specs that no snapshot uses.
 */
export function withUnpartitionedSpec(metadata: TableMetadata): { metadata: TableMetadata; spec: PartitionSpec } {
  const specs = metadata['partition-specs'];
  const there = specs.find((spec) => spec.fields.length === 0);
  if (there !== undefined) return { metadata, spec: there };
  const taken = new Set(specs.map((spec) => spec['spec-id']));
  let id = 0;
  while (taken.has(id)) id += 1;
  const spec: PartitionSpec = { 'spec-id': id, fields: [] };
  return { metadata: { ...metadata, 'partition-specs': [spec, ...specs] }, spec };
}

/** Refuses a commit whose table is no longer as its author saw it. */
export function expectProperties(
  metadata: TableMetadata,
  expected: Readonly<Record<string, string | undefined>>,
  table: string,
): void {
  for (const [name, value] of Object.entries(expected)) {
    const there = metadata.properties[name];
    if (there === value) continue;
    throw new WatershedError(
      'fenced',
      `${table} has ${name} = ${there ?? '(none)'} where this commit started from ${value ?? '(none)'}`,
      {
        hint: 'Another process has written on: read the offsets in the table again and go on from there.',
        context: { table, property: name, there, expected: value },
      },
    );
  }
}
