import type { Clock } from '../clock.ts';
import type { CollectorName, CrisisEvent } from '../contract/event.ts';
import type { Database } from '../database/database.ts';
import { isWatershedError } from '../errors.ts';
import type { Service } from '../service.ts';
import { openChanges } from './changes.ts';
import type { Registry } from './registry.ts';
import { readSpans, type EventSpan } from './spans.ts';

/** The active events of one source, as they are now, in whatever process. */
export interface EventFeed {
  current(): readonly CrisisEvent[];
  /** Resolves when the list is another than `current` gave last; rejects when the signal is aborted. */
  changed(signal: AbortSignal): Promise<void>;
  /** How they were followed between two instants, by the rules of then. Waits while the database is away. */
  during(sinceMs: number, untilMs: number, signal: AbortSignal): Promise<readonly EventSpan[]>;
}

export interface Feeds {
  /** A feed for one reader: `changed` counts from that reader's last `current`. */
  of(source: CollectorName): EventFeed;
  readonly service: Service;
}

/** Read anew this often also when no change was told: a lost notification costs no more. */
const pollMs = 5_000;
const retryMs = 1_000;

/** Follows the registry by LISTEN/NOTIFY, so that a change is in force in every process within moments. */
export async function openFeeds(
  { database, registry, clock }: { database: Database; registry: Registry; clock: Clock },
): Promise<Feeds> {
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
    of(source) {
      let seen = events;
      const mine = (list: readonly CrisisEvent[]): CrisisEvent[] =>
        list.filter((event) => event.status === 'active' && event.sources.includes(source));
      const isNews = (): boolean => seen !== events && JSON.stringify(mine(seen)) !== JSON.stringify(mine(events));
      return {
        current() {
          seen = events;
          return mine(events);
        },
        async changed(signal) {
          while (!isNews()) await orAborted(change.promise, signal);
        },
        async during(sinceMs, untilMs, signal) {
          for (;;) {
            try {
              return await readSpans(database, source, sinceMs, untilMs);
            } catch (error) {
              if (!isWatershedError(error) || !error.retryable || signal.aborted) throw error;
              await clock.sleep(retryMs, signal);
            }
          }
        },
      };
    },
    service: {
      name: 'event feed',
      async run(signal) {
        await using changes = await openChanges(database, clock, signal);
        while (!signal.aborted) {
          await refresh().catch((error: unknown) => {
            if (!isWatershedError(error) || !error.retryable) throw error;
          });
          await changes.next(pollMs, signal);
        }
      },
    },
  };
}

function orAborted(promise: Promise<void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    if (signal.aborted) return onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    void promise.then(() => {
      signal.removeEventListener('abort', onAbort);
      resolve();
    });
  });
}
