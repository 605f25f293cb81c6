import type { Clock } from '#core/clock.ts';
import type { CrisisEvent } from '#core/contract/event.ts';
import { isWatershedError } from '#core/errors.ts';
import { compileRules, type Matcher } from '#core/match/matcher.ts';
import type { EventFeed, JournalItem, SourceItem } from '../source.ts';
import type { Backoff } from './backoff.ts';
import type { Channel } from './channel.ts';
import { gapItem, type Followed, type Gap, type GapFiller } from './gaps.ts';
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
  /** How far X's clock is ahead of ours. */
  readonly skewMs: () => number;
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
 * again: what a connection that goes on misses until then is a gap of those whose rules are not in force. Throws only
 * what needs a person.
 */
export async function reconcile(collector: Collector, signal: AbortSignal, isConnected: boolean): Promise<boolean> {
  const { current, state, options: { clock } } = collector;
  const key = current.map(versionOf).join(' ');
  if (collector.inForce === key) return true;
  const askedAtMs = clock.now();
  try {
    for (const item of await collector.keeper.reconcile(current)) await collector.channel.put(item);
    const before = new Set(collector.inForce?.split(' '));
    collector.inForce = key;
    collector.rulesBackoff.reset();
    const news = current.filter((event) => !before.has(versionOf(event))).map(({ id }) => id);
    await fillUnruled(collector, news, isConnected);
    return true;
  } catch (error) {
    if (!isWatershedError(error) || !error.retryable || signal.aborted) throw error;
    state.unruledSinceMs ??= askedAtMs;
    const cause = `${unruledCause}: ${error.message}`;
    if (state.aliveAtMs === undefined) collector.lossCause = cause;
    const reset = error.context['resetInMs'];
    const waitMs = collector.rulesBackoff.after(error.code === 'rate_limited' ? 'rate_limited' : 'http',
      typeof reset === 'number' ? reset : undefined);
    await tell(collector, { kind: 'rules_changed', cause, count: 0, detail: { waitMs } });
    await clock.sleep(waitMs, signal);
    return false;
  }
}

const unruledCause = 'X did not take the rules';

function versionOf({ id, version }: CrisisEvent): string {
  return `${id}@${version}`;
}

/** X has the rules at last: what the stream did not bring of these events until now, or until it was lost. */
async function fillUnruled(collector: Collector, ids: readonly string[], isConnected: boolean): Promise<void> {
  const { state, options: { clock } } = collector;
  const { unruledSinceMs: sinceMs, aliveAtMs } = state;
  delete state.unruledSinceMs;
  const untilMs = isConnected ? clock.now() : aliveAtMs;
  if (sinceMs === undefined || untilMs === undefined || untilMs <= sinceMs) return;
  const events = (await missedBetween(collector, sinceMs, untilMs)).filter(({ id }) => ids.includes(id));
  if (events.length > 0) await startFill(collector, { sinceMs, untilMs, cause: unruledCause, events });
}

/**
 * The stream is whole again, or nobody asks for it any more: what lies between is a gap of all events that were
 * followed then, by the rules of then.
 */
export async function fillLoss(collector: Collector, untilMs: number): Promise<void> {
  const { state, lossCause } = collector;
  const sinceMs = state.aliveAtMs;
  const events = sinceMs === undefined || sinceMs >= untilMs ? [] : await missedBetween(collector, sinceMs, untilMs);
  state.aliveAtMs = untilMs;
  if (sinceMs === undefined || events.length === 0) return;
  await startFill(collector, { sinceMs, untilMs, cause: lossCause, events });
}

/** The events of a loss, also those that were paused or have ended since; each part of an event that was changed. */
async function missedBetween(
  { events, state, signal }: Collector, sinceMs: number, untilMs: number,
): Promise<Followed[]> {
  const now = new Set(events.current().map(({ id }) => id));
  // Of what has a start and is new here, the whole past is asked for.
  const isOfThePast = ({ id, start }: Followed): boolean => start !== null && now.has(id) && !state.events.includes(id);
  const spans = await events.during(sinceMs, untilMs, signal);
  return spans.filter((span) => startOf(span) < untilMs && endOf(span) > sinceMs && !isOfThePast(span))
    .map(({ id, rule, start, end, ...span }) => ({
      id, rule, start, end,
      ...(span.sinceMs > sinceMs ? { sinceMs: span.sinceMs } : {}),
      ...(span.untilMs < untilMs ? { untilMs: span.untilMs } : {}),
    }));
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
    const { id, rule, start, end } = event;
    await startFill(collector, { sinceMs, untilMs, cause: pastCause, events: [{ id, rule, start, end }], eventId: id });
  }
}

/** What recent search was being asked for when we were stopped: also for events that were paused since. */
export function resumeFills(collector: Collector): void {
  for (const pending of collector.state.gaps ?? []) fillBeside(collector, pending, pending);
}

/** So many at once: a connection that is lost faster than gaps can be filled is no reason to hold ever more. */
const fillsMax = 200;

/**
 * The gap is in the state before anything else happens, so that a cursor that is told meanwhile knows it; it is told
 * together with a cursor, so that a kill in between hardly ever leaves one in the journal that nobody fills any more.
 * Filling goes on beside the stream.
 */
async function startFill(collector: Collector, gap: Gap): Promise<void> {
  const { channel, state } = collector;
  const gaps = state.gaps ??= [];
  if (gaps.length >= fillsMax) return channel.put(gapItem(gap, { notFilled: [`${fillsMax} other gaps are still being filled`] }));
  const pending = { ...gap, events: [...gap.events] };
  gaps.push(pending);
  await channel.put(gapItem(gap, {}));
  fillBeside(collector, gap, pending);
  await tellCursor(collector);
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
