import Type, { type Static } from 'typebox';
import Value from 'typebox/value';
import { Rule } from '#core/contract/event.ts';
import { WatershedError } from '#core/errors.ts';

const State = Type.Object({
  /** When the stream was last known to be whole: the next gap begins here. */
  aliveAtMs: Type.Optional(Type.Number()),
  /** UTC, such as 2026-11, and how many posts X has delivered in it. */
  month: Type.String(),
  posts: Type.Integer({ minimum: 0 }),
  /** Since when X has not taken the rules as they are now, in ms. */
  unruledSinceMs: Type.Optional(Type.Number()),
  /** Events that were followed before: of a new one the past is asked for. */
  events: Type.Array(Type.String()),
  /** From which time on posts of an event were asked for, in ms: an earlier start asks for what is before. */
  asked: Type.Optional(Type.Record(Type.String(), Type.Number())),
  /** Gaps that recent search is still asked for: a restart goes on with them. */
  gaps: Type.Optional(Type.Array(Type.Object({
    sinceMs: Type.Number(), untilMs: Type.Number(), cause: Type.String(), eventId: Type.Optional(Type.String()),
    /** With the rules of then: what a later rule would find is not what was missed. */
    events: Type.Array(Type.Object({
      id: Type.String(), rule: Rule, start: Type.Union([Type.String(), Type.Null()]), end: Type.Union([Type.String(), Type.Null()]),
      sinceMs: Type.Optional(Type.Number()), untilMs: Type.Optional(Type.Number()),
    })),
  }))),
});

/** What a restart needs to know; the cursor of source `x` is this as JSON. */
export type XState = Static<typeof State>;
export type PendingGap = NonNullable<XState['gaps']>[number];

export function parseState(cursor: string | undefined, nowMs: number): XState {
  if (cursor === undefined) return { month: monthOf(nowMs), posts: 0, events: [] };
  try {
    return Value.Parse(State, JSON.parse(cursor));
  } catch (cause) {
    throw new WatershedError('corrupt', `the stored cursor of source x is none of ours: ${cursor.slice(0, 200)}`, { cause });
  }
}

function monthOf(ms: number): string {
  return new Date(ms).toISOString().slice(0, 7);
}

/** When the month after this moment begins, UTC. */
export function nextMonthMs(ms: number): number {
  const date = new Date(ms);
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 1);
}

/** Counts delivered posts, which X bills, against a limit per month. */
export interface Budget {
  count(posts: number, nowMs: number): void;
  /** True when nothing more may be asked for in this month. */
  spent(nowMs: number): boolean;
  /** How many posts may still be asked for. */
  left(nowMs: number): number;
}

// What may be on its way when we stop: X delivers up to 250 posts a second, and a connection takes a moment to close.
// Of a small budget it is a twentieth.
const underWayMax = 500;

/** `postsPerMonth` 0 is no limit. The counts stand in `state`. */
export function createBudget(state: XState, postsPerMonth: number): Budget {
  const reserve = Math.min(underWayMax, Math.ceil(postsPerMonth / 20));
  const turnMonth = (nowMs: number): void => {
    const month = monthOf(nowMs);
    if (month === state.month) return;
    state.month = month;
    state.posts = 0;
  };
  const left = (nowMs: number): number => {
    turnMonth(nowMs);
    return postsPerMonth === 0 ? Infinity : Math.max(0, postsPerMonth - reserve - state.posts);
  };
  return {
    count(posts, nowMs) {
      turnMonth(nowMs);
      state.posts += posts;
    },
    spent: (nowMs) => left(nowMs) === 0,
    left,
  };
}
