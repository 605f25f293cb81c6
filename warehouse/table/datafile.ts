import type { Column, PrimitiveType, TableSpec } from '#core/contract/tables.ts';
import { WatershedError } from '#core/errors.ts';
import type { DataFile } from './manifest.ts';
import { encodeValue, parseInstant, truncateLower, truncateUpper } from './values.ts';
import type { Value } from './values.ts';

/**
 * A file to add. Without `specId` it goes under the unpartitioned spec (hot), whatever number that has in the table.
 */
export interface AddedFile extends DataFile {
  readonly specId?: number;
}

/**
 * What DuckDB's `COPY … (RETURN_STATS)` says of a file it wrote, as `getRowObjectsJS()` and `getRowObjectsJson()` give
 * it.
 */
interface CopyStats {
  readonly count: bigint | number | string;
  readonly file_size_bytes: bigint | number | string;
  readonly column_statistics: readonly {
    /** The quoted path of a leaf column: `"hashtags"."element"`. */
    readonly key: string;
    /** `column_size_bytes`, `min`, `max`, `null_count`, `num_values`, `has_nan`, as text. */
    readonly value: readonly { readonly key: string; readonly value: string }[];
  }[];
}

export interface PartitionValues {
  readonly specId: number;
  /** By partition field id. */
  readonly values: Readonly<Record<string, Value | null>>;
}

/** Code points of a string that its bounds keep: Iceberg's default, and enough for the ids that statements look for. */
const boundWidth = { text: 16, id: 64 } as const;

/**
 * The manifest entry of a Parquet file of `spec`'s columns, from the statistics of the copy that wrote it (with the
 * session's time zone at UTC). `path` is the full Iceberg path. `splitOffsets` are those of the row groups, if known.
 */
export function dataFileFromStats(
  spec: TableSpec,
  path: string,
  stats: Readonly<Record<string, unknown>>,
  partition?: PartitionValues,
  splitOffsets?: readonly number[],
): AddedFile {
  const columnSizes = new Map<number, number>();
  const valueCounts = new Map<number, number>();
  const nullCounts = new Map<number, number>();
  const lowerBounds = new Map<number, Uint8Array>();
  const upperBounds = new Map<number, Uint8Array>();
  const copied = parseCopyStats(stats);
  for (const { key, value } of copied.column_statistics) {
    const { column, leafId } = leaf(spec, key);
    const said = new Map(value.map((entry) => [entry.key, entry.value]));
    const put = (into: Map<number, number>, name: string): void => {
      const number = said.get(name);
      if (number !== undefined) into.set(leafId, count(number));
    };
    put(columnSizes, 'column_size_bytes');
    if (typeof column.type !== 'string') continue;
    put(valueCounts, 'num_values');
    put(nullCounts, 'null_count');
    if (!spec.bounds.includes(column.name) || said.get('has_nan') === 'true') continue;
    const bounds = boundsOf(column.type, column.name, said.get('min'), said.get('max'));
    if (bounds.lower !== undefined) lowerBounds.set(leafId, bounds.lower);
    if (bounds.upper !== undefined) upperBounds.set(leafId, bounds.upper);
  }
  return {
    content: 0,
    path,
    format: 'PARQUET',
    partition: partition?.values ?? {},
    ...(partition ? { specId: partition.specId } : {}),
    recordCount: count(copied.count),
    bytes: count(copied.file_size_bytes),
    columnSizes,
    valueCounts,
    nullCounts,
    lowerBounds,
    upperBounds,
    ...(splitOffsets ? { splitOffsets } : {}),
    // Hot files are as they came; sort order 1 is said by whoever sorted.
    sortOrderId: 0,
  };
}

function parseCopyStats(row: object): CopyStats {
  const complete = 'count' in row && 'file_size_bytes' in row && 'column_statistics' in row;
  if (complete && Array.isArray(row.column_statistics)) {
    return row as CopyStats; // the border to DuckDB, whose rows have no types
  }
  throw new WatershedError('internal', `COPY returned no statistics but ${Object.keys(row).join(', ')}`);
}

function leaf(spec: TableSpec, key: string): { column: Column; leafId: number } {
  const [name = '', ...inner] = key.replace(/^"|"$/g, '').split('"."').map((part) => part.replaceAll('""', '"'));
  const column = spec.columns.find((candidate) => candidate.name === name);
  if (column === undefined || (typeof column.type === 'string') !== (inner.length === 0)) {
    throw new WatershedError('internal', `a file for table ${spec.name} has column ${key}, which the table has not`);
  }
  return { column, leafId: typeof column.type === 'string' ? column.id : column.type.elementId };
}

function count(value: bigint | number | string): number {
  const number = Number(value);
  if (Number.isSafeInteger(number) && number >= 0) return number;
  throw new WatershedError('internal', `COPY counted ${String(value)}`);
}

interface Bounds {
  readonly lower?: Uint8Array | undefined;
  readonly upper?: Uint8Array | undefined;
}

function boundsOf(type: PrimitiveType, name: string, min: string | undefined, max: string | undefined): Bounds {
  if (min === undefined || max === undefined) return {};
  const both = (lower: Value | undefined, upper: Value | undefined): Bounds => ({
    lower: lower === undefined ? undefined : encodeValue(type, lower),
    upper: upper === undefined ? undefined : encodeValue(type, upper),
  });
  switch (type) {
    case 'string': {
      const width = /(^|_)id$/.test(name) ? boundWidth.id : boundWidth.text;
      return both(truncateLower(min, width), truncateUpper(max, width));
    }
    case 'timestamptz':
      return both(parseInstant(min), parseInstant(max));
    case 'boolean':
      return both(min === '1' || min === 'true', max === '1' || max === 'true');
    case 'int':
    case 'long':
      return both(integer(min), integer(max));
    case 'double':
      // Zeroes have two signs and Parquet's statistics do not say which: take the wider.
      return both(Number(min) === 0 ? -0 : finite(min), Number(max) === 0 ? 0 : finite(max));
    case 'binary':
      return {};
  }
}

function integer(text: string): bigint | undefined {
  return /^-?\d+$/.test(text) ? BigInt(text) : undefined;
}

function finite(text: string): number | undefined {
  return Number.isFinite(Number(text)) ? Number(text) : undefined;
}
