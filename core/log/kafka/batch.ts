/**
 * Record batches, version 2 of Kafka's message format (https://kafka.apache.org/documentation/#messageformat), encoded
 * and decoded without an object per record: a batch becomes lines, and lines become a batch, by copying bytes.
 */
import { promisify } from 'node:util';
import { constants, gunzip, zstdCompress, zstdDecompress } from 'node:zlib';
import { compressionsAlgorithmsByBitmask, crc32c } from '@platformatic/kafka';
import { WatershedError } from '../../errors.ts';
import { recordBytesMax } from '../log.ts';
import type { LogChunk, PoisonRecord } from '../log.ts';

/** Who wrote a batch: the broker drops a batch whose producer and sequence it has seen already. */
export interface ProducerState {
  readonly producerId: bigint;
  readonly epoch: number;
  /** Sequence number of the batch's first record. */
  readonly sequence: number;
}

export interface AbortedTransaction {
  readonly producerId: bigint;
  readonly firstOffset: bigint;
}

/** Bytes from the first field of a batch to its records. */
const headerBytes = 61;
/** Bytes before the length field counts: base offset and the length itself. */
const lengthPrefixBytes = 12;
/** Where the bytes begin that the checksum covers: the attributes. */
const checksumStart = 21;
const compressionMask = 0b111;
const transactional = 0b1_0000;
const control = 0b10_0000;
const [gzip, zstd] = [1, 4];
/** Below this, compressing costs more than it saves. */
const compressBytesMin = 512;

/** Encodes records as one batch, compressed with zstd at its quickest level: the log is a way station. */
export async function encodeBatch(
  records: readonly Uint8Array[],
  producer: ProducerState,
  nowMs: number,
): Promise<Buffer> {
  const body = encodeRecords(records);
  const compressed =
    body.length < compressBytesMin
      ? undefined
      : await promisify(zstdCompress)(body, {
          chunkSize: body.length,
          params: { [constants.ZSTD_c_compressionLevel]: 1 },
        });
  const payload = compressed !== undefined && compressed.length < body.length ? compressed : body;
  const batch = Buffer.allocUnsafe(headerBytes + payload.length);
  batch.writeBigInt64BE(0n, 0);
  batch.writeInt32BE(batch.length - lengthPrefixBytes, 8);
  batch.writeInt32BE(-1, 12);
  batch.writeInt8(2, 16);
  batch.writeInt16BE(payload === body ? 0 : zstd, checksumStart);
  batch.writeInt32BE(records.length - 1, 23);
  batch.writeBigInt64BE(BigInt(nowMs), 27);
  batch.writeBigInt64BE(BigInt(nowMs), 35);
  batch.writeBigInt64BE(producer.producerId, 43);
  batch.writeInt16BE(producer.epoch, 51);
  batch.writeInt32BE(producer.sequence, 53);
  batch.writeInt32BE(records.length, 57);
  payload.copy(batch, headerBytes);
  batch.writeUInt32BE(crc32c(batch.subarray(checksumStart)), 17);
  return batch;
}

// A record: length, attributes, timestamp delta, offset delta, key (none), value, headers (none).
function encodeRecords(records: readonly Uint8Array[]): Buffer {
  let size = 0;
  records.forEach((record, index) => {
    const bytes = 4 + varIntBytes(index) + varIntBytes(record.length) + record.length;
    size += varIntBytes(bytes) + bytes;
  });
  const out = Buffer.allocUnsafe(size);
  let at = 0;
  records.forEach((record, index) => {
    at = writeVarInt(out, at, 4 + varIntBytes(index) + varIntBytes(record.length) + record.length);
    out[at++] = 0;
    out[at++] = 0;
    at = writeVarInt(out, at, index);
    out[at++] = 1;
    at = writeVarInt(out, at, record.length);
    out.set(record, at);
    at += record.length;
    out[at++] = 0;
  });
  return out;
}

// Whole numbers from 0 in zigzag: twice the number, seven bits a byte.
function varIntBytes(value: number): number {
  let bytes = 1;
  for (let rest = value * 2; rest >= 128; rest = Math.floor(rest / 128)) bytes++;
  return bytes;
}

function writeVarInt(out: Buffer, at: number, value: number): number {
  let rest = value * 2;
  while (rest >= 128) {
    out[at++] = (rest & 127) | 128;
    rest = Math.floor(rest / 128);
  }
  out[at++] = rest;
  return at;
}

/** A batch without its compression: where its records lie and what its header says. */
interface OpenBatch {
  readonly baseOffset: bigint;
  readonly lastOffset: bigint;
  readonly timestampMs: number;
  readonly count: number;
  readonly records: Buffer;
}

/** Batches as a fetch brought them, not all of them decoded yet. */
export interface FetchedBatches {
  readonly bytes: Buffer;
  /** Says of each batch in turn whether it is to be passed over. */
  readonly isAborted: (batch: Buffer) => boolean;
}

export function fetchedBatches(bytes: Buffer, aborted: readonly AbortedTransaction[]): FetchedBatches {
  return { bytes, isAborted: abortedFilter(aborted) };
}

/**
 * Decodes batches until about `maxBytes` of lines are there. A batch that is cut off at the end (the broker cuts at a
 * byte) is left out. Skips control batches and what aborted transactions wrote.
 * Returns the chunks from offset `from` on, the offset to go on at, and the batches that were not decoded, if any.
 * Throws `corrupt` on a wrong checksum.
 */
export async function decodeBatches(
  fetched: FetchedBatches,
  from: bigint,
  maxBytes: number,
): Promise<{ chunks: LogChunk[]; nextOffset: bigint; rest: FetchedBatches | undefined }> {
  const { bytes, isAborted } = fetched;
  const open: OpenBatch[] = [];
  let [nextOffset, at, opened] = [from, 0, 0];
  for (let end = batchEnd(bytes, at); end !== undefined && opened < maxBytes; end = batchEnd(bytes, at)) {
    const batch = bytes.subarray(at, end);
    const last = batch.readBigInt64BE(0) + BigInt(batch.readInt32BE(23));
    at = end;
    if (last >= nextOffset) nextOffset = last + 1n;
    if (isAborted(batch) || last < from) continue;
    const next = await openBatch(batch);
    opened += next.records.length;
    open.push(next);
  }
  const rest = batchEnd(bytes, at) === undefined ? undefined : { bytes: bytes.subarray(at), isAborted };
  return { chunks: toChunks(open, from), nextOffset, rest };
}

/** Where the batch at `at` ends, or undefined where there is no whole one. */
function batchEnd(bytes: Buffer, at: number): number | undefined {
  if (bytes.length - at < headerBytes) return undefined;
  const end = at + lengthPrefixBytes + bytes.readInt32BE(at + 8);
  return end <= bytes.length ? end : undefined;
}

/** Says of each batch in turn whether to pass over it: markers of transactions, and what aborted ones wrote. */
function abortedFilter(aborted: readonly AbortedTransaction[]): (batch: Buffer) => boolean {
  const waiting = aborted.toSorted((a, b) => (a.firstOffset < b.firstOffset ? -1 : 1));
  const active = new Set<bigint>();
  return (batch) => {
    const attributes = batch.readInt16BE(checksumStart);
    const producerId = batch.readBigInt64BE(43);
    while (waiting[0] !== undefined && waiting[0].firstOffset <= batch.readBigInt64BE(0)) {
      active.add(waiting[0].producerId);
      waiting.shift();
    }
    if ((attributes & control) !== 0) active.delete(producerId);
    return (attributes & control) !== 0 || ((attributes & transactional) !== 0 && active.has(producerId));
  };
}

async function openBatch(batch: Buffer): Promise<OpenBatch> {
  const baseOffset = batch.readBigInt64BE(0);
  if (batch.readInt8(16) !== 2) {
    throw new WatershedError(
      'unsupported',
      `the Kafka batch at offset ${baseOffset} has message format ${batch.readInt8(16)}`,
      {
        hint: 'only format 2 (Kafka 0.11 of 2017 and newer) is read; have the old records written anew',
      },
    );
  }
  if (crc32c(batch.subarray(checksumStart)) !== batch.readUInt32BE(17)) {
    throw new WatershedError('corrupt', `the Kafka batch at offset ${baseOffset} does not match its checksum`, {
      hint: "the broker or the network changed bytes: check the broker's disk",
    });
  }
  return {
    baseOffset,
    lastOffset: baseOffset + BigInt(batch.readInt32BE(23)),
    timestampMs: Number(batch.readBigInt64BE(35)),
    count: batch.readInt32BE(57),
    records: await decompress(batch.subarray(headerBytes), batch.readInt16BE(checksumStart) & compressionMask),
  };
}

// gzip and zstd run beside the main thread; snappy and lz4, which only others write, do not.
async function decompress(bytes: Buffer, codec: number): Promise<Buffer> {
  if (codec === 0) return bytes;
  // Node's default of 16 KiB a piece costs a third of the whole in small buffers that are joined at the end.
  const chunkSize = Math.min(Math.max(bytes.length * 8, 64 * 1024), 4 * 1024 * 1024);
  if (codec === zstd) return promisify(zstdDecompress)(bytes, { chunkSize });
  if (codec === gzip) return promisify(gunzip)(bytes, { chunkSize });
  const known = compressionsAlgorithmsByBitmask[codec];
  if (known === undefined)
    throw new WatershedError('unsupported', `a Kafka batch is compressed with unknown codec ${codec}`);
  return known.decompressSync(bytes);
}

function toChunks(batches: readonly OpenBatch[], from: bigint): LogChunk[] {
  // A line is never longer than its record, which has at least seven bytes beside the value.
  const lines = Buffer.allocUnsafe(batches.reduce((sum, batch) => sum + batch.records.length, 0));
  const builder = new ChunkBuilder(lines);
  for (const batch of batches) {
    const cursor: Cursor = { bytes: batch.records, at: 0 };
    for (let index = 0; index < batch.count; index++) {
      const end = readVarInt(cursor) + cursor.at;
      cursor.at++;
      skipVarInt(cursor);
      const offset = batch.baseOffset + BigInt(readVarInt(cursor));
      const keyBytes = readVarInt(cursor);
      cursor.at += Math.max(0, keyBytes);
      const valueBytes = readVarInt(cursor);
      if (offset >= from) builder.add(offset, batch, cursor.at, valueBytes);
      cursor.at = end;
    }
  }
  return builder.finish();
}

/** Gathers records into runs without holes. */
class ChunkBuilder {
  readonly #chunks: LogChunk[] = [];
  readonly #lines: Buffer;
  #at = 0;
  #start = 0;
  #baseOffset = -1n;
  #count = 0;
  #appendedAtMs = 0;
  #poison: PoisonRecord[] = [];

  constructor(lines: Buffer) {
    this.#lines = lines;
  }

  add(offset: bigint, batch: OpenBatch, valueAt: number, valueBytes: number): void {
    if (this.#count > 0 && offset !== this.#baseOffset + BigInt(this.#count)) this.#close();
    if (this.#count === 0) this.#baseOffset = offset;
    this.#count++;
    this.#appendedAtMs = Math.max(this.#appendedAtMs, batch.timestampMs);
    const start = this.#at;
    if (valueBytes > 0) {
      batch.records.copy(this.#lines, start, valueAt, valueAt + valueBytes);
      this.#at += valueBytes;
    }
    this.#lines[this.#at] = 0x0a;
    const reason =
      valueBytes < 0
        ? 'the record has no value'
        : valueBytes > recordBytesMax
          ? `the record has ${valueBytes} bytes, over the limit of ${recordBytesMax}`
          : this.#lines.indexOf(0x0a, start) !== this.#at
            ? 'a line break within the record'
            : undefined;
    if (reason !== undefined) this.#setAside(offset, start, reason);
    this.#at++;
  }

  finish(): LogChunk[] {
    if (this.#count > 0) this.#close();
    return this.#chunks;
  }

  #setAside(offset: bigint, start: number, reason: string): void {
    this.#poison.push({ offset, bytes: Buffer.from(this.#lines.subarray(start, this.#at)), reason });
    this.#at = start;
    this.#lines[start] = 0x0a;
  }

  #close(): void {
    this.#chunks.push({
      baseOffset: this.#baseOffset,
      count: this.#count,
      lines: this.#lines.subarray(this.#start, this.#at),
      appendedAtMs: this.#appendedAtMs,
      poison: this.#poison,
    });
    this.#start = this.#at;
    this.#count = 0;
    this.#appendedAtMs = 0;
    this.#poison = [];
  }
}

interface Cursor {
  readonly bytes: Buffer;
  at: number;
}

// Zigzag variable-length integer of up to 32 bits.
function readVarInt(cursor: Cursor): number {
  let value = 0;
  let shift = 0;
  for (;;) {
    const byte = cursor.bytes[cursor.at++];
    if (byte === undefined) throw new WatershedError('corrupt', 'a Kafka record ends before its length says');
    value |= (byte & 127) << shift;
    if (byte < 128) return (value >>> 1) ^ -(value & 1);
    shift += 7;
  }
}

function skipVarInt(cursor: Cursor): void {
  while ((cursor.bytes[cursor.at++] ?? 0) >= 128);
}
