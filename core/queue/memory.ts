import { Cron } from 'croner';
import type { Clock } from '../clock.ts';
import { messageOf } from '../errors.ts';
import type { Job, JobHandler, JobRecord, JobRequest, Queue, QueueStats, Schedule } from './queue.ts';

interface Held {
  readonly request: JobRequest;
  /** Undefined for a job of a schedule, which is not told apart by its id. */
  readonly key: string | undefined;
  attempt: number;
  record: JobRecord;
}

interface MemoryWorker {
  readonly handler: JobHandler;
  readonly concurrency: number;
  readonly running: Set<Promise<void>>;
}

/** A queue that ends with the process: for tests, on a clock that they may move. */
export function createMemoryQueue(clock: Clock, { backoffMs = 1000 }: { readonly backoffMs?: number } = {}): Queue {
  const queues = new Map<string, MemoryJobs>();
  const jobsOf = (name: string): MemoryJobs => {
    const found = queues.get(name) ?? new MemoryJobs(clock, backoffMs);
    queues.set(name, found);
    return found;
  };
  return {
    kind: 'memory',
    enqueue: async (name, job) => jobsOf(name).enqueue(job),
    work: async (name, options, handler) => jobsOf(name).work(options.concurrency, handler),
    schedule: async (name, id, when, job) => jobsOf(name).schedule(id, when, job),
    unschedule: async (name, id) => jobsOf(name).unschedule(id),
    stats: async (name) => jobsOf(name).stats(),
    recent: async (name, limit) => jobsOf(name).recent(limit),
    retryFailed: async (name) => jobsOf(name).retryFailed(),
    board: undefined,
    async [Symbol.asyncDispose]() {
      await Promise.all([...queues.values()].map((jobs) => jobs.close()));
    },
  };
}

/** Jobs that are done are kept for people to look at. */
const doneMax = 1000;

class MemoryJobs {
  readonly #clock: Clock;
  readonly #backoffMs: number;
  readonly #held = new Set<string>();
  readonly #waiting: Held[] = [];
  readonly #delayed = new Map<Held, () => void>();
  readonly #schedules = new Map<string, () => void>();
  readonly #workers = new Set<MemoryWorker>();
  readonly #failed: Held[] = [];
  readonly #active = new Set<Held>();
  readonly #done: Held[] = [];
  #completed = 0;

  constructor(clock: Clock, backoffMs: number) {
    this.#clock = clock;
    this.#backoffMs = backoffMs;
  }

  enqueue(request: JobRequest): void {
    if (this.#held.has(request.id)) return;
    this.#held.add(request.id);
    this.#later(this.#hold(request, request.id), request.delayMs ?? 0);
  }

  work(concurrency: number, handler: JobHandler): AsyncDisposable {
    const worker: MemoryWorker = { handler, concurrency, running: new Set() };
    this.#workers.add(worker);
    this.#wake();
    return { [Symbol.asyncDispose]: () => this.#closeWorker(worker) };
  }

  schedule(id: string, when: Schedule, request: JobRequest): void {
    this.unschedule(id);
    const cron = 'cron' in when ? new Cron(when.cron, { timezone: when.timeZone, paused: true }) : undefined;
    const next = (): void => {
      const now = this.#clock.now();
      const at = 'everyMs' in when ? now + when.everyMs : cron?.nextRun(new Date(now))?.getTime();
      if (at === undefined) return;
      this.#schedules.set(
        id,
        this.#clock.timer(at - now, () => {
          this.#later(this.#hold(request, undefined), 0);
          next();
        }),
      );
    };
    next();
  }

  unschedule(id: string): void {
    this.#schedules.get(id)?.();
    this.#schedules.delete(id);
  }

  #hold(request: JobRequest, key: string | undefined): Held {
    const record: JobRecord = {
      id: request.id, state: 'waiting', attempts: 0, queuedAt: this.#now(), startedAt: undefined, finishedAt: undefined,
      durationMs: undefined, progress: 0, error: undefined,
    };
    return { request: copyOf(request), key, attempt: 1, record };
  }

  #now(): string {
    return new Date(this.#clock.now()).toISOString();
  }

  recent(limit: number): readonly JobRecord[] {
    const of = (state: JobRecord['state'], held: Iterable<Held>): JobRecord[] =>
      [...held].slice(-limit).map(({ record }) => ({ ...record, state }));
    const all = [
      ...of('active', this.#active), ...of('failed', this.#failed), ...of('completed', this.#done),
      ...of('delayed', this.#delayed.keys()), ...of('waiting', this.#waiting),
    ];
    const touched = ({ finishedAt, startedAt, queuedAt }: JobRecord): string => finishedAt ?? startedAt ?? queuedAt;
    return all.toSorted((a, b) => (touched(a) < touched(b) ? 1 : -1));
  }

  retryFailed(): number {
    const failed = this.#failed.splice(0);
    for (const held of failed) this.#later(held, 0);
    return failed.length;
  }

  stats(): QueueStats {
    const last = this.#failed.at(-1)?.record;
    const active = [...this.#workers].reduce((sum, { running }) => sum + running.size, 0);
    return {
      waiting: this.#waiting.length,
      active,
      delayed: this.#delayed.size + this.#schedules.size,
      failed: this.#failed.length,
      completed: this.#completed,
      lastFailure: last && { id: last.id, reason: last.error ?? '', at: last.finishedAt ?? last.queuedAt },
    };
  }

  async close(): Promise<void> {
    for (const id of this.#schedules.keys()) this.unschedule(id);
    for (const cancel of this.#delayed.values()) cancel();
    this.#delayed.clear();
    await Promise.all([...this.#workers].map((worker) => this.#closeWorker(worker)));
  }

  async #closeWorker(worker: MemoryWorker): Promise<void> {
    this.#workers.delete(worker);
    await Promise.all(worker.running);
  }

  #later(held: Held, delayMs: number): void {
    if (delayMs <= 0) {
      this.#waiting.push(held);
      return this.#wake();
    }
    this.#delayed.set(
      held,
      this.#clock.timer(delayMs, () => {
        this.#delayed.delete(held);
        this.#waiting.push(held);
        this.#wake();
      }),
    );
  }

  #wake(): void {
    for (const worker of this.#workers) {
      while (worker.running.size < worker.concurrency) {
        const held = this.#waiting.shift();
        if (held === undefined) return;
        const done = this.#handle(worker, held).finally(() => {
          worker.running.delete(done);
          if (this.#workers.has(worker)) this.#wake();
        });
        worker.running.add(done);
      }
    }
  }

  async #handle(worker: MemoryWorker, held: Held): Promise<void> {
    const { request, attempt, key } = held;
    const startedMs = this.#clock.now();
    const become = (change: Partial<JobRecord>): void => void (held.record = { ...held.record, ...change });
    const job: Job = {
      id: request.id,
      payload: request.payload,
      attempt,
      signal: new AbortController().signal,
      progress: async (progress) => become({ progress }),
    };
    become({ startedAt: this.#now(), attempts: attempt, finishedAt: undefined, durationMs: undefined });
    this.#active.add(held);
    try {
      // A handler starts in a turn of its own, as it would in another process.
      await Promise.resolve();
      await worker.handler(job);
      this.#completed++;
      become({ finishedAt: this.#now(), durationMs: this.#clock.now() - startedMs });
      this.#done.push(held);
      if (this.#done.length > doneMax) this.#done.shift();
    } catch (error) {
      become({ error: messageOf(error) });
      if (attempt < (request.attempts ?? 5)) {
        held.attempt++;
        return this.#later(held, this.#backoffMs * 2 ** (attempt - 1));
      }
      become({ finishedAt: this.#now(), durationMs: this.#clock.now() - startedMs });
      this.#failed.push(held);
    } finally {
      this.#active.delete(held);
    }
    if (key !== undefined) this.#held.delete(key);
  }
}

/** Payloads go through JSON, as they do in every other adapter. */
function copyOf(request: JobRequest): JobRequest {
  const payload: unknown = JSON.parse(JSON.stringify(request.payload ?? null));
  return { ...request, payload };
}
