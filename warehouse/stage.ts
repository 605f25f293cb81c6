import { open, type FileHandle } from 'node:fs/promises';
import { diskError } from '#core/disk.ts';
import { beginsWith, bodyRange, envelopeVersion, newerVersionOf, type PostFormat, type SourceName } from '#core/contract/envelope.ts';
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
  bytes: Buffer.from(`{"v":${envelopeVersion},"source":"${shape.source}","format":"${shape.format}",`),
}));

/**
 * Writes the records of topic `posts` to one NDJSON file per format, each line with its place in the log put in front:
 * `{"o":offset,"p":partition,"v":1,…}`. Nothing is parsed here: what is no envelope of ours is told by its first bytes.
 */
export async function stagePosts(batch: Batch, pathOf: (format: PostFormat) => string): Promise<Staged> {
  const sinks = new Map<PostFormat, Sink>();
  const dead: DeadRecord[] = [];
  try {
    for (const { partition, offset, buffer, from, to } of recordsOf(batch, dead)) {
      const shape = shapeOf(buffer, from, to);
      if (shape === undefined) {
        const bytes = buffer.subarray(from, to);
        dead.push({ partition, offset, reason: whyForeign(bytes), bytes });
        continue;
      }
      let sink = sinks.get(shape.format);
      if (sink === undefined) sinks.set(shape.format, (sink = await Sink.open(pathOf(shape.format), shape.source, shape.format)));
      sink.text(placed(offset, partition));
      sink.bytes(buffer, from + 1, to);
      if (sink.endRecord()) await sink.flush();
    }
  } finally {
    await Promise.all([...sinks.values()].map((sink) => sink.close()));
  }
  return { files: [...sinks.values()], dead };
}

/**
 * Writes the records of topic `posts` as fields separated by 0x01 (which valid JSON never holds): offset, partition,
 * header, body. So the body reaches table `raw` byte for byte, without being parsed.
 */
export async function stageRaw(batch: Batch, path: string): Promise<Staged<readonly [StagedFile]>> {
  await using sink = await Sink.open(path, 'x', 'x.v2');
  for (const { partition, offset, buffer, from, to } of recordsOf(batch)) {
    const range = bodyRange(buffer, from, to);
    if (range === undefined) continue;
    sink.text(`${offset}\u0001${partition}\u0001`);
    sink.bytes(buffer, from, range.start - bodyMarkLength);
    sink.text('}\u0001');
    sink.bytes(buffer, range.start, range.end);
    if (sink.endRecord()) await sink.flush();
  }
  return { files: [sink], dead: [] };
}

/** Writes records that are JSON objects keyed by the columns of a table, with `o` and `p` put in front. */
export async function stageRows(batch: Batch, path: string): Promise<Staged<readonly [StagedFile]>> {
  await using sink = await Sink.open(path, 'x', 'x.v2');
  const dead: DeadRecord[] = [];
  for (const { partition, offset, buffer, from, to } of recordsOf(batch, dead)) {
    if (from === to || buffer[from] !== 123) {
      dead.push({ partition, offset, reason: 'not a record of ours: it is no JSON object', bytes: buffer.subarray(from, to) });
      continue;
    }
    sink.text(buffer[from + 1] === 125 ? `{"o":${offset},"p":${partition}` : placed(offset, partition));
    sink.bytes(buffer, from + 1, to);
    if (sink.endRecord()) await sink.flush();
  }
  return { files: [sink], dead };
}

/** People put records back by their reason: the same words for all that one newer version wrote. */
function whyForeign(line: Buffer): string {
  const version = newerVersionOf(line);
  return version === undefined ? `not a record of ours: it does not begin as an envelope of version ${envelopeVersion}`
    : `a newer Watershed wrote it: an envelope of version ${version}, and this one knows version ${envelopeVersion}`;
}

const placed = (offset: bigint, partition: number): string => `{"o":${offset},"p":${partition},`;

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
export function isStaged({ buffer, from, to }: Pick<StagedRecord, 'buffer' | 'from' | 'to'>): boolean {
  return shapeOf(buffer, from, to) !== undefined;
}

function shapeOf(buffer: Buffer, from: number, to: number): (typeof prefixes)[number] | undefined {
  return prefixes.find(({ bytes }) => beginsWith(buffer, from, to, bytes));
}

const bodyMarkLength = ',"post":'.length;

/** A record of a batch: `buffer[from, to)`. A view of each would cost more than the copy that is made of it. */
export interface StagedRecord {
  readonly partition: number;
  readonly offset: bigint;
  readonly buffer: Buffer;
  readonly from: number;
  readonly to: number;
}

/** The records of a batch in the order of their partitions; what the log calls poison is added to `dead` instead. */
export function* recordsOf(batch: Batch, dead: DeadRecord[] = []): Generator<StagedRecord> {
  for (const { partition, chunks } of batch.ranges) {
    for (const chunk of chunks) {
      const buffer = Buffer.from(chunk.lines.buffer, chunk.lines.byteOffset, chunk.lines.byteLength);
      const poison = new Map(chunk.poison.map((record) => [record.offset, record]));
      let from = 0;
      for (let index = 0; index < chunk.count; index++) {
        const to = buffer.indexOf(10, from);
        const offset = chunk.baseOffset + BigInt(index);
        const bad = poison.size === 0 ? undefined : poison.get(offset);
        if (bad !== undefined) dead.push({ partition, offset, reason: bad.reason, bytes: bad.bytes });
        else yield { partition, offset, buffer, from, to };
        from = to + 1;
      }
    }
  }
}

/** So many bytes are gathered before they are written: a small write costs more than the copy. */
const pieceBytes = 1024 * 1024;

/** DuckDB's buffers that follow from less only make more of them. */
const lineBytesMin = 4 * 1024 * 1024;

/** A staged file being written through one small buffer: fresh memory for a whole batch costs more than the copy. */
class Sink implements StagedFile, AsyncDisposable {
  readonly path: string;
  readonly source: SourceName;
  readonly format: PostFormat;
  records = 0;
  readonly #file: FileHandle;
  #buffer = Buffer.allocUnsafe(pieceBytes + 64 * 1024);
  #length = 0;
  #recordBegin = 0;
  #longest = 0;

  static async open(path: string, source: SourceName, format: PostFormat): Promise<Sink> {
    const file = await open(path, 'w').catch((error: unknown) => {
      throw diskError(error, 'stage records in', path);
    });
    return new Sink(file, path, source, format);
  }

  private constructor(file: FileHandle, path: string, source: SourceName, format: PostFormat) {
    this.#file = file;
    this.path = path;
    this.source = source;
    this.format = format;
  }

  get lineBytesMax(): number {
    return Math.max(lineBytesMin, 2 * this.#longest);
  }

  /** Characters of one byte each. */
  text(text: string): void {
    this.#reserve(text.length);
    this.#length += this.#buffer.write(text, this.#length, 'latin1');
  }

  bytes(bytes: Buffer, from: number, to: number): void {
    this.#reserve(to - from);
    this.#length += bytes.copy(this.#buffer, this.#length, from, to);
  }

  /** True when it is time to `flush`. */
  endRecord(): boolean {
    this.#reserve(1);
    this.#buffer[this.#length++] = 10;
    this.records++;
    this.#longest = Math.max(this.#longest, this.#length - this.#recordBegin);
    this.#recordBegin = this.#length;
    return this.#length >= pieceBytes;
  }

  async flush(): Promise<void> {
    for (let at = 0; at < this.#length;) {
      const written = await this.#file.write(this.#buffer, at, this.#length - at).catch((error: unknown) => {
        throw diskError(error, 'stage records in', this.path);
      });
      at += written.bytesWritten;
    }
    this.#length = 0;
    this.#recordBegin = 0;
  }

  async close(): Promise<void> {
    try {
      await this.flush();
    } finally {
      await this.#file.close();
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #reserve(bytes: number): void {
    this.#longest = Math.max(this.#longest, bytes);
    if (this.#length + bytes <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.#length + bytes));
    this.#buffer.copy(larger, 0, 0, this.#length);
    this.#buffer = larger;
  }
}
