import type { TableMetadata } from '#warehouse/table/metadata.ts';
import type { Filter } from '#warehouse/table/scan.ts';

/** Records [from, to) of a partition of topic `posts`. */
export interface OffsetRange {
  readonly partition: number;
  readonly from: bigint;
  readonly to: bigint;
}

/** Properties of a table that begin with `prefix`, followed by a partition's number. */
export function offsetsIn(metadata: TableMetadata, prefix: string): Map<number, bigint> {
  const offsets = new Map<number, bigint>();
  for (const [name, value] of Object.entries(metadata.properties)) {
    const partition = name.startsWith(prefix) ? name.slice(prefix.length) : '';
    if (/^\d+$/.test(partition) && /^\d+$/.test(value)) offsets.set(Number(partition), BigInt(value));
  }
  return offsets;
}

/** The next offset of each partition that landed in table posts. */
export function landedOffsets(posts: TableMetadata, logIdentity: string): Map<number, bigint> {
  return offsetsIn(posts, `watershed.offset.${logIdentity}.`);
}

/** The beginning of each range, so that together they hold about `recordsMax` records. Empty ranges are left out. */
export function clip(ranges: readonly OffsetRange[], recordsMax: number): OffsetRange[] {
  const open = ranges.filter(({ from, to }) => from < to);
  const each = BigInt(Math.max(1, Math.floor(recordsMax / Math.max(1, open.length))));
  return open.map(({ partition, from, to }) => ({ partition, from, to: to - from > each ? from + each : to }));
}

/** Rows of these ranges, for planning. */
export function filterOf(ranges: readonly OffsetRange[]): Filter {
  return {
    kind: 'or',
    of: ranges.map(({ partition, from, to }): Filter => ({
      kind: 'and',
      of: [
        { kind: 'compare', column: 'log_partition', op: '=', value: partition },
        { kind: 'compare', column: 'log_offset', op: '>=', value: from },
        { kind: 'compare', column: 'log_offset', op: '<', value: to },
      ],
    })),
  };
}

/** The same as a condition in SQL. */
export function conditionOf(ranges: readonly OffsetRange[]): string {
  const parts = ranges.map(
    ({ partition, from, to }) => `(log_partition = ${partition} and log_offset >= ${from} and log_offset < ${to})`,
  );
  return parts.length === 0 ? 'false' : parts.join(' or ');
}
