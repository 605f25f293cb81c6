import type { Clock } from '../clock.ts';

export interface Wakeups extends AsyncDisposable {
  /** Wakes who waits for `key`; without one, everybody. */
  wake(key: string | undefined): void;
  /**
   * Calls `attempt` until it finds something, `waitMs` are over (then: an empty list), or the signal is aborted
   * (rejects).
   */
  until<Found>(
    key: string,
    pollMs: number,
    options: { readonly waitMs: number; readonly signal?: AbortSignal },
    attempt: () => Promise<Found[]>,
  ): Promise<Found[]>;
}

/**
 * Waiting for what another process does: woken by a notification, or by asking again every `pollMs` where none came.
 * `connect` starts the notifications when somebody first waits; where it fails, polling has to do until the next wait.
 */
export function createWakeups(connect: () => Promise<AsyncDisposable>, clock: Clock): Wakeups {
  const waiting = new Map<string, Set<() => void>>();
  let listening: Promise<AsyncDisposable | undefined> | undefined;
  const listen = async (): Promise<void> => {
    listening ??= connect().catch(() => {
      listening = undefined;
      return undefined;
    });
    await listening;
  };
  const enter = (key: string): { woken: Promise<void>; leave: () => void } => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const group = waiting.get(key) ?? new Set();
    waiting.set(key, group.add(resolve));
    return {
      woken: promise,
      leave() {
        group.delete(resolve);
        if (group.size === 0) waiting.delete(key);
      },
    };
  };
  return {
    wake(key) {
      const groups = key === undefined ? [...waiting.values()] : [waiting.get(key) ?? new Set()];
      for (const resolve of groups.flatMap((group) => [...group])) resolve();
    },
    async until(key, pollMs, { waitMs, signal }, attempt) {
      signal?.throwIfAborted();
      const deadline = clock.monotonic() + waitMs;
      if (waitMs > 0) await listen();
      for (;;) {
        // Entered before looking: what happens after the look wakes us.
        const { woken, leave } = enter(key);
        try {
          const found = await attempt();
          signal?.throwIfAborted();
          const left = deadline - clock.monotonic();
          if (found.length > 0 || left <= 0) return found;
          await pause(woken, Math.min(left, pollMs), clock, signal);
        } finally {
          leave();
        }
      }
    },
    async [Symbol.asyncDispose]() {
      const listener = await listening;
      listening = undefined;
      await listener?.[Symbol.asyncDispose]();
    },
  };
}

async function pause(woken: Promise<void>, ms: number, clock: Clock, signal: AbortSignal | undefined): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const cancel = clock.timer(ms, resolve);
  const onAbort = (): void => reject(signal?.reason);
  signal?.addEventListener('abort', onAbort, { once: true });
  try {
    await Promise.race([woken, promise]);
  } finally {
    cancel();
    signal?.removeEventListener('abort', onAbort);
  }
}
