import type { Clock } from '#core/clock.ts';
import { recordBytesMax } from '#core/log/log.ts';
import { createSlab } from '#core/slab.ts';
import type { DeadItem, PostItem } from '../sources/source.ts';
import { openBytes } from './bytes.ts';
import { crisisLexRow, type CrisisLexColumns } from './crisislex.ts';
import { csvReader, type CsvRecord } from './csv.ts';
import { type PostSink, takeRecord } from './posts.ts';
import { headBytesMax, sniffFormat, splitterFor, type ArchiveFormat } from './sniff.ts';

/** Some of the records of a file, in order. */
export interface ArchiveBatch {
  readonly posts: readonly PostItem[];
  readonly dead: readonly DeadItem[];
  /** Records that are no posts and are not meant to be, by reason. */
  readonly dropped: ReadonlyMap<string, number>;
  /** Offset in the decompressed file behind the batch: `from` of a later reading that goes on here. */
  readonly position: number;
  /** Bytes of the file itself read so far. */
  readonly bytesRead: number;
}

export interface Archive {
  readonly format: ArchiveFormat;
  readonly fileBytes: number;
  readonly batches: AsyncIterable<ArchiveBatch>;
  /** Why the file ended before its end, or undefined. Known when `batches` has ended. */
  damage(): string | undefined;
}

export interface ArchiveOptions {
  /** The event that all posts of the file belong to. */
  readonly eventId: string;
  readonly clock: Clock;
  /** The position of an earlier batch of the same file; 0 begins. */
  readonly from?: number;
}

// Room for the header of a record: an event's id, the names of source and format, the time.
const headerBytesMax = 4096;

/**
 * Opens a file of posts: NDJSON or JSON of X API v2 and v1.1, or CrisisLex CSV, plain, gzip or zstd. The format is told
 * once, from the beginning of the file. Batches hold about a megabyte of it, or one record where that is longer.
 * Throws `not_found`, `disk`, `unsupported` (naming what was seen). A file that is damaged ends with `damage`, and a
 * last record that was cut off is dead.
 */
export async function openArchive(path: string, options: ArchiveOptions): Promise<Archive> {
  const { format, begin } = await sniffArchive(path);
  const from = Math.max(options.from ?? 0, begin);
  const bytes = await openBytes(path, from);
  return {
    format,
    fileBytes: bytes.fileBytes,
    damage: () => bytes.damage(),
    batches: (async function* batches() {
      const reader = readerOf(format, from, from === begin, options);
      for await (const chunk of bytes.chunks) yield { ...reader.push(chunk), bytesRead: bytes.bytesRead() };
      yield { ...reader.end(bytes.damage()), bytesRead: bytes.fileBytes };
    })(),
  };
}

/** The format, and where the text begins: behind a byte order mark, if there is one. Throws as `openArchive` does. */
export async function sniffArchive(path: string): Promise<{ format: ArchiveFormat; begin: number }> {
  const bytes = await openBytes(path);
  const parts: Buffer[] = [];
  let length = 0;
  for await (const chunk of bytes.chunks) {
    parts.push(chunk);
    length += chunk.length;
    if (length >= headBytesMax) break;
  }
  const head = Buffer.concat(parts);
  const begin = head.subarray(0, byteOrderMark.length).equals(byteOrderMark) ? byteOrderMark.length : 0;
  return { format: sniffFormat(head.subarray(begin), length < headBytesMax, path), begin };
}

const byteOrderMark = Buffer.from([0xef, 0xbb, 0xbf]);

type Piece = Omit<ArchiveBatch, 'bytesRead'>;

interface Reader {
  push(chunk: Buffer): Piece;
  end(damage: string | undefined): Piece;
}

function readerOf(format: ArchiveFormat, from: number, atBegin: boolean, options: ArchiveOptions): Reader {
  switch (format.layout) {
    case 'csv':
      return csvPieces(format.columns, from, atBegin, options);
    case 'empty':
      return { push: () => collector(options).piece(from), end: () => collector(options).piece(from) };
    default:
      return jsonPieces(format, from, options);
  }
}

function jsonPieces(format: Extract<ArchiveFormat, { shape: unknown }>, from: number, options: ArchiveOptions): Reader {
  const splitter = splitterFor(format.layout, { from, recordBytesMax });
  const take = { bodyBytesMax: recordBytesMax - headerBytesMax, slab: createSlab() };
  let position = from;
  return {
    push(chunk) {
      const { sink, piece } = collector(options);
      for (const record of splitter.push(chunk)) {
        takeRecord(format.shape, record, sink, take);
        position = record.end;
      }
      return piece(position);
    },
    end(damage) {
      const { sink, piece } = collector(options);
      for (const record of splitter.end()) {
        if (damage === undefined) takeRecord(format.shape, record, sink, take);
        else sink.dead({ kind: 'dead', reason: damage, bytes: record.bytes });
        position = record.end;
      }
      return piece(position);
    },
  };
}

function csvPieces(columns: CrisisLexColumns, from: number, atBegin: boolean, options: ArchiveOptions): Reader {
  const reader = csvReader();
  let position = from;
  let sawHeader = !atBegin;
  const take = (records: readonly CsvRecord[], damage?: string): Piece => {
    const { sink, piece } = collector(options);
    for (const record of records) {
      position = from + record.end;
      if (!sawHeader) sawHeader = true;
      else if (damage !== undefined) sink.dead({ kind: 'dead', reason: damage, bytes: record.bytes });
      else {
        const row = record.fields === undefined ? { reason: record.reason ?? '' } : crisisLexRow(columns, record.fields);
        if ('reason' in row) sink.dead({ kind: 'dead', reason: row.reason, bytes: record.bytes });
        else sink.post('crisislex', row.body);
      }
    }
    return piece(position);
  };
  return { push: (chunk) => take(reader.push(chunk)), end: (damage) => take(reader.end(), damage) };
}

function collector({ eventId, clock }: ArchiveOptions): { sink: PostSink; piece: (position: number) => Piece } {
  const posts: PostItem[] = [];
  const dead: DeadItem[] = [];
  const dropped = new Map<string, number>();
  const events = [{ id: eventId, matched: [] }];
  const receivedAtMs = clock.now();
  return {
    sink: {
      post: (format, body) => { posts.push({ kind: 'post', source: 'x', format, events, receivedAtMs, body }); },
      dead: (item) => { dead.push(item); },
      dropped: (reason) => { dropped.set(reason, (dropped.get(reason) ?? 0) + 1); },
    },
    piece: (position) => ({ posts, dead, dropped, position }),
  };
}
