import type { Clock } from '#core/clock.ts';
import type { CrisisEvent } from '#core/contract/event.ts';
import { isWatershedError } from '#core/errors.ts';
import { compileRules, type Matcher } from '#core/match/matcher.ts';
import type { EventFeed, JournalItem, SourceItem } from '../source.ts';
import type { Backoff } from './backoff.ts';
import type { Channel } from './channel.ts';
import { gapItem, type Gap, type GapFiller } from './gaps.ts';
import type { RuleKeeper } from './rules.ts';
import { endOf, startOf } from './span.ts';
import type { Budget, PendingGap, XState } from './state.ts';

export interface XOptions {
  /** Address of the API without a path, such as https://api.x.com. */
  readonly url: string;
  /** App-only bearer token. It goes into the header of requests and nowhere else. */
  readonly token: string;
  readonly clock: Clock;
  /** Collecting stops before X has delivered this many posts in a month (UTC); 0 is no limit. */
  readonly postsPerMonth: number;
  /** Told of every post that X delivered and nobody follows any more. */
  readonly onDropped?: (reason: string) => void;
}

/** What the parts of source `x` share while it runs. */
export interface Collector {
  readonly options: XOptions;
  readonly state: XState;
  readonly budget: Budget;
  readonly channel: Channel<SourceItem>;
  readonly events: EventFeed;
  readonly signal: AbortSignal;
  readonly keeper: RuleKeeper;
  readonly filler: GapFiller;
  readonly backoff: Backoff;
  readonly rulesBackoff: Backoff;
  readonly fills: Set<Promise<void>>;
  /** The events as last looked at, and what matches them. */
  current: readonly CrisisEvent[];
  matcher: Matcher;
  /** The events whose rules X is known to have, as a key; undefined where that is to be found out. */
  inForce: string | undefined;
  /** Why posts are being missed since `state.aliveAtMs`. */
  lossCause: string;
}

/** Looks at the events anew: X is asked for those that have begun and not ended, for it bills every post. */
export function refresh(collector: Collector): void {
  const nowMs = collector.options.clock.now();
  collector.current = collector.events.current().filter((event) => startOf(event) <= nowMs && nowMs < endOf(event));
  collector.matcher = compileRules(collector.current);
}

/** An event may begin or end later than a timer can hold. */
const longestWaitMs = 3_600_000;

/**
 * Resolves at the next change of what is to be followed: of the list, or because an event begins or ends. What it gives
 * is aborted with the signal and never unhandled.
 */
export function nextChange({ events, options: { clock } }: Collector, signal: AbortSignal): Promise<void> {
  const changed = events.changed(signal);
  const nowMs = clock.now();
  const moments = events.current().flatMap((event) => [startOf(event), endOf(event)]).filter((ms) => ms > nowMs);
  const over = new AbortController();
  const either = AbortSignal.any([signal, over.signal]);
  const moment = Math.min(...moments);
  const waited = moment === Number.POSITIVE_INFINITY ? new Promise<never>(() => undefined)
    : clock.sleep(Math.min(moment - nowMs, longestWaitMs), either);
  const first = Promise.race([changed, waited]).finally(() => over.abort());
  for (const promise of [changed, waited, first]) promise.catch(() => undefined);
  return first;
}

/**
 * Makes the rules at X those of the current events. True when they are; false after a wait, when it should be tried
 * again. Throws only what needs a person.
 */
export async function reconcile(collector: Collector, signal: AbortSignal): Promise<boolean> {
  const key = collector.current.map(({ id, version }) => `${id}@${version}`).join(' ');
  if (collector.inForce === key) return true;
  try {
    for (const item of await collector.keeper.reconcile(collector.current)) await collector.channel.put(item);
    collector.inForce = key;
    collector.rulesBackoff.reset();
    return true;
  } catch (error) {
    if (!isWatershedError(error) || !error.retryable || signal.aborted) throw error;
    const reset = error.context['resetInMs'];
    const waitMs = collector.rulesBackoff.after(error.code === 'rate_limited' ? 'rate_limited' : 'http',
      typeof reset === 'number' ? reset : undefined);
    await tell(collector, { kind: 'rules_changed', cause: `X did not take the rules: ${error.message}`, count: 0, detail: { waitMs } });
    await collector.options.clock.sleep(waitMs, signal);
    return false;
  }
}

/** The stream is whole again: what lies between is a gap of all events that were followed before. */
export async function fillLoss(collector: Collector, connectedAtMs: number): Promise<void> {
  const { state, events, lossCause } = collector;
  const sinceMs = state.aliveAtMs;
  // Also of events that have ended meanwhile.
  const known = events.current().filter((event) => state.events.includes(event.id)
    && sinceMs !== undefined && startOf(event) < connectedAtMs && endOf(event) > sinceMs);
  if (sinceMs !== undefined && known.length > 0) {
    await startFill(collector, { sinceMs, untilMs: connectedAtMs, cause: lossCause, events: known });
  }
  state.aliveAtMs = connectedAtMs;
}

const pastCause = 'it began before it was followed';

/** What events cover and lies before they were first followed is asked for, once. A pause is no gap. */
export async function fillPast(collector: Collector, nowMs: number): Promise<void> {
  const { state, events } = collector;
  const asked = state.asked ??= {};
  for (const event of events.current()) {
    const sinceMs = startOf(event);
    if (sinceMs > nowMs) continue;
    const isNew = !state.events.includes(event.id);
    if (isNew) state.events.push(event.id);
    const hasStart = sinceMs > Number.NEGATIVE_INFINITY;
    // An event that ended before it was made is asked for to its end. Cursors of before 0.1 knew nothing of `asked`.
    const untilMs = asked[event.id] ?? (isNew || !hasStart ? Math.min(nowMs, endOf(event)) : sinceMs);
    asked[event.id] = hasStart ? Math.min(untilMs, sinceMs) : untilMs;
    if (!hasStart || sinceMs >= untilMs) continue;
    await startFill(collector, { sinceMs, untilMs, cause: pastCause, events: [event], eventId: event.id });
  }
}

/** What recent search was being asked for when we were stopped: also for events that were paused since. */
export function resumeFills(collector: Collector): void {
  for (const pending of collector.state.gaps ?? []) fillBeside(collector, pending, pending);
}

/** So many at once: a connection that is lost faster than gaps can be filled is no reason to hold ever more. */
const fillsMax = 200;

/** The gap is told before this resolves, hence before any cursor behind it; filling goes on beside the stream. */
async function startFill(collector: Collector, gap: Gap): Promise<void> {
  const { channel, state } = collector;
  const gaps = state.gaps ??= [];
  if (gaps.length >= fillsMax) return channel.put(gapItem(gap, { notFilled: [`${fillsMax} other gaps are still being filled`] }));
  const pending = { ...gap, events: gap.events.map(({ id, rule, start, end }) => ({ id, rule, start, end })) };
  gaps.push(pending);
  await channel.put(gapItem(gap, {}));
  fillBeside(collector, gap, pending);
}

/** A gap whose filling is cut short by our own stop stays in the state, for the next start. */
function fillBeside(collector: Collector, gap: Gap, pending: PendingGap): void {
  const { channel, filler, fills, signal, state } = collector;
  const filling: Promise<void> = filler.fill(gap, (item) => channel.put(item), signal).then(() => {
    state.gaps = (state.gaps ?? []).filter((one) => one !== pending);
    return tellCursor(collector);
  }).catch(() => undefined).finally(() => fills.delete(filling));
  fills.add(filling);
}

export async function tell(collector: Collector, entry: JournalItem['entry']): Promise<void> {
  await collector.channel.put({ kind: 'journal', entry });
}

export async function tellCursor(collector: Collector): Promise<void> {
  const { channel, state } = collector;
  await channel.put({ kind: 'cursor', cursor: JSON.stringify(state), readUntilMs: state.aliveAtMs ?? null });
}
