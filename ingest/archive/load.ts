import { basename } from 'node:path';
import type { Clock } from '#core/clock.ts';
import { envelopeEncoder } from '#core/contract/envelope.ts';
import { encodeQuarantined } from '#core/contract/records.ts';
import { isWatershedError } from '#core/errors.ts';
import type { Log } from '#core/log/log.ts';
import { createSlab } from '#core/slab.ts';
import { openArchive, sniffArchive, type ArchiveBatch } from './archive.ts';
import { placeKey, type Places } from './place.ts';

export interface LoadOptions {
  readonly files: readonly string[];
  /** An event that exists: all posts of the files are put to it. */
  readonly eventId: string;
  readonly log: Log;
  readonly places: Places;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly onProgress?: (progress: LoadProgress) => void;
}

export interface LoadProgress {
  readonly file: string;
  readonly fileNumber: number;
  readonly files: number;
  readonly bytesRead: number;
  readonly fileBytes: number;
  /** Of all files so far. */
  readonly appended: number;
  readonly quarantined: number;
}

interface FileSummary {
  readonly path: string;
  /** Records found, from where this run began: appended, quarantined or dropped. */
  readonly read: number;
  readonly appended: number;
  readonly quarantined: Readonly<Record<string, number>>;
  readonly dropped: Readonly<Record<string, number>>;
  /** Where an earlier run had come to: the offset in the decompressed file, 0 where this run read from the begin. */
  readonly resumedFrom: number;
  /** Why not all of the file was there to be read: it is empty, or its compressed stream is cut off or damaged. */
  readonly problem: string | undefined;
}

export interface LoadSummary {
  readonly files: readonly FileSummary[];
  /** The signal came before all was read: the same command goes on from there. */
  readonly interrupted: boolean;
  /** The offsets of topic `posts` this run wrote to: `from` inclusive, `to` exclusive, with those of others between. */
  readonly offsets: ReadonlyMap<number, { readonly from: bigint; readonly to: bigint }>;
}

/**
 * Puts the posts of files into topic `posts`, and what is none into `quarantine`. What is in the log stays there: after
 * a break the next run goes on behind the last stored place, and what it repeats the writer finds to be duplicate.
 * All files are looked at before the first is read: throws `not_found`, `disk` or `unsupported` naming the file.
 * Errors of the log: `unavailable` is tried again for a minute, others are thrown; the place is stored before.
 */
export async function loadArchive(options: LoadOptions): Promise<LoadSummary> {
  for (const path of options.files) await sniffArchive(path);
  const appender = await createAppender(options.log, options.clock, options.signal);
  const files: FileSummary[] = [];
  let interrupted = false;
  for (const [index, path] of options.files.entries()) {
    if (options.signal.aborted) interrupted = true;
    if (interrupted) break;
    const before = {
      appended: files.reduce((sum, file) => sum + file.appended, 0),
      quarantined: files.reduce((sum, file) => sum + total(file.quarantined), 0),
    };
    const loaded = await loadFile(path, options, appender, (tally, bytesRead, fileBytes) => options.onProgress?.({
      file: path, fileNumber: index + 1, files: options.files.length, bytesRead, fileBytes,
      appended: before.appended + tally.appended, quarantined: before.quarantined + total(tally.quarantined),
    }));
    files.push(loaded.summary);
    interrupted = loaded.interrupted;
  }
  return { files, interrupted, offsets: appender.offsets };
}

interface Tally {
  appended: number;
  readonly quarantined: Record<string, number>;
  readonly dropped: Record<string, number>;
}

// The place is stored this often: a break repeats no more than what is read in between.
const storePlaceEveryMs = 1000;

async function loadFile(
  path: string, options: LoadOptions, appender: Appender,
  report: (tally: Tally, bytesRead: number, fileBytes: number) => void,
): Promise<{ summary: FileSummary; interrupted: boolean }> {
  const { places, eventId, clock, signal } = options;
  const key = await placeKey(path, eventId);
  const resumedFrom = await places.find(key);
  const archive = await openArchive(path, { eventId, clock, from: resumedFrom });
  const tally: Tally = { appended: 0, quarantined: {}, dropped: {} };
  let done = resumedFrom;
  let storedAtMs = clock.monotonic();
  const settle = async (settled: readonly { batch: ArchiveBatch }[]): Promise<void> => {
    for (const { batch } of settled) {
      count(tally, batch);
      done = batch.position;
      report(tally, batch.bytesRead, archive.fileBytes);
    }
    if (settled.length === 0 || clock.monotonic() - storedAtMs < storePlaceEveryMs) return;
    storedAtMs = clock.monotonic();
    await places.store(key, done);
  };
  try {
    for await (const batch of archive.batches) {
      if (signal.aborted) break;
      await settle(await appender.append(batch, `load ${basename(path)}`));
    }
    await settle(await appender.drain());
  } catch (error) {
    await appender.abandon();
    if (done > resumedFrom) await places.store(key, done);
    throw error;
  }
  if (signal.aborted) await places.store(key, done);
  else await places.forget(key);
  const read = tally.appended + total(tally.quarantined) + total(tally.dropped);
  const problem = archive.damage() ?? (archive.format.layout === 'empty' ? 'it is empty' : undefined);
  return { summary: { path, read, ...tally, resumedFrom, problem }, interrupted: signal.aborted };
}

function count(tally: Tally, batch: ArchiveBatch): void {
  tally.appended += batch.posts.length;
  for (const { reason } of batch.dead) tally.quarantined[reason] = (tally.quarantined[reason] ?? 0) + 1;
  for (const [reason, number] of batch.dropped) tally.dropped[reason] = (tally.dropped[reason] ?? 0) + number;
}

function total(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((sum, number) => sum + number, 0);
}

/** Appends batches side by side, one to a partition at a time, and gives them back in their order, when durable. */
interface Appender {
  append(batch: ArchiveBatch, component: string): Promise<{ batch: ArchiveBatch }[]>;
  drain(): Promise<{ batch: ArchiveBatch }[]>;
  /** Waits for what is under way, whatever becomes of it. */
  abandon(): Promise<void>;
  readonly offsets: Map<number, { from: bigint; to: bigint }>;
}

async function createAppender(log: Log, clock: Clock, signal: AbortSignal): Promise<Appender> {
  const partitions = await log.partitions('posts');
  const offsets = new Map<number, { from: bigint; to: bigint }>();
  const underWay: { batch: ArchiveBatch; appended: Promise<void> }[] = [];
  let turn = 0;

  const write = async (batch: ArchiveBatch, partition: number, component: string): Promise<void> => {
    if (batch.dead.length > 0) {
      const records = batch.dead.map(({ reason, bytes, bytesLength }) =>
        encodeQuarantined({ atMs: clock.now(), component, reason, topic: 'posts', bytes, bytesLength }));
      await retrying(() => log.append('quarantine', 0, records), clock, signal);
    }
    if (batch.posts.length === 0) return;
    const records = encodeAll(batch.posts);
    const from = await retrying(() => log.append('posts', partition, records), clock, signal);
    const to = from + BigInt(records.length);
    offsets.set(partition, { from: offsets.get(partition)?.from ?? from, to });
  };
  const settleOldest = async (): Promise<{ batch: ArchiveBatch }[]> => {
    const [oldest] = underWay;
    if (oldest === undefined) return [];
    await oldest.appended;
    underWay.shift();
    return [{ batch: oldest.batch }];
  };

  return {
    offsets,
    async append(batch, component) {
      const settled = underWay.length < partitions ? [] : await settleOldest();
      const appended = write(batch, turn++ % partitions, component);
      // Awaited in its turn; a failure before that must not count as unhandled.
      appended.catch(() => undefined);
      underWay.push({ batch, appended });
      return settled;
    },
    async drain() {
      const settled: { batch: ArchiveBatch }[] = [];
      while (underWay.length > 0) settled.push(...await settleOldest());
      return settled;
    },
    async abandon() {
      await Promise.allSettled(underWay.map(({ appended }) => appended));
      underWay.length = 0;
    },
  };
}

/** The records of posts; those that follow each other with the same header share the encoding of it. */
function encodeAll(posts: ArchiveBatch['posts']): Buffer[] {
  const slab = createSlab();
  let encode: ((body: Uint8Array) => Buffer) | undefined;
  return posts.map(({ source, format, events, receivedAtMs, body }, index) => {
    const before = posts[index - 1];
    const same = before?.source === source && before.format === format && before.events === events && before.receivedAtMs === receivedAtMs;
    if (!same || encode === undefined) {
      encode = envelopeEncoder({ source, format, events, receivedAt: new Date(receivedAtMs).toISOString(), account: '' }, slab);
    }
    return encode(body);
  });
}

const retryPausesMs = [250, 500, 1000, 2000, 4000, 8000, 15_000, 30_000];

async function retrying<Result>(attempt: () => Promise<Result>, clock: Clock, signal: AbortSignal): Promise<Result> {
  for (const pauseMs of retryPausesMs) {
    try {
      return await attempt();
    } catch (error) {
      if (!isWatershedError(error) || !error.retryable || signal.aborted) throw error;
      await clock.sleep(pauseMs, signal);
    }
  }
  return attempt();
}
