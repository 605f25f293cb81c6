import type { Column, TableSpec } from '#core/contract/tables.ts';
import { WatershedError } from '#core/errors.ts';
import { currentSchema, noSnapshot } from './metadata.ts';
import type { Field, IcebergType, PartitionSpec, Schema, SortOrder, TableMetadata } from './metadata.ts';

/** Partition field ids begin here (specification, Partitioning). */
const firstPartitionId = 1000;

/**
 * `commit.retry.*`: with Java's defaults (4 tries from 100 ms) an optimize beside our commits starves; with these it
 * came through at a commit every 0.15 s (measured with Trino 476). Old metadata files go with the commit that forgets
 * them.
 */
const tableProperties: Readonly<Record<string, string>> = {
  'commit.retry.num-retries': '20',
  'commit.retry.min-wait-ms': '20',
  'commit.retry.max-wait-ms': '200',
  'write.format.default': 'parquet',
  'write.parquet.compression-codec': 'zstd',
  'write.metadata.delete-after-commit.enabled': 'true',
  'write.metadata.previous-versions-max': '100',
};

/**
 * The first metadata of a table, without a snapshot. Spec 0 has no fields (hot files); spec 1 is the default where the
 * table has partition fields. `location` is a full Iceberg path without trailing slash; `nowMs` milliseconds since
 * 1970.
 */
export function createMetadata(spec: TableSpec, location: string, uuid: string, nowMs: number): TableMetadata {
  const partition = partitionSpec(spec);
  const sort = sortOrder(spec);
  return {
    'format-version': 2,
    'table-uuid': uuid,
    location,
    'last-sequence-number': 0,
    'last-updated-ms': nowMs,
    'last-column-id': lastColumnId(spec.columns),
    schemas: [{ type: 'struct', 'schema-id': 0, fields: spec.columns.map(fieldOf) }],
    'current-schema-id': 0,
    'partition-specs': [{ 'spec-id': 0, fields: [] }, ...(partition ? [partition] : [])],
    'default-spec-id': partition ? partition['spec-id'] : 0,
    'last-partition-id': firstPartitionId - 1 + spec.partition.length,
    'sort-orders': [{ 'order-id': 0, fields: [] }, ...(sort ? [sort] : [])],
    'default-sort-order-id': sort ? sort['order-id'] : 0,
    properties: { ...tableProperties, comment: spec.comment },
    'current-snapshot-id': noSnapshot,
    snapshots: [],
    'snapshot-log': [],
    'metadata-log': [],
    refs: {},
  };
}

/**
 * The metadata with the columns that the code knows and the table does not: a new schema, or the same object when there
 * is nothing to add. A column whose id the table uses for something else is refused with `unsupported`.
 */
export function evolveSchema(metadata: TableMetadata, spec: TableSpec): TableMetadata {
  const schema = currentSchema(metadata);
  const missing = spec.columns.filter((column) => {
    const there = schema.fields.find((field) => field.id === column.id);
    if (there !== undefined) {
      if (JSON.stringify(fieldOf(column).type) !== JSON.stringify(there.type)) throw clash(spec, column, there);
      return false;
    }
    const namesake = schema.fields.find((field) => field.name === column.name);
    if (namesake !== undefined) throw clash(spec, column, namesake);
    return true;
  });
  if (missing.length === 0) return metadata;
  const next: Schema = {
    ...schema,
    'schema-id': Math.max(...metadata.schemas.map((each) => each['schema-id'])) + 1,
    fields: [...schema.fields, ...missing.map(fieldOf)],
  };
  return {
    ...metadata,
    'last-column-id': Math.max(metadata['last-column-id'], lastColumnId(missing)),
    schemas: [...metadata.schemas, next],
    'current-schema-id': next['schema-id'],
  };
}

function fieldOf(column: Column): Field {
  const type: IcebergType =
    typeof column.type === 'string'
      ? column.type
      : { type: 'list', 'element-id': column.type.elementId, 'element-required': false, element: column.type.list };
  return { id: column.id, name: column.name, required: false, type, doc: column.doc };
}

function lastColumnId(columns: readonly Column[]): number {
  return columns.reduce(
    (last, { id, type }) => Math.max(last, id, typeof type === 'string' ? 0 : type.elementId),
    0,
  );
}

function columnId(spec: TableSpec, name: string): number {
  const column = spec.columns.find((candidate) => candidate.name === name);
  if (column === undefined) throw new WatershedError('internal', `table ${spec.name} has no column ${name}`);
  return column.id;
}

function partitionSpec(spec: TableSpec): PartitionSpec | undefined {
  if (spec.partition.length === 0) return undefined;
  return {
    'spec-id': 1,
    fields: spec.partition.map(({ column, transform }, index) => ({
      'source-id': columnId(spec, column),
      'field-id': firstPartitionId + index,
      name: transform === 'identity' ? column : `${column}_${transform}`,
      transform,
    })),
  };
}

function sortOrder(spec: TableSpec): SortOrder | undefined {
  if (spec.sort.length === 0) return undefined;
  return {
    'order-id': 1,
    fields: spec.sort.map((column) => ({
      transform: 'identity',
      'source-id': columnId(spec, column),
      direction: 'asc',
      'null-order': 'nulls-first',
    })),
  };
}

function clash(spec: TableSpec, column: Column, there: Field): WatershedError {
  return new WatershedError(
    'unsupported',
    `table ${spec.name} has column ${there.name} with id ${there.id} where this version needs ${column.name} with id ` +
      `${column.id} and another type`,
    { hint: 'Rename or drop the column that was added by hand, or run the version that made the table.' },
  );
}
