import type { Clock, Random } from '#core/clock.ts';
import type { CrisisEvent } from '#core/contract/event.ts';
import type { EventMatch, MatchablePost, Matcher } from '#core/match/matcher.ts';
import type { EventFeed, JournalItem, SourceItem } from '../source.ts';
import type { Channel } from '../x/channel.ts';
import type { Earlier } from './earlier.ts';
import type { Handles, ResolveHandle } from './handles.ts';
import type { BlueskyState } from './state.ts';

export interface BlueskyOptions {
  /** Jetstream subscribe addresses, in order of preference; at least one. */
  readonly urls: readonly string[];
  readonly resolveHandle: ResolveHandle;
  readonly clock: Clock;
  readonly random: Random;
  /** Told how many messages were let go, and why. */
  readonly onDropped?: (reason: string, count: number) => void;
}

/** What the parts of source `bluesky` share while it runs. */
export interface Collector {
  readonly options: BlueskyOptions;
  readonly state: BlueskyState;
  readonly channel: Channel<SourceItem>;
  readonly feed: EventFeed;
  readonly signal: AbortSignal;
  readonly urls: readonly URL[];
  readonly handles: Handles;
  current: readonly CrisisEvent[];
  matcher: Matcher;
  earlier: Earlier | undefined;
  /** The time of the last message of the stream; what it became may not be in the channel yet. */
  readUs: number;
  /** Resolves at the next change of what is followed. */
  changed: PromiseWithResolvers<void>;
}

/** The network is never silent for so long: a replay that begins later than asked plus this has left something out. */
export const holeUsMin = 30_000_000;
/** What the network keeps for replay (docs: 36 hours); an older cursor is moved forward without a word. */
export const keptUs = 36 * 3_600_000_000;

/** The events that a post of this time belongs to. `sinceUs`: from when on an event takes posts. */
export function matchesOf(
  collector: Collector, matcher: Matcher, post: MatchablePost, timeUs: number,
  sinceUs: (id: string) => number | undefined,
): EventMatch[] {
  return matcher.match(post).filter(({ id }) => {
    const event = collector.current.find((one) => one.id === id);
    const from = sinceUs(id);
    if (event === undefined || from === undefined || timeUs < from) return false;
    return event.end === null || timeUs < Date.parse(event.end) * 1000;
  }).map(({ id, matched }) => ({ id, matched: matched.map((term) => collector.handles.writtenAs(term)) }));
}

export async function tell({ channel }: Collector, entry: JournalItem['entry']): Promise<void> {
  await channel.put({ kind: 'journal', entry });
}

export async function tellCursor({ channel, state }: Collector, timeUs?: number): Promise<void> {
  await channel.put({ kind: 'cursor', cursor: JSON.stringify(state), ...(timeUs === undefined ? {} : { readUntilMs: timeUs / 1000 }) });
}

/** Resolves at the next change of the events, rejects with the signal. */
export function untilChanged({ changed, signal }: Collector): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    if (signal.aborted) return onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    void changed.promise.then(() => {
      signal.removeEventListener('abort', onAbort);
      resolve();
    });
  });
}
