import type { PlannedFile } from '../table/scan.ts';

/** What upkeep would do to the files of a table, from their sizes alone. */
export interface UpkeepPlan {
  /** Groups of hot files, each to become one. */
  readonly merge: readonly (readonly PlannedFile[])[];
  /** Hot files whose rows are to be filed by partition. */
  readonly file: readonly PlannedFile[];
  /** Groups of small files of one partition, each to become one. */
  readonly pack: readonly (readonly PlannedFile[])[];
}

export interface UpkeepLimits {
  /** So many small hot files are merged into one: with 16, a hundred files of one-second commits are never reached. */
  readonly mergeFilesMin: number;
  /** A hot file of this size is not merged further. */
  readonly hotBytesTarget: number;
  /** Filing begins when so much is hot: below it one or two hot files answer as fast as many filed ones. */
  readonly fileAtHotBytes: number;
  /** So many small files of one partition are packed into one of up to `packedBytesTarget`. */
  readonly packFilesMin: number;
  readonly packedBytesTarget: number;
}

export const upkeepLimits: UpkeepLimits = {
  mergeFilesMin: 16,
  hotBytesTarget: 64 * 1024 * 1024,
  fileAtHotBytes: 192 * 1024 * 1024,
  packFilesMin: 5,
  packedBytesTarget: 512 * 1024 * 1024,
};

/** A hot file was merged already and is large enough to be left until it is filed. */
const smallShare = 0.5;

/** Looks at the live files; `hotSpecIds` are the ids of specs without fields, `fileable` whether rows can be filed at all. */
export function planUpkeep(
  files: readonly PlannedFile[], hotSpecIds: ReadonlySet<number>, fileable: boolean, limits: UpkeepLimits = upkeepLimits,
): UpkeepPlan {
  const hot = files.filter(({ specId }) => hotSpecIds.has(specId)).toSorted((a, b) => a.sequenceNumber - b.sequenceNumber);
  const hotBytes = hot.reduce((sum, { bytes }) => sum + bytes, 0);
  if (fileable && hotBytes >= limits.fileAtHotBytes) return { merge: [], file: hot, pack: [] };
  const small = hot.filter(({ bytes }) => bytes < limits.hotBytesTarget * smallShare);
  const merge = small.length < limits.mergeFilesMin ? [] : groups(small, limits.hotBytesTarget);
  const filed = Map.groupBy(files.filter(({ specId, bytes }) => !hotSpecIds.has(specId) && bytes < limits.packedBytesTarget * smallShare),
    ({ specId, partition }) => `${specId} ${JSON.stringify(Object.entries(partition).map(([id, value]) => [id, String(value)]))}`);
  const pack = [...filed.values()].filter((some) => some.length >= limits.packFilesMin)
    .flatMap((some) => groups(some, limits.packedBytesTarget));
  return { merge, file: [], pack };
}

function groups(files: readonly PlannedFile[], bytesMax: number): PlannedFile[][] {
  const found: PlannedFile[][] = [];
  let bytes = Infinity;
  for (const file of files) {
    if (bytes + file.bytes > bytesMax) {
      found.push([]);
      bytes = 0;
    }
    found.at(-1)?.push(file);
    bytes += file.bytes;
  }
  return found.filter((some) => some.length > 1);
}
