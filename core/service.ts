import type { Clock } from './clock.ts';
import { isWatershedError, WatershedError, type ErrorCode } from './errors.ts';
import type { Logger } from './logger.ts';

/**
 * Something that runs until it is told to stop. `run` resolves after the signal is aborted and the work in hand is
 * finished or given back; it rejects only when the service cannot go on.
 */
export interface Service {
  readonly name: string;
  run(signal: AbortSignal): Promise<void>;
}

/**
 * Runs services together: when one fails, all are stopped and its error is thrown; when the signal is aborted, they
 * are stopped in reverse order, each having drained before the one it leans on is told.
 */
export async function runTogether(services: readonly Service[], signal: AbortSignal): Promise<void> {
  let failure: unknown;
  const wake = Promise.withResolvers<void>();
  const running = services.map((service) => {
    const stop = new AbortController();
    const done = service.run(stop.signal).then(
      () => {
        if (!stop.signal.aborted) failure ??= new WatershedError('internal', `${service.name} ended by itself`);
      },
      (error: unknown) => {
        if (!stop.signal.aborted || !isAbort(error, stop.signal)) failure ??= error;
      },
    );
    void done.then(() => wake.resolve());
    return { stop, done };
  });
  if (signal.aborted) wake.resolve();
  signal.addEventListener('abort', () => wake.resolve(), { once: true });
  await wake.promise;
  for (const { stop, done } of running.toReversed()) {
    stop.abort(signal.reason);
    await done;
  }
  if (failure !== undefined) throw failure;
}

/** True where the error is only the echo of our own stop. */
export function isAbort(error: unknown, signal: AbortSignal): boolean {
  if (!signal.aborted) return false;
  if (error === signal.reason) return true;
  return typeof error === 'object' && error !== null && 'name' in error && error.name === 'AbortError';
}

/**
 * What a restart of a database, a broker or a store looks like from here, and a disk that somebody has to clear: the
 * codes that pass without us.
 */
const passing: ReadonlySet<ErrorCode> = new Set(['unavailable', 'commit_unknown', 'disk']);
const beginAnewMs = 1_000;
/** What was well for so long and fails again is told again. */
const toldAgainAfterMs = 10_000;

/**
 * The service, begun anew where it ended for a reason that passes; any other error is thrown. For services whose `run`
 * goes on where the tables, the log or the database say, as after a restart of the process.
 */
export function beginningAnew(service: Service, { clock, logger }: { clock: Clock; logger: Logger }): Service {
  return {
    name: service.name,
    async run(signal) {
      let told: ErrorCode | undefined;
      while (!signal.aborted) {
        const startedAt = clock.monotonic();
        try {
          return await service.run(signal);
        } catch (error) {
          if (!isWatershedError(error) || !passing.has(error.code)) throw error;
          // What was not done is done by the next start.
          if (signal.aborted) return;
          // Once, not each time: a full disk may last a night.
          if (clock.monotonic() - startedAt > toldAgainAfterMs) told = undefined;
          if (error.code !== told) logger.warn('begins_anew', { service: service.name, reason: error.message, hint: error.hint });
          told = error.code;
          await clock.sleep(beginAnewMs, signal).catch(() => undefined);
        }
      }
    },
  };
}
