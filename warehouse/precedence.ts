import type { Clock } from '#core/clock.ts';
import type { Batch } from './gather.ts';

/** When a batch that was gathered is encoded: calls `work` once, and resolves to what it gives. */
export type Pace = <Result>(batch: Batch, signal: AbortSignal, work: () => Promise<Result>) => Promise<Result>;

/** Where there is a backlog, a full batch is followed by the next one within this time. */
const betweenBatchesMs = 500;
/** Nobody waits longer: in a backlog without end the second gets a batch now and then, too. */
const waitMsMax = 30_000;
const pollMs = 50;

/**
 * The paces of two landings that share the processors. While the first is behind, which full batches tell, the second
 * waits: after a night's backlog posts can be asked as early as can be, and the JSON that they were made from follows.
 * The end of the second's signal ends its waiting.
 */
export function inPrecedence(clock: Clock, fullBytes: number): { readonly first: Pace; readonly second: Pace } {
  let behindUntilMs = -Infinity;
  return {
    async first(batch, _signal, work) {
      const full = batch.bytes >= fullBytes;
      behindUntilMs = full ? Infinity : -Infinity;
      try {
        return await work();
      } finally {
        if (full) behindUntilMs = clock.monotonic() + betweenBatchesMs;
      }
    },
    async second(_batch, signal, work) {
      const latestMs = clock.monotonic() + waitMsMax;
      while (clock.monotonic() < Math.min(behindUntilMs, latestMs) && !signal.aborted) {
        await clock.sleep(pollMs, signal).catch(() => undefined);
      }
      return work();
    },
  };
}
