import { WatershedError, isWatershedError } from '#core/errors.ts';
import { keyOf } from '#core/store/store.ts';
import type { Store } from '#core/store/store.ts';
import { createLru } from './lru.ts';
import type { Lru } from './lru.ts';
import { readLiveFiles, readManifest } from './manifest.ts';
import type { LiveFile, ManifestEntry } from './manifest.ts';
import { readManifestList } from './manifest-list.ts';
import type { ManifestFile } from './manifest-list.ts';
import { parseMetadata } from './metadata.ts';
import type { Snapshot, TableMetadata } from './metadata.ts';
import type { ColumnRange } from './filter.ts';

/** Reading the files of a table. All of them are immutable, so what was read once is kept by path. */

export interface TableCache {
  readonly metadata: Lru<TableMetadata>;
  readonly manifestLists: Lru<readonly ManifestFile[]>;
  readonly manifests: Lru<readonly ScannedFile[]>;
}

/** A live file with the bounds decoded so far, by column id. */
export interface ScannedFile extends LiveFile {
  ranges?: Map<number, ColumnRange>;
}

/** Bytes of metadata files kept: some hundred versions of a table with a few hundred snapshots. */
const metadataBytesMax = 32 * 2 ** 20;
/** Manifests named by the lists that are kept. */
const listedManifestsMax = 50_000;
/** Files in the manifests that are kept: at some 2 KB each, 200 MB at most. */
const scannedFilesMax = 100_000;

export function createTableCache(): TableCache {
  return {
    metadata: createLru(metadataBytesMax),
    manifestLists: createLru(listedManifestsMax),
    manifests: createLru(scannedFilesMax),
  };
}

/** The store's key of a path; a table with files elsewhere is none that we can read. */
export function storeKey(store: Store, path: string): string {
  const key = keyOf(store, path);
  if (key !== undefined) return key;
  throw new WatershedError('foreign_lake', `${path} does not lie in this lake's store, ${store.uri}`, {
    hint: 'Set WAREHOUSE_URI to the address the tables were made with, or move the tables.',
    context: { path },
  });
}

export async function loadMetadata(store: Store, cache: TableCache, location: string): Promise<TableMetadata> {
  const known = cache.metadata.get(location);
  if (known !== undefined) return known;
  const bytes = await store.get(storeKey(store, location)).catch((cause: unknown) => {
    if (!isWatershedError(cause, 'not_found')) throw cause;
    throw new WatershedError('not_found', `the catalog says that a table's metadata is ${location}, and the store has no such file`, {
      cause,
      hint: 'nothing was changed or deleted: see that WAREHOUSE_URI and DATABASE_URL belong together, bring the file back, or restore the last backup',
      context: { location },
    });
  });
  const metadata = parseMetadata(bytes, location);
  cache.metadata.set(location, metadata, bytes.length);
  return metadata;
}

/** The manifests of a snapshot; none where there is no snapshot. */
export async function loadManifestList(
  store: Store,
  cache: TableCache,
  snapshot: Snapshot | undefined,
): Promise<readonly ManifestFile[]> {
  if (snapshot === undefined) return [];
  const path = snapshot['manifest-list'];
  const known = cache.manifestLists.get(path);
  if (known !== undefined) return known;
  const manifests = readManifestList(await store.get(storeKey(store, path)), path);
  cache.manifestLists.set(path, manifests, manifests.length + 1);
  return manifests;
}

/** All entries of a manifest with everything they hold, for rewriting it; not kept. */
export async function loadManifest(store: Store, manifest: ManifestFile): Promise<readonly ManifestEntry[]> {
  return readManifest(await store.get(storeKey(store, manifest.path)), manifest);
}

/**
 * The live files of a manifest with what planning needs of them. **Errors**: `unsupported` for deletes that we cannot
 * apply and files that we cannot read.
 */
export async function loadScannedManifest(
  store: Store,
  cache: TableCache,
  manifest: ManifestFile,
): Promise<readonly ScannedFile[]> {
  const known = cache.manifests.get(manifest.path);
  if (known !== undefined) return known;
  const files = readLiveFiles(await store.get(storeKey(store, manifest.path)), manifest);
  for (const { content, format, path } of files) {
    if (content !== 2 && format.toUpperCase() === 'PARQUET') continue;
    const what = content === 2 ? 'equality deletes' : `format ${format}`;
    throw new WatershedError('unsupported', `${path} has ${what}, which we do not read`, {
      hint: 'Let the engine that wrote it rewrite the table (compaction removes deletes).',
      context: { path },
    });
  }
  cache.manifests.set(manifest.path, files, files.length + 1);
  return files;
}
