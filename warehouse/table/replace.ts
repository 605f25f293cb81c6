import { WatershedError } from '#core/errors.ts';
import { canonicalPath } from '#core/store/store.ts';
import type { CommitRequest, TableRef } from '../catalog/catalog.ts';
import { countFiles, countPartitions, prepare, stageSnapshot } from './append.ts';
import type { AddedFile } from './datafile.ts';
import { createTableCache, loadManifest, loadManifestList, loadScannedManifest } from './files.ts';
import { manifestPath, newSnapshotId, uuidFrom } from './names.ts';
import type { ScannedFile, TableCache } from './files.ts';
import { isLive, status, writeManifest } from './manifest.ts';
import type { NewEntry, WrittenManifest } from './manifest.ts';
import type { ManifestFile } from './manifest-list.ts';
import { currentSnapshot, specById } from './metadata.ts';
import type { TableMetadata } from './metadata.ts';
import { indexDeletes } from './scan.ts';
import { expectProperties, withUnpartitionedSpec } from './snapshot.ts';
import { commitChanges } from './transaction.ts';
import type { CommitContext, Committed } from './transaction.ts';

export interface ReplaceRequest extends CommitContext, Pick<CommitRequest, 'epoch'> {
  readonly ref: TableRef;
  /** Paths of live files that go, data files or position delete files. */
  readonly remove: readonly string[];
  /** Already in the store: `specId` says the spec, none the unpartitioned one. */
  readonly add: readonly AddedFile[];
  /** `sequenceNumber` of the plan by which the removed files were read, together with the deletes it named for them. */
  readonly readAtSequenceNumber: number;
  /** `replace` (the default) keeps the rows as they were; `overwrite` and `delete` (nothing added) change them. */
  readonly operation?: 'replace' | 'overwrite' | 'delete';
  readonly summary?: Readonly<Record<string, string>>;
  readonly properties?: Readonly<Record<string, string>>;
  readonly expectProperties?: Readonly<Record<string, string | undefined>>;
}

/**
 * Puts files in the place of others, in one snapshot. Appends that come between are no matter: the commit is made again
 * on top of them. **Errors**: `conflict`, not retryable, when a removed file is no longer live or a delete file that
 * the reading did not know may have hit it (specification, and Iceberg's `validateNoNewDeletesForDataFiles`): plan and
 * read again; else as `commitChanges`. On an error that is not `commit_unknown` the added files are the caller's to
 * delete.
 */
export async function commitReplace(request: ReplaceRequest): Promise<Committed> {
  const { catalog, store, clock, random, crashPoint, epoch } = request;
  const cache = request.cache ?? createTableCache();
  const context = { catalog, store, clock, random, cache, ...(crashPoint ? { crashPoint } : {}) };
  const rewriter = createRewriter(context, request, newSnapshotId(random), uuidFrom(random));
  const change = { ref: request.ref, snapshotId: rewriter.snapshotId, stage: rewriter.stage };
  const [committed] = await commitChanges(context, [change], { ledger: [], ...(epoch ? { epoch } : {}) });
  if (committed === undefined) throw new WatershedError('internal', 'a commit of one table answered for none');
  return committed;
}

type Context = CommitContext & { readonly cache: TableCache };

function createRewriter(context: Context, request: ReplaceRequest, snapshotId: bigint, uuid: string) {
  const { clock } = context;
  const { add, summary = {}, properties = {} } = request;
  const remove = new Set(request.remove.map(canonicalPath));
  const rewritten = new Map<string, WrittenManifest>();
  const operation = request.operation ?? 'replace';
  let attempt = 0;
  const stage = async (read: TableMetadata) => {
    attempt += 1;
    expectProperties(read, request.expectProperties ?? {}, request.ref.name);
    const { metadata: base, spec } = withUnpartitionedSpec(read);
    const found = await findRemoved(context, base, remove);
    checkStillValid(request, remove, found);
    const manifests: ManifestFile[] = [];
    const written: WrittenManifest[] = [];
    for (const { manifest, removed } of found) {
      // Without a live entry it has told what it had to tell.
      if (manifest.addedFiles + manifest.existingFiles === 0) continue;
      if (removed.length === 0) {
        manifests.push(manifest);
        continue;
      }
      const path = manifestPath(base, `${uuid}-r${rewritten.size + 1}`);
      const next = rewritten.get(manifest.path) ?? await rewrite(context, base, { manifest, remove, snapshotId, path });
      rewritten.set(manifest.path, next);
      written.push(next);
      manifests.push(next.listed);
    }
    const added = prepare(base, add, spec['spec-id'], snapshotId, uuid);
    const gone = found.flatMap(({ removed }) => removed);
    return stageSnapshot(base, {
      snapshotId,
      operation,
      listPath: manifestPath(base, `snap-${snapshotId}-${attempt}-${uuid}`),
      manifests: [...added.manifests.map(({ listed }) => listed), ...manifests],
      written: [...added.manifests, ...written],
      added: countFiles(add),
      removed: countFiles(gone.filter(({ content }) => content === 0)),
      removedDeletes: countFiles(gone.filter(({ content }) => content === 1)),
      partitions: countPartitions([...add, ...gone]),
      summary: { ...properties, ...summary },
      properties,
      nowMs: clock.now(),
    });
  };
  return { snapshotId, stage };
}

interface Found {
  readonly manifest: ManifestFile;
  readonly files: readonly ScannedFile[];
  readonly removed: readonly ScannedFile[];
}

async function findRemoved(
  { store, cache }: Context,
  base: TableMetadata,
  remove: ReadonlySet<string>,
): Promise<Found[]> {
  const manifests = await loadManifestList(store, cache, currentSnapshot(base));
  return Promise.all(manifests.map(async (manifest) => {
    const files = await loadScannedManifest(store, cache, manifest);
    return { manifest, files, removed: files.filter(({ path }) => remove.has(canonicalPath(path))) };
  }));
}

function checkStillValid(request: ReplaceRequest, remove: ReadonlySet<string>, found: readonly Found[]): void {
  const gone = found.flatMap(({ removed }) => removed.map(({ path }) => canonicalPath(path)));
  const missing = remove.difference(new Set(gone));
  const [first] = missing;
  if (first !== undefined) {
    throw conflict(request, `${missing.size} of the files to be replaced are no longer in it, such as ${first}`);
  }
  const newer = found.filter(({ manifest }) => manifest.content === 1).map(({ manifest, files }) => ({
    manifest,
    files: files.filter(({ sequenceNumber, path }) =>
      sequenceNumber > request.readAtSequenceNumber && !remove.has(canonicalPath(path))),
  }));
  const deletes = indexDeletes(newer);
  for (const { manifest, removed } of found) {
    if (manifest.content === 1) continue;
    const hit = removed.find((file) => deletes.of(file, manifest.specId).length > 0);
    if (hit !== undefined) throw conflict(request, `rows of ${hit.path} were deleted since it was read`);
  }
}

function conflict({ ref }: ReplaceRequest, why: string): WatershedError {
  return new WatershedError('conflict', `the files of ${ref.namespace}.${ref.name} cannot be replaced: ${why}`, {
    retryable: false,
    hint: 'Another engine changed the same files: plan and read again.',
    context: { table: ref.name },
  });
}

/** The manifest without the removed files: what stays is EXISTING, what goes DELETED in this snapshot. */
async function rewrite(
  { store }: Context,
  metadata: TableMetadata,
  { manifest, remove, snapshotId, path }: {
    manifest: ManifestFile;
    remove: ReadonlySet<string>;
    snapshotId: bigint;
    path: string;
  },
): Promise<WrittenManifest> {
  const entries = (await loadManifest(store, manifest)).filter(isLive);
  return writeManifest({
    metadata,
    spec: specById(metadata, manifest.specId),
    content: manifest.content === 0 ? 'data' : 'deletes',
    path,
    snapshotId,
    entries: entries.map((entry): NewEntry =>
      remove.has(canonicalPath(entry.file.path))
        ? { ...entry, status: status.deleted, snapshotId }
        : { ...entry, status: status.existing }),
  });
}
