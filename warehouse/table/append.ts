import { WatershedError } from '#core/errors.ts';
import { evolveSchema } from './create.ts';
import type { AddedFile } from './datafile.ts';
import { createTableCache, loadManifestList } from './files.ts';
import { manifestPath, newSnapshotId, uuidFrom } from './names.ts';
import type { TableCache } from './files.ts';
import { status, writeManifest } from './manifest.ts';
import type { NewEntry, WrittenManifest } from './manifest.ts';
import { assignSequence, writeManifestList } from './manifest-list.ts';
import { mergeAtDefault, mergeManifests } from './merge.ts';
import { currentSnapshot, specById } from './metadata.ts';
import type { TableMetadata } from './metadata.ts';
import { addSnapshot, expectProperties, withUnpartitionedSpec } from './snapshot.ts';
import { commitChanges } from './transaction.ts';
import type { CommitContext, Committed, CrashPoint, Staged, StagedObject, TableChange } from './transaction.ts';
import type { TableSpec } from '#core/contract/tables.ts';
import type { CommitRequest, TableRef } from '../catalog/catalog.ts';

export type { CrashPoint };

export interface AppendRequest extends CommitContext, Omit<CommitRequest, 'swaps'> {
  readonly tables: readonly TableAppend[];
  /** How many manifests of like size are merged into one; 50 unless told. */
  readonly mergeAt?: number;
}

export interface TableAppend {
  readonly ref: TableRef;
  /** Columns the table gets in this commit where it lacks them. */
  readonly spec?: TableSpec;
  /** Already in the store. None makes a snapshot that only says how far the landing is. */
  readonly files: readonly AddedFile[];
  /** Set in the table's properties and repeated in the snapshot's summary: the offsets after this append. */
  readonly properties?: Readonly<Record<string, string>>;
  /** For the snapshot's summary only. */
  readonly summary?: Readonly<Record<string, string>>;
  /**
   * The properties this append started from, undefined for one that must not be there; if another, the append is
   * `fenced`.
   */
  readonly expectProperties?: Readonly<Record<string, string | undefined>>;
}

/**
 * Appends files to tables, all in one commit with the ledger. The manifest of each table is made once and used by every
 * attempt; see `commitChanges` for races, lost answers and errors. On an error that is not `commit_unknown` nothing was
 * committed and the data files are the caller's to delete.
 */
export async function commitAppend(request: AppendRequest): Promise<readonly Committed[]> {
  const { tables, ledger, epoch, mergeAt = mergeAtDefault, ...context } = request;
  const cache = context.cache ?? createTableCache();
  const changes = tables.map((table) => appendChange({ ...context, cache }, table, mergeAt));
  return commitChanges({ ...context, cache }, changes, { ledger, ...(epoch ? { epoch } : {}) });
}

function appendChange(
  context: CommitContext & { cache: TableCache },
  table: TableAppend,
  mergeAt: number,
): TableChange {
  const { store, cache, clock, random } = context;
  const snapshotId = newSnapshotId(random);
  const uuid = uuidFrom(random);
  const name = `${table.ref.namespace}.${table.ref.name}`;
  let attempt = 0;
  let prepared: Prepared | undefined;
  return {
    ref: table.ref,
    snapshotId,
    async stage(read) {
      attempt += 1;
      expectProperties(read, table.expectProperties ?? {}, name);
      const { metadata: base, spec } = withUnpartitionedSpec(table.spec ? evolveSchema(read, table.spec) : read);
      if (prepared === undefined || prepared.hotSpecId !== spec['spec-id']) {
        prepared = prepare(base, table.files, spec['spec-id'], snapshotId, uuid);
      }
      const merged = await mergeManifests({
        store,
        metadata: base,
        manifests: await loadManifestList(store, cache, currentSnapshot(base)),
        snapshotId,
        name: `${uuid}-${attempt}`,
        mergeAt,
      });
      const manifests = [...prepared.manifests.map(({ listed }) => listed), ...merged.manifests];
      return stageSnapshot(base, {
        snapshotId,
        operation: 'append',
        listPath: manifestPath(base, `snap-${snapshotId}-${attempt}-${uuid}`),
        manifests,
        written: [...prepared.manifests, ...merged.written],
        added: countFiles(table.files),
        removed: countFiles([]),
        removedDeletes: countFiles([]),
        partitions: countPartitions(table.files),
        summary: { ...table.properties, ...table.summary },
        properties: table.properties ?? {},
        nowMs: clock.now(),
      });
    },
  };
}

interface Prepared {
  readonly hotSpecId: number;
  readonly manifests: readonly WrittenManifest[];
}

/** One manifest per spec that the files belong to, for hot appends one. */
export function prepare(
  metadata: TableMetadata,
  files: readonly AddedFile[],
  hotSpecId: number,
  snapshotId: bigint,
  uuid: string,
): Prepared {
  for (const { path, specId, partition } of files) {
    const { fields } = specById(metadata, specId ?? hotSpecId);
    const missing = fields.find((field) => !(String(field['field-id']) in partition));
    if (missing === undefined) continue;
    throw new WatershedError('internal', `${path} comes without its partition value ${missing.name}`);
  }
  const bySpec = Map.groupBy(files, ({ specId }) => specId ?? hotSpecId);
  const manifests = [...bySpec].map(([specId, some]) => writeManifest({
    metadata,
    spec: specById(metadata, specId),
    content: 'data',
    path: manifestPath(metadata, `${uuid}-a${specId}`),
    snapshotId,
    entries: some.map((file): NewEntry => ({
      status: status.added,
      snapshotId,
      sequenceNumber: null,
      fileSequenceNumber: null,
      file,
    })),
  }));
  return { hotSpecId, manifests };
}

/** The staged commit of a new snapshot: its list, the manifests it needs and the metadata that names it. */
export function stageSnapshot(
  base: TableMetadata,
  change: Omit<Parameters<typeof addSnapshot>[1], 'manifestList'> & {
    readonly listPath: string;
    readonly written: readonly WrittenManifest[];
  },
): Staged {
  const { listPath, written, ...rest } = change;
  const sequenceNumber = base['last-sequence-number'] + 1;
  const manifests = assignSequence(change.manifests, sequenceNumber);
  const parent = currentSnapshot(base)?.['snapshot-id'];
  const { snapshotId } = change;
  const bytes = writeManifestList({ snapshotId, parentSnapshotId: parent, sequenceNumber, manifests });
  return {
    metadata: addSnapshot(base, { ...rest, manifests, manifestList: listPath }),
    objects: [
      ...written.map((manifest): StagedObject => ({ kind: 'manifest', path: manifest.path, bytes: manifest.bytes })),
      { kind: 'manifest-list', path: listPath, bytes },
    ],
    list: { path: listPath, manifests },
  };
}

export function countFiles(files: readonly { readonly recordCount: number; readonly bytes: number }[]): {
  files: number;
  records: number;
  bytes: number;
} {
  return {
    files: files.length,
    records: files.reduce((sum, { recordCount }) => sum + recordCount, 0),
    bytes: files.reduce((sum, { bytes }) => sum + bytes, 0),
  };
}

export function countPartitions(files: readonly Pick<AddedFile, 'partition'>[]): number {
  const key = ({ partition }: Pick<AddedFile, 'partition'>): string =>
    JSON.stringify(Object.entries(partition).map(([id, value]) => [id, String(value)]));
  return new Set(files.map(key)).size;
}
