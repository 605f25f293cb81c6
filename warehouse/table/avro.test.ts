import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { deflateRawSync, zstdCompressSync } from 'node:zlib';
import avsc from 'avsc';
import fc from 'fast-check';
import { AvroDecoder, avroReader } from './avro.ts';
import type { AvroSchema } from './avro.ts';
import { readAvro, writeAvro } from './avro-file.ts';
import { AvroEncoder, avroWriter } from './avro-write.ts';
import { readManifestList, writeManifestList } from './manifest-list.ts';
import { manifestListSchema, manifestSchema } from './manifest-schema.ts';
import { parseMetadata } from './metadata.ts';

const vectors = join(import.meta.dirname, '../../test/vectors/iceberg/rust');
const file = (path: string): Buffer => readFileSync(join(vectors, path));
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const pick = (id: number): string => `f${id}`;
const record = (...types: AvroSchema[]): AvroSchema =>
  ({ type: 'record', name: 'test', fields: types.map((type, index) => ({ name: `n${index}`, type, 'field-id': index })) });

function encode(schema: AvroSchema, value: unknown): string {
  const into = new AvroEncoder();
  avroWriter(schema, pick)(into, value);
  return hex(into.finish());
}
const decode = (schema: AvroSchema, bytes: string): unknown =>
  avroReader(schema, pick).read(new AvroDecoder(Buffer.from(bytes, 'hex')));

// Bytes from the Avro specification 1.12, Binary Encoding.
test.each<[AvroSchema, unknown, string]>([
  ['long', 0, '00'], ['long', -1, '01'], ['long', 1, '02'], ['long', -2, '03'], ['long', 2, '04'],
  ['long', -64, '7f'], ['long', 64, '8001'],
  ['string', 'foo', '06666f6f'],
  [record('long', 'string'), { f0: 27, f1: 'foo' }, '3606666f6f'],
  [{ type: 'array', items: 'long' }, [3, 27], '04063600'],
  [['null', 'string'], null, '00'], [['null', 'string'], 'a', '020261'],
  ['boolean', true, '01'], ['bytes', Buffer.from('00ff', 'hex'), '0400ff'],
  [{ type: 'fixed', name: 'f', size: 2 }, Buffer.from('00ff', 'hex'), '00ff'],
  ['float', -4.5, '000090c0'], ['double', 6, '0000000000001840'],
])('%j: %p is %s', (schema, value, bytes) => {
  expect(encode(schema, value)).toBe(bytes);
  expect(decode(schema, bytes)).toEqual(value);
});

test('all longs come back, as numbers where those are exact', () => {
  fc.assert(fc.property(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), (value) => {
    const back = decode('long', encode('long', value));
    expect(BigInt(back as bigint)).toBe(value);
    expect(typeof back).toBe(Number.isSafeInteger(Number(value)) ? 'number' : 'bigint');
  }));
});

test('blocks with a byte size, as some writers make them, are read and passed over', () => {
  // Count -2, size 2, items 3 and 27, end.
  expect(decode({ type: 'array', items: 'long' }, '0304063600')).toEqual([3, 27]);
  const skipping = avroReader(record({ type: 'array', items: 'long' }, 'long'), (id) => (id === 1 ? 'kept' : undefined));
  expect(skipping.read(new AvroDecoder(Buffer.from('030406360054', 'hex')))).toEqual({ kept: 42 });
});

test.each([['null', (bytes: Buffer) => bytes], ['deflate', deflateRawSync], ['zstandard', zstdCompressSync]])(
  'codec %s is read', async (codec, compress) => {
    const chunks: Buffer[] = [];
    const schema = record('long') as avsc.Schema;
    const encoder = new avsc.streams.BlockEncoder(schema, {
      codec, codecs: { [codec]: (bytes: Buffer, done: (error: null, bytes: Buffer) => void) => done(null, compress(bytes)) },
    });
    encoder.on('data', (chunk: Buffer) => chunks.push(chunk));
    encoder.write({ n0: 7 });
    const ended = new Promise((resolve) => encoder.on('end', resolve));
    encoder.end();
    await ended;
    expect(readAvro(Buffer.concat(chunks), pick, 'it').records).toEqual([{ f0: 7 }]);
  });

test('what is no Avro, cut off or of another codec is refused with its path', () => {
  const bytes = writeAvro(record('long'), pick, {}, [{ f0: 1 }, { f0: 2 }]);
  expect(() => readAvro(Buffer.from('PAR1'), pick, 'file:///x')).toThrow(expect.objectContaining({ code: 'corrupt' }));
  for (let length = 4; length < bytes.length; length += 7) {
    expect(() => readAvro(bytes.subarray(0, length), pick, 'file:///x.avro')).toThrow(/x\.avro/);
  }
  const foreign = Buffer.from(bytes);
  foreign.write('snappyx', foreign.indexOf('deflate'));
  expect(() => readAvro(foreign, pick, 'it')).toThrow(expect.objectContaining({ code: 'unsupported' }));
});

/** Decodes with another library, by names. */
async function withAvsc(bytes: Uint8Array): Promise<Record<string, unknown>[]> {
  const long = avsc.types.LongType.__with({
    fromBuffer: (buffer: Buffer) => buffer.readBigInt64LE(),
    toBuffer: (value: bigint) => {
      const buffer = Buffer.alloc(8);
      buffer.writeBigInt64LE(value);
      return buffer;
    },
    fromJSON: BigInt, toJSON: Number, isValid: (value: unknown) => typeof value === 'bigint',
    compare: (left: bigint, right: bigint) => (left < right ? -1 : left > right ? 1 : 0),
  });
  const decoder = new avsc.streams.BlockDecoder({
    parseHook: (schema) => avsc.Type.forSchema(schema, { registry: { long }, wrapUnions: false }),
  });
  const records: Record<string, unknown>[] = [];
  for await (const each of Readable.from([Buffer.from(bytes)]).pipe(decoder)) records.push(each);
  return records;
}

test.each([1, 2])('manifest list %i of iceberg-rust is read as another library reads it', async (number) => {
  const path = `manifests_lists/manifest-list-v2-${number}.avro`;
  const theirs = await withAvsc(file(path));
  const ours = readManifestList(file(path), path);
  expect(ours.map((manifest) => [
    manifest.path, BigInt(manifest.bytes), manifest.specId, manifest.content, BigInt(manifest.sequenceNumber),
    BigInt(manifest.minSequenceNumber), manifest.addedSnapshotId, manifest.addedFiles, manifest.existingFiles,
    manifest.deletedFiles, BigInt(manifest.addedRows), BigInt(manifest.existingRows), BigInt(manifest.deletedRows),
  ])).toEqual(theirs.map((row) => {
    // The two were written with the older and the newer names of the counts.
    const count = (kind: string): unknown => row[`${kind}_data_files_count`] ?? row[`${kind}_files_count`];
    return [
      row['manifest_path'], row['manifest_length'], row['partition_spec_id'], row['content'], row['sequence_number'],
      row['min_sequence_number'], row['added_snapshot_id'], count('added'), count('existing'), count('deleted'),
      row['added_rows_count'], row['existing_rows_count'], row['deleted_rows_count'],
    ];
  }));
  expect(ours.length).toBeGreaterThan(0);
});

test('a manifest list of ours is read by another library, all 63 bits of ids included', async () => {
  const manifests = readManifestList(file('manifests_lists/manifest-list-v2-1.avro'), 'it')
    .map((manifest) => ({ ...manifest, addedSnapshotId: 3055729675574597004n, partitions: [
      { containsNull: true, containsNan: null, lower: Buffer.from('a'), upper: null },
    ] }));
  const bytes = writeManifestList({ snapshotId: 2n ** 62n, parentSnapshotId: undefined, sequenceNumber: 7, manifests });
  const [row] = await withAvsc(bytes);
  expect(row).toMatchObject({
    manifest_path: manifests[0]?.path, added_snapshot_id: 3055729675574597004n, key_metadata: null,
    partitions: [{ contains_null: true, contains_nan: null, lower_bound: Buffer.from('a'), upper_bound: null }],
  });
  expect(readManifestList(bytes, 'it')).toEqual(manifests.map((manifest) => expect.objectContaining(manifest)));
});

/** Every field id of a schema with its type, in the order of the file; names aside, which differ between writers. */
function fieldIds(schema: unknown): Record<string, string> {
  const found: Record<string, string> = {};
  const kindOf = (type: unknown): string => (Array.isArray(type) ? `optional ${kindOf(type[1])}`
    : typeof type === 'object' && type !== null && 'type' in type ? kindOf(type.type) : String(type));
  const walk = (node: unknown): void => {
    if (typeof node !== 'object' || node === null) return;
    if ('field-id' in node && 'type' in node) found[String(node['field-id'])] = kindOf(node.type);
    if ('element-id' in node && 'items' in node) found[String(node['element-id'])] = kindOf(node.items);
    for (const member of Object.values(node)) walk(member);
  };
  walk(schema);
  return found;
}

test('our manifest list has the fields of the reference schema, those required by version 2 not optional', () => {
  const reference = fieldIds(JSON.parse(file('avro_schema_manifest_file_v2.json').toString()));
  const ours = fieldIds(manifestListSchema);
  expect(ours).toEqual({ ...reference, 515: 'long', 516: 'long', 519: 'optional bytes' });
});

test('our manifest has the fields of the reference schema and what version 2 adds', () => {
  const metadata = parseMetadata(file('example_table_metadata_v2_partition_evolution.json'), 'it');
  const spec = { 'spec-id': 9, fields: [
    { 'source-id': 6, 'field-id': 1000, name: 'VendorID', transform: 'identity' },
    { 'source-id': 1, 'field-id': 1001, name: 'day', transform: 'day' },
  ] };
  const { 105: _v1BlockSize, ...reference } = fieldIds(JSON.parse(file('avro_schema_manifest_entry.json').toString()));
  expect(fieldIds(manifestSchema(metadata, spec))).toEqual({
    ...reference, 3: 'optional long', 4: 'optional long', 134: 'int', 135: 'optional array', 136: 'int', 143: 'optional string',
  });
  expect(JSON.stringify(manifestSchema(metadata, spec))).toContain('{"type":"int","logicalType":"date"}');
});
