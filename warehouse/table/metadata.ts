import { gunzipSync } from 'node:zlib';
import { messageOf, WatershedError } from '#core/errors.ts';
import { formatJson, parseJson } from './json.ts';

/**
 * Iceberg table metadata, format version 2, with the names of the specification (apache/iceberg, format/spec.md, Table
 * Metadata Fields). Members that are not named here are carried over untouched, because changes are made by spreading.
 */
export interface TableMetadata {
  readonly 'format-version': 2;
  readonly 'table-uuid': string;
  readonly location: string;
  readonly 'last-sequence-number': number;
  readonly 'last-updated-ms': number;
  readonly 'last-column-id': number;
  readonly schemas: readonly Schema[];
  readonly 'current-schema-id': number;
  readonly 'partition-specs': readonly PartitionSpec[];
  readonly 'default-spec-id': number;
  readonly 'last-partition-id': number;
  readonly 'sort-orders': readonly SortOrder[];
  readonly 'default-sort-order-id': number;
  readonly properties: Readonly<Record<string, string>>;
  /** -1 where there is none: Iceberg for Java before 1.4 fails on a missing one. */
  readonly 'current-snapshot-id': bigint;
  readonly snapshots: readonly Snapshot[];
  readonly 'snapshot-log': readonly { readonly 'snapshot-id': bigint; readonly 'timestamp-ms': number }[];
  readonly 'metadata-log': readonly { readonly 'metadata-file': string; readonly 'timestamp-ms': number }[];
  readonly refs: Readonly<Record<string, SnapshotRef>>;
  readonly statistics?: readonly StatisticsFile[];
  readonly 'partition-statistics'?: readonly StatisticsFile[];
}

interface StatisticsFile {
  readonly 'snapshot-id': bigint;
  readonly 'statistics-path': string;
}

export interface Snapshot {
  readonly 'snapshot-id': bigint;
  readonly 'parent-snapshot-id'?: bigint | null;
  readonly 'sequence-number': number;
  readonly 'timestamp-ms': number;
  readonly 'manifest-list': string;
  readonly summary: Readonly<Record<string, string>>;
  readonly 'schema-id'?: number;
}

interface SnapshotRef {
  readonly 'snapshot-id': bigint;
  readonly type: 'branch' | 'tag';
}

export type IcebergType = string | StructType | ListType | MapType;

interface StructType {
  readonly type: 'struct';
  readonly fields: readonly Field[];
}

interface ListType {
  readonly type: 'list';
  readonly 'element-id': number;
  readonly 'element-required': boolean;
  readonly element: IcebergType;
}

interface MapType {
  readonly type: 'map';
  readonly 'key-id': number;
  readonly key: IcebergType;
  readonly 'value-id': number;
  readonly 'value-required': boolean;
  readonly value: IcebergType;
}

export interface Field {
  readonly id: number;
  readonly name: string;
  readonly required: boolean;
  readonly type: IcebergType;
  readonly doc?: string;
}

export interface Schema extends StructType {
  readonly 'schema-id': number;
}

export interface PartitionSpec {
  readonly 'spec-id': number;
  readonly fields: readonly SpecField[];
}

export interface SpecField {
  readonly 'source-id': number;
  readonly 'field-id': number;
  readonly name: string;
  readonly transform: string;
}

export interface SortOrder {
  readonly 'order-id': number;
  readonly fields: readonly {
    readonly transform: string;
    readonly 'source-id': number;
    readonly direction: 'asc' | 'desc';
    readonly 'null-order': 'nulls-first' | 'nulls-last';
  }[];
}

/** `current-snapshot-id` of a table that has no snapshot. */
export const noSnapshot = -1n;

/** Reads the bytes of a metadata file, gzip or plain (told by the first bytes, since names differ between engines). */
export function parseMetadata(bytes: Uint8Array, path: string): TableMetadata {
  let value: unknown;
  try {
    const plain = bytes[0] === 0x1f && bytes[1] === 0x8b ? gunzipSync(bytes) : Buffer.from(bytes);
    value = parseJson(plain.toString('utf8'));
  } catch (cause) {
    throw corrupt(path, messageOf(cause), cause);
  }
  if (!isObject(value)) throw corrupt(path, 'it is not a JSON object');
  const version = value['format-version'];
  if (version !== 1 && version !== 2) {
    throw new WatershedError('unsupported', `${path} has Iceberg format version ${String(version)}; 1 and 2 are read`, {
      hint: 'Keep the table at format version 2.',
      context: { path },
    });
  }
  const defaults = version === 1 ? upgradeFromV1(value) : value;
  const snapshot = defaults['current-snapshot-id'] ?? noSnapshot;
  const filled = {
    properties: {},
    snapshots: [],
    'snapshot-log': [],
    'metadata-log': [],
    ...defaults,
    'current-snapshot-id': snapshot,
    refs: defaults['refs'] ?? (snapshot === noSnapshot ? {} : { main: { 'snapshot-id': snapshot, type: 'branch' } }),
  };
  check(filled, path);
  return filled as unknown as TableMetadata; // `check` has looked at what we read; the rest is carried
}

export function serialiseMetadata(metadata: TableMetadata): Uint8Array {
  return Buffer.from(formatJson(metadata));
}

/**
 * The specification's rules for reading version 1 as 2: single schema and spec, no sequence numbers, no sort orders.
 */
function upgradeFromV1(value: Record<string, unknown>): Record<string, unknown> {
  const one = value['schema'];
  const listed = value['current-schema-id'] !== undefined && Array.isArray(value['schemas']);
  const schema = isObject(one) ? { type: 'struct', 'schema-id': 0, ...one } : undefined;
  const specs = Array.isArray(value['partition-specs'])
    ? value['partition-specs'].filter(isObject)
    : [{ 'spec-id': 0, fields: value['partition-spec'] ?? [] }];
  const maxOf = (numbers: unknown[]): number => numbers.reduce<number>((max, id) => Math.max(max, Number(id)), -1);
  const fieldIds = specs.flatMap((spec) => (Array.isArray(spec['fields']) ? spec['fields'].filter(isObject) : []));
  const snapshots = Array.isArray(value['snapshots']) ? value['snapshots'].filter(isObject) : [];
  return {
    ...value,
    'format-version': 2,
    'last-sequence-number': 0,
    schemas: listed ? value['schemas'] : schema && [schema],
    'current-schema-id': value['current-schema-id'] ?? schema?.['schema-id'],
    'partition-specs': specs,
    'default-spec-id': value['default-spec-id'] ?? maxOf(specs.map((spec) => spec['spec-id'])),
    'last-partition-id':
      value['last-partition-id'] ?? Math.max(999, maxOf(fieldIds.map((field) => field['field-id']))),
    'sort-orders': value['sort-orders'] ?? [{ 'order-id': 0, fields: [] }],
    'default-sort-order-id': value['default-sort-order-id'] ?? 0,
    snapshots: snapshots.map((snapshot) => ({ 'sequence-number': 0, summary: { operation: 'append' }, ...snapshot })),
  };
}

const required = {
  'table-uuid': 'string',
  location: 'string',
  'last-sequence-number': 'number',
  'last-updated-ms': 'number',
  'last-column-id': 'number',
  'current-schema-id': 'number',
  'default-spec-id': 'number',
  'last-partition-id': 'number',
  'default-sort-order-id': 'number',
  'current-snapshot-id': 'bigint',
} as const;

const lists = ['schemas', 'partition-specs', 'sort-orders', 'snapshots', 'snapshot-log', 'metadata-log'] as const;

/** What Iceberg's own reader enforces (core/TableMetadata.java, TableMetadataParser.java). */
function check(value: Record<string, unknown>, path: string): void {
  for (const [name, type] of Object.entries(required)) {
    if (typeof value[name] !== type) throw corrupt(path, `${name} is missing or not a ${type}`);
  }
  const items: Record<string, Record<string, unknown>[]> = {};
  for (const name of lists) {
    const list = value[name];
    if (!Array.isArray(list) || !list.every(isObject)) throw corrupt(path, `${name} is missing or not a list`);
    items[name] = list;
  }
  const has = (list: string, member: string, id: unknown): boolean =>
    (items[list] ?? []).some((item) => item[member] === id);
  if (!has('schemas', 'schema-id', value['current-schema-id'])) throw corrupt(path, 'its current schema is not there');
  const spec = value['default-spec-id'];
  if (!has('partition-specs', 'spec-id', spec)) throw corrupt(path, 'its default spec is not there');
  const order = value['default-sort-order-id'];
  if (order !== 0 && !has('sort-orders', 'order-id', order)) throw corrupt(path, 'its sort order is not there');
  const { refs, properties } = value;
  if (!isObject(refs) || !isObject(properties)) throw corrupt(path, 'refs or properties is no object');
  for (const [name, ref] of Object.entries(refs)) {
    const id = isObject(ref) ? ref['snapshot-id'] : undefined;
    if (!has('snapshots', 'snapshot-id', id)) throw corrupt(path, `ref ${name} names a snapshot that is not there`);
    if (name === 'main' && id !== value['current-snapshot-id']) {
      throw corrupt(path, 'current-snapshot-id and ref main differ');
    }
  }
  for (const snapshot of items['snapshots'] ?? []) checkSnapshot(snapshot, value, path);
}

function checkSnapshot(snapshot: Record<string, unknown>, value: Record<string, unknown>, path: string): void {
  const id = String(snapshot['snapshot-id']);
  if (typeof snapshot['manifest-list'] !== 'string') throw corrupt(path, `snapshot ${id} has no manifest list`);
  if (Number(snapshot['sequence-number']) > Number(value['last-sequence-number'])) {
    throw corrupt(path, `snapshot ${id} has a later sequence number than the table`);
  }
  if (!isObject(snapshot['summary'])) throw corrupt(path, `snapshot ${id} has no summary`);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function corrupt(path: string, why: string, cause?: unknown): WatershedError {
  return new WatershedError('corrupt', `${path} is no valid Iceberg table metadata: ${why}`, {
    cause,
    hint: 'Restore the file from a backup, or point the catalog at the metadata file before it.',
    context: { path },
  });
}

// --- Looking things up ----------------------------------------------------------------------------------------------

export function currentSnapshot(metadata: TableMetadata): Snapshot | undefined {
  const id = metadata['current-snapshot-id'];
  return id === noSnapshot ? undefined : snapshotById(metadata, id);
}

export function snapshotById(metadata: TableMetadata, id: bigint): Snapshot | undefined {
  return metadata.snapshots.find((snapshot) => snapshot['snapshot-id'] === id);
}

export function currentSchema(metadata: TableMetadata): Schema {
  return schemaById(metadata, metadata['current-schema-id']);
}

export function schemaById(metadata: TableMetadata, id: number): Schema {
  const schema = metadata.schemas.find((candidate) => candidate['schema-id'] === id);
  if (schema === undefined) throw corrupt(metadata.location, `schema ${id} is not there`);
  return schema;
}

export function specById(metadata: TableMetadata, id: number): PartitionSpec {
  const spec = metadata['partition-specs'].find((candidate) => candidate['spec-id'] === id);
  if (spec === undefined) throw corrupt(metadata.location, `partition spec ${id} is not there`);
  return spec;
}

/**
 * The top-level column of that id in any schema, the current one first: specs may name columns that were dropped since.
 */
export function fieldById(metadata: TableMetadata, id: number): Field | undefined {
  for (const schema of [currentSchema(metadata), ...metadata.schemas]) {
    const field = schema.fields.find((candidate) => candidate.id === id);
    if (field !== undefined) return field;
  }
  return undefined;
}
