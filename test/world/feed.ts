import type { CrisisEvent } from '#core/contract/event.ts';
import type { EventFeed } from '#ingest/sources/source.ts';

/** The events as a collector sees them, changed by the test, with the history that a registry would keep. */
export interface FakeFeed extends EventFeed {
  set(events: readonly CrisisEvent[]): void;
}

/** `earlier`: how the events were before, and until when. */
export function createFakeFeed(
  initial: readonly CrisisEvent[], nowMs: () => number = Date.now,
  earlier: readonly { readonly untilMs: number; readonly events: readonly CrisisEvent[] }[] = [],
): FakeFeed {
  const states = [...earlier];
  let events = initial;
  let next = Promise.withResolvers<void>();
  return {
    // A new list each time, as a feed over a database gives it.
    current: () => [...events],
    changed: (signal) => new Promise((resolve, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason), { once: true });
      void next.promise.then(resolve);
    }),
    during: async (sinceMs, untilMs) => [...states, { untilMs: Number.POSITIVE_INFINITY, events }].flatMap((state, index) => {
      const beganMs = states[index - 1]?.untilMs ?? Number.NEGATIVE_INFINITY;
      if (beganMs >= untilMs || state.untilMs <= sinceMs) return [];
      return state.events.map(({ id, rule, start, end }) => ({ id, rule, start, end, sinceMs: beganMs, untilMs: state.untilMs }));
    }),
    set(changed) {
      states.push({ untilMs: nowMs(), events });
      events = changed;
      next.resolve();
      next = Promise.withResolvers();
    },
  };
}
