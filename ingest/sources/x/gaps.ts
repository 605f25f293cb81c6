import type { Clock } from '#core/clock.ts';
import type { CrisisEvent } from '#core/contract/event.ts';
import { isWatershedError, messageOf, WatershedError } from '#core/errors.ts';
import { recordBytesMax } from '#core/log/log.ts';
import { compileRules, type Matcher } from '#core/match/matcher.ts';
import { takeRecord } from '../../archive/posts.ts';
import type { JournalItem, SourceItem } from '../source.ts';
import type { XApi } from './api.ts';
import { createBackoff } from './backoff.ts';
import { readMessage } from './message.ts';
import { compileRule, queryLengthMax } from './rule.ts';
import { endOf, startOf } from './span.ts';
import type { Budget } from './state.ts';

/** What a search needs of an event. */
export interface Followed extends Pick<CrisisEvent, 'id' | 'rule' | 'start' | 'end'> {
  /** Where it was followed so during a part of the gap only: between two changes, by our clock. */
  readonly sinceMs?: number;
  readonly untilMs?: number;
}

/** A time in which posts were missed, of all events or of one. */
export interface Gap {
  readonly sinceMs: number;
  readonly untilMs: number;
  readonly cause: string;
  /** As they were followed then. */
  readonly events: readonly Followed[];
  /** Set where it concerns one event only. */
  readonly eventId?: string;
}

export interface GapFiller {
  /** Asks recent search for the posts of a gap, and tells what came of it. Never throws but for the signal. */
  fill(gap: Gap, tell: (item: SourceItem) => Promise<void>, signal: AbortSignal): Promise<void>;
}

type Range = { readonly sinceMs: number; readonly untilMs: number };
type Tell = (item: SourceItem) => Promise<void>;

/**
 * 99 of 100 posts come within 7 s: some written before the loss had not yet come. Duplicates are the writer's business.
 */
const latencyMs = 10_000;
/** Search takes no end later than 10 s ago, and needs a moment to know what was just written. */
const settleMs = 15_000;
const searchEndMs = 10_000;
const reachMs = 7 * 24 * 3600_000 - 60_000;
/** So often a search that is unavailable or limited is tried, at X's pace. */
const triesMax = 8;
const postsPerPage = 100;

export interface FillerOptions {
  readonly api: XApi;
  readonly clock: Clock;
  readonly budget: Budget;
}

export function createGapFiller(options: FillerOptions): GapFiller {
  const { api, clock } = options;
  return {
    async fill(gap, tell, signal) {
      await clock.sleep(Math.max(0, gap.untilMs + settleMs - clock.now()), signal);
      // X's clock, not ours: a clock here that is ahead would ask for the future, which X refuses.
      const xNowMs = clock.now() + api.skewMs();
      const wantedMs = gap.sinceMs + api.skewMs() - latencyMs;
      const sinceMs = Math.max(wantedMs, xNowMs - reachMs);
      const untilMs = Math.min(wholeUntil(gap.untilMs + api.skewMs()), xNowMs - searchEndMs);
      const notFilled = sinceMs > wantedMs ? ['recent search reaches back seven days only'] : [];
      let count = 0;
      for (const event of untilMs > sinceMs ? gap.events : []) {
        try {
          const range = withinEvent(event, { sinceMs, untilMs }, api.skewMs());
          count += await searchEvent(event, range, options, tell, signal);
        } catch (error) {
          if (signal.aborted) throw error;
          notFilled.push(isWatershedError(error, 'unauthorized') ? `recent search is not permitted: ${messageOf(error)}`
            : `${event.id}: ${messageOf(error)}`);
          // A rule that search refuses is no reason to ask for no other.
          if (!isOfRule(error)) break;
        }
      }
      await tell(gapItem(gap, notFilled.length === 0 ? { filledAtMs: clock.now(), count } : { count, notFilled }));
    },
  };
}

/** What of a gap concerns an event as it was followed then, by X's clock and in the whole seconds that search takes. */
function withinEvent({ start, end, sinceMs, untilMs }: Followed, gap: Range, skewMs: number): Range {
  const fromMs = (sinceMs ?? Number.NEGATIVE_INFINITY) + skewMs;
  const toMs = (untilMs ?? Number.POSITIVE_INFINITY) + skewMs;
  return {
    sinceMs: Math.max(gap.sinceMs, startOf({ start }) + skewMs, Math.floor(fromMs / 1000) * 1000),
    untilMs: Math.min(gap.untilMs, endOf({ end }) + skewMs, wholeUntil(toMs)),
  };
}

/** The second that a time ends in belongs to it, and it is cut off twice: from X's Date header, and by search. */
function wholeUntil(ms: number): number {
  return Math.ceil(ms / 1000) * 1000 + 1000;
}

async function searchEvent(
  event: Followed, range: Range, options: FillerOptions, tell: Tell, signal: AbortSignal,
): Promise<number> {
  const { api, clock, budget } = options;
  if (range.untilMs - range.sinceMs < 1000) return 0;
  const matcher = compileRules([event]);
  let posts = 0;
  for (const query of compileRule(event.rule, queryLengthMax)) {
    for (let nextToken: string | undefined; ;) {
      if (budget.left(clock.now()) < postsPerPage) {
        throw new WatershedError('limit_exceeded', 'the budget of posts for this month is used up');
      }
      const page = await persistently(() => api.search(query, { ...range, nextToken }), clock, signal);
      budget.count(page.posts, clock.now());
      // A page without posts has no member `data`.
      for (const item of page.posts === 0 ? [] : itemsOf(page.body, event.id, matcher, clock.now())) {
        await tell(item);
        posts++;
      }
      nextToken = page.nextToken;
      if (nextToken === undefined) break;
    }
  }
  return posts;
}

function itemsOf(body: Buffer, eventId: string, matcher: Matcher, receivedAtMs: number): SourceItem[] {
  const items: SourceItem[] = [];
  takeRecord('v2.response', { bytes: body, end: 0 }, {
    post(format, post) {
      const message = readMessage(Buffer.from(post));
      const matched = message.kind === 'post' ? matcher.matchedTerms(eventId, message.matchable) : [];
      items.push({ kind: 'post', source: 'x', format, events: [{ id: eventId, matched }], receivedAtMs, body: post });
    },
    dead: (item) => { items.push(item); },
    dropped: () => undefined,
  }, { bodyBytesMax: recordBytesMax });
  return items;
}

async function persistently<Result>(
  attempt: () => Promise<Result>, clock: Clock, signal: AbortSignal,
): Promise<Result> {
  const backoff = createBackoff();
  for (let tries = 1; ; tries++) {
    try {
      return await attempt();
    } catch (error) {
      if (!isWatershedError(error) || !error.retryable || isOfRule(error) || tries === triesMax) throw error;
      const reset = error.context['resetInMs'];
      const kind = error.code === 'rate_limited' ? 'rate_limited' : 'http';
      await clock.sleep(backoff.after(kind, typeof reset === 'number' ? reset : undefined), signal);
    }
  }
}

function isOfRule(error: unknown): boolean {
  if (!isWatershedError(error)) return false;
  const { code, context: { status } } = error;
  return code === 'bad_request' || status === 400 || status === 422;
}

interface GapOutcome {
  readonly filledAtMs?: number;
  readonly count?: number;
  readonly notFilled?: readonly string[];
}

/** The journal's row of a gap, with what came of it as far as that is known. */
export function gapItem(gap: Gap, outcome: GapOutcome): JournalItem {
  const { sinceMs, untilMs, cause, eventId } = gap;
  const { notFilled, ...known } = outcome;
  return { kind: 'journal', entry: { kind: 'gap', sinceMs, untilMs, cause, ...known,
    ...(eventId === undefined ? {} : { eventId }), ...(notFilled === undefined ? {} : { detail: { notFilled } }) } };
}
