import { Value } from 'typebox/value';
import type { Clock } from '#core/clock.ts';
import { messageOf, WatershedError } from '#core/errors.ts';
import type { Logger } from '#core/logger.ts';
import type { Metrics } from '#core/metrics.ts';
import type { Job, Queue, Schedule } from '#core/queue/queue.ts';
import { isAbort, type Service } from '#core/service.ts';
import { longestJobMs } from '#warehouse/upkeep/orphans.ts';
import type { JobDefinition, JobRun, JobStatus } from './job.ts';

export interface RunnerOptions {
  readonly queue: Queue;
  readonly jobs: readonly JobDefinition[];
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly logger: Logger;
}

export interface Runner {
  readonly service: Service;
  /**
   * Asks for a job soon; may be lost, and does nothing when one is waiting already. Never throws: a hint is only a
   * hint.
   */
  hint(name: string, payload?: unknown): void;
  /** Asks for a job and tells when it is in the queue. Throws `not_found`, `bad_request` and what the queue throws. */
  request(name: string, payload?: unknown): Promise<void>;
  status(): Promise<readonly JobStatus[]>;
}

/** Runs jobs from the queue. A job that keeps failing is set aside by the queue with its reason; the others go on. */
export function createRunner(options: RunnerOptions): Runner {
  const { queue, jobs, logger } = options;
  const runs = new Map<string, JobRun>();
  // A hint that comes while its job runs must not be lost with it: it waits under the other of two ids.
  const turns = new Map<string, number>();
  const request = async (name: string, payload: unknown = {}): Promise<void> => {
    const job = jobs.find((candidate) => candidate.name === name);
    if (job === undefined) throw new WatershedError('not_found', `there is no job ${name}`);
    checkPayload(job, payload);
    const turn = (turns.get(name) ?? 0) % 2;
    await queue.enqueue(name, { id: `${name}-${idOf(payload)}${turn}`, payload, attempts: job.attempts });
  };
  return {
    service: { name: 'jobs', run: (signal) => work(options, { runs, turns }, signal) },
    hint(name, payload) {
      request(name, payload).catch((error: unknown) =>
        logger.debug('hint_lost', { job: name, reason: messageOf(error) }),
      );
    },
    request,
    status: () =>
      Promise.all(
        jobs.map(async (job): Promise<JobStatus> => ({
          name: job.name,
          description: job.description,
          schedule: describe(job.schedule?.when),
          lastRun: runs.get(job.name),
          ...(await queue.stats(job.name)),
        })),
      ),
  };
}

interface Memory {
  readonly runs: Map<string, JobRun>;
  readonly turns: Map<string, number>;
}

async function work(options: RunnerOptions, memory: Memory, signal: AbortSignal): Promise<void> {
  const { queue, jobs } = options;
  await using workers = new AsyncDisposableStack();
  for (const job of jobs) {
    workers.use(
      await queue.work(job.name, { concurrency: job.concurrency }, (request) =>
        handle(options, memory, job, request, signal),
      ),
    );
    if (job.schedule !== undefined) {
      await queue.schedule(job.name, job.name, job.schedule.when, {
        id: `${job.name}-scheduled`,
        payload: job.schedule.payload,
        attempts: job.attempts,
      });
    }
  }
  const stopped = Promise.withResolvers<void>();
  if (signal.aborted) stopped.resolve();
  signal.addEventListener('abort', () => stopped.resolve(), { once: true });
  await stopped.promise;
}

async function handle(
  { clock, metrics, logger }: RunnerOptions,
  { runs, turns }: Memory,
  job: JobDefinition,
  request: Job,
  stop: AbortSignal,
): Promise<void> {
  turns.set(job.name, (turns.get(job.name) ?? 0) + 1);
  const startedMs = clock.monotonic();
  // Longer than this no run may write: what it placed in the store would count as left behind.
  const late = new AbortController();
  const cancel = clock.timer(longestJobMs, () => late.abort(new WatershedError('limit_exceeded', 'the job ran for 12 hours')));
  const signal = AbortSignal.any([request.signal, stop, late.signal]);
  let run: JobRun = {
    startedAt: new Date(clock.now()).toISOString(),
    durationMs: undefined,
    attempt: request.attempt,
    outcome: 'running',
    error: undefined,
    progress: {},
  };
  const become = (change: Partial<JobRun>): void => {
    run = { ...run, ...change };
    runs.set(job.name, run);
  };
  const end = (outcome: 'done' | 'failed', error?: string): void => {
    const seconds = (clock.monotonic() - startedMs) / 1000;
    become({ outcome, durationMs: seconds * 1000, error });
    metrics
      .counter('watershed_job_runs_total', 'Runs of jobs, by outcome', ['job', 'outcome'])
      .add(1, { job: job.name, outcome });
    metrics
      .histogram('watershed_job_duration_seconds', 'Duration of runs', [0.01, 0.1, 1, 10, 100, 1000], ['job'])
      .observe(seconds, { job: job.name });
  };
  become({});
  try {
    // A newer version may have asked for it, with members that this one does not know: it does what it knows.
    const payload = Value.Clean(job.payload, Value.Clone(request.payload));
    checkPayload(job, payload);
    await job.run(payload, {
      signal,
      progress: async (progress) => {
        become({ progress });
        await request.progress(progress);
      },
    });
    end('done');
  } catch (error) {
    // Being stopped is no failure: the job goes on from its mark at the next start.
    if (stop.aborted && isAbort(error, signal)) return end('done');
    end('failed', messageOf(error));
    logger.warn('job_failed', { job: job.name, attempt: request.attempt, of: job.attempts, reason: messageOf(error) });
    throw error;
  } finally {
    cancel();
  }
}

function checkPayload(job: JobDefinition, payload: unknown): void {
  if (Value.Check(job.payload, payload)) return;
  const [first] = Value.Errors(job.payload, payload);
  throw new WatershedError(
    'bad_request',
    `job ${job.name} does not take this payload: ${first?.message ?? 'it has another shape'}`,
  );
}

/** Jobs with different payloads are different work. */
function idOf(payload: unknown): string {
  const json = JSON.stringify(payload);
  return json === '{}' ? '' : `${Buffer.from(json).toString('base64url')}-`;
}

function describe(when: Schedule | undefined): string | undefined {
  if (when === undefined) return undefined;
  return 'cron' in when ? `${when.cron} (${when.timeZone})` : `every ${when.everyMs / 1000} s`;
}
