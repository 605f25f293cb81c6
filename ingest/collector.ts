import type { Clock } from '#core/clock.ts';
import type { Database } from '#core/database/database.ts';
import { withLease } from '#core/database/lease.ts';
import { isWatershedError, messageOf } from '#core/errors.ts';
import type { Log } from '#core/log/log.ts';
import type { Logger } from '#core/logger.ts';
import type { Metrics } from '#core/metrics.ts';
import { isAbort, type Service } from '#core/service.ts';
import { createBatch, type Batch } from './batch.ts';
import { beatMs, type CursorStore } from './cursor.ts';
import type { EventFeed, Source } from './sources/source.ts';

export interface CollectorOptions {
  readonly source: Source;
  /** Which of our accounts it reads with; empty where there is only one. */
  readonly account: string;
  readonly feed: EventFeed;
  readonly log: Log;
  readonly database: Database;
  readonly cursors: CursorStore;
  readonly holder: string;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly logger: Logger;
}

/** A source that cannot go on without a person is tried again after this, doubling: a token may be valid again. */
const retryFirstMs = 60_000;
const retryMostMs = 900_000;
const retryPassingMs = 1_000;

/**
 * Source to log, one process at a time by lease: reads items, appends them in batches, and stores the source's cursor
 * only after everything before it is in the log. So a break repeats items, which the writer knows as duplicates, and
 * loses none.
 *
 * A source that ends with an error is told in the journal and tried again: no network stops the rest of the house. Only
 * our own corruption does.
 */
export function createCollector(options: CollectorOptions): Service {
  const { source, account, database, holder, clock, logger } = options;
  return {
    name: `collector ${source.name}`,
    async run(signal) {
      for (let failures = 0; !signal.aborted; ) {
        const startedAt = clock.monotonic();
        try {
          await withLease(database, `collector/${source.name}/${account}`, holder, { clock, signal },
            (held) => collect(options, AbortSignal.any([signal, held])));
        } catch (error) {
          // We are stopping. What the log could not take any more is asked of the source again: the cursor stands
          // before it.
          if (signal.aborted && (isAbort(error, signal) || (isWatershedError(error) && error.retryable))) return;
          if (isWatershedError(error, 'fenced')) continue; // another process reads now: we stand by
          if (!isWatershedError(error) || !isOfTheWorld.has(error.code)) throw error;
          if (clock.monotonic() - startedAt > retryMostMs) failures = 0;
          // Where it passes by itself, such as a database that is away, it is to be seen again soon.
          const firstMs = error.retryable ? retryPassingMs : retryFirstMs;
          const waitMs = Math.min(firstMs * 2 ** failures++, error.retryable ? retryFirstMs : retryMostMs);
          logger.error('collector_failed', { source: source.name, code: error.code, reason: error.message, waitMs });
          await clock.sleep(waitMs, signal).catch(() => undefined);
        }
      }
    },
  };
}

/** Codes that say something of a network or of what was configured for it; any other is our own mistake. */
const isOfTheWorld: ReadonlySet<string> = new Set(['unauthorized', 'forbidden', 'bad_config', 'rate_limited', 'unavailable', 'not_found', 'limit_exceeded']);

async function collect(options: CollectorOptions, signal: AbortSignal): Promise<void> {
  const { source, account, feed, cursors } = options;
  const batch = createBatch(options, signal);
  const cursor = await batch.persist(() => cursors.load(source.name, account));
  const idle = options.feed.current().length === 0;
  await batch.report({ state: 'starting', ...(idle ? { message: 'no active event asks for this source', readUntilMs: null } : {}) });
  const items = source.read({ cursor, events: feed, signal })[Symbol.asyncIterator]();
  const over = new AbortController();
  const beating = beat(batch, options.clock, AbortSignal.any([signal, over.signal]));
  try {
    await pump(items, batch, signal);
  } catch (error) {
    if (isAbort(error, signal)) return;
    batch.add({ kind: 'journal', entry: { kind: 'disconnected', cause: messageOf(error) } });
    await batch.flush();
    await batch.report({ state: 'failed', message: messageOf(error) });
    throw error;
  } finally {
    over.abort();
    await beating;
    await items.return?.();
    // What was taken from the source goes into the log also when we stop. Under a lost lease the cursor is another's.
    if (!isWatershedError(signal.reason, 'fenced')) await batch.flush();
  }
}

/** An idle collector says that it lives, too. */
async function beat(batch: Batch, clock: Clock, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await clock.sleep(beatMs, signal).catch(() => undefined);
    if (!signal.aborted) await batch.beat();
  }
}

async function pump(items: AsyncIterator<Parameters<Batch['add']>[0]>, batch: Batch, signal: AbortSignal): Promise<void> {
  let next = items.next();
  next.catch(() => undefined);
  while (!signal.aborted) {
    // An item or the age of the batch, whichever comes first; the item that is still under way is kept for the next
    // turn.
    const turn = await Promise.race([next, batch.due]);
    if (turn?.done) return;
    if (turn !== undefined) {
      batch.add(turn.value);
      next = items.next();
      next.catch(() => undefined);
    }
    if (batch.isDue()) await batch.flush();
  }
}
