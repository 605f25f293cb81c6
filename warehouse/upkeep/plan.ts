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

export const emptyPlan: UpkeepPlan = { merge: [], file: [], pack: [] };

export interface UpkeepLimits {
  /** So many small hot files are merged into one: with 16, a hundred files of one-second commits are never reached. */
  readonly mergeFilesMin: number;
  /** A hot file of this size is not merged further. */
  readonly hotBytesTarget: number;
  /** Filing begins when so much is hot: below it one or two hot files answer as fast as many filed ones. */
  readonly fileAtHotBytes: number;
  /**
   * A partition is worth a file of its own from this size on; what is smaller stays hot together until it has grown.
   */
  readonly partitionBytesMin: number;
  /** So many small files of one partition are packed into one of up to `packedBytesTarget`. */
  readonly packFilesMin: number;
  readonly packedBytesTarget: number;
}

export const upkeepLimits: UpkeepLimits = {
  mergeFilesMin: 16,
  hotBytesTarget: 64 * 1024 * 1024,
  fileAtHotBytes: 192 * 1024 * 1024,
  partitionBytesMin: 4 * 1024 * 1024,
  packFilesMin: 5,
  packedBytesTarget: 512 * 1024 * 1024,
};

/** From this share of its target on a file is large enough to be left as it is. */
const largeShare = 0.5;

/**
 * Looks at the live files; `hotSpecIds` are the ids of specs without fields, `fileable` whether rows can be filed at
 * all.
 */
export function planUpkeep(
  files: readonly PlannedFile[], hotSpecIds: ReadonlySet<number>, fileable: boolean, limits: UpkeepLimits = upkeepLimits,
): UpkeepPlan {
  const hot = files.filter(({ specId }) => hotSpecIds.has(specId));
  const filing = fileable && isFilingDue(hot, limits);
  const small = hot.filter(({ bytes }) => bytes < limits.hotBytesTarget * largeShare);
  const merge = filing ? [] : groups(worthMerging(small, limits.mergeFilesMin), limits.hotBytesTarget);
  const filed = files.filter(({ specId, bytes }) => !hotSpecIds.has(specId) && bytes < limits.packedBytesTarget * largeShare);
  const pack = [...Map.groupBy(filed, partitionKey).values()]
    .flatMap((some) => groups(worthMerging(some, limits.packFilesMin), limits.packedBytesTarget));
  return { merge, file: filing ? hot : [], pack };
}

const leftShare = 0.5;

/**
 * The largest hot file is not counted: it may be what an earlier filing left because its partitions are small. So a
 * filing comes only after as much has arrived again (or half of what was left), however scattered the rows are.
 */
function isFilingDue(hot: readonly PlannedFile[], limits: UpkeepLimits): boolean {
  const largest = Math.max(0, ...hot.map(({ bytes }) => bytes));
  const hotBytes = bytesOf(hot);
  const arrived = hotBytes - largest;
  return hotBytes >= limits.fileAtHotBytes && arrived >= largest * leftShare;
}

/** Null and the text "null" are different partitions, and so are 1 and "1". */
function partitionKey({ specId, partition }: PlannedFile): string {
  return JSON.stringify([specId, ...Object.entries(partition).map(([id, value]) => [id, typeof value, String(value)])]);
}

/**
 * The files that are merged, from the smallest on: a file comes along only when those below it have grown to its size.
 * So a row is rewritten once for each doubling, and fewer than `filesMin` + log2(largest / smallest) files stay apart.
 */
function worthMerging(files: readonly PlannedFile[], filesMin: number): readonly PlannedFile[] {
  const bySize = files.toSorted((a, b) => a.bytes - b.bytes);
  let sum = 0;
  let taken = 0;
  for (const [index, { bytes }] of bySize.entries()) {
    if (bytes <= sum) taken = index + 1;
    sum += bytes;
  }
  return taken < filesMin ? [] : bySize.slice(0, taken);
}

function bytesOf(files: readonly PlannedFile[]): number {
  return files.reduce((sum, { bytes }) => sum + bytes, 0);
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
