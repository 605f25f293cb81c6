import { randomUUID } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, rm, stat } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { can, type Principal } from '#core/auth/access.ts';
import type { Clock } from '#core/clock.ts';
import { isWatershedError, WatershedError } from '#core/errors.ts';
import type { Logger } from '#core/logger.ts';
import type { Engine, Limits, Param, ResultColumn } from '../engine/engine.ts';
import { bodyOf } from './bodies.ts';
import { type Format, formatNamed } from './formats.ts';
import { knownError, type Problem, problemOf } from './problems.ts';
import { interruptedInfo, keepInfo, keptMs, removeFiles, restoreStatements, rowsPath } from './statement-files.ts';

/** A statement that runs on while its client is away. */
export interface StatementInfo {
  readonly id: string;
  readonly sql: string;
  readonly user: string;
  readonly format: string;
  readonly status: 'running' | 'done' | 'failed' | 'cancelled';
  /** How much of the work is done, 0 to 100, where the engine can tell. */
  readonly percent?: number;
  readonly columns?: readonly ResultColumn[];
  readonly rowCount?: number;
  readonly bytes?: number;
  readonly truncated?: boolean;
  readonly error?: Problem;
  readonly startedAt: string;
  readonly elapsedMs: number;
  /** When the result is thrown away. */
  readonly expiresAt?: string;
}

export interface LongStatements extends AsyncDisposable {
  start(
    request: { sql: string; params: readonly Param[]; limits: Limits; limited: boolean; format: Format },
    principal: Principal,
  ): StatementInfo;
  list(principal: Principal): StatementInfo[];
  get(id: string, principal: Principal): StatementInfo;
  /** The result as a stream of bytes. `conflict` while the statement runs; its own error where it failed. */
  result(
    id: string,
    principal: Principal,
  ): Promise<{ readonly format: Format; readonly bytes: number; readonly stream: Readable }>;
  /** Cancels it where it runs, and throws its result away. */
  remove(id: string, principal: Principal): Promise<void>;
}

/** Statements of one user that run or wait to be fetched. */
const perUserMax = 20;

interface Job {
  info: StatementInfo;
  readonly format: Format;
  readonly path: string;
  readonly startedMs: number;
  readonly stop: AbortController;
  cancelExpiry: (() => void) | undefined;
  running: Promise<void>;
}

/**
 * Long statements, with their results in files of a folder of their own. What is done is there for an hour, whatever
 * becomes of the server; what ran when it ended is told as failed by the next one.
 */
export async function createLongStatements(deps: {
  engine: Engine;
  folder: string;
  clock: Clock;
  logger: Logger;
}): Promise<LongStatements> {
  const { engine, folder, clock, logger } = deps;
  const jobs = new Map<string, Job>();
  let isStopping = false;
  await mkdir(folder, { recursive: true, mode: 0o700 });

  const expire = (id: string, job: Job): void => {
    const leftMs = Math.max(0, Date.parse(job.info.expiresAt ?? '') - clock.now());
    job.cancelExpiry = clock.timer(leftMs, () => void discard(id, job));
  };
  const discard = async (id: string, job: Job): Promise<void> => {
    jobs.delete(id);
    job.cancelExpiry?.();
    job.stop.abort(new WatershedError('cancelled', 'the statement was removed'));
    await job.running;
    await removeFiles(folder, id);
  };
  for (const info of await restoreStatements(folder, clock.now(), logger)) {
    const job = jobOf(info, formatNamed(info.format), rowsPath(folder, info.id), clock);
    jobs.set(info.id, job);
    expire(info.id, job);
  }
  const found = (id: string, principal: Principal): Job => {
    const job = jobs.get(id);
    if (job !== undefined && (job.info.user === principal.name || principal.kind === 'admin')) return job;
    throw new WatershedError('not_found', `there is no statement ${id}`, {
      hint: 'Results are kept for an hour.',
    });
  };
  return {
    start(request, principal) {
      const own = [...jobs.values()].filter(({ info }) => info.user === principal.name).length;
      if (own >= perUserMax) {
        throw new WatershedError('rate_limited', `${principal.name} has ${own} statements already`, {
          hint: 'Remove one: DELETE /api/statements/:id.',
        });
      }
      const id = randomUUID();
      const { sql, format } = request;
      const info: StatementInfo = {
        id,
        sql,
        user: principal.name,
        format: format.name,
        status: 'running',
        startedAt: new Date(clock.now()).toISOString(),
        elapsedMs: 0,
      };
      const job = jobOf(info, format, rowsPath(folder, id), clock);
      jobs.set(id, job);
      const keep = async (known: StatementInfo): Promise<void> => {
        if (jobs.has(id)) await keepInfo(folder, known);
      };
      const mayReadStore = can(principal, 'read_store');
      const work = { ...request, mayReadStore, keep, wasStopped: () => isStopping };
      job.running = runJob(engine, job, work, clock, logger).finally(() => {
        if (jobs.has(id) && !isStopping) expire(id, job);
      });
      return info;
    },
    list: (principal) =>
      [...jobs.values()]
        .filter(({ info }) => info.user === principal.name || principal.kind === 'admin')
        .map((job) => shown(job, clock)),
    get: (id, principal) => shown(found(id, principal), clock),
    async result(id, principal) {
      const job = found(id, principal);
      const { status, error } = job.info;
      if (status === 'running')
        throw new WatershedError('conflict', `statement ${id} is still running`, {
          hint: `GET /api/statements/${id} says how far it is.`,
        });
      if (status !== 'done') {
        throw new WatershedError(
          error?.code ?? 'cancelled',
          error?.detail ?? 'the statement was cancelled',
          error?.hint === undefined ? {} : { hint: error.hint },
        );
      }
      return { format: job.format, bytes: (await stat(job.path)).size, stream: createReadStream(job.path) };
    },
    async remove(id, principal) {
      await discard(id, found(id, principal));
    },
    async [Symbol.asyncDispose]() {
      isStopping = true;
      await Promise.all(
        [...jobs.values()].map(async (job) => {
          job.cancelExpiry?.();
          job.stop.abort(new WatershedError('cancelled', 'the server is stopping'));
          await job.running;
        }),
      );
    },
  };
}

function jobOf(info: StatementInfo, format: Format, path: string, clock: Clock): Job {
  const stop = new AbortController();
  const startedMs = clock.monotonic();
  return { info, format, path, startedMs, stop, cancelExpiry: undefined, running: Promise.resolve() };
}

function shown(job: Job, clock: Clock): StatementInfo {
  return job.info.status === 'running' ? { ...job.info, elapsedMs: clock.monotonic() - job.startedMs } : job.info;
}

type Work = Parameters<LongStatements['start']>[0] & {
  readonly mayReadStore: boolean;
  /** Writes down what is known, unless the statement was thrown away. */
  readonly keep: (info: StatementInfo) => Promise<void>;
  readonly wasStopped: () => boolean;
};

/** Runs the statement into its file and keeps its state. Never rejects. */
async function runJob(engine: Engine, job: Job, work: Work, clock: Clock, logger: Logger): Promise<void> {
  const { sql, params, limits, limited, format, mayReadStore, keep } = work;
  const end = async (more: Partial<StatementInfo>): Promise<void> => {
    const { percent: _percent, ...info } = job.info;
    const elapsedMs = clock.monotonic() - job.startedMs;
    const expiresAt = new Date(clock.now() + keptMs).toISOString();
    const ended: StatementInfo = { ...info, ...more, elapsedMs, expiresAt };
    // Written down before it is told. Where that fails the statement is done all the same, until a restart.
    await keep(ended).catch((error: unknown) => logger.warn('statement_not_kept', { id: info.id, error }));
    job.info = ended;
  };
  try {
    await keep(job.info);
    const result = await engine.run({
      sql,
      params,
      user: job.info.user,
      mayReadStore,
      encoding: format.encoding,
      limits,
      signal: job.stop.signal,
      onProgress(percent) {
        if (percent !== undefined) job.info = { ...job.info, percent };
      },
    });
    job.info = { ...job.info, columns: result.columns };
    await pipeline(
      Readable.from(await bodyOf(result, format, limited, logger), { objectMode: false }),
      createWriteStream(job.path, { mode: 0o600 }),
    );
    const { rows, bytes, truncated } = await result.summary;
    await end({ status: 'done', rowCount: rows, bytes, truncated });
  } catch (error) {
    await rm(job.path, { force: true }).catch(() => undefined);
    if (work.wasStopped()) await end(interruptedInfo(job.info, clock.now()));
    else if (isWatershedError(error, 'cancelled')) await end({ status: 'cancelled' });
    else await end({ status: 'failed', error: problemOf(knownError(error, logger)) });
  }
}
