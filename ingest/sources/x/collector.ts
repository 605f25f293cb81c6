import type { Clock } from '#core/clock.ts';
import type { CrisisEvent } from '#core/contract/event.ts';
import { isWatershedError } from '#core/errors.ts';
import { compileRules, type Matcher } from '#core/match/matcher.ts';
import type { EventFeed, JournalItem, SourceItem } from '../source.ts';
import type { Backoff } from './backoff.ts';
import type { Channel } from './channel.ts';
import { gapItem, type Gap, type GapFiller } from './gaps.ts';
import type { RuleKeeper } from './rules.ts';
import type { Budget, XState } from './state.ts';

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

/** Looks at the events anew. */
export function refresh(collector: Collector): void {
  collector.current = collector.events.current();
  collector.matcher = compileRules(collector.current);
}

/** Subscribes to the next change; what it gives is aborted with the signal and never unhandled. */
export function nextChange(collector: Collector, signal: AbortSignal): Promise<void> {
  const changed = collector.events.changed(signal);
  changed.catch(() => undefined);
  return changed;
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
  const { state, current, lossCause } = collector;
  const known = current.filter((event) => state.events.includes(event.id));
  if (state.aliveAtMs !== undefined && known.length > 0) {
    await startFill(collector, { sinceMs: state.aliveAtMs, untilMs: connectedAtMs, cause: lossCause, events: known });
  }
  state.aliveAtMs = connectedAtMs;
}

/** Events that are followed for the first time: what they cover and lies before now is asked for. A pause is no gap. */
export async function fillPast(collector: Collector, nowMs: number): Promise<void> {
  const { state, current } = collector;
  for (const event of current.filter(({ id }) => !state.events.includes(id))) {
    state.events.push(event.id);
    const startMs = event.start === null ? Number.NaN : Date.parse(event.start);
    if (!(startMs < nowMs)) continue;
    await startFill(collector, {
      sinceMs: startMs, untilMs: nowMs, cause: 'it began before it was followed', events: [event], eventId: event.id,
    });
  }
}

/** The gap is told before this resolves, hence before any cursor behind it; filling goes on beside the stream. */
async function startFill(collector: Collector, gap: Gap): Promise<void> {
  const { channel, filler, fills, signal } = collector;
  await channel.put(gapItem(gap, {}));
  const filling: Promise<void> = filler.fill(gap, (item) => channel.put(item), signal)
    .catch(() => undefined).finally(() => fills.delete(filling));
  fills.add(filling);
}

export async function tell(collector: Collector, entry: JournalItem['entry']): Promise<void> {
  await collector.channel.put({ kind: 'journal', entry });
}

export async function tellCursor(collector: Collector): Promise<void> {
  await collector.channel.put({ kind: 'cursor', cursor: JSON.stringify(collector.state) });
}
