import type { Clock } from '../clock.ts';
import type { CollectorName, CrisisEvent } from '../contract/event.ts';
import type { Database } from '../database/database.ts';
import { isWatershedError } from '../errors.ts';
import type { Service } from '../service.ts';
import { eventsChannel, type Registry } from './registry.ts';

/** The active events of one source, as they are now, in whatever process. */
export interface EventFeed {
  current(): readonly CrisisEvent[];
  /** Resolves at the next change; rejects when the signal is aborted. */
  changed(signal: AbortSignal): Promise<void>;
}

export interface Feeds {
  of(source: CollectorName): EventFeed;
  readonly service: Service;
}

/** Read anew this often also when no change was told: a lost notification costs no more. */
const pollMs = 5_000;

/** Follows the registry by LISTEN/NOTIFY, so that a change is in force in every process within moments. */
export async function openFeeds({ database, registry, clock }: { database: Database; registry: Registry; clock: Clock }): Promise<Feeds> {
  let events: readonly CrisisEvent[] = await registry.list();
  let change = Promise.withResolvers<void>();
  const refresh = async (): Promise<void> => {
    const next = await registry.list();
    if (JSON.stringify(next) === JSON.stringify(events)) return;
    events = next;
    change.resolve();
    change = Promise.withResolvers<void>();
  };
  return {
    of: (source) => ({
      current: () => events.filter((event) => event.status === 'active' && event.sources.includes(source)),
      changed: (signal) => new Promise((resolve, reject) => {
        if (signal.aborted) return reject(signal.reason);
        const onAbort = (): void => reject(signal.reason);
        signal.addEventListener('abort', onAbort, { once: true });
        void change.promise.then(() => {
          signal.removeEventListener('abort', onAbort);
          resolve();
        });
      }),
    }),
    service: {
      name: 'event feed',
      async run(signal) {
        let told = Promise.withResolvers<void>();
        await using _listener = await database.listen(eventsChannel, () => told.resolve());
        while (!signal.aborted) {
          told = Promise.withResolvers<void>();
          await refresh().catch((error: unknown) => {
            if (!isWatershedError(error) || !error.retryable) throw error;
          });
          const timer = new AbortController();
          await Promise.race([told.promise, clock.sleep(pollMs, AbortSignal.any([signal, timer.signal])).catch(() => undefined)]);
          timer.abort();
        }
      },
    },
  };
}
