import type { Clock } from '#core/clock.ts';
import { WatershedError } from '#core/errors.ts';
import { compileRules, type Matcher } from '#core/match/matcher.ts';
import { isAbort } from '#core/service.ts';
import type { CrisisLexRow } from '../archive/crisislex.ts';
import { readSamplePosts, type SampleEvent } from './samples.ts';
import type { EventFeed, Source, SourceItem } from './source.ts';

export interface ReplayOptions {
  readonly samples: readonly SampleEvent[];
  /** How many seconds of an event pass in one second of ours; `max` plays as fast as the consumer takes. */
  readonly speed: number | 'max';
  readonly clock: Clock;
}

/**
 * Plays the samples whose events are active, each on a timeline of its own that begins when its event does, in order of
 * creation time. All posts of a sample belong to its event, whatever its rule; the rule says which terms matched. The
 * cursor is the number of posts played of each sample, so that a restart goes on behind the last stored one; a paused
 * event keeps its place. It never ends by itself: when all is played it waits for its signal.
 */
export function replaySource(options: ReplayOptions): Source {
  return {
    name: 'replay',
    read: (input) => play(options, input),
  };
}

// A cursor is told at least this often, so that a break repeats no more than that many posts.
const postsPerCursorMax = 500;

interface Timeline {
  readonly id: string;
  readonly posts: readonly CrisisLexRow[];
  position: number;
  /** Our time at which the event's time 0 would lie at this speed; undefined while the event is not active. */
  originMs: number | undefined;
}

async function* play(
  options: ReplayOptions,
  input: { cursor: string | undefined; events: EventFeed; signal: AbortSignal },
): AsyncGenerator<SourceItem> {
  const { clock } = options;
  const positions = parseCursor(input.cursor);
  const timelines = await Promise.all(options.samples.map(async (sample): Promise<Timeline> => ({
    id: sample.id, posts: await readSamplePosts(sample), position: positions.get(sample.id) ?? 0, originMs: undefined,
  })));
  let sinceCursor = 0;
  while (!input.signal.aborted) {
    const change = watchChange(input.events, input.signal);
    const active = input.events.current();
    const matcher = compileRules(active);
    for (const timeline of timelines) settle(timeline, active.some((event) => event.id === timeline.id), options);
    try {
      while (!change.happened() && !input.signal.aborted) {
        const next = soonest(timelines, options.speed);
        const waitMs = next === undefined ? Infinity : next.dueMs - clock.now();
        if (sinceCursor >= postsPerCursorMax || (sinceCursor > 0 && waitMs > 0)) {
          sinceCursor = 0;
          yield { kind: 'cursor', cursor: formatCursor(timelines) };
          continue;
        }
        if (next === undefined || waitMs > 0) {
          await change.orAfter(waitMs, clock);
          continue;
        }
        yield postItem(next.timeline.id, next.post, matcher, clock);
        next.timeline.position++;
        sinceCursor++;
      }
    } finally {
      change.cancel();
    }
  }
}

function postItem(eventId: string, post: CrisisLexRow, matcher: Matcher, clock: Clock): SourceItem {
  return {
    kind: 'post',
    source: 'x',
    format: 'crisislex',
    events: [{ id: eventId, matched: matcher.matchedTerms(eventId, { texts: [post.text] }) }],
    receivedAtMs: clock.now(),
    body: post.body,
  };
}

/** Starts, stops or leaves a timeline: on start its next post is due now. */
function settle(timeline: Timeline, active: boolean, options: ReplayOptions): void {
  const next = timeline.posts[timeline.position];
  if (!active || next === undefined) timeline.originMs = undefined;
  else timeline.originMs ??= options.clock.now() - scaled(next.createdAtMs, options.speed);
}

function scaled(eventMs: number, speed: number | 'max'): number {
  return speed === 'max' ? 0 : eventMs / speed;
}

function soonest(
  timelines: readonly Timeline[],
  speed: number | 'max',
): { timeline: Timeline; post: CrisisLexRow; dueMs: number } | undefined {
  let found: { timeline: Timeline; post: CrisisLexRow; dueMs: number } | undefined;
  for (const timeline of timelines) {
    const post = timeline.posts[timeline.position];
    if (timeline.originMs === undefined || post === undefined) continue;
    const dueMs = Math.ceil(timeline.originMs + scaled(post.createdAtMs, speed));
    if (found === undefined || dueMs < found.dueMs) found = { timeline, post, dueMs };
  }
  return found;
}

/** One subscription to the feed, taken before `current` is read, so that no change falls between. */
function watchChange(events: EventFeed, signal: AbortSignal): {
  happened(): boolean;
  orAfter(ms: number, clock: Clock): Promise<void>;
  cancel(): void;
} {
  const stop = new AbortController();
  const either = AbortSignal.any([signal, stop.signal]);
  let changed = false;
  let failure: { readonly error: unknown } | undefined;
  const change = events.changed(either).then(
    () => { changed = true; },
    (error: unknown) => {
      changed = true;
      if (!isAbort(error, either)) failure = { error };
    },
  );
  const check = (): void => {
    if (failure !== undefined) throw failure.error;
  };
  return {
    happened() {
      check();
      return changed;
    },
    async orAfter(ms, clock) {
      const awake = new AbortController();
      // Longer waits than a timer can hold are cut; the loop asks again.
      const slept = Number.isFinite(ms)
        ? clock.sleep(Math.min(ms, 86_400_000), AbortSignal.any([either, awake.signal])).catch(() => undefined)
        : change;
      await Promise.race([slept, change]);
      awake.abort();
      check();
    },
    cancel: () => stop.abort(),
  };
}

function formatCursor(timelines: readonly Timeline[]): string {
  return JSON.stringify(Object.fromEntries(timelines.map((timeline) => [timeline.id, timeline.position])));
}

function parseCursor(cursor: string | undefined): Map<string, number> {
  if (cursor === undefined) return new Map();
  try {
    const parsed: unknown = JSON.parse(cursor);
    if (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)) {
      const entries = Object.entries(parsed).filter((entry): entry is [string, number] =>
        Number.isSafeInteger(entry[1]) && Number(entry[1]) >= 0);
      if (entries.length === Object.keys(parsed).length) return new Map(entries);
    }
  } catch {
    // Falls through to the one error below.
  }
  throw new WatershedError('corrupt', `the stored cursor of the replay is none of ours: ${cursor.slice(0, 200)}`);
}
