import type { Clock } from '../clock.ts';
import type { Database } from '../database/database.ts';
import { isWatershedError } from '../errors.ts';
import { eventsChannel } from './registry.ts';

/** A wait that a change of the events ends early. */
export interface Changes extends AsyncDisposable {
  /** Resolves when an event has changed since the last call, when `ms` have passed, or with the signal. */
  next(ms: number, signal: AbortSignal): Promise<void>;
}

const retryMs = 500;

/**
 * Listens for changes of the events in any process. While the database cannot be reached, waits are simply not cut
 * short.
 */
export async function openChanges(database: Database, clock: Clock, signal: AbortSignal): Promise<Changes> {
  let told = Promise.withResolvers<void>();
  const closed = new AbortController();
  const either = AbortSignal.any([signal, closed.signal]);
  const listen = async (): Promise<AsyncDisposable | undefined> => {
    while (!either.aborted) {
      try {
        return await database.listen(eventsChannel, () => told.resolve());
      } catch (error) {
        if (!isWatershedError(error) || !error.retryable) throw error;
        await clock.sleep(retryMs, either).catch(() => undefined);
      }
    }
    return undefined;
  };
  const listening = listen();
  // Thrown by the next wait: a listener that can never be had is no reason to go on without.
  const failed = listening.then(() => new Promise<never>(() => undefined));
  failed.catch(() => undefined);
  return {
    async next(ms, stop) {
      const timer = new AbortController();
      const timeout = clock.sleep(ms, AbortSignal.any([stop, timer.signal])).catch(() => undefined);
      await Promise.race([told.promise, timeout, failed]);
      timer.abort();
      told = Promise.withResolvers();
    },
    async [Symbol.asyncDispose]() {
      closed.abort();
      await (await listening.catch(() => undefined))?.[Symbol.asyncDispose]();
    },
  };
}
