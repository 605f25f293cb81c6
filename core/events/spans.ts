import type { CollectorName, CrisisEvent } from '../contract/event.ts';
import type { Sql } from '../database/database.ts';
import type { State } from './state.ts';

/** How an event was followed for a while: between two changes that matter to a collector. */
export interface EventSpan extends Pick<CrisisEvent, 'id' | 'rule' | 'start' | 'end'> {
  readonly sinceMs: number;
  /** Infinity where it still holds. */
  readonly untilMs: number;
}

interface Row { readonly id: string; readonly state: State; readonly since: Date; readonly until: Date | null }

/**
 * How the events of a source were followed between two instants (ms), by their history: what a collector that was away
 * has missed is told by the rules of then, not of now. Pauses are left out, and so are events that were deleted since.
 */
export async function readSpans(
  sql: Sql, source: CollectorName, sinceMs: number, untilMs: number,
): Promise<EventSpan[]> {
  const rows = await sql.query<Row>(
    `select h.event_id as id, h.after as state, h.at as since, h.until
     from (select *, lead(at) over (partition by event_id order by version) as until from watershed.event_history) h
     join watershed.event e on e.id = h.event_id
     where e.deleted_at is null and h.at < $2 and coalesce(h.until, 'infinity') > $1
       and h.after ->> 'status' = 'active' and h.after -> 'sources' ? $3
     order by h.event_id, h.version`, [new Date(sinceMs), new Date(untilMs), source]);
  const spans: EventSpan[] = [];
  for (const { id, state: { rule, start, end }, since, until } of rows) {
    const endMs = until?.getTime() ?? Number.POSITIVE_INFINITY;
    const span = { id, rule, start, end, sinceMs: since.getTime(), untilMs: endMs };
    const before = spans.at(-1);
    const goesOn = before?.id === id && before.untilMs === span.sinceMs && sameToCollect(before, span);
    if (goesOn) spans.pop();
    spans.push(goesOn ? { ...span, sinceMs: before.sinceMs } : span);
  }
  return spans;
}

/** A new name or description is nothing to a collector. */
function sameToCollect(one: EventSpan, other: EventSpan): boolean {
  return JSON.stringify([one.rule, one.start, one.end]) === JSON.stringify([other.rule, other.start, other.end]);
}
