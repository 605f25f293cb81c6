import type { PlannedFile } from '../table/scan.ts';

/** What upkeep would do to the files of a table, from their sizes and bounds alone. */
export interface UpkeepPlan {
  /** Groups of hot files, each to become one. */
  readonly merge: readonly (readonly PlannedFile[])[];
  /** Hot files whose rows are to be filed by partition, and which of their partitions. */
  readonly file: readonly PlannedFile[];
  readonly filing: Filing;
  /** Groups of small files of one partition, each to become one. */
  readonly pack: readonly (readonly PlannedFile[])[];
}

/** Which partitions of hot files are worth a file of their own. */
export interface Filing {
  /** From this size on, whichever day they hold. */
  readonly partitionBytesMin: number;
  /** From so many rows on, the largest `overPartitionsMax`, those whose day (since 1970) is before `overBeforeDay`. */
  readonly overRowsMin: number;
  readonly overPartitionsMax: number;
  readonly overBeforeDay: number | undefined;
}

const noFiling: Filing = { partitionBytesMin: Infinity, overRowsMin: Infinity, overPartitionsMax: 0, overBeforeDay: undefined };
export const emptyPlan: UpkeepPlan = { merge: [], file: [], filing: noFiling, pack: [] };

export interface UpkeepLimits {
  /** So many small hot files are merged into one: with 16, a hundred files of one-second commits are never reached. */
  readonly mergeFilesMin: number;
  /** A hot file of this size is not merged further. */
  readonly hotBytesTarget: number;
  /** How much may stay hot (WATERSHED_HOT_BYTES): above it, partitions of `partitionBytesMin` are filed too. */
  readonly hotBytesMax: number;
  /** An event and day has enough for a file of its own, whatever else is hot. */
  readonly partitionBytesEnough: number;
  /** What is smaller stays hot together until it has grown, or its day is over. */
  readonly partitionBytesMin: number;
  /** A day is over so long after its end: posts come late. */
  readonly overAfterMs: number;
  /** What comes later still is filed so often, not one by one. */
  readonly overEveryMs: number;
  /** Of a day that is over, a dozen posts and less stay hot: a file of their own would cost more than it saves. */
  readonly overRowsMin: number;
  /** So many of them in one go: an archive of scattered days becomes no hundred thousand files. */
  readonly overPartitionsMax: number;
  /** What one filing takes on: it stands in DuckDB's memory or on its disk meanwhile. */
  readonly fileBytesMax: number;
  /** So many small files of one partition are packed into one of up to `packedBytesTarget`. */
  readonly packFilesMin: number;
  readonly packedBytesTarget: number;
}

const mib = 1024 * 1024;
const hourMs = 3_600_000;

export const upkeepLimits: UpkeepLimits = {
  mergeFilesMin: 16,
  hotBytesTarget: 64 * mib,
  hotBytesMax: 192 * mib,
  partitionBytesEnough: 32 * mib,
  partitionBytesMin: 4 * mib,
  overAfterMs: hourMs,
  overEveryMs: 6 * hourMs,
  overRowsMin: 16,
  overPartitionsMax: 256,
  fileBytesMax: 1024 * mib,
  packFilesMin: 5,
  packedBytesTarget: 512 * mib,
};

/** What is asked for by hand is done now, and for every day that is over, however little it holds. */
export const limitsByHand: UpkeepLimits = { ...upkeepLimits, overEveryMs: 0, overRowsMin: 0 };

/** From this share of its target on a file is large enough to be left as it is. */
const largeShare = 0.5;

export interface UpkeepSituation {
  /** The ids of specs without fields. */
  readonly hotSpecIds: ReadonlySet<number>;
  /** Undefined where rows cannot be filed; the column by which days are told apart, where there is one. */
  readonly fileBy: { readonly day: string | undefined } | undefined;
  readonly nowMs: number;
  /** When days that are over were filed last. */
  readonly overFiledAtMs: number;
}

/** Looks at the live files. Merging and filing are alternatives: who has filed something merges the next time. */
export function planUpkeep(
  files: readonly PlannedFile[], situation: UpkeepSituation, limits: UpkeepLimits = upkeepLimits,
): UpkeepPlan {
  const { hotSpecIds } = situation;
  const hot = files.filter(({ specId }) => hotSpecIds.has(specId));
  const small = hot.filter(({ bytes }) => bytes < limits.hotBytesTarget * largeShare);
  const merge = groups(worthMerging(small, limits.mergeFilesMin), limits.hotBytesTarget);
  const filed = files.filter(({ specId, bytes }) => !hotSpecIds.has(specId) && bytes < limits.packedBytesTarget * largeShare);
  const pack = [...Map.groupBy(filed, partitionKey).values()]
    .flatMap((some) => groups(worthMerging(some, limits.packFilesMin), limits.packedBytesTarget));
  return { merge, ...planFiling(hot, situation, limits), pack };
}

function planFiling(
  hot: readonly PlannedFile[], { fileBy, nowMs, overFiledAtMs }: UpkeepSituation, limits: UpkeepLimits,
): Pick<UpkeepPlan, 'file' | 'filing'> {
  if (fileBy === undefined) return { file: [], filing: noFiling };
  const partitionBytesMin = sizeWorthFiling(hot, limits);
  const { day } = fileBy;
  const overBeforeDay = day !== undefined && nowMs - overFiledAtMs >= limits.overEveryMs
    ? Math.floor((nowMs - limits.overAfterMs) / dayMs) : undefined;
  const over = overBeforeDay === undefined || day === undefined ? [] : hot.filter((file) => firstDay(file, day) < overBeforeDay);
  const file = upTo(partitionBytesMin < Infinity ? hot : over, limits.fileBytesMax);
  const { overRowsMin, overPartitionsMax } = limits;
  return { file, filing: { partitionBytesMin, overRowsMin, overPartitionsMax, overBeforeDay } };
}

const dayMs = 24 * hourMs;

/** The first day that a file can hold rows of; a file without bounds may hold any. */
function firstDay(file: PlannedFile, column: string): number {
  const { lower, nulls } = file.range(column);
  if (nulls === 'all') return Infinity;
  return lower === undefined ? -Infinity : Math.floor(Number(lower) / 1000 / dayMs);
}

function upTo(files: readonly PlannedFile[], bytesMax: number): readonly PlannedFile[] {
  let sum = 0;
  return files.filter(({ bytes }, index) => (sum += bytes) <= bytesMax || index === 0);
}

const leftShare = 0.5;

/**
 * From which size on a partition is filed now. The largest hot file is not counted: it may be what an earlier filing
 * left because its partitions are small. So a filing comes only after as much has arrived again (or half of what was
 * left), however scattered the rows are.
 */
function sizeWorthFiling(hot: readonly PlannedFile[], limits: UpkeepLimits): number {
  const largest = Math.max(0, ...hot.map(({ bytes }) => bytes));
  const hotBytes = bytesOf(hot);
  if (hotBytes - largest < largest * leftShare) return Infinity;
  if (hotBytes >= limits.hotBytesMax) return limits.partitionBytesMin;
  return hotBytes >= limits.partitionBytesEnough ? limits.partitionBytesEnough : Infinity;
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
