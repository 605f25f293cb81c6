import { WatershedError } from '#core/errors.ts';
import { readAvro, writeAvro } from './avro-file.ts';
import { manifestListSchema, pickManifestField } from './manifest-schema.ts';

/** A manifest as a manifest list names it. */
export interface ManifestFile {
  readonly path: string;
  readonly bytes: number;
  readonly specId: number;
  /** 0 data, 1 deletes. */
  readonly content: 0 | 1;
  readonly sequenceNumber: number;
  readonly minSequenceNumber: number;
  readonly addedSnapshotId: bigint;
  readonly addedFiles: number;
  readonly existingFiles: number;
  readonly deletedFiles: number;
  readonly addedRows: number;
  readonly existingRows: number;
  readonly deletedRows: number;
  /** One per field of the spec, in its order; null where the writer gave none. */
  readonly partitions: readonly FieldSummary[] | null;
  readonly keyMetadata?: Uint8Array | null;
}

/** What the values of one partition field are in all files of a manifest; bounds are single-value serialised. */
export interface FieldSummary {
  readonly containsNull: boolean;
  readonly containsNan?: boolean | null;
  readonly lower?: Uint8Array | null;
  readonly upper?: Uint8Array | null;
}

type RawManifestFile = Partial<Omit<ManifestFile, 'addedSnapshotId'>> & { addedSnapshotId?: number | bigint | null };

/** Reads a manifest list of format version 1 or 2. A count that version 1 may leave out is -1. */
export function readManifestList(bytes: Uint8Array, path: string): readonly ManifestFile[] {
  const { records } = readAvro(bytes, pickManifestField, path);
  const raws = records as RawManifestFile[]; // the codec's border: the Avro schema's field ids gave these members
  return raws.map((raw) => {
    const { path: manifest, bytes: length, specId } = raw;
    if (manifest === undefined || length === undefined || specId === undefined) {
      throw new WatershedError('corrupt', `${path} names a manifest without path, length or spec`, {
        context: { path },
      });
    }
    if (raw.keyMetadata) {
      throw new WatershedError('unsupported', `${manifest} is encrypted`, { context: { path: manifest } });
    }
    return {
      path: manifest,
      bytes: length,
      specId,
      content: raw.content ?? 0,
      sequenceNumber: raw.sequenceNumber ?? 0,
      minSequenceNumber: raw.minSequenceNumber ?? 0,
      addedSnapshotId: BigInt(raw.addedSnapshotId ?? -1),
      addedFiles: raw.addedFiles ?? -1,
      existingFiles: raw.existingFiles ?? -1,
      deletedFiles: raw.deletedFiles ?? -1,
      addedRows: raw.addedRows ?? -1,
      existingRows: raw.existingRows ?? -1,
      deletedRows: raw.deletedRows ?? -1,
      partitions: raw.partitions ?? null,
    };
  });
}

/** The manifests with the sequence number of the commit in the place of -1. */
export function assignSequence(manifests: readonly ManifestFile[], sequenceNumber: number): readonly ManifestFile[] {
  const assigned = (number: number): number => (number === -1 ? sequenceNumber : number);
  return manifests.map((manifest) => ({
    ...manifest,
    sequenceNumber: assigned(manifest.sequenceNumber),
    minSequenceNumber: assigned(manifest.minSequenceNumber),
  }));
}

/** Makes a manifest list of manifests that have their sequence numbers. */
export function writeManifestList(request: {
  readonly snapshotId: bigint;
  readonly parentSnapshotId: bigint | undefined;
  readonly sequenceNumber: number;
  readonly manifests: readonly ManifestFile[];
}): Uint8Array {
  const { sequenceNumber, parentSnapshotId } = request;
  const header = {
    'snapshot-id': String(request.snapshotId),
    'parent-snapshot-id': String(parentSnapshotId ?? 'null'),
    'sequence-number': String(sequenceNumber),
    'format-version': '2',
  };
  const uncounted = request.manifests.find(({ addedFiles, existingRows }) => addedFiles === -1 || existingRows === -1);
  if (uncounted !== undefined) {
    throw new WatershedError('unsupported', `${uncounted.path} is listed without counts, as format version 1 allows`, {
      hint: 'Rewrite the manifests of the table with another engine first.',
    });
  }
  return writeAvro(manifestListSchema, pickManifestField, header, request.manifests);
}
