import type { Clock } from '../clock.ts';
import { type Database, type Sql, sqlStateOf } from '../database/database.ts';
import { WatershedError, isWatershedError } from '../errors.ts';
import { type Body, pack, unpack } from './body.ts';
import { checkRecords, joinLines, skipLines } from './lines.ts';
import type { Log, LogChunk, ReadOptions } from './log.ts';
import { dropSlices, makeSlice, makeTopic, sliceMsDefault } from './slices.ts';
import { createWakeups } from './wakeups.ts';

const channel = 'watershed_log';
const noSuchSlice = '23514'; // check_violation: "no partition of relation found for row"
const blockBytesMax = 4 * 1024 * 1024; // a larger append becomes several rows, so that no reader must take it whole
const rowsPerReadMax = 1024;
const attemptsMax = 10; // a slice that was made may be over before the append that wanted it comes again
const pollMs = 1000; // where a NOTIFY was lost (a broken connection, a pooler between) a reader is no later than this

/**
 * The log in PostgreSQL: a row is a batch of records, compressed (tables: migration 0002). Measured on 2 cores with
 * fsync, posts of 0.75 KB in batches of 1,000: see docs and bench/. The database is the caller's, and migrated.
 *
 * An append is one statement: it takes offsets from the partition's row, which stays locked until it commits, so
 * offsets become visible in order. Trim drops whole slices of time, when no partition of the topic needs them.
 */
export function createPostgresLog(database: Database, clock: Clock, options: { readonly sliceMs?: number } = {}): Log {
  const sliceMs = options.sliceMs ?? sliceMsDefault;
  const wakeups = createWakeups(() => database.listen(channel, (payload) => wakeups.wake(payload)), clock);
  const positions = createPositions();
  return {
    kind: 'postgres',
    ensureTopic: (topic, partitions) => makeTopic(database, topic, partitions),
    identity: async (topic) => (await topicRow(database, topic)).identity,
    partitions: async (topic) => (await topicRow(database, topic)).partitions,
    async append(topic, partition, records) {
      checkRecords(records);
      const blocks = await Promise.all(blocksOf(records).map(toBlock));
      for (let attempt = 1; ; attempt++) {
        try {
          return await appendBlocks(database, topic, partition, blocks);
        } catch (error) {
          if (attempt === attemptsMax || sqlStateOf(error) !== noSuchSlice) throw asAppendError(error);
          await makeSlice(database, topic, sliceMs);
        }
      }
    },
    read: (topic, partition, from, readOptions) =>
      wakeups.until(`${topic}/${partition}`, pollMs, readOptions, () =>
        readOnce(database, positions, { topic, partition, from }, readOptions),
      ),
    bounds: (topic, partition) => boundsOf(database, topic, partition),
    async trim(topic, partition, before) {
      const marked = await database.execute(
        `update watershed.log_partition set trimmed_below = least(greatest(trimmed_below, $3), next_offset)
          where topic = $1 and partition = $2`,
        [topic, partition, before],
      );
      if (marked === 0) throw await notFound(database, topic, partition);
      await dropSlices(database, topic);
    },
    [Symbol.asyncDispose]: () => wakeups[Symbol.asyncDispose](),
  };
}

interface Block extends Body {
  readonly count: number;
  readonly length: number;
}

function blocksOf(records: readonly Uint8Array[]): Uint8Array[][] {
  const blocks: Uint8Array[][] = [];
  let bytes = Infinity;
  for (const record of records) {
    if (bytes + record.length > blockBytesMax) {
      blocks.push([]);
      bytes = 0;
    }
    blocks.at(-1)?.push(record);
    bytes += record.length + 1;
  }
  return blocks;
}

async function toBlock(records: readonly Uint8Array[]): Promise<Block> {
  const lines = joinLines(records);
  return { ...(await pack(lines)), count: records.length, length: lines.length };
}

const appendStatement = `
  with slot as (
    update watershed.log_partition
       set next_offset = next_offset + $3, appended_at = greatest(appended_at, clock_timestamp())
     where topic = $1 and partition = $2
    returning next_offset - $3 as base_offset, appended_at
  ), batch as (
    insert into watershed.log_batch (topic, partition, base_offset, count, bytes, codec, body, appended_at)
    select $1, $2, base_offset, $3, $4, $5, $6, appended_at from slot
  )
  select base_offset, pg_notify('${channel}', $1 || '/' || $2) from slot`;

async function appendBlocks(
  database: Database,
  topic: string,
  partition: number,
  blocks: readonly Block[],
): Promise<bigint> {
  const appendOne = async (sql: Sql, { count, length, codec, bytes }: Block): Promise<bigint> => {
    const [row] = await sql.query<{ base_offset: bigint }>(appendStatement, [
      topic,
      partition,
      count,
      length,
      codec,
      bytes,
    ]);
    if (row === undefined) throw await notFound(sql, topic, partition);
    return row.base_offset;
  };
  const [first, ...rest] = blocks;
  if (first === undefined) throw new WatershedError('internal', 'an append without a block');
  if (rest.length === 0) return appendOne(database, first);
  return database.transaction(async (sql) => {
    const base = await appendOne(sql, first);
    for (const block of rest) await appendOne(sql, block);
    return base;
  });
}

/** An append is at least once, so an unknown outcome is for its caller the same as none. */
function asAppendError(error: unknown): unknown {
  if (!isWatershedError(error, 'commit_unknown')) return error;
  return new WatershedError('unavailable', 'the connection broke before the append was acknowledged', { cause: error });
}

/**
 * Where reads ended: batches from there on are no older than what the read ended with, so that slices of time before
 * that need not be looked at (1 ms instead of 20 with a week of slices). Only a hint. Several, for a partition has
 * several readers.
 */
interface Positions {
  /** No batch from `offset` on is older, ms since 1970; 0 where nothing is known. */
  sinceMs(partition: string, offset: bigint): number;
  set(partition: string, offset: bigint, appendedAtMs: number): void;
  forget(partition: string): void;
}

const positionsPerPartition = 16;

function createPositions(): Positions {
  const known = new Map<string, Map<bigint, number>>();
  return {
    sinceMs(partition, offset) {
      const before = [...(known.get(partition) ?? [])].filter(([end]) => end <= offset);
      return Math.max(0, ...before.map(([, appendedAtMs]) => appendedAtMs));
    },
    set(partition, offset, appendedAtMs) {
      const ends = known.get(partition) ?? new Map<bigint, number>();
      known.set(partition, ends);
      ends.delete(offset);
      ends.set(offset, appendedAtMs);
      const [oldest] = ends.keys();
      if (ends.size > positionsPerPartition && oldest !== undefined) ends.delete(oldest);
    },
    forget: (partition) => void known.delete(partition),
  };
}

interface ReadFrom {
  readonly topic: string;
  readonly partition: number;
  readonly from: bigint;
}
interface BatchRow {
  readonly base_offset: bigint;
  readonly count: number;
  readonly bytes: number;
  readonly codec: string;
  readonly body: Uint8Array;
  readonly appended_at_ms: bigint;
}

// The first row is the batch that holds offset $3. `before` is how many bytes of lines come ahead of a row.
const readStatement = `
  select base_offset, count, bytes, codec, body, floor(extract(epoch from appended_at) * 1000)::int8 as appended_at_ms
    from (
      select *, sum(bytes) over (order by base_offset rows unbounded preceding) - bytes as before
        from (
          select base_offset, count, bytes, codec, body, appended_at from watershed.log_batch
           where topic = $1 and partition = $2 and appended_at >= to_timestamp($4::float8 / 1000)
             and base_offset >= coalesce((
               select max(base_offset) from watershed.log_batch
                where topic = $1 and partition = $2 and base_offset <= $3
                  and appended_at >= to_timestamp($4::float8 / 1000)), $3)
           order by base_offset limit ${rowsPerReadMax}) held) counted
   where before < $5 order by base_offset`;

async function readOnce(database: Sql, positions: Positions, at: ReadFrom, options: ReadOptions): Promise<LogChunk[]> {
  const { topic, partition, from } = at;
  const key = `${topic}/${partition}`;
  const sinceMs = positions.sinceMs(key, from);
  const rows = await database.query<BatchRow>(readStatement, [topic, partition, from, sinceMs, options.maxBytes]);
  const held = rows.filter(({ base_offset, count }) => base_offset + BigInt(count) > from);
  const [first] = held;
  if (first !== undefined && first.base_offset <= from) {
    const chunks = await Promise.all(held.map((row) => toChunk(row, from)));
    const last = held.at(-1) ?? first;
    positions.set(key, last.base_offset + BigInt(last.count), Number(last.appended_at_ms));
    return chunks;
  }
  if (first === undefined && from === (await nextOffset(database, topic, partition))) return [];
  const { earliest, next } = await boundsOf(database, topic, partition);
  if (from < earliest || from > next) {
    throw new WatershedError(
      'offset_out_of_range',
      `topic ${topic} holds offsets ${earliest} to ${next} of partition ${partition}, not ${from}`,
      { context: { topic, partition, offset: from, earliest, next } },
    );
  }
  // An append came between the two looks, or the hint led astray (a topic made anew): the next look goes without it.
  if (sinceMs === 0) return [];
  positions.forget(key);
  return readOnce(database, positions, at, options);
}

async function nextOffset(sql: Sql, topic: string, partition: number): Promise<bigint> {
  const [row] = await sql.query<{ next: bigint }>(
    'select next_offset as next from watershed.log_partition where topic = $1 and partition = $2',
    [topic, partition],
  );
  if (row === undefined) throw await notFound(sql, topic, partition);
  return row.next;
}

async function toChunk(row: BatchRow, from: bigint): Promise<LogChunk> {
  const lines = await unpack(row.codec, row.body, row.bytes);
  const skipped = row.base_offset < from ? Number(from - row.base_offset) : 0;
  return {
    baseOffset: row.base_offset + BigInt(skipped),
    count: row.count - skipped,
    lines: skipLines(lines, skipped),
    appendedAtMs: Number(row.appended_at_ms),
    poison: [],
  };
}

async function boundsOf(sql: Sql, topic: string, partition: number): Promise<{ earliest: bigint; next: bigint }> {
  const [row] = await sql.query<{ earliest: bigint; next: bigint }>(
    `select next_offset as next, coalesce((
       select base_offset from watershed.log_batch b where b.topic = p.topic and b.partition = p.partition
        order by base_offset limit 1), next_offset) as earliest
       from watershed.log_partition p where topic = $1 and partition = $2`,
    [topic, partition],
  );
  if (row === undefined) throw await notFound(sql, topic, partition);
  return row;
}

async function topicRow(sql: Sql, topic: string): Promise<{ identity: string; partitions: number }> {
  const [row] = await sql.query<{ identity: string; partitions: number }>(
    'select identity, partitions from watershed.log_topic where topic = $1',
    [topic],
  );
  if (row === undefined) throw new WatershedError('not_found', `there is no topic ${topic}`);
  return row;
}

async function notFound(sql: Sql, topic: string, partition: number): Promise<WatershedError> {
  const { partitions } = await topicRow(sql, topic);
  return new WatershedError('not_found', `topic ${topic} has no partition ${partition}, only 0 to ${partitions - 1}`);
}
