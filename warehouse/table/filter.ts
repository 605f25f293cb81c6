import type { ScannedFile } from './files.ts';
import type { ByColumn } from './manifest.ts';
import type { ManifestFile } from './manifest-list.ts';
import { partitionType } from './manifest-schema.ts';
import type { Field, PartitionSpec, Schema, SpecField, TableMetadata } from './metadata.ts';
import { specById } from './metadata.ts';
import { compareValues, decodeValue, parseInstant } from './values.ts';
import type { Value } from './values.ts';

/**
 * What a statement asks of rows, as far as files can be told apart by it. Strings stand for instants (ISO 8601, UTC
 * where there is no offset) where the column is a timestamp, and numbers for microseconds since 1970. What cannot be
 * used is no error: an unknown column or a constant of another type keeps every file.
 */
export type Filter =
  | { readonly kind: 'and'; readonly of: readonly Filter[] }
  | { readonly kind: 'or'; readonly of: readonly Filter[] }
  | { readonly kind: 'compare'; readonly column: string; readonly op: Comparison; readonly value: Constant }
  | { readonly kind: 'in'; readonly column: string; readonly values: readonly Constant[] }
  | { readonly kind: 'null'; readonly column: string }
  | { readonly kind: 'not-null'; readonly column: string };

export type Comparison = '=' | '<' | '<=' | '>' | '>=';
export type Constant = string | number | bigint | boolean;

/** What is known of a column in a file or manifest. A missing bound is unknown; bounds are inclusive. */
export interface ColumnRange {
  readonly lower?: Value | undefined;
  readonly upper?: Value | undefined;
  readonly nulls: 'none' | 'all' | 'unknown';
}

/** Says of a file, or of a manifest as a whole, whether rows in it can match: false only when none can. */
export interface Pruner {
  file(file: ScannedFile): boolean;
  manifest(manifest: ManifestFile): boolean;
}

/** Compiles a filter for the files of one partition spec. */
export function createPruner(metadata: TableMetadata, schema: Schema, specId: number, filter: Filter): Pruner {
  const spec = specById(metadata, specId);
  return {
    file: compile(filter, schema, (field) => {
      const sources = partitionSources(spec, field);
      return (file: ScannedFile, test) =>
        sources.every((source) => test(source.toRange(file.partition[source.key] ?? null))) &&
        test(fileRange(file, field));
    }),
    manifest: compile(filter, schema, (field) => {
      const summaries = summarySources(metadata, spec, field);
      return (manifest: ManifestFile, test) => summaries.every((range) => test(range(manifest)));
    }),
  };
}

type Test = (range: ColumnRange) => boolean;

function compile<Subject>(
  filter: Filter,
  schema: Schema,
  rangesOf: (field: Field) => (subject: Subject, test: Test) => boolean,
): (subject: Subject) => boolean {
  if (filter.kind === 'and' || filter.kind === 'or') {
    const parts = filter.of.map((part) => compile(part, schema, rangesOf));
    return filter.kind === 'and'
      ? (subject) => parts.every((part) => part(subject))
      : (subject) => parts.some((part) => part(subject));
  }
  const field = schema.fields.find(({ name }) => name === filter.column);
  const test = field === undefined ? undefined : leafTest(filter, field);
  if (field === undefined || test === undefined) return () => true;
  const ranges = rangesOf(field);
  return (subject) => ranges(subject, test);
}

function leafTest(filter: Exclude<Filter, { of: readonly Filter[] }>, { type }: Field): Test | undefined {
  if (filter.kind === 'null') return ({ nulls }) => nulls !== 'none';
  if (filter.kind === 'not-null') return ({ nulls }) => nulls !== 'all';
  if (typeof type !== 'string') return undefined;
  if (filter.kind === 'in') {
    const values = filter.values.map((value) => constantOf(type, value));
    const known = values.filter((value) => value !== undefined);
    if (known.length < values.length) return undefined;
    return (range) => known.some((value) => compareTest('=', value)(range));
  }
  const value = constantOf(type, filter.value);
  return value === undefined ? undefined : compareTest(filter.op, value);
}

function compareTest(op: Comparison, value: Value): Test {
  const below = op === '=' || op === '<' || op === '<=';
  const above = op === '=' || op === '>' || op === '>=';
  const strict = op === '<' || op === '>';
  return ({ lower, upper, nulls }) => {
    if (nulls === 'all') return false;
    if (below && lower !== undefined) {
      const order = compareNumeric(lower, value);
      if (order > 0 || (strict && order === 0)) return false;
    }
    if (above && upper !== undefined) {
      const order = compareNumeric(upper, value);
      if (order < 0 || (strict && order === 0)) return false;
    }
    return true;
  };
}

/** As SQL compares: both zeroes are one. */
function compareNumeric(left: Value, right: Value): number {
  return left === 0 && right === 0 ? 0 : compareValues(left, right);
}

function constantOf(type: string, value: Constant): Value | undefined {
  switch (type) {
    case 'string':
      return typeof value === 'string' ? value : undefined;
    case 'boolean':
      return typeof value === 'boolean' ? value : undefined;
    case 'timestamp':
    case 'timestamptz':
      return typeof value === 'string' ? parseInstant(value) : numeric(value);
    case 'date': {
      if (typeof value !== 'string') return numeric(value);
      const micros = parseInstant(value);
      return micros === undefined ? undefined : Number(micros) / microsPerDay;
    }
    case 'int':
    case 'long':
    case 'float':
    case 'double':
      return numeric(value);
    default:
      return undefined;
  }
}

function numeric(value: Constant): Value | undefined {
  return typeof value === 'bigint' || (typeof value === 'number' && !Number.isNaN(value)) ? value : undefined;
}

// --- What is known
// ------------------------------------------------------------------------------------------------------

const unknown: ColumnRange = { nulls: 'unknown' };
const allNull: ColumnRange = { nulls: 'all' };
const microsPerDay = 86_400_000_000;

/** The range of a column by the file's own bounds and counts; kept in `file.ranges`. */
export function fileRange(file: ScannedFile, field: Field): ColumnRange {
  const { id, type } = field;
  const known = file.ranges?.get(id);
  if (known !== undefined) return known;
  const nullCount = file.nullCounts?.get(id);
  const decode = (bounds: ByColumn<Uint8Array> | null | undefined): Value | undefined => {
    const bytes = bounds?.get(id);
    return bytes === undefined || typeof type !== 'string' ? undefined : decodeValue(type, bytes);
  };
  // Bounds leave NaN out, which DuckDB puts above all numbers: there an upper bound says nothing.
  const nan = type === 'double' || type === 'float';
  const range: ColumnRange = {
    lower: decode(file.lowerBounds),
    upper: nan ? undefined : decode(file.upperBounds),
    nulls: nullCount === 0 ? 'none' : nullCount === file.recordCount ? 'all' : 'unknown',
  };
  (file.ranges ??= new Map()).set(id, range);
  return range;
}

interface PartitionSource {
  readonly key: string;
  toRange(value: Value | null): ColumnRange;
}

function partitionSources(spec: PartitionSpec, field: Field): readonly PartitionSource[] {
  return spec.fields.flatMap((partition) => {
    const range = transformRange(partition, field);
    if (partition['source-id'] !== field.id || range === undefined) return [];
    return [{
      key: String(partition['field-id']),
      toRange: (value) => (value === null ? allNull : { ...range(value, value), nulls: 'none' }),
    }];
  });
}

type ToRange = (lower: Value, upper: Value) => { lower?: Value; upper?: Value };

/** How values of a partition field bound those of its column; undefined for transforms that say nothing of order. */
function transformRange({ transform }: SpecField, { type }: Field): ToRange | undefined {
  const same: ToRange = (lower, upper) => ({ lower, upper });
  if (transform === 'identity') return type === 'double' || type === 'float' ? undefined : same;
  if (type === 'date') return transform === 'day' ? same : undefined;
  if (type !== 'timestamptz' && type !== 'timestamp') return undefined;
  const begin = unitBegins[transform];
  if (begin === undefined) return undefined;
  return (lower, upper) => ({ lower: begin(Number(lower)), upper: begin(Number(upper) + 1) - 1 });
}

/** Microseconds since 1970 at which a unit of that number begins. */
const unitBegins: Readonly<Record<string, (unit: number) => number>> = {
  hour: (unit) => unit * 3_600_000_000,
  day: (unit) => unit * microsPerDay,
  month: (unit) => Date.UTC(1970, unit) * 1000,
  year: (unit) => Date.UTC(1970, unit * 12) * 1000,
};

function summarySources(
  metadata: TableMetadata,
  spec: PartitionSpec,
  field: Field,
): readonly ((manifest: ManifestFile) => ColumnRange)[] {
  return spec.fields.flatMap((partition, index) => {
    const range = transformRange(partition, field);
    if (partition['source-id'] !== field.id || range === undefined) return [];
    const type = partitionType(metadata, partition);
    return [(manifest: ManifestFile): ColumnRange => {
      const summary = manifest.partitions?.[index];
      if (summary === undefined) return unknown;
      const lower = summary.lower ? decodeValue(type, summary.lower) : undefined;
      const upper = summary.upper ? decodeValue(type, summary.upper) : undefined;
      const nulls = summary.containsNull ? 'unknown' : 'none';
      return lower === undefined || upper === undefined ? { nulls } : { ...range(lower, upper), nulls };
    }];
  });
}
