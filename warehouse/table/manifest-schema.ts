import type { AvroField, AvroSchema } from './avro.ts';
import { fieldById } from './metadata.ts';
import type { IcebergType, PartitionSpec, TableMetadata } from './metadata.ts';

/** The Avro schemas of manifest lists and manifests, format version 2 (specification, Manifests and Manifest Lists). */

type FieldRow = readonly [id: number, name: string, property: string, type: AvroSchema];

const optional = (type: AvroSchema): AvroSchema => ['null', type];
const list = (element: number, items: AvroSchema): AvroSchema => ({ type: 'array', items, 'element-id': element });

function mapOf(key: number, value: number, type: AvroSchema): AvroSchema {
  const fields = [
    { name: 'key', type: 'int', 'field-id': key },
    { name: 'value', type, 'field-id': value },
  ];
  const items = { type: 'record', name: `k${key}_v${value}`, fields };
  return { type: 'array', items, logicalType: 'map' };
}

const summaryFields: readonly FieldRow[] = [
  [509, 'contains_null', 'containsNull', 'boolean'],
  [518, 'contains_nan', 'containsNan', optional('boolean')],
  [510, 'lower_bound', 'lower', optional('bytes')],
  [511, 'upper_bound', 'upper', optional('bytes')],
];

const manifestFileFields: readonly FieldRow[] = [
  [500, 'manifest_path', 'path', 'string'],
  [501, 'manifest_length', 'bytes', 'long'],
  [502, 'partition_spec_id', 'specId', 'int'],
  [517, 'content', 'content', 'int'],
  [515, 'sequence_number', 'sequenceNumber', 'long'],
  [516, 'min_sequence_number', 'minSequenceNumber', 'long'],
  [503, 'added_snapshot_id', 'addedSnapshotId', 'long'],
  [504, 'added_files_count', 'addedFiles', 'int'],
  [505, 'existing_files_count', 'existingFiles', 'int'],
  [506, 'deleted_files_count', 'deletedFiles', 'int'],
  [512, 'added_rows_count', 'addedRows', 'long'],
  [513, 'existing_rows_count', 'existingRows', 'long'],
  [514, 'deleted_rows_count', 'deletedRows', 'long'],
  [507, 'partitions', 'partitions', optional(list(508, record('r508', summaryFields)))],
  [519, 'key_metadata', 'keyMetadata', optional('bytes')],
];

const dataFileFields = (partition: AvroSchema): readonly FieldRow[] => [
  [134, 'content', 'content', 'int'],
  [100, 'file_path', 'path', 'string'],
  [101, 'file_format', 'format', 'string'],
  [102, 'partition', 'partition', partition],
  [103, 'record_count', 'recordCount', 'long'],
  [104, 'file_size_in_bytes', 'bytes', 'long'],
  [108, 'column_sizes', 'columnSizes', optional(mapOf(117, 118, 'long'))],
  [109, 'value_counts', 'valueCounts', optional(mapOf(119, 120, 'long'))],
  [110, 'null_value_counts', 'nullCounts', optional(mapOf(121, 122, 'long'))],
  [137, 'nan_value_counts', 'nanCounts', optional(mapOf(138, 139, 'long'))],
  [125, 'lower_bounds', 'lowerBounds', optional(mapOf(126, 127, 'bytes'))],
  [128, 'upper_bounds', 'upperBounds', optional(mapOf(129, 130, 'bytes'))],
  [131, 'key_metadata', 'keyMetadata', optional('bytes')],
  [132, 'split_offsets', 'splitOffsets', optional(list(133, 'long'))],
  [135, 'equality_ids', 'equalityIds', optional(list(136, 'int'))],
  [140, 'sort_order_id', 'sortOrderId', optional('int')],
  [143, 'referenced_data_file', 'referencedDataFile', optional('string')],
];

const entryFields = (dataFile: AvroSchema): readonly FieldRow[] => [
  [0, 'status', 'status', 'int'],
  [1, 'snapshot_id', 'snapshotId', optional('long')],
  [3, 'sequence_number', 'sequenceNumber', optional('long')],
  [4, 'file_sequence_number', 'fileSequenceNumber', optional('long')],
  [2, 'data_file', 'file', dataFile],
];

const properties = new Map<number, string>(
  [...summaryFields, ...manifestFileFields, ...dataFileFields('null'), ...entryFields('null')].map(
    ([id, , property]) => [id, property],
  ),
);

/** Partition fields begin at 1000 and are kept under their id, since their names may change. */
export function pickManifestField(id: number): string | undefined {
  return id >= 1000 ? String(id) : properties.get(id);
}

function record(name: string, rows: readonly FieldRow[]): AvroSchema {
  return { type: 'record', name, fields: rows.map(([id, field, , type]) => fieldSchema(id, field, type)) };
}

function fieldSchema(id: number, name: string, type: AvroSchema): AvroField {
  return { name, type, ...(Array.isArray(type) ? { default: null } : {}), 'field-id': id };
}

export const manifestListSchema: AvroSchema = record('manifest_file', manifestFileFields);

/** The schema of a manifest for files of one partition spec. */
export function manifestSchema(metadata: TableMetadata, spec: PartitionSpec): AvroSchema {
  const partition: AvroSchema = {
    type: 'record',
    name: 'r102',
    fields: spec.fields.map((field) =>
      fieldSchema(field['field-id'], avroName(field.name), optional(avroType(partitionType(metadata, field), field)))),
  };
  return record('manifest_entry', entryFields(record('r2', dataFileFields(partition))));
}

/** The type of a partition field's values: that of the column, or of what the transform makes of it. */
export function partitionType(
  metadata: TableMetadata,
  field: { readonly transform: string; readonly 'source-id': number },
): string {
  const transform = field.transform.replace(/\[.*/, '');
  if (transform === 'day') return 'date';
  if (transform === 'bucket' || transform === 'hour' || transform === 'month' || transform === 'year') return 'int';
  const source: IcebergType = fieldById(metadata, field['source-id'])?.type ?? 'string';
  return typeof source === 'string' ? source : 'string';
}

const avroTypes: Readonly<Record<string, AvroSchema>> = {
  date: { type: 'int', logicalType: 'date' },
  time: { type: 'long', logicalType: 'time-micros' },
  timestamp: { type: 'long', logicalType: 'timestamp-micros', 'adjust-to-utc': false },
  timestamptz: { type: 'long', logicalType: 'timestamp-micros', 'adjust-to-utc': true },
  binary: 'bytes',
};

/** Avro type of an Iceberg primitive (specification, Appendix A). Names of fixed types must differ within a schema. */
function avroType(type: string, field: { readonly 'field-id': number }): AvroSchema {
  const name = `fixed_${field['field-id']}`;
  if (type === 'uuid') return { type: 'fixed', name, size: 16, logicalType: 'uuid' };
  const [, kind, first = '0', second = '0'] = /^(fixed|decimal)[[(](\d+)(?:, ?(\d+))?[\])]$/.exec(type) ?? [];
  if (kind === 'fixed') return { type: 'fixed', name, size: Number(first) };
  if (kind === 'decimal') {
    const precision = Number(first);
    const size = decimalBytes(precision);
    return { type: 'fixed', name, size, logicalType: 'decimal', precision, scale: Number(second) };
  }
  return avroTypes[type] ?? type;
}

/** The fewest bytes that hold any unscaled value of that many digits with its sign. */
function decimalBytes(precision: number): number {
  let bytes = 1;
  while (2n ** BigInt(8 * bytes - 1) <= 10n ** BigInt(precision)) bytes += 1;
  return bytes;
}

/**
 * Avro allows letters, digits and _ only; others are written as Iceberg's AvroSchemaUtil does: `_x` and the hex code.
 */
function avroName(name: string): string {
  return name.replaceAll(/[^A-Za-z0-9_]/gu, (char) => `_x${char.codePointAt(0)?.toString(16).toUpperCase()}`)
    .replace(/^\d/, '_$&');
}
