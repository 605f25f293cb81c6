import type { Clock } from '../clock.ts';
import { WatershedError } from '../errors.ts';

const firstDelayMs = 100;
const delayMsMax = 3_000;
const forgottenAfterMs = 600_000;
const waitingMax = 20; // of one address; more at once is no person
const addressesMax = 10_000;

/** Makes guessing slow. Who is right is never kept waiting. */
export interface Slowdown {
  /**
   * Resolves when the refusal may be sent: later after each failure, one at a time per address. Throws
   * `rate_limited`.
   */
  failed(address: string): Promise<void>;
  succeeded(address: string): void;
}

export function createSlowdown(clock: Clock): Slowdown {
  const known = new Map<string, { failures: number; lastAt: number; waiting: number; turn: Promise<void> }>();
  return {
    async failed(address) {
      const now = clock.monotonic();
      const entry = known.get(address) ?? { failures: 0, lastAt: now, waiting: 0, turn: Promise.resolve() };
      if (now - entry.lastAt > forgottenAfterMs) entry.failures = 0;
      if (entry.waiting >= waitingMax) {
        throw new WatershedError('rate_limited', 'too many wrong tokens from this address', {
          hint: 'wait a few seconds',
        });
      }
      // Re-entered, so that the first of the map is the one that has been quiet for longest.
      known.delete(address);
      known.set(address, entry);
      const [oldest] = known.keys();
      if (known.size > addressesMax && oldest !== undefined) known.delete(oldest);
      entry.lastAt = now;
      entry.waiting++;
      const delayMs = Math.min(firstDelayMs * 2 ** entry.failures++, delayMsMax);
      entry.turn = entry.turn.then(() => clock.sleep(delayMs));
      await entry.turn;
      entry.waiting--;
    },
    succeeded(address) {
      known.delete(address);
    },
  };
}
