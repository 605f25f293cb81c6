import { writeFile } from 'node:fs/promises';
import { bodyRange, type PostFormat, type SourceName } from '#core/contract/envelope.ts';
import type { Batch } from './gather.ts';

/** A record that cannot be kept, with where it stands in the log. */
export interface DeadRecord {
  readonly partition: number;
  readonly offset: bigint;
  readonly reason: string;
  readonly bytes: Uint8Array;
}

/** A file of records for DuckDB to read, all of one source and format. */
export interface StagedFile {
  readonly path: string;
  readonly source: SourceName;
  readonly format: PostFormat;
  readonly records: number;
  /** More than its longest line. DuckDB takes a multiple of it as a buffer for each thread, whatever the file's size. */
  readonly lineBytesMax: number;
}

export interface Staged<Files = readonly StagedFile[]> {
  readonly files: Files;
  readonly dead: readonly DeadRecord[];
}

const shapes: readonly { source: SourceName; format: PostFormat }[] = [
  { source: 'bluesky', format: 'bluesky' },
  { source: 'x', format: 'x.v2' },
  { source: 'x', format: 'x.v1' },
  { source: 'x', format: 'crisislex' },
];
const prefixes = shapes.map((shape) => ({
  ...shape,
  bytes: Buffer.from(`{"v":1,"source":"${shape.source}","format":"${shape.format}",`),
}));

/**
 * Writes the records of topic `posts` to one NDJSON file per format, each line with its place in the log put in front:
 * `{"o":offset,"p":partition,"v":1,…}`. Nothing is parsed here: what is no envelope of ours is told by its first bytes.
 */
export async function stagePosts(batch: Batch, pathOf: (format: PostFormat) => string): Promise<Staged> {
  const sinks = new Map<PostFormat, Sink>();
  const dead: DeadRecord[] = [];
  for (const { partition, offset, line } of recordsOf(batch, dead)) {
    const shape = shapeOf(line);
    if (shape === undefined) {
      dead.push({ partition, offset, reason: 'not a record of ours: it does not begin as an envelope of version 1', bytes: line });
      continue;
    }
    let sink = sinks.get(shape.format);
    if (sink === undefined) sinks.set(shape.format, (sink = new Sink(shape.source, shape.format, roomFor(batch))));
    sink.add(`{"o":${offset},"p":${partition},`, line, 1);
  }
  const files = await Promise.all([...sinks.values()].map((sink) => sink.write(pathOf(sink.format))));
  return { files, dead };
}

/**
 * Writes the records of topic `posts` as fields separated by 0x01 (which valid JSON never holds): offset, partition,
 * header, body. So the body reaches table `raw` byte for byte, without being parsed.
 */
export async function stageRaw(batch: Batch, path: string): Promise<Staged<readonly [StagedFile]>> {
  const sink = new Sink('x', 'x.v2', roomFor(batch));
  const dead: DeadRecord[] = [];
  for (const { partition, offset, line } of recordsOf(batch, dead)) {
    const range = bodyRange(line);
    if (range === undefined) continue;
    const header = line.subarray(0, range.start - bodyMarkLength);
    sink.addRaw(`${offset}\u0001${partition}\u0001`, header, line.subarray(range.start, range.end));
  }
  return { files: [await sink.write(path)], dead: [] };
}

/** Writes records that are JSON objects keyed by the columns of a table, with `o` and `p` put in front. */
export async function stageRows(batch: Batch, path: string): Promise<Staged<readonly [StagedFile]>> {
  const sink = new Sink('x', 'x.v2', roomFor(batch));
  const dead: DeadRecord[] = [];
  for (const { partition, offset, line } of recordsOf(batch, dead)) {
    if (line[0] !== 123) {
      dead.push({ partition, offset, reason: 'not a record of ours: it is no JSON object', bytes: line });
      continue;
    }
    sink.add(line[1] === 125 ? `{"o":${offset},"p":${partition}` : `{"o":${offset},"p":${partition},`, line, 1);
  }
  return { files: [await sink.write(path)], dead };
}

/** The bytes of one record of the batch, for quarantine. */
export function recordAt(batch: Batch, partition: number, offset: bigint): Uint8Array {
  const range = batch.ranges.find((candidate) => candidate.partition === partition);
  for (const chunk of range?.chunks ?? []) {
    const index = Number(offset - chunk.baseOffset);
    if (index < 0 || index >= chunk.count) continue;
    let start = 0;
    for (let line = 0; line < index; line++) start = chunk.lines.indexOf(10, start) + 1;
    return chunk.lines.subarray(start, chunk.lines.indexOf(10, start));
  }
  return new Uint8Array();
}

/** True for a record that `stagePosts` hands to DuckDB. */
export function isStaged(line: Buffer): boolean {
  return shapeOf(line) !== undefined;
}

function shapeOf(line: Buffer): (typeof prefixes)[number] | undefined {
  return prefixes.find(({ bytes }) =>
    line.length > bytes.length && line.compare(bytes, 0, bytes.length, 0, bytes.length) === 0);
}

const bodyMarkLength = ',"post":'.length;

/** The records of a batch in the order of their partitions; what the log calls poison is added to `dead` instead. */
export function* recordsOf(batch: Batch, dead: DeadRecord[] = []): Generator<{ partition: number; offset: bigint; line: Buffer }> {
  for (const { partition, chunks } of batch.ranges) {
    for (const chunk of chunks) {
      const buffer = Buffer.from(chunk.lines.buffer, chunk.lines.byteOffset, chunk.lines.byteLength);
      const poison = new Map(chunk.poison.map((record) => [record.offset, record]));
      let start = 0;
      for (let index = 0; index < chunk.count; index++) {
        const end = buffer.indexOf(10, start);
        const offset = chunk.baseOffset + BigInt(index);
        const bad = poison.size === 0 ? undefined : poison.get(offset);
        if (bad !== undefined) dead.push({ partition, offset, reason: bad.reason, bytes: bad.bytes });
        else yield { partition, offset, line: buffer.subarray(start, end) };
        start = end + 1;
      }
    }
  }
}

/**
 * Room for all records with what is put in front of them. Memory that is not written to is not taken from the machine:
 * asking for too much costs nothing, and growing would copy everything again.
 */
function roomFor(batch: Batch): number {
  return batch.bytes + 64 * batch.records;
}

/** Buffers that follow from less only make more of them. */
const lineBytesMin = 4 * 1024 * 1024;

/** A growing buffer, written to a file in one go: many small writes cost more than the copy. */
class Sink {
  readonly source: SourceName;
  readonly format: PostFormat;
  #buffer: Buffer;
  #length = 0;
  #records = 0;
  #longest = 0;

  constructor(source: SourceName, format: PostFormat, bytesHint: number) {
    this.source = source;
    this.format = format;
    this.#buffer = Buffer.allocUnsafe(Math.max(64 * 1024, Math.ceil(bytesHint)));
  }

  add(prefix: string, line: Buffer, skip: number): void {
    this.#reserve(prefix.length + line.length + 1);
    this.#length += this.#buffer.write(prefix, this.#length, 'latin1');
    this.#length += line.copy(this.#buffer, this.#length, skip);
    this.#buffer[this.#length++] = 10;
    this.#records++;
  }

  addRaw(prefix: string, header: Buffer, body: Buffer): void {
    this.#reserve(prefix.length + header.length + body.length + 3);
    this.#length += this.#buffer.write(prefix, this.#length, 'latin1');
    this.#length += header.copy(this.#buffer, this.#length);
    this.#buffer[this.#length++] = 125;
    this.#buffer[this.#length++] = 1;
    this.#length += body.copy(this.#buffer, this.#length);
    this.#buffer[this.#length++] = 10;
    this.#records++;
  }

  async write(path: string): Promise<StagedFile> {
    await writeFile(path, this.#buffer.subarray(0, this.#length));
    return {
      path, source: this.source, format: this.format, records: this.#records, lineBytesMax: Math.max(lineBytesMin, 2 * this.#longest),
    };
  }

  #reserve(bytes: number): void {
    this.#longest = Math.max(this.#longest, bytes);
    if (this.#length + bytes <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.#length + bytes));
    this.#buffer.copy(larger, 0, 0, this.#length);
    this.#buffer = larger;
  }
}
