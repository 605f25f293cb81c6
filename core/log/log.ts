/**
 * The log: durable, ordered, partitioned topics of records. A record is one line of JSON in UTF-8 without a line break.
 *
 * - **Ordering**: within a partition, offsets grow and a reader sees records in offset order. Offsets may have holes.
 * - **Durability**: when `append` resolves, the records survive the death of any process (and of the machine).
 * - **Visibility**: a reader never passes an offset whose batch is not yet committed.
 * - **Idempotence**: `append` is at least once: on `unavailable` the records may or may not be there. Duplicates are
 * the
 *   writer's business.
 * - **Position**: readers keep their own offsets; the log knows nothing of its readers.
 * - **Errors**: `WatershedError` with code `unavailable` (retryable), `not_found` (no such topic), `bad_request`
 *   (a record with a line break or over `recordBytesMax`), `offset_out_of_range` (retention passed the reader by).
 */
export interface Log extends AsyncDisposable {
  readonly kind: 'postgres' | 'kafka' | 'memory';

  /** Creates the topic where it does not exist. One that exists with settings we cannot live with is refused. */
  ensureTopic(topic: string, partitions: number): Promise<void>;

  /** Who this topic is: made anew, it is another. Offsets mean something only together with it. */
  identity(topic: string): Promise<string>;

  /** How many partitions the topic has; they are numbered from 0. */
  partitions(topic: string): Promise<number>;

  /** Appends the records in order, durably; resolves to the offset of the first. An empty list is refused. */
  append(topic: string, partition: number, records: readonly Uint8Array[]): Promise<bigint>;

  /**
   * Reads from `from` (inclusive) up to about `maxBytes`; at least one chunk if there is any record at or after `from`.
   * With nothing to read it waits up to `waitMs` for something, then resolves to an empty list.
   */
  read(topic: string, partition: number, from: bigint, options: ReadOptions): Promise<LogChunk[]>;

  /** The oldest offset still held, and the offset the next record will get. */
  bounds(topic: string, partition: number): Promise<{ earliest: bigint; next: bigint }>;

  /** Forgets records below `before`, as far as the log can do so cheaply. Never more than asked. */
  trim(topic: string, partition: number, before: bigint): Promise<void>;
}

export interface ReadOptions {
  readonly maxBytes: number;
  readonly waitMs: number;
  readonly signal?: AbortSignal;
}

/** A run of records without holes. Line i (from 0) is the record at `baseOffset + i`. */
export interface LogChunk {
  readonly baseOffset: bigint;
  readonly count: number;
  /** `count` lines, each ended by 0x0A. The line of a poison record is empty. */
  readonly lines: Uint8Array;
  /** When the newest record of the chunk was appended, ms since 1970, by the log's clock. */
  readonly appendedAtMs: number;
  /** Records that somebody else wrote and that cannot be a line (a line break within, too large). Usually empty. */
  readonly poison: readonly PoisonRecord[];
}

export interface PoisonRecord {
  readonly offset: bigint;
  readonly bytes: Uint8Array;
  readonly reason: string;
}

/** A record larger than this is refused by `append` and is poison when read: 8 MiB, above what any network sends. */
export const recordBytesMax = 8 * 1024 * 1024;

/** The topics, named like the tables they feed. */
export const topics = ['posts', 'events', 'journal', 'quarantine', 'tombstones'] as const;
export type Topic = (typeof topics)[number];
