/**
 * How long to wait before the next attempt, by kind of failure, after X's page on handling disconnections: TCP and IP
 * errors at once, then 250 ms more each time up to 16 s; HTTP errors 5 s doubling up to 320 s; 429 from 60 s doubling,
 * unless its header says when the window ends.
 */
export type FailureKind = 'network' | 'http' | 'rate_limited';

export interface Backoff {
  /** Milliseconds to wait after this failure. `resetInMs`: what the x-rate-limit-reset header says, if there is one. */
  after(kind: FailureKind, resetInMs?: number): number;
  /** The connection held: the next failure begins anew. */
  reset(): void;
  /** True when the last wait was the longest of its kind: somebody should look at it. */
  atCeiling(): boolean;
}

const networkStepMs = 250;
const networkMaxMs = 16_000;
const httpFirstMs = 5000;
const httpMaxMs = 320_000;
const rateFirstMs = 60_000;
/** A window of the rate limits lasts 15 minutes: waiting longer gains nothing. */
const rateMaxMs = 900_000;

export function createBackoff(): Backoff {
  let kind: FailureKind | undefined;
  let failures = 0;
  let ceiling = false;
  return {
    after(next, resetInMs) {
      failures = next === kind ? failures + 1 : 0;
      kind = next;
      const waitMs = waitOf(next, failures);
      ceiling = waitMs === (next === 'network' ? networkMaxMs : next === 'http' ? httpMaxMs : rateMaxMs);
      // A second more than the header says: clocks of two machines, and a window ends at the end of its second.
      if (resetInMs === undefined || next !== 'rate_limited') return waitMs;
      // A window that is over already, and a refusal again: somebody's clock is wrong.
      if (resetInMs <= 0 && failures > 0) return waitMs;
      return Math.min(Math.max(resetInMs, 0), rateMaxMs) + 1000;
    },
    reset() {
      kind = undefined;
      failures = 0;
      ceiling = false;
    },
    atCeiling: () => ceiling,
  };
}

function waitOf(kind: FailureKind, failures: number): number {
  switch (kind) {
    case 'network':
      return Math.min(failures * networkStepMs, networkMaxMs);
    case 'http':
      return Math.min(httpFirstMs * 2 ** failures, httpMaxMs);
    case 'rate_limited':
      return Math.min(rateFirstMs * 2 ** failures, rateMaxMs);
  }
}
