import type { Job as BullJob, JobsOptions, RepeatOptions, WorkerOptions } from 'bullmq';
import { isWatershedError, messageOf, systemCode, WatershedError } from '../errors.ts';
import type { Job, JobHandler, JobRecord, JobRequest, Queue, QueueStats, Schedule, WorkOptions } from './queue.ts';

/**
 * The name of a BullMQ job is our job's id: BullMQ's own ids are taken as long as a job is kept, also when it has
 * failed.
 */
type Processor = (job: BullJob<unknown>, token?: string, signal?: AbortSignal) => Promise<void>;

/** What is used of BullMQ's queue. Its own type names the back end, and so would not be one type for both. */
interface BullQueue extends Emitter {
  add(name: string, data: unknown, options: JobsOptions): Promise<unknown>;
  upsertJobScheduler(
    id: string,
    repeat: RepeatOptions,
    template: { name: string; data: unknown; opts: JobsOptions },
  ): Promise<unknown>;
  removeJobScheduler(id: string): Promise<boolean>;
  getJobCounts(
    ...types: ('waiting' | 'prioritized' | 'active' | 'delayed' | 'failed' | 'completed')[]
  ): Promise<Record<string, number>>;
  getFailed(
    start: number,
    end: number,
  ): Promise<{ name: string; failedReason: string; finishedOn?: number | undefined; timestamp: number }[]>;
  getJobs(types: BullState[], start: number, end: number): Promise<(ListedJob | undefined)[]>;
  close(): Promise<void>;
}

type BullState = 'waiting' | 'delayed' | 'active' | 'completed' | 'failed';

/** What is read of a job of BullMQ. */
interface ListedJob {
  readonly name: string;
  readonly timestamp: number;
  readonly attemptsMade: number;
  readonly processedOn?: number | undefined;
  readonly finishedOn?: number | undefined;
  readonly progress: unknown;
  readonly failedReason?: string | undefined;
  retry(state: 'failed'): Promise<void>;
}

interface BullWorker extends Emitter {
  waitUntilReady(): Promise<unknown>;
  run(): Promise<void>;
  close(): Promise<void>;
}

interface Emitter {
  on(event: 'error', listener: () => void): unknown;
}

/** What differs between the back ends of BullMQ. */
export interface BullmqBackend {
  readonly kind: 'redis' | 'postgres';
  /** A handle on a queue, for putting jobs in and counting them. */
  openQueue(name: string): BullQueue;
  openWorker(name: string, processor: Processor, options: Omit<WorkerOptions, 'connection'>): BullWorker;
  /** Closes what the back end itself holds, after all queues and workers. */
  close(): Promise<void>;
}

export interface RetryOptions {
  /** Pause before the second attempt; doubles with every further one. Default 1 s. */
  readonly backoffMs?: number;
}

const attemptsDefault = 5;
const stalledAfterMsDefault = 30_000;
/** Jobs that are done are kept for people to look at: a day, and not without limit. */
const keepCompleted = { age: 24 * 3600, count: 1000 };
const keepFailed = { age: 30 * 24 * 3600, count: 10_000 };
/** A process that dies is nobody's fault: the job is given to another so often before it counts as failed. */
const stalledMax = 20;

/** The port on BullMQ 6, whichever back end it stands on. */
export function createBullmqQueue(backend: BullmqBackend, { backoffMs = 1000 }: RetryOptions = {}): Queue {
  const queues = new Map<string, BullQueue>();
  const workers = new Set<BullWorker>();
  const queueOf = (name: string): BullQueue => {
    const found = queues.get(name) ?? silent(backend.openQueue(name));
    queues.set(name, found);
    return found;
  };
  const optionsOf = ({ attempts = attemptsDefault }: JobRequest): JobsOptions => ({
    attempts,
    backoff: { type: 'exponential', delay: backoffMs },
    removeOnComplete: keepCompleted,
    removeOnFail: keepFailed,
  });
  const closeWorker = async (worker: BullWorker): Promise<void> => {
    workers.delete(worker);
    await worker.close();
  };
  return {
    kind: backend.kind,
    enqueue: (name, job) =>
      ask(`enqueue ${job.id}`, async () => {
        // Holds from now until the job is done or has failed for good: then the id is free again.
        const deduplication = { id: job.id };
        await queueOf(name).add(job.id, job.payload, {
          ...optionsOf(job),
          deduplication,
          ...(job.delayMs === undefined ? {} : { delay: job.delayMs }),
        });
      }),
    work: (name, options, handler) =>
      ask(`work on ${name}`, async () => {
        const worker = silent(backend.openWorker(name, processorOf(handler), workerOptions(options)));
        workers.add(worker);
        try {
          await worker.waitUntilReady();
        } catch (error) {
          await closeWorker(worker);
          throw error;
        }
        // Ends when the worker is closed; what goes wrong meanwhile it says by `error`.
        worker.run().catch(() => undefined);
        return { [Symbol.asyncDispose]: () => closeWorker(worker) };
      }),
    schedule: (name, id, when, job) =>
      ask(`schedule ${id}`, async () => {
        await queueOf(name).upsertJobScheduler(id, repeatOf(when), {
          name: job.id,
          data: job.payload,
          opts: optionsOf(job),
        });
      }),
    unschedule: (name, id) =>
      ask(`unschedule ${id}`, async () => {
        await queueOf(name).removeJobScheduler(id);
      }),
    stats: (name) => ask(`count the jobs of ${name}`, () => statsOf(queueOf(name))),
    recent: (name, limit) => ask(`list the jobs of ${name}`, () => recentOf(queueOf(name), limit)),
    retryFailed: (name) => ask(`put the jobs of ${name} back`, () => retryAll(queueOf(name))),
    board: queueOf,
    async [Symbol.asyncDispose]() {
      await Promise.all([...workers].map(closeWorker));
      await Promise.all([...queues.values()].map((queue) => queue.close()));
      await backend.close();
    },
  };
}

function workerOptions({
  concurrency,
  stalledAfterMs = stalledAfterMsDefault,
}: WorkOptions): Omit<WorkerOptions, 'connection'> {
  return {
    concurrency,
    lockDuration: stalledAfterMs,
    stalledInterval: stalledAfterMs,
    maxStalledCount: stalledMax,
    // A worker that runs by itself and whose first connection to PostgreSQL fails asks again and again without a pause,
    // which leaves this process no time for anything else (BullMQ 6.7).
    autorun: false,
  };
}

function repeatOf(when: Schedule): { pattern: string; tz: string } | { every: number } {
  return 'everyMs' in when ? { every: when.everyMs } : { pattern: when.cron, tz: when.timeZone };
}

function processorOf(handler: JobHandler): Processor {
  // Three parameters are declared: BullMQ makes a signal only for a function that takes one.
  return async (job, _token, signal) => handler(jobOf(job, signal ?? new AbortController().signal));
}

function jobOf(job: BullJob<unknown>, signal: AbortSignal): Job {
  return {
    id: job.name,
    payload: job.data,
    attempt: job.attemptsMade + 1,
    signal,
    progress: (value) => ask(`tell the progress of ${job.name}`, () => job.updateProgress(value)),
  };
}

async function statsOf(queue: BullQueue): Promise<QueueStats> {
  const counts = await queue.getJobCounts('waiting', 'prioritized', 'active', 'delayed', 'failed', 'completed');
  const [last] = await queue.getFailed(0, 0);
  return {
    waiting: (counts['waiting'] ?? 0) + (counts['prioritized'] ?? 0),
    active: counts['active'] ?? 0,
    delayed: counts['delayed'] ?? 0,
    failed: counts['failed'] ?? 0,
    completed: counts['completed'] ?? 0,
    lastFailure:
      last === undefined
        ? undefined
        : { id: last.name, reason: last.failedReason, at: new Date(last.finishedOn ?? last.timestamp).toISOString() },
  };
}

const states: readonly BullState[] = ['active', 'failed', 'completed', 'delayed', 'waiting'];

async function recentOf(queue: BullQueue, limit: number): Promise<readonly JobRecord[]> {
  const found = await Promise.all(
    states.map(async (state) =>
      // One that ends while it is listed is undefined.
      (await queue.getJobs([state], 0, limit - 1)).flatMap((job) => (job === undefined ? [] : [recordOf(job, state)])),
    ),
  );
  const touched = ({ finishedAt, startedAt, queuedAt }: JobRecord): string => finishedAt ?? startedAt ?? queuedAt;
  return found.flat().toSorted((a, b) => (touched(a) < touched(b) ? 1 : -1));
}

function recordOf(job: ListedJob, state: BullState): JobRecord {
  const at = (ms: number | undefined): string | undefined => (ms === undefined ? undefined : new Date(ms).toISOString());
  const { processedOn, finishedOn } = job;
  return {
    id: job.name,
    state,
    attempts: job.attemptsMade + (state === 'active' ? 1 : 0),
    queuedAt: new Date(job.timestamp).toISOString(),
    startedAt: at(processedOn),
    finishedAt: at(finishedOn),
    durationMs: processedOn === undefined || finishedOn === undefined ? undefined : finishedOn - processedOn,
    progress: job.progress,
    error: job.failedReason === undefined || job.failedReason === '' ? undefined : job.failedReason,
  };
}

/** Failed jobs are put back so many at a time. */
const retriedAtOnce = 100;

async function retryAll(queue: BullQueue): Promise<number> {
  let retried = 0;
  // Those that fail again meanwhile are not put back again.
  const { failed = 0 } = await queue.getJobCounts('failed');
  while (retried < failed) {
    const jobs = await queue.getJobs(['failed'], 0, Math.min(retriedAtOnce, failed - retried) - 1);
    if (jobs.length === 0) break;
    for (const job of jobs) await job?.retry('failed');
    retried += jobs.length;
  }
  return retried;
}

/** Errors of the connection come back with the next call; an `error` event nobody listens to would end the process. */
function silent<T extends Emitter>(emitter: T): T {
  emitter.on('error', () => undefined);
  return emitter;
}

const connectionCodes = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'NR_CLOSED',
  '57P01',
  '57P03',
  '08006',
]);
const connectionTexts =
  /connection is closed|connection terminated|stream isn't writeable|max retries per request|loading the dataset|timeout/i;

async function ask<T>(doing: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (isWatershedError(error)) throw error;
    const unavailable = connectionCodes.has(systemCode(error) ?? '') || connectionTexts.test(messageOf(error));
    throw new WatershedError(
      unavailable ? 'unavailable' : 'internal',
      `cannot ${doing}: ${messageOf(error) || systemCode(error)}`,
      {
        cause: error,
        ...(unavailable ? { hint: 'check that the database of the job queue (REDIS_URL, or DATABASE_URL) is up' } : {}),
      },
    );
  }
}
