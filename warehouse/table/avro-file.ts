import { createHash } from 'node:crypto';
import { deflateRawSync, inflateRawSync, zstdDecompressSync } from 'node:zlib';
import { messageOf, WatershedError } from '#core/errors.ts';
import { AvroDecoder, avroReader } from './avro.ts';
import type { AvroSchema, Pick } from './avro.ts';
import { AvroEncoder, avroWriter } from './avro-write.ts';

/** Avro object container files (Avro specification, Object Container Files). */

const magic = Buffer.from('Obj\x01', 'latin1');

/** Records per block: some 500 KB of manifest entries before compression. */
const recordsPerBlock = 1000;

export interface AvroFile {
  /** The header: `avro.schema`, `avro.codec`, and what Iceberg adds. */
  readonly header: ReadonlyMap<string, string>;
  readonly records: readonly unknown[];
}

const codecs: Readonly<Record<string, (bytes: Uint8Array) => Uint8Array>> = {
  null: (bytes) => bytes,
  deflate: (bytes) => inflateRawSync(bytes),
  zstandard: (bytes) => zstdDecompressSync(bytes),
};

/**
 * Reads a whole file, maps as LazyMaps if `lazy`. **Errors**: `corrupt` (not Avro, cut off), `unsupported` (another
 * codec or schema).
 */
export function readAvro(bytes: Uint8Array, pick: Pick, path: string, lazy = false): AvroFile {
  try {
    return read(bytes, pick, lazy);
  } catch (cause) {
    const ours = cause instanceof WatershedError ? cause : undefined;
    throw new WatershedError(ours?.code ?? 'corrupt', `${path} cannot be read: ${messageOf(cause)}`, {
      cause,
      context: { path },
    });
  }
}

function read(bytes: Uint8Array, pick: Pick, lazy: boolean): AvroFile {
  const from = new AvroDecoder(bytes);
  if (!from.bytes(4).equals(magic)) throw new WatershedError('corrupt', 'it is no Avro file');
  const header = new Map<string, string>();
  from.blocks(() => header.set(from.string(), from.string()));
  const sync = from.bytes(16);
  const codec = header.get('avro.codec') ?? 'null';
  const decompress = codecs[codec];
  if (decompress === undefined) throw new WatershedError('unsupported', `its Avro codec is ${codec}`);
  const schema: AvroSchema = JSON.parse(header.get('avro.schema') ?? '"null"');
  const reader = avroReader(schema, pick, lazy);
  const records: unknown[] = [];
  while (!from.done) {
    const count = Number(from.long());
    const block = new AvroDecoder(decompress(from.bytes()));
    for (let index = 0; index < count; index += 1) records.push(reader.read(block));
    if (!from.bytes(16).equals(sync)) throw new WatershedError('corrupt', 'a block does not end where it should');
  }
  return { header, records };
}

/**
 * Writes a file with codec deflate, which every reader knows. The same input gives the same bytes: the sync marker is a
 * hash of the content.
 */
export function writeAvro(
  schema: AvroSchema,
  pick: Pick,
  header: Readonly<Record<string, string>>,
  records: readonly unknown[],
): Uint8Array {
  const write = avroWriter(schema, pick);
  const blocks: { count: number; bytes: Buffer }[] = [];
  const hash = createHash('sha256');
  for (let start = 0; start < records.length; start += recordsPerBlock) {
    const slice = records.slice(start, start + recordsPerBlock);
    const block = new AvroEncoder();
    for (const record of slice) write(block, record);
    const bytes = deflateRawSync(block.finish());
    hash.update(bytes);
    blocks.push({ count: slice.length, bytes });
  }
  const entries = Object.entries({ 'avro.schema': JSON.stringify(schema), 'avro.codec': 'deflate', ...header });
  for (const entry of entries) hash.update(JSON.stringify(entry));
  const sync = hash.digest().subarray(0, 16);
  const into = new AvroEncoder();
  into.raw(magic);
  into.long(entries.length);
  for (const [key, value] of entries) {
    into.string(key);
    into.string(value);
  }
  into.long(0);
  into.raw(sync);
  for (const { count, bytes } of blocks) {
    into.long(count);
    into.bytes(bytes);
    into.raw(sync);
  }
  return into.finish();
}
