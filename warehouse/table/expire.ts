import { isWatershedError } from '#core/errors.ts';
import type { Store } from '#core/store/store.ts';
import type { TableRef } from '../catalog/catalog.ts';
import { createTableCache, loadManifest, loadManifestList, loadScannedManifest } from './files.ts';
import type { TableCache } from './files.ts';
import type { ManifestFile } from './manifest-list.ts';
import { snapshotById } from './metadata.ts';
import type { Snapshot, TableMetadata } from './metadata.ts';
import { canonicalPath } from '#core/store/store.ts';
import { commitChanges } from './transaction.ts';
import type { CommitContext } from './transaction.ts';

export interface Retention {
  /** Snapshots made before this moment (milliseconds since 1970) expire. */
  readonly olderThanMs: number;
  /** So many of the newest of branch main stay whatever their age; at least 1. */
  readonly keep: number;
  /** These stay, too: somebody reads them. */
  readonly held?: ReadonlySet<bigint>;
}

/**
 * The metadata without its old snapshots; the same object when none expires. What a ref names stays, and so do all
 * ancestors of branches other than main, which somebody else keeps.
 */
export function expireSnapshots(metadata: TableMetadata, retention: Retention): TableMetadata {
  const kept = keptSnapshots(metadata, retention);
  const snapshots = metadata.snapshots.filter((snapshot) => kept.has(snapshot['snapshot-id']));
  if (snapshots.length === metadata.snapshots.length) return metadata;
  const log = metadata['snapshot-log'];
  // Iceberg forgets the history before a gap, because it would be told wrongly.
  const gap = log.findLastIndex((entry) => !kept.has(entry['snapshot-id']));
  const { statistics, 'partition-statistics': partitionStatistics } = metadata;
  const alive = (file: { readonly 'snapshot-id': bigint }): boolean => kept.has(file['snapshot-id']);
  return {
    ...metadata,
    snapshots,
    'snapshot-log': log.slice(gap + 1),
    ...(statistics ? { statistics: statistics.filter(alive) } : {}),
    ...(partitionStatistics ? { 'partition-statistics': partitionStatistics.filter(alive) } : {}),
  };
}

function keptSnapshots(metadata: TableMetadata, { olderThanMs, keep, held }: Retention): ReadonlySet<bigint> {
  const ids = metadata.snapshots.map((snapshot) => snapshot['snapshot-id']);
  const kept = new Set(ids.filter((id) => held?.has(id) === true));
  const ancestors = new Set<bigint>();
  for (const [name, ref] of Object.entries(metadata.refs)) {
    let snapshot = snapshotById(metadata, ref['snapshot-id']);
    for (let age = 0; snapshot !== undefined; age += 1) {
      const id = snapshot['snapshot-id'];
      const stays = age < Math.max(1, name === 'main' ? keep : 1) || snapshot['timestamp-ms'] >= olderThanMs ||
        (name !== 'main' && ref.type === 'branch');
      ancestors.add(id);
      if (stays) kept.add(id);
      if (ref.type === 'tag') break;
      const parent: bigint | null | undefined = snapshot['parent-snapshot-id'];
      snapshot = parent === undefined || parent === null ? undefined : snapshotById(metadata, parent);
    }
  }
  // Outside of all branches: staged by another engine, or rolled back from. Those are only as old as they are.
  for (const snapshot of metadata.snapshots) {
    const id = snapshot['snapshot-id'];
    if (!ancestors.has(id) && snapshot['timestamp-ms'] >= olderThanMs) kept.add(id);
  }
  return kept;
}

export interface Expired {
  readonly snapshots: number;
  /** Manifest lists, manifests, data, delete and statistics files that only the expired snapshots reached. */
  readonly files: readonly string[];
}

/**
 * Expires snapshots of a table. The files are the caller's to delete, now that the commit has forgotten them; one that
 * dies before leaves them to the orphan sweep. **Errors**: as `commitChanges`.
 */
export async function commitExpire(context: CommitContext, ref: TableRef, retention: Retention): Promise<Expired> {
  const cache = context.cache ?? createTableCache();
  let before: TableMetadata | undefined;
  const stage = async (base: TableMetadata) => {
    before = base;
    const metadata = expireSnapshots(base, retention);
    if (metadata === base) return { metadata, objects: [] };
    const nowMs = Math.max(context.clock.now(), base['last-updated-ms']);
    return { metadata: { ...metadata, 'last-updated-ms': nowMs }, objects: [] };
  };
  const [committed] = await commitChanges({ ...context, cache }, [{ ref, stage }], { ledger: [] });
  if (before === undefined || committed === undefined) return { snapshots: 0, files: [] };
  const files = await onlyReachedBefore(context.store, cache, before, expireSnapshots(before, retention));
  return { snapshots: before.snapshots.length - expireSnapshots(before, retention).snapshots.length, files };
}

/** Manifests and lists are read so many at a time. */
const readsAtOnce = 16;

/** The files that snapshots of `before` reach and those of `after` do not. */
async function onlyReachedBefore(
  store: Store,
  cache: TableCache,
  before: TableMetadata,
  after: TableMetadata,
): Promise<readonly string[]> {
  const kept = new Set(after.snapshots.map((snapshot) => snapshot['snapshot-id']));
  const expired = before.snapshots.filter((snapshot) => !kept.has(snapshot['snapshot-id']));
  if (expired.length === 0) return [];
  const files = new Set(expired.map((snapshot) => snapshot['manifest-list']));
  for (const snapshot of after.snapshots) files.delete(snapshot['manifest-list']);
  const statistics = (metadata: TableMetadata): string[] => {
    const all = [...(metadata.statistics ?? []), ...(metadata['partition-statistics'] ?? [])];
    return all.map((file) => file['statistics-path']);
  };
  for (const path of new Set(statistics(before)).difference(new Set(statistics(after)))) files.add(path);

  // The current snapshot first: it holds nearly all that is still needed.
  const keptManifests = await manifestsOf(store, cache, after.snapshots.toReversed(), false);
  const gone = await manifestsOf(store, cache, expired, true);
  for (const path of keptManifests.keys()) gone.delete(path);
  const candidates = new Map<string, string>();
  await inTurns([...gone.values()], async (manifest) => {
    files.add(manifest.path);
    const entries = await orNothing(loadManifest(store, manifest));
    for (const { file } of entries) candidates.set(canonicalPath(file.path), file.path);
  });
  await inTurns([...keptManifests.values()], async (manifest) => {
    if (candidates.size === 0) return;
    for (const { path } of await loadScannedManifest(store, cache, manifest)) candidates.delete(canonicalPath(path));
  });
  return [...files, ...candidates.values()];
}

async function manifestsOf(
  store: Store,
  cache: TableCache,
  snapshots: readonly Snapshot[],
  expired: boolean,
): Promise<Map<string, ManifestFile>> {
  const manifests = new Map<string, ManifestFile>();
  await inTurns(snapshots, async (snapshot) => {
    const list = loadManifestList(store, cache, snapshot);
    for (const manifest of await (expired ? orNothing(list) : list)) manifests.set(manifest.path, manifest);
  });
  return manifests;
}

/** What an expired snapshot named may be gone already, by another engine's hand. */
async function orNothing<Item>(reading: Promise<readonly Item[]>): Promise<readonly Item[]> {
  try {
    return await reading;
  } catch (error) {
    if (isWatershedError(error, 'not_found')) return [];
    throw error;
  }
}

async function inTurns<Item>(items: readonly Item[], work: (item: Item) => Promise<void>): Promise<void> {
  for (let start = 0; start < items.length; start += readsAtOnce) {
    await Promise.all(items.slice(start, start + readsAtOnce).map(work));
  }
}
