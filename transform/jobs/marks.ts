import type { TableMetadata } from '#warehouse/table/metadata.ts';
import { clip, landedOffsets, type OffsetRange } from './ranges.ts';

/**
 * How far a model version has come, in the properties of `classifications`, for each log identity and partition:
 *
 * - `watershed.classified.<version>.<identity>.<partition>`: the next record of the stream to be classified;
 * - `watershed.reclassified.<version>.<identity>.<partition>`: `next/until`, the same for what an older version had
 * classified
 *   before this one came. It is done in the background, when there is nothing new.
 */
export interface Plan {
  readonly kind: 'new' | 'again';
  readonly ranges: readonly OffsetRange[];
  /** What the commit must find, and what it sets. */
  readonly expect: Readonly<Record<string, string | undefined>>;
  readonly set: Readonly<Record<string, string>>;
  /** Records left after this, of both kinds. */
  readonly left: bigint;
}

export interface MarkInput {
  readonly posts: TableMetadata;
  readonly classifications: TableMetadata;
  readonly logIdentity: string;
  readonly version: string;
  /** The most records of one commit, where the classifier says so. */
  readonly recordsMax?: number | undefined;
}

/**
 * The most records of one commit. What is done again may take more: old files hold records of all times, and are read
 * anew each time.
 */
const recordsMax = { new: 20_000, again: 100_000 };

/** What to classify next; undefined when all is done. */
export function planNext(input: MarkInput): Plan | undefined {
  const marks = readMarks(input);
  const fresh = clip(
    marks.map(({ partition, next, landed }) => ({ partition, from: next, to: landed })),
    Math.min(recordsMax.new, input.recordsMax ?? recordsMax.new),
  );
  const again = clip(
    marks.map(({ partition, againNext, againUntil }) => ({ partition, from: againNext, to: againUntil })),
    Math.min(recordsMax.again, input.recordsMax ?? recordsMax.again),
  );
  const left = marks.reduce(
    (sum, { next, landed, againNext, againUntil }) => sum + (landed - next) + (againUntil - againNext),
    0n,
  );
  const kind = fresh.length > 0 ? 'new' : 'again';
  const ranges = kind === 'new' ? fresh : again;
  if (ranges.length === 0) return undefined;
  const expect: Record<string, string | undefined> = {};
  const set: Record<string, string> = {};
  for (const { partition, to } of ranges) {
    const mark = marks.find((candidate) => candidate.partition === partition);
    if (mark === undefined) continue;
    for (const [name, was, becomes] of [
      [mark.names.classified, mark.stored.classified, String(kind === 'new' ? to : mark.next)],
      [
        mark.names.reclassified,
        mark.stored.reclassified,
        `${kind === 'again' ? to : mark.againNext}/${mark.againUntil}`,
      ],
    ] as const) {
      expect[name] = was;
      set[name] = becomes;
    }
  }
  const taken = ranges.reduce((sum, { from, to }) => sum + (to - from), 0n);
  return { kind, ranges, expect, set, left: left - taken };
}

interface Mark {
  readonly partition: number;
  readonly landed: bigint;
  readonly next: bigint;
  readonly againNext: bigint;
  readonly againUntil: bigint;
  readonly names: { readonly classified: string; readonly reclassified: string };
  readonly stored: { readonly classified: string | undefined; readonly reclassified: string | undefined };
}

function readMarks({ posts, classifications, logIdentity, version }: MarkInput): Mark[] {
  const { properties } = classifications;
  return [...landedOffsets(posts, logIdentity)]
    .sort(([a], [b]) => a - b)
    .map(([partition, landed]) => {
      const place = `${logIdentity}.${partition}`;
      const names = {
        classified: `watershed.classified.${version}.${place}`,
        reclassified: `watershed.reclassified.${version}.${place}`,
      };
      const stored = { classified: properties[names.classified], reclassified: properties[names.reclassified] };
      const before = stored.classified === undefined ? reachedByOthers(classifications, place) : 0n;
      const [againNext = '0', againUntil = String(before)] = stored.reclassified?.split('/') ?? [];
      return {
        partition,
        landed,
        names,
        stored,
        next: stored.classified === undefined ? before : BigInt(stored.classified),
        againNext: BigInt(againNext),
        againUntil: BigInt(againUntil),
      };
    });
}

/** Where the other versions stand: this one goes on from there, and does again what lies before. */
function reachedByOthers(classifications: TableMetadata, place: string): bigint {
  let furthest = 0n;
  for (const [name, value] of Object.entries(classifications.properties)) {
    if (name.startsWith('watershed.classified.') && name.endsWith(`.${place}`) && BigInt(value) > furthest)
      furthest = BigInt(value);
  }
  return furthest;
}

/** All marks of all versions as they stand, by name: who works on top of the labels remembers what it has seen. */
export function labelledRanges(classifications: TableMetadata): ReadonlyMap<string, string> {
  return new Map(
    Object.entries(classifications.properties).filter(([name]) => /^watershed\.(re)?classified\./.test(name)),
  );
}
