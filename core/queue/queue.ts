/**
 * Jobs that survive the process, run at least once. A handler must be idempotent: it may be called again for a job that
 * was already done (after a crash between the work and the mark).
 *
 * - `enqueue` with an id that is waiting or running already does nothing: the same work is not queued twice.
 * - A handler that throws is called again with exponential backoff, up to `attempts`; then the job is failed and kept.
 * - **Errors**: `unavailable` (retryable), `bad_config` (a Redis that evicts keys).
 */
export interface Queue extends AsyncDisposable {
  readonly kind: 'redis' | 'postgres' | 'memory';
  enqueue(queue: string, job: JobRequest): Promise<void>;
  /**
   * Starts handling; several handlers (also in several processes) share the jobs. Closing it waits for what is running.
   */
  work(queue: string, options: WorkOptions, handler: JobHandler): Promise<AsyncDisposable>;
  /** Enqueues `job` on a schedule, from now on. The same id again replaces the schedule. */
  schedule(queue: string, id: string, when: Schedule, job: JobRequest): Promise<void>;
  unschedule(queue: string, id: string): Promise<void>;
  stats(queue: string): Promise<QueueStats>;
  /** The jobs that were touched last, the newest first: running, failed, done, waiting, at most `limit` of each state. */
  recent(queue: string, limit: number): Promise<readonly JobRecord[]>;
  /** Puts all failed jobs back, to be tried once more. Resolves to their number. */
  retryFailed(queue: string): Promise<number>;
  /** BullMQ's own handle on a queue, for its board; undefined where there is none. */
  readonly board: ((queue: string) => unknown) | undefined;
}

/** The queues of this program, one for each kind of job (transform/jobs). */
export const jobNames = ['classify', 'activity', 'upkeep', 'orphans', 'report', 'alert'] as const;

/** A job as people see it. Instants are ISO 8601, UTC. */
export interface JobRecord {
  readonly id: string;
  readonly state: 'waiting' | 'delayed' | 'active' | 'completed' | 'failed';
  /** How often it was tried, the running attempt included. */
  readonly attempts: number;
  readonly queuedAt: string;
  readonly startedAt: string | undefined;
  readonly finishedAt: string | undefined;
  readonly durationMs: number | undefined;
  readonly progress: unknown;
  /** Why it failed last, also where it is to be tried again. */
  readonly error: string | undefined;
}

export interface JobRequest {
  readonly id: string;
  /** JSON of the job's payload schema. */
  readonly payload: unknown;
  readonly delayMs?: number;
  /** How often in all it is tried. Default 5. */
  readonly attempts?: number;
}

export interface Job {
  readonly id: string;
  readonly payload: unknown;
  /** From 1. */
  readonly attempt: number;
  readonly signal: AbortSignal;
  /** Anything small that tells how far it is: shown in the API and on the page. */
  progress(value: number | Readonly<Record<string, string | number>>): Promise<void>;
}

export type JobHandler = (job: Job) => Promise<void>;
export interface WorkOptions {
  readonly concurrency: number;
  /** A job whose process says nothing for so long is given to another. Default 30 s. */
  readonly stalledAfterMs?: number;
}
export type Schedule = { readonly cron: string; readonly timeZone: string } | { readonly everyMs: number };

export interface QueueStats {
  readonly waiting: number;
  readonly active: number;
  readonly delayed: number;
  readonly failed: number;
  readonly completed: number;
  readonly lastFailure: { readonly id: string; readonly reason: string; readonly at: string } | undefined;
}
