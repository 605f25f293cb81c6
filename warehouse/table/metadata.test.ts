import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { tables } from '#core/contract/tables.ts';
import { createMetadata, evolveSchema } from './create.ts';
import { currentSchema, currentSnapshot, parseMetadata, serialiseMetadata } from './metadata.ts';

const vectors = join(import.meta.dirname, '../../test/vectors/iceberg');
const file = (path: string): Buffer => readFileSync(join(vectors, path));
const read = (path: string) => parseMetadata(file(path), path);

// What Iceberg's own reader makes of them; version 3 is read by none of our parts.
test.each([
  'TableMetadataV1Compat', 'TableMetadataV1PartitionSpecsWithoutDefaultId', 'TableMetadataV1SchemasWithoutCurrentId',
  'TableMetadataV1Valid', 'TableMetadataV2Valid', 'TableMetadataV2ValidMinimal',
])('%s is read', (name) => {
  const metadata = read(`rust/table_metadata/${name}.json`);
  expect(currentSchema(metadata).fields.length).toBeGreaterThan(2);
});

test.each([
  ['TableMetadataV1NoValidSchema', 'corrupt'],
  ['TableMetadataV2CurrentSchemaNotFound', 'corrupt'],
  ['TableMetadataV2MissingLastPartitionId', 'corrupt'],
  ['TableMetadataV2MissingPartitionSpecs', 'corrupt'],
  ['TableMetadataV2MissingSchemas', 'corrupt'],
  ['TableMetadataV2MissingSortOrder', 'corrupt'],
  ['TableMetadataUnsupportedVersion', 'unsupported'],
  ['TableMetadataV3ValidEncryption', 'unsupported'],
  ['TableMetadataV3ValidMinimal', 'unsupported'],
])('%s is refused as %s', (name, code) => {
  expect(() => read(`rust/table_metadata/${name}.json`)).toThrow(expect.objectContaining({ code }));
});

test('every vector of table metadata is in one of these lists', () => {
  expect(readdirSync(join(vectors, 'rust/table_metadata')).filter((name) => name.endsWith('.json'))).toHaveLength(15);
});

test('version 1 is read by the rules for upgrading', () => {
  const metadata = read('rust/table_metadata/TableMetadataV1PartitionSpecsWithoutDefaultId.json');
  expect(metadata['format-version']).toBe(2);
  expect(metadata['default-spec-id']).toBe(2);
  expect(metadata['last-partition-id']).toBe(1001);
  expect(metadata['last-sequence-number']).toBe(0);
  expect(currentSnapshot(metadata)).toBeUndefined();
  expect(currentSchema(read('java/TableMetadataV1MissingSchemaType.json')).type).toBe('struct');
});

test('ids of 63 bits go through without losing a digit', () => {
  const metadata = read('rust/table_metadata/TableMetadataV2Valid.json');
  const ids = metadata.snapshots.map((snapshot) => snapshot['snapshot-id']);
  expect(ids).toEqual([3051729675574597004n, 3055729675574597004n]);
  expect(currentSnapshot(metadata)?.['parent-snapshot-id']).toBe(3051729675574597004n);
  expect(Buffer.from(serialiseMetadata(metadata)).toString()).toContain('"snapshot-id":3055729675574597004');
});

test.each([
  'rust/table_metadata/TableMetadataV2Valid.json', 'java/TableMetadataStatisticsFiles.json',
  'java/TableMetadataPartitionStatisticsFiles.json', 'rust/example_table_metadata_v2_deep_history.json',
])('%s comes out as it came in, apart from defaults', (path) => {
  // Digits as text, so that the comparison itself loses none.
  const digits = (text: string): unknown => JSON.parse(text.replaceAll(/(:\s*)(-?\d{16,})/g, '$1"$2"'));
  const before = digits(file(path).toString());
  expect(digits(Buffer.from(serialiseMetadata(read(path))).toString())).toMatchObject(before as object);
});

test('what is not known here is carried', () => {
  const odd = { ...JSON.parse(file('rust/table_metadata/TableMetadataV2ValidMinimal.json').toString()), 'x-new': { a: [1.5, null] } };
  const again = JSON.parse(Buffer.from(serialiseMetadata(parseMetadata(Buffer.from(JSON.stringify(odd)), 'odd'))).toString());
  expect(again['x-new']).toEqual({ a: [1.5, null] });
});

test('no snapshot is -1, absent or null', () => {
  const minimal = JSON.parse(file('rust/table_metadata/TableMetadataV2ValidMinimal.json').toString());
  for (const id of [{}, { 'current-snapshot-id': -1 }, { 'current-snapshot-id': null }]) {
    const metadata = parseMetadata(Buffer.from(JSON.stringify({ ...minimal, ...id })), 'it');
    expect(currentSnapshot(metadata)).toBeUndefined();
    expect(Buffer.from(serialiseMetadata(metadata)).toString()).toContain('"current-snapshot-id":-1');
  }
});

test('gzip is told by its first bytes, whatever the name', () => {
  const path = 'rust/table_metadata/TableMetadataV2Valid.json';
  expect(parseMetadata(gzipSync(file(path)), 'v3.metadata.json')).toEqual(read(path));
});

test.each([
  ['no JSON', '{"format-version": 2,'],
  ['a list', '[]'],
  ['a ref to a snapshot that is not there', JSON.stringify({
    ...JSON.parse(file('rust/table_metadata/TableMetadataV2ValidMinimal.json').toString()),
    refs: { main: { 'snapshot-id': 5, type: 'branch' } },
  })],
])('%s is corrupt', (_name, text) => {
  expect(() => parseMetadata(Buffer.from(text), 'it')).toThrow(expect.objectContaining({ code: 'corrupt' }));
});

test('posts begin with an unpartitioned spec, the partitioned one as default, and a sort order', () => {
  const metadata = createMetadata(tables.posts, 'file:///lake/store/posts', '9c12d441-03fe-4693-9a96-a0705ddf69c1', 1);
  expect(metadata['partition-specs']).toEqual([
    { 'spec-id': 0, fields: [] },
    { 'spec-id': 1, fields: [
      { 'source-id': 1, 'field-id': 1000, name: 'event_id', transform: 'identity' },
      { 'source-id': 4, 'field-id': 1001, name: 'created_at_day', transform: 'day' },
    ] },
  ]);
  expect([metadata['default-spec-id'], metadata['last-partition-id'], metadata['default-sort-order-id']]).toEqual([1, 1001, 1]);
  expect(metadata['last-column-id']).toBe(131);
  expect(currentSchema(metadata).fields[14]).toEqual({
    id: 15, name: 'hashtags', required: false, doc: 'Without #, as written',
    type: { type: 'list', 'element-id': 115, 'element-required': false, element: 'string' },
  });
  expect(parseMetadata(serialiseMetadata(metadata), 'it')).toEqual(metadata);
});

test('a table without partition or sort has only the empty ones', () => {
  const plain = { ...tables.events, sort: [] };
  const metadata = createMetadata(plain, 'file:///lake/store/events', '9c12d441-03fe-4693-9a96-a0705ddf69c1', 1);
  expect(metadata['partition-specs']).toEqual([{ 'spec-id': 0, fields: [] }]);
  expect([metadata['default-spec-id'], metadata['last-partition-id'], metadata['default-sort-order-id']]).toEqual([0, 999, 0]);
});

test('new columns make a new schema, and nothing new makes none', () => {
  const old = { ...tables.posts, columns: tables.posts.columns.slice(0, 30) };
  const metadata = createMetadata(old, 'file:///lake/store/posts', '9c12d441-03fe-4693-9a96-a0705ddf69c1', 1);
  const evolved = evolveSchema(metadata, tables.posts);
  expect(evolved.schemas).toHaveLength(2);
  expect(evolved['current-schema-id']).toBe(1);
  expect(currentSchema(evolved).fields.map(({ id }) => id)).toEqual(tables.posts.columns.map(({ id }) => id));
  expect(evolved['last-column-id']).toBe(131);
  expect(evolveSchema(evolved, tables.posts)).toBe(evolved);
});

test('a column of the same name or id that somebody else added is refused', () => {
  const foreign = { ...tables.events, columns: [...tables.events.columns, { id: 15, name: 'note', type: 'int' as const, doc: '' }] };
  const metadata = createMetadata(foreign, 'file:///lake/store/events', '9c12d441-03fe-4693-9a96-a0705ddf69c1', 1);
  const add = (name: string, id: number) =>
    evolveSchema(metadata, { ...tables.events, columns: [...tables.events.columns, { id, name, type: 'string', doc: '' }] });
  expect(() => add('reason', 15)).toThrow(expect.objectContaining({ code: 'unsupported' }));
  expect(() => add('note', 16)).toThrow(expect.objectContaining({ code: 'unsupported' }));
});
