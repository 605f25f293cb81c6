import { WatershedError } from './errors.ts';

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
