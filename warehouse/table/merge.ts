import type { Store } from '#core/store/store.ts';
import { loadManifest } from './files.ts';
import { manifestPath } from './names.ts';
import { isLive, status, writeManifest } from './manifest.ts';
import type { WrittenManifest } from './manifest.ts';
import type { ManifestFile } from './manifest-list.ts';
import { specById } from './metadata.ts';
import type { TableMetadata } from './metadata.ts';

/**
 * So many manifests of like size are merged into one. With levels (1 to 49 files, 50 to 2,499, …) an entry is rewritten
 * once per level, and a list stays below some 150 manifests however long the writer runs.
 */
export const mergeAtDefault = 50;

/** Larger manifests are left alone (Iceberg's `commit.manifest.target-size-bytes`). */
const mergedBytesMax = 8 * 2 ** 20;

export interface Merged {
  /** The manifests to list: merged ones in the place of what they hold. */
  readonly manifests: readonly ManifestFile[];
  readonly written: readonly WrittenManifest[];
}

/**
 * Drops manifests without live entries and merges small data manifests of one spec where `mergeAt` of one level have
 * come together. Entries become EXISTING with the sequence numbers they have; entries DELETED earlier are left out.
 */
export async function mergeManifests(request: {
  readonly store: Store;
  readonly metadata: TableMetadata;
  readonly manifests: readonly ManifestFile[];
  readonly snapshotId: bigint;
  /** Distinguishes this attempt's files. */
  readonly name: string;
  readonly mergeAt: number;
}): Promise<Merged> {
  const { store, metadata, snapshotId, mergeAt } = request;
  const carried = request.manifests.filter((manifest) => liveFiles(manifest) !== 0);
  const groups = Map.groupBy(carried.filter(isSmall), (manifest) => groupOf(manifest, mergeAt));
  const written: WrittenManifest[] = [];
  const replaced = new Map<ManifestFile, ManifestFile | undefined>();
  for (const group of groups.values()) {
    const [first] = group;
    if (first === undefined || group.length < mergeAt) continue;
    const manifests = await Promise.all(group.map((manifest) => loadManifest(store, manifest)));
    const manifest = writeManifest({
      metadata,
      spec: specById(metadata, first.specId),
      content: 'data',
      path: manifestPath(metadata, `${request.name}-m${written.length + 1}`),
      snapshotId,
      entries: manifests.flat().filter(isLive).map((entry) => ({ ...entry, status: status.existing })),
    });
    written.push(manifest);
    for (const old of group) replaced.set(old, undefined);
    replaced.set(first, manifest.listed);
  }
  return {
    manifests: carried.flatMap((manifest) => {
      if (!replaced.has(manifest)) return [manifest];
      const by = replaced.get(manifest);
      return by === undefined ? [] : [by];
    }),
    written,
  };
}

function liveFiles(manifest: ManifestFile): number {
  return manifest.addedFiles + manifest.existingFiles;
}

function isSmall(manifest: ManifestFile): boolean {
  return manifest.content === 0 && manifest.bytes < mergedBytesMax && manifest.addedFiles >= 0;
}

function groupOf(manifest: ManifestFile, mergeAt: number): string {
  return `${manifest.specId}/${Math.floor(Math.log(liveFiles(manifest)) / Math.log(mergeAt))}`;
}
