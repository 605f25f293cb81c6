import { WatershedError } from '#core/errors.ts';
import { readAvro, writeAvro } from './avro-file.ts';
import { formatJson } from './json.ts';
import { manifestSchema, partitionType, pickManifestField } from './manifest-schema.ts';
import type { FieldSummary, ManifestFile } from './manifest-list.ts';
import { currentSchema } from './metadata.ts';
import type { PartitionSpec, TableMetadata } from './metadata.ts';
import { compareValues, encodeValue } from './values.ts';
import type { Value } from './values.ts';

/** A data or delete file as a manifest describes it. Optional members are absent where the writer gave none. */
export interface DataFile {
  /** 0 data, 1 position deletes, 2 equality deletes. */
  readonly content: 0 | 1 | 2;
  /** Full Iceberg path, as stored. */
  readonly path: string;
  readonly format: string;
  /** Values by partition field id; empty for an unpartitioned spec. */
  readonly partition: Readonly<Record<string, Value | null>>;
  readonly recordCount: number;
  readonly bytes: number;
  readonly columnSizes?: ReadonlyMap<number, number> | null;
  readonly valueCounts?: ReadonlyMap<number, number> | null;
  readonly nullCounts?: ReadonlyMap<number, number> | null;
  readonly nanCounts?: ReadonlyMap<number, number> | null;
  readonly lowerBounds?: ReadonlyMap<number, Uint8Array> | null;
  readonly upperBounds?: ReadonlyMap<number, Uint8Array> | null;
  readonly keyMetadata?: Uint8Array | null;
  readonly splitOffsets?: readonly number[] | null;
  readonly equalityIds?: readonly number[] | null;
  readonly sortOrderId?: number | null;
  readonly referencedDataFile?: string | null;
}

export const status = { existing: 0, added: 1, deleted: 2 } as const;
type Status = (typeof status)[keyof typeof status];

/** An entry after inheritance: what its manifest left out is filled in. */
export interface ManifestEntry {
  readonly status: Status;
  readonly snapshotId: bigint;
  readonly sequenceNumber: number;
  readonly fileSequenceNumber: number;
  readonly file: DataFile;
}

/** An entry to write; sequence numbers are null for added files only, which inherit them when the commit succeeds. */
export interface NewEntry {
  readonly status: Status;
  readonly snapshotId: bigint;
  readonly sequenceNumber: number | null;
  readonly fileSequenceNumber: number | null;
  readonly file: DataFile;
}

export function isLive(entry: ManifestEntry): boolean {
  return entry.status !== status.deleted;
}

/** Something known of columns, by their ids. */
export interface ByColumn<Known> {
  get(columnId: number): Known | undefined;
}

type Described = 'content' | 'path' | 'format' | 'partition' | 'recordCount' | 'bytes';

/** A live entry with what planning needs; what it says of columns is decoded when it is asked. */
export interface LiveFile extends Pick<DataFile, Described> {
  readonly sortOrderId?: number | null;
  readonly referencedDataFile?: string | null;
  readonly sequenceNumber: number;
  readonly nullCounts?: ByColumn<number> | null;
  readonly lowerBounds?: ByColumn<Uint8Array> | null;
  readonly upperBounds?: ByColumn<Uint8Array> | null;
}

interface RawEntry<File> {
  status: Status;
  snapshotId?: number | bigint | null;
  sequenceNumber?: number | null;
  fileSequenceNumber?: number | null;
  file: File;
}

type Listed = Pick<ManifestFile, 'path' | 'addedSnapshotId' | 'sequenceNumber'>;

/**
 * Reads a manifest; `listed` is how the manifest list names it, from which entries inherit (specification,
 * Inheritance).
 */
export function readManifest(bytes: Uint8Array, listed: Listed): readonly ManifestEntry[] {
  return rawEntries<DataFile>(bytes, pickManifestField, listed, false).map((raw) => {
    const sequenceNumber = raw.sequenceNumber ?? listed.sequenceNumber;
    return {
      status: raw.status,
      snapshotId: BigInt(raw.snapshotId ?? listed.addedSnapshotId),
      sequenceNumber,
      fileSequenceNumber:
        raw.fileSequenceNumber ?? (raw.status === status.added ? listed.sequenceNumber : sequenceNumber),
      file: raw.file.content === undefined ? { ...raw.file, content: 0 } : raw.file,
    };
  });
}

/** The live files of a manifest as planning needs them: four times as fast as `readManifest`. */
export function readLiveFiles(bytes: Uint8Array, listed: Listed): readonly LiveFile[] {
  const files: LiveFile[] = [];
  for (const raw of rawEntries<LiveFile>(bytes, pickForPlan, listed, true)) {
    if (raw.status === status.deleted) continue;
    const sequenceNumber = raw.sequenceNumber ?? listed.sequenceNumber;
    files.push({ ...raw.file, content: raw.file.content ?? 0, sequenceNumber });
  }
  return files;
}

function rawEntries<File>(
  bytes: Uint8Array,
  pick: (id: number) => string | undefined,
  listed: Listed,
  lazy: boolean,
): RawEntry<File & { path: string }>[] {
  const { records } = readAvro(bytes, pick, listed.path, lazy);
  const entries = records as RawEntry<File & { path: string }>[]; // the codec's border: field ids gave these members
  for (const entry of entries) {
    if (entry.status !== undefined && typeof entry.file?.path === 'string') continue;
    const { path } = listed;
    throw new WatershedError('corrupt', `${path} has an entry without field ids`, { context: { path } });
  }
  return entries;
}

/** Fields of a data file that only rewriting needs: column sizes, value and NaN counts, split offsets. */
const notForPlanning = new Set([108, 109, 137, 132]);

function pickForPlan(id: number): string | undefined {
  return notForPlanning.has(id) ? undefined : pickManifestField(id);
}

export interface WrittenManifest {
  readonly path: string;
  readonly bytes: Uint8Array;
  /** How a manifest list names it; sequence numbers of -1 stand for those of the commit that adds it. */
  readonly listed: ManifestFile;
}

/** Makes a manifest of entries of one partition spec and one kind of content. */
export function writeManifest(request: {
  readonly metadata: TableMetadata;
  readonly spec: PartitionSpec;
  readonly content: 'data' | 'deletes';
  readonly path: string;
  readonly snapshotId: bigint;
  readonly entries: readonly NewEntry[];
}): WrittenManifest {
  const { metadata, spec, content, path, snapshotId, entries } = request;
  const schema = currentSchema(metadata);
  const header = {
    schema: formatJson(schema),
    'schema-id': String(schema['schema-id']),
    'partition-spec': formatJson(spec.fields),
    'partition-spec-id': String(spec['spec-id']),
    'format-version': '2',
    content,
  };
  const bytes = writeAvro(manifestSchema(metadata, spec), pickManifestField, header, entries);
  const of = (wanted: Status): readonly NewEntry[] => entries.filter((entry) => entry.status === wanted);
  const rows = (some: readonly NewEntry[]): number => some.reduce((sum, { file }) => sum + file.recordCount, 0);
  const live = entries.filter((entry) => entry.status !== status.deleted);
  // Added entries get the commit's own number, which is above all others.
  const explicit = live.flatMap((entry) => entry.sequenceNumber ?? []);
  const least = explicit.reduce((min, number) => Math.min(min, number), Infinity);
  const listed: ManifestFile = {
    path,
    bytes: bytes.length,
    specId: spec['spec-id'],
    content: content === 'data' ? 0 : 1,
    sequenceNumber: -1,
    minSequenceNumber: explicit.length === 0 ? -1 : least,
    addedSnapshotId: snapshotId,
    addedFiles: of(status.added).length,
    existingFiles: of(status.existing).length,
    deletedFiles: of(status.deleted).length,
    addedRows: rows(of(status.added)),
    existingRows: rows(of(status.existing)),
    deletedRows: rows(of(status.deleted)),
    partitions: summarise(metadata, spec, entries),
  };
  return { path, bytes, listed };
}

const ordered = new Set([
  'boolean', 'int', 'long', 'float', 'double', 'date', 'time', 'timestamp', 'timestamptz', 'string',
]);

/**
 * One summary per partition field. Null (no summaries at all) when a type is not ordered here: a missing bound would be
 * read as "all null" and prune what it should not.
 */
function summarise(
  metadata: TableMetadata,
  spec: PartitionSpec,
  entries: readonly NewEntry[],
): readonly FieldSummary[] | null {
  const summaries: FieldSummary[] = [];
  for (const field of spec.fields) {
    const type = partitionType(metadata, field);
    if (!ordered.has(type)) return null;
    const values = entries.map((entry) => entry.file.partition[String(field['field-id'])] ?? null);
    const some = values.filter((value) => value !== null && !Number.isNaN(value));
    const least = some.reduce<Value | null>((min, value) =>
      value !== null && (min === null || compareValues(value, min) < 0) ? value : min, null);
    const most = some.reduce<Value | null>((max, value) =>
      value !== null && (max === null || compareValues(value, max) > 0) ? value : max, null);
    summaries.push({
      containsNull: values.includes(null),
      ...(type === 'float' || type === 'double' ? { containsNan: values.some((value) => Number.isNaN(value)) } : {}),
      lower: least === null ? null : encodeValue(type, least),
      upper: most === null ? null : encodeValue(type, most),
    });
  }
  return summaries;
}
