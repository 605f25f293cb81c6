import { compileRules } from '#core/match/matcher.ts';
import type { EventFeed, Source, SourceItem } from '../source.ts';
import { createXApi } from './api.ts';
import { createBackoff } from './backoff.ts';
import { createChannel } from './channel.ts';
import { fillLoss, fillPast, nextChange, reconcile, refresh, resumeFills, tell, tellCursor, type Collector, type XOptions } from './collector.ts';
import { connect } from './connection.ts';
import type { Failure } from './failure.ts';
import { followConnection, ownReasons } from './following.ts';
import { createGapFiller } from './gaps.ts';
import { createRuleKeeper } from './rules.ts';
import { createBudget, nextMonthMs, parseState } from './state.ts';

/**
 * The filtered stream of X API v2. One rule or several per event carry the event in their tag, so that X says to which
 * events a post belongs; our matcher says which terms matched. A changed event is a changed rule, not a new connection.
 *
 *     idle ──events──▶ connecting ──200──▶ following ──loss──▶ waiting ──▶ connecting
 *      ▲                   │ 401, 403: ends with `unauthorized`      (back-off by kind of failure)
 *      └──no events────────┴──────────── budget spent: waits for the next month
 *
 * What is missed between two connections is a gap in the journal, and is asked for from recent search.
 */
export function xSource(options: XOptions): Source {
  return { name: 'x', read: (input) => read(options, input) };
}

// Between reading and telling: a slow consumer holds the reader back, and X keeps what it can.
const itemsAheadMax = 500;
/** A connection that held so long begins a new series of attempts when it is lost. */
const heldMs = 60_000;

async function* read(
  options: XOptions, input: { cursor: string | undefined; events: EventFeed; signal: AbortSignal },
): AsyncGenerator<SourceItem> {
  const stop = new AbortController();
  const signal = AbortSignal.any([input.signal, stop.signal]);
  const channel = createChannel<SourceItem>(itemsAheadMax);
  using api = createXApi(options);
  const state = parseState(input.cursor, options.clock.now());
  const budget = createBudget(state, options.postsPerMonth);
  const collector: Collector = {
    options, state, budget, channel, signal, events: input.events,
    keeper: createRuleKeeper(api),
    skewMs: api.skewMs,
    filler: createGapFiller({ api, clock: options.clock, budget }),
    backoff: createBackoff(),
    rulesBackoff: createBackoff(),
    fills: new Set(),
    current: [],
    matcher: compileRules([]),
    inForce: undefined,
    lossCause: 'not running',
  };
  // Requests that are under way know nothing of the signal.
  signal.addEventListener('abort', () => api[Symbol.dispose](), { once: true });
  const running = run(collector);
  try {
    yield* channel;
  } finally {
    stop.abort();
    channel.close();
    await running;
  }
}

/** Follows until the signal, then ends the channel behind a last cursor; or with the error that needs a person. */
async function run(collector: Collector): Promise<void> {
  const { channel, signal, fills } = collector;
  try {
    resumeFills(collector);
    await follow(collector);
  } catch (error) {
    if (!signal.aborted) {
      await tellCursor(collector);
      return channel.fail(error);
    }
  }
  await Promise.allSettled(fills);
  await tellCursor(collector);
  channel.close();
}

async function follow(collector: Collector): Promise<void> {
  const { signal, state, options: { clock } } = collector;
  while (!signal.aborted) {
    const round = new AbortController();
    const changed = nextChange(collector, AbortSignal.any([signal, round.signal]));
    const wantedAtMs = clock.now();
    try {
      refresh(collector);
      await followOnce(collector, changed);
    } finally {
      round.abort();
      // Asked for and not had, not even once: from then on posts are missed.
      if (collector.current.length > 0 && state.aliveAtMs === undefined) {
        state.aliveAtMs = wantedAtMs;
        await tellCursor(collector);
      }
    }
  }
}

async function followOnce(collector: Collector, changed: Promise<void>): Promise<void> {
  const { signal, state, budget, options: { clock } } = collector;
  if (!await reconcile(collector, signal, false)) return;
  if (collector.current.length === 0) {
    // What was lost before the last event was paused. From now on nobody follows anything: nothing can be missed.
    await fillLoss(collector, clock.now());
    delete state.aliveAtMs;
    // An event that is over already has a past to ask for.
    await fillPast(collector, clock.now());
    await tellCursor(collector);
    await changed;
  } else if (budget.spent(clock.now())) await waitForNextMonth(collector);
  else await connectOnce(collector);
}

async function connectOnce(collector: Collector): Promise<void> {
  const { options: { url, token, clock }, signal, backoff } = collector;
  const opened = await connect({ url, token, clock, signal });
  if (!('items' in opened)) {
    // 409: the stream has no rules, whatever we believed.
    if (opened.status === 409) collector.inForce = undefined;
    return wait(collector, opened);
  }
  const connectedAtMs = clock.now();
  await tell(collector, { kind: 'connected' });
  await fillLoss(collector, connectedAtMs);
  await fillPast(collector, connectedAtMs);
  const failure = await followConnection(collector, opened);
  if (signal.aborted) return;
  if (clock.now() - connectedAtMs >= heldMs) backoff.reset();
  collector.lossCause = failure.cause;
  await tell(collector, { kind: 'disconnected', cause: failure.cause,
    ...(failure.detail === '' ? {} : { detail: { said: failure.detail } }) });
  await tellCursor(collector);
  const isOurs = failure.cause === ownReasons.nothingToFollow || failure.cause === ownReasons.budgetSpent;
  if (isOurs) return;
  // Whoever has the token may have changed the rules meanwhile: they are read before the stream is asked for again.
  collector.inForce = undefined;
  await wait(collector, failure);
}

/** Told where it is news: a limit, another cause than that of the loss, or the longest wait there is. */
async function wait(collector: Collector, failure: Failure): Promise<void> {
  const { backoff, signal, options: { clock } } = collector;
  const { kind, cause } = failure;
  const waitMs = backoff.after(kind, failure.resetInMs);
  const detail = { said: failure.detail, waitMs, ...(backoff.atCeiling() ? { longestWait: true } : {}) };
  if (kind === 'rate_limited') {
    await tell(collector, { kind, cause, sinceMs: clock.now(), untilMs: clock.now() + waitMs, detail });
  } else if (cause !== collector.lossCause || backoff.atCeiling()) await tell(collector, { kind: 'disconnected', cause, detail });
  collector.lossCause = cause;
  await clock.sleep(waitMs, signal);
}

async function waitForNextMonth(collector: Collector): Promise<void> {
  const { options: { clock }, state, signal } = collector;
  const untilMs = nextMonthMs(clock.now());
  collector.lossCause = ownReasons.budgetSpent;
  state.aliveAtMs ??= clock.now();
  await tell(collector, {
    kind: 'rate_limited', cause: ownReasons.budgetSpent, sinceMs: clock.now(), untilMs, count: state.posts,
  });
  await tellCursor(collector);
  // In pieces: a timer holds no month.
  while (clock.now() < untilMs) await clock.sleep(Math.min(untilMs - clock.now(), 86_400_000), signal);
}
