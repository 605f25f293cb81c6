import avsc from 'avsc';
import fc from 'fast-check';
import { memoryLake, noteFile, notes } from '#test/lake.ts';
import { writeAvro } from './avro-file.ts';
import type { AvroSchema } from './avro.ts';
import { readLiveFiles, readManifest, status, writeManifest } from './manifest.ts';
import type { NewEntry } from './manifest.ts';
import { readManifestList, writeManifestList } from './manifest-list.ts';
import { pickManifestField } from './manifest-schema.ts';
import { createMetadata } from './create.ts';
import { specById } from './metadata.ts';

const code = (wanted: string): unknown => expect.objectContaining({ code: wanted });
const metadata = createMetadata(notes, 'file:///lake/store/notes', '9c12d441-03fe-4693-9a96-a0705ddf69c1', 1);
const listed = { path: 'file:///lake/m.avro', addedSnapshotId: 77n, sequenceNumber: 5 };

function write(entries: readonly NewEntry[], specId = 0) {
  return writeManifest({
    metadata, spec: specById(metadata, specId), content: 'data', path: listed.path, snapshotId: listed.addedSnapshotId, entries,
  });
}

test('added entries inherit from the list, the others keep what they say', () => {
  const entry = { snapshotId: 3n, sequenceNumber: 2, fileSequenceNumber: 4, file: noteFile('a') };
  const { bytes, listed: told } = write([
    { ...entry, status: status.added, snapshotId: 77n, sequenceNumber: null, fileSequenceNumber: null },
    { ...entry, status: status.existing }, { ...entry, status: status.deleted, snapshotId: 77n },
  ]);
  expect(readManifest(bytes, listed).map(({ status: is, snapshotId, sequenceNumber, fileSequenceNumber }) =>
    [is, snapshotId, sequenceNumber, fileSequenceNumber])).toEqual([[1, 77n, 5, 5], [0, 3n, 2, 4], [2, 77n, 2, 4]]);
  expect(told).toMatchObject({
    addedFiles: 1, existingFiles: 1, deletedFiles: 1, addedRows: 10, existingRows: 10, deletedRows: 10, minSequenceNumber: 2,
  });
  expect(readLiveFiles(bytes, listed).map(({ sequenceNumber }) => sequenceNumber)).toEqual([5, 2]);
});

test('everything that a file says of itself comes back, and planning reads the same bounds', () => {
  const counts = fc.array(fc.tuple(fc.nat(200), fc.nat())).map((pairs) => new Map(pairs));
  const bounds = fc.array(fc.tuple(fc.nat(200), fc.uint8Array({ maxLength: 20 }))).map((pairs) =>
    new Map(pairs.map(([id, bytes]) => [id, Buffer.from(bytes)])));
  const option = <Value>(of: fc.Arbitrary<Value>) => fc.option(of, { nil: null });
  const file = fc.record({
    content: fc.constant(0 as const), path: fc.string({ unit: 'binary' }), format: fc.constant('PARQUET'),
    partition: fc.record({ '1000': option(fc.string({ unit: 'binary' })), '1001': option(fc.integer()) }),
    recordCount: fc.nat(), bytes: fc.nat(), columnSizes: option(counts), valueCounts: option(counts), nullCounts: option(counts),
    nanCounts: option(counts), lowerBounds: option(bounds), upperBounds: option(bounds),
    keyMetadata: option(fc.uint8Array().map((bytes) => Buffer.from(bytes))), splitOffsets: option(fc.array(fc.nat())),
    equalityIds: option(fc.array(fc.nat())), sortOrderId: option(fc.nat()), referencedDataFile: option(fc.string({ unit: 'binary' })),
  });
  // A lone surrogate is no text: UTF-8 has none.
  const whole = file.filter(({ path, partition, referencedDataFile }) =>
    path.isWellFormed() && (partition['1000'] ?? '').isWellFormed() && (referencedDataFile ?? '').isWellFormed());
  fc.assert(fc.property(fc.array(whole, { maxLength: 4 }), (files) => {
    const { bytes } = write(files.map((each) => ({
      status: status.added, snapshotId: 2n ** 62n, sequenceNumber: null, fileSequenceNumber: null, file: each,
    })), 1);
    expect(readManifest(bytes, listed).map((entry) => entry.file)).toEqual(files);
    readLiveFiles(bytes, listed).forEach((live, index) => {
      for (const [id, bound] of files[index]?.lowerBounds ?? []) expect(live.lowerBounds?.get(id)).toEqual(bound);
      expect(live.upperBounds?.get(201)).toBeUndefined();
      expect(live.nullCounts === null).toBe(files[index]?.nullCounts === null);
    });
  }));
});

test('a list sums up the partitions of a manifest', () => {
  const entry = (event: string | null, day: number | null): NewEntry => ({
    status: status.added, snapshotId: 1n, sequenceNumber: null, fileSequenceNumber: null,
    file: { ...noteFile('a'), partition: { '1000': event, '1001': day } },
  });
  const hex = (bytes: Uint8Array | null | undefined): string | null => (bytes ? Buffer.from(bytes).toString('hex') : null);
  const told = (entries: NewEntry[]) => write(entries, 1).listed.partitions?.map(({ containsNull, lower, upper }) =>
    [containsNull, hex(lower), hex(upper)]);
  // U+FFFF comes before U+10000 in UTF-8 and after it in UTF-16.
  expect(told([entry('\u{10000}', -1), entry('\uFFFF', 2), entry(null, 0)]))
    .toEqual([[true, 'efbfbf', 'f0908080'], [false, 'ffffffff', '02000000']]);
  expect(told([entry(null, null)])).toEqual([[true, null, null], [true, null, null]]);
});

test('a manifest of version 1, with the names of another writer and its own fields, is read', () => {
  // As the specification has version 1: block_size_in_bytes is required, content and sequence numbers are not there.
  const schema: AvroSchema = { type: 'record', name: 'manifest_entry', fields: [
    { name: 'status', type: 'int', 'field-id': 0 }, { name: 'snapshot_id', type: ['null', 'long'], 'field-id': 1 },
    { name: 'data_file', 'field-id': 2, type: { type: 'record', name: 'r2', fields: [
      { name: 'path_by_another_name', type: 'string', 'field-id': 100 }, { name: 'file_format', type: 'string', 'field-id': 101 },
      { name: 'partition', 'field-id': 102, type: { type: 'record', name: 'r102', fields: [
        { name: 'day', type: ['null', 'int'], 'field-id': 1001 },
      ] } },
      { name: 'record_count', type: 'long', 'field-id': 103 }, { name: 'file_size_in_bytes', type: 'long', 'field-id': 104 },
      { name: 'block_size_in_bytes', type: 'long', 'field-id': 105 }, { name: 'something_new', type: ['null', 'double'], 'field-id': 999 },
    ] } },
  ] };
  const file = { path: 'file:/lake/a.parquet', format: 'parquet', partition: { '1001': 15_876 }, recordCount: 3, bytes: 9 };
  const pick = (id: number): string => pickManifestField(id) ?? `other${id}`;
  const bytes = writeAvro(schema, pick, { 'format-version': '1' }, [
    { status: 1, snapshotId: 3055729675574597004n, file: { ...file, other105: 67_108_864, other999: 1.5 } },
  ]);
  const v1 = { ...listed, sequenceNumber: 0 };
  expect(readManifest(bytes, v1)).toEqual([
    { status: 1, snapshotId: 3055729675574597004n, sequenceNumber: 0, fileSequenceNumber: 0, file: { ...file, content: 0 } },
  ]);
  expect(readLiveFiles(bytes, v1)).toEqual([{ ...file, content: 0, sequenceNumber: 0 }]);
});

test('a manifest list of version 1 may leave counts out: it is read, and not written on', () => {
  const schema: AvroSchema = { type: 'record', name: 'manifest_file', fields: [
    { name: 'manifest_path', type: 'string', 'field-id': 500 }, { name: 'manifest_length', type: 'long', 'field-id': 501 },
    { name: 'partition_spec_id', type: 'int', 'field-id': 502 }, { name: 'added_snapshot_id', type: ['null', 'long'], 'field-id': 503 },
  ] };
  const bytes = writeAvro(schema, pickManifestField, {}, [{ path: 'file:///m.avro', bytes: 10, specId: 0, addedSnapshotId: 5 }]);
  const [manifest] = readManifestList(bytes, 'it');
  expect(manifest).toMatchObject({ content: 0, sequenceNumber: 0, addedSnapshotId: 5n, addedFiles: -1, partitions: null });
  expect(() => writeManifestList({ snapshotId: 1n, parentSnapshotId: undefined, sequenceNumber: 1, manifests: manifest ? [manifest] : [] }))
    .toThrow(code('unsupported') as Error);
});

test('entries without field ids, as a writer that is no Iceberg makes them, are corrupt', () => {
  const schema: AvroSchema = { type: 'record', name: 'manifest_entry', fields: [{ name: 'status', type: 'int' }] };
  expect(() => readManifest(writeAvro(schema, () => undefined, {}, [{ status: 1 }]), listed)).toThrow(code('corrupt') as Error);
});

test('partition names that Avro does not allow are written as Iceberg does', () => {
  const odd = { 'spec-id': 7, fields: [{ 'source-id': 1, 'field-id': 1005, name: '2day-é', transform: 'identity' }] };
  const { bytes } = writeManifest({
    metadata: { ...metadata, 'partition-specs': [odd] }, spec: odd, content: 'data', path: 'it', snapshotId: 1n,
    entries: [{ status: status.added, snapshotId: 1n, sequenceNumber: null, fileSequenceNumber: null, file: { ...noteFile('a'), partition: { '1005': 'x' } } }],
  });
  const schema = Buffer.from(bytes).toString('latin1').match(/"name":"r102","fields":\[\{"name":"([^"]+)"/)?.[1];
  expect(schema).toBe('_2day_x2D_xE9');
  expect(avsc.Type.isType(avsc.Type.forSchema({ type: 'record', name: 'a', fields: [{ name: schema ?? '', type: 'int' }] }))).toBe(true);
  expect(readManifest(bytes, listed)[0]?.file.partition).toEqual({ '1005': 'x' });
});

test('partitions of types that are not ordered here have no summary at all, so that nobody prunes by it', async () => {
  const lake = await memoryLake();
  const base = await lake.current();
  const fields = [{ id: 9, name: 'u', required: false, type: 'uuid' }, { id: 10, name: 'd', required: false, type: 'decimal(9, 2)' }];
  const spec = { 'spec-id': 7, fields: fields.map(({ id, name }) => ({ 'source-id': id, 'field-id': 991 + id, name, transform: 'identity' })) };
  const file = { ...noteFile('a'), partition: { '1000': Buffer.alloc(16, 7), '1001': Buffer.from('000000ff', 'hex') } };
  const { bytes, listed: told } = writeManifest({
    metadata: { ...base, schemas: [{ type: 'struct', 'schema-id': 0, fields }], 'partition-specs': [spec] }, spec, content: 'data',
    path: 'it', snapshotId: 1n,
    entries: [{ status: status.added, snapshotId: 1n, sequenceNumber: null, fileSequenceNumber: null, file }],
  });
  expect(told.partitions).toBeNull();
  expect(readManifest(bytes, listed)[0]?.file.partition).toEqual(file.partition);
});
