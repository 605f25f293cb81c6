/** Time and chance are passed in, so that tests can move the one and fix the other. Only this file asks the system. */
export interface Clock {
  /** Milliseconds since 1970, UTC. May step when the machine's clock is set. */
  now(): number;
  /** Milliseconds that only grow, from an arbitrary start: for durations. */
  monotonic(): number;
  /** Resolves after `ms` milliseconds; rejects with the signal's reason as soon as it is aborted. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** Calls back once after `ms`; the returned function cancels. The timer does not keep the process alive. */
  timer(ms: number, callback: () => void): () => void;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep(ms, signal) {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const onAbort = (): void => {
        clearTimeout(timeout);
        reject(signal?.reason);
      };
      const timeout = setTimeout(() => {
        signal?.removeEventListener('abort', onAbort);
        resolve();
      }, ms);
      signal?.addEventListener('abort', onAbort, { once: true });
    });
  },
  timer(ms, callback) {
    const timeout = setTimeout(callback, ms);
    timeout.unref();
    return () => clearTimeout(timeout);
  },
};

/** A clock that only moves when told. `advance` runs due timers in order and lets their promises settle. */
export interface ManualClock extends Clock {
  advance(ms: number): Promise<void>;
}

export function manualClock(startMs = 1_700_000_000_000): ManualClock {
  let now = startMs;
  const timers = new Set<{ at: number; run: () => void }>();
  const add = (ms: number, run: () => void): (() => void) => {
    const entry = { at: now + ms, run };
    timers.add(entry);
    return () => timers.delete(entry);
  };
  return {
    now: () => now,
    monotonic: () => now,
    timer: add,
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        if (signal?.aborted) return reject(signal.reason);
        const cancel = add(ms, resolve);
        signal?.addEventListener('abort', () => {
          cancel();
          reject(signal.reason);
        }, { once: true });
      }),
    async advance(ms) {
      const until = now + ms;
      for (;;) {
        await new Promise((resolve) => setImmediate(resolve));
        const due = [...timers].filter((timer) => timer.at <= until).sort((a, b) => a.at - b.at)[0];
        if (due === undefined) break;
        timers.delete(due);
        now = Math.max(now, due.at);
        due.run();
      }
      now = until;
    },
  };
}

/** A source of chance: numbers in [0, 1). */
export type Random = () => number;

export const systemRandom: Random = () => Math.random();

/** The same numbers for the same seed (mulberry32), for tests and simulations. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}
