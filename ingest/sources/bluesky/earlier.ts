import { compileRules, type EventMatch, type MatchablePost } from '#core/match/matcher.ts';
import type { Collector } from './collector.ts';

/** Rules that are in force no more: what is replayed of their time is judged by them, too. */
export interface Earlier {
  /** Behind it nothing is theirs. */
  readonly untilUs: number;
  mayMatch(json: string, did: string): boolean;
  match(post: MatchablePost, timeUs: number): EventMatch[];
}

/**
 * The rules that were changed, or whose events were paused, since `sinceUs`; undefined where there are none. An edit made
 * while the collector was away, or behind, takes nothing from what the rule before it had asked for.
 */
export async function readEarlier(collector: Collector, sinceUs: number): Promise<Earlier | undefined> {
  const { feed, handles, signal, options: { clock } } = collector;
  const spans = (await feed.during(sinceUs / 1000, clock.now(), signal))
    .filter(({ untilMs }) => untilMs <= clock.now());
  if (spans.length === 0) return undefined;
  // An event may have had several rules: each is matched by a name of its own.
  const matcher = compileRules(handles.translate(spans.map((span, index) => ({ ...span, id: String(index) }))));
  return {
    untilUs: Math.max(...spans.map(({ untilMs }) => untilMs)) * 1000,
    mayMatch: (json, did) => matcher.mayMatch(json, did),
    match: (post, timeUs) => matcher.match(post).flatMap(({ id: index, matched }) => {
      const span = spans[Number(index)];
      if (span === undefined) return [];
      const { id, start, end, sinceMs, untilMs } = span;
      const timeMs = timeUs / 1000;
      const isTheirs = timeMs >= sinceMs && timeMs < untilMs
        && (start === null || timeMs >= Date.parse(start)) && (end === null || timeMs < Date.parse(end));
      return isTheirs ? [{ id, matched: matched.map((term) => handles.writtenAs(term)) }] : [];
    }),
  };
}
