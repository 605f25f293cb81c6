import { isAbort } from '#core/service.ts';
import { fillPast, nextChange, reconcile, refresh, tellCursor, type Collector } from './collector.ts';
import type { Connection, StreamItem } from './connection.ts';
import type { Failure } from './failure.ts';
import { readMessage } from './message.ts';

const cursorEveryMs = 1000;

/** Why we closed a connection ourselves. */
export const ownReasons = { nothingToFollow: 'no active event', budgetSpent: 'the budget of posts for this month is used up' } as const;

/** Reads a connection to its end, while the rules follow the events. Throws what needs a person. */
export async function followConnection(collector: Collector, connection: Connection): Promise<Failure> {
  const { options: { clock }, budget, state } = collector;
  const over = new AbortController();
  const rules = keepRules(collector, AbortSignal.any([collector.signal, over.signal]));
  let toldAtMs = clock.monotonic();
  let newestMs = Number.NEGATIVE_INFINITY;
  try {
    for await (const item of connection.items) {
      if (rules.failed() || collector.signal.aborted) break;
      if (item.kind === 'line') {
        const { failure, createdAtMs } = await handleLine(collector, item);
        if (failure !== undefined) return failure;
        newestMs = Math.max(newestMs, (createdAtMs ?? newestMs) - collector.skewMs());
        if (budget.spent(clock.now())) return ownFailure(ownReasons.budgetSpent);
      } else {
        state.aliveAtMs = item.isBehind ? Math.max(state.aliveAtMs ?? 0, Math.min(newestMs, item.atMs)) : item.atMs;
        if (collector.current.length === 0) return ownFailure(ownReasons.nothingToFollow);
        if (clock.monotonic() - toldAtMs < cursorEveryMs) continue;
        toldAtMs = clock.monotonic();
        await tellCursor(collector);
      }
    }
    return connection.failure();
  } finally {
    over.abort();
    await rules.done;
  }
}

function ownFailure(cause: string): Failure {
  return { kind: 'network', cause, detail: '' };
}

interface Handled {
  /** Where X says with this line that the connection ends. */
  readonly failure?: Failure;
  /** By X's clock, of a post. */
  readonly createdAtMs?: number | undefined;
}

/** What a line is becomes an item. */
async function handleLine(collector: Collector, line: Extract<StreamItem, { kind: 'line' }>): Promise<Handled> {
  const { bytes, bytesLength } = line;
  const dead = async (reason: string): Promise<Handled> => {
    await collector.channel.put({ kind: 'dead', reason, bytes, ...(bytesLength === undefined ? {} : { bytesLength }) });
    return {};
  };
  if (bytesLength !== undefined) return dead('it is too long for a post');
  const message = readMessage(bytes);
  switch (message.kind) {
    case 'post': {
      const { channel, keeper, budget, options, current, matcher } = collector;
      const receivedAtMs = options.clock.now();
      budget.count(1, receivedAtMs);
      // A post that says nothing of rules is judged by ourselves.
      const matches = message.rules.length === 0 ? matcher.match(message.matchable)
        : keeper.eventsOf(message.rules).filter((id) => current.some((event) => event.id === id))
          .map((id) => ({ id, matched: matcher.matchedTerms(id, message.matchable) }));
      if (matches.length === 0) options.onDropped?.(ownReasons.nothingToFollow);
      else await channel.put({ kind: 'post', source: 'x', format: 'x.v2', events: matches, receivedAtMs, body: bytes });
      return { createdAtMs: message.createdAtMs };
    }
    case 'error': {
      const { title: cause, detail } = message;
      if (/operational-disconnect/i.test(cause)) return { failure: { kind: 'network', cause, detail } };
      if (/TooManyConnections|ConnectionException|UsageCap/i.test(cause)) return { failure: { kind: 'rate_limited', cause, detail } };
      return dead(`an error that X sent: ${cause}`);
    }
    case 'unknown':
      return dead(`a message of an unknown type: ${message.keys}`);
    case 'broken':
      return dead(message.reason);
  }
}

/** Reconciles at every change of the events until the signal. `done` throws what needs a person. */
function keepRules(collector: Collector, signal: AbortSignal): { done: Promise<void>; failed(): boolean } {
  let failed = false;
  const run = async (): Promise<void> => {
    while (!signal.aborted) {
      // Subscribed first: what changed while the connection was opened is seen here, and nothing falls between.
      const changed = nextChange(collector, signal);
      refresh(collector);
      while (!signal.aborted && !await reconcile(collector, signal, true)) refresh(collector);
      await fillPast(collector, collector.options.clock.now());
      await changed;
    }
  };
  const done = run().catch((error: unknown) => {
    if (signal.aborted || isAbort(error, signal)) return;
    failed = true;
    throw error;
  });
  done.catch(() => undefined);
  return { done, failed: () => failed };
}
