import type { Condition } from '#core/contract/condition.ts';
import { instantSql, type Period, quote, type Rows, within } from './layout.ts';

const minuteMs = 60_000;
const dayMs = 24 * 60 * minuteMs;
const burstMinutes = 10;
const burstTimes = 5;
const stallMinutes = 15;
const postsMinutes = 60;
// Fewer posts than this in the time looked at are no burst, however quiet the day was.
const usualMin = 10;
// How long a gap that nobody filled stays open: what the networks can bring back, they bring within minutes.
const gapOpenMs = 60 * minuteMs;
// What is no gap: a collector that rests because nobody asks for it (ownReasons in ingest/sources/x).
const atRest = 'no active event';

/**
 * The statement that answers a condition at a moment, in SQL that DuckDB and Trino both understand. `period` is the
 * time of a report; an alert has none.
 */
export function conditionSql(condition: Condition, at: number, period?: Period): string {
  switch (condition.kind) {
    case 'rows': return condition.sql;
    case 'gap': return gapSql(condition, at);
    case 'stall': return stallSql(condition, at);
    case 'posts': {
      const during = period ?? { from: at - (condition.minutes ?? postsMinutes) * minuteMs, to: at };
      return `select coalesce(sum(posts), 0) as posts from lake.activity where ${within('minute', during)}${ofEvent(condition.event)}`;
    }
    case 'burst': {
      const from = at - (condition.minutes ?? burstMinutes) * minuteMs;
      const before = { from: from - dayMs, to: from };
      return `select event_id, sum(case when minute >= ${instantSql(from)} then posts else 0 end) as posts,
  cast(sum(case when minute < ${instantSql(from)} then posts else 0 end) as double) / ${dayMs / (at - from)} as usual
from lake.activity where ${within('minute', { from: before.from, to: at })}${ofEvent(condition.event)} group by 1 order by 1`;
    }
  }
}

function ofEvent(event: string | undefined): string {
  return event === undefined ? '' : ` and event_id = ${quote(event)}`;
}

/** The newest minute of every network, in events that are followed. */
function stallSql({ event, source }: { event?: string; source?: string }, at: number): string {
  return `select a.source, max(a.minute) as latest from lake.activity a join lake.events e on e.event_id = a.event_id and e.status = 'active'
where ${within('a.minute', { from: at - 30 * dayMs, to: at })}${event === undefined ? '' : ` and a.event_id = ${quote(event)}`}${
  source === undefined ? '' : ` and a.source = ${quote(source)}`} group by 1 order by 1`;
}

/** Collectors that are not connected now, then gaps that were recorded and not filled. */
function gapSql({ event, source }: { event?: string; source?: string }, at: number): string {
  const of = source === undefined ? '' : ` and source = ${quote(source)}`;
  return `select source, since, until, cause from (
  select source, "at" as since, cast(null as timestamp with time zone) as until, coalesce(cause, kind) as cause, kind,
    row_number() over (partition by source order by "at" desc, log_offset desc) as newest
  from lake.journal where kind in ('connected', 'disconnected', 'rate_limited') and ${within('"at"', { from: at - 30 * dayMs, to: at })}${of}) as states
where newest = 1 and kind <> 'connected' and cause <> ${quote(atRest)}
union all
select source, since, max(until) as until, max(cause) as cause from lake.journal
where kind = 'gap' and ${within('"at"', { from: at - dayMs, to: at })}${of}${event === undefined ? '' : ` and (event_id is null or event_id = ${quote(event)})`}
group by source, event_id, since
having max(filled_at) is null and coalesce(max(until), max("at")) >= ${instantSql(at - gapOpenMs)}
order by 1, 2`;
}

/** Whether it holds, and what was seen, in words. */
export function verdictOf(condition: Condition, { columns, rows }: Rows, at: number): { holds: boolean; detail: string } {
  switch (condition.kind) {
    case 'posts': {
      const posts = Number(rows[0]?.[0] ?? 0);
      return { holds: posts > condition.above, detail: `${posts} posts; the limit is ${condition.above}` };
    }
    case 'burst': {
      const minutes = condition.minutes ?? burstMinutes;
      const seen = rows.map(([event, posts, usual]) => ({ event: String(event), posts: Number(posts), usual: Math.max(Number(usual), usualMin) }));
      const bursts = seen.filter(({ posts, usual }) => posts >= usual * (condition.times ?? burstTimes));
      const shown = bursts.length > 0 ? bursts : seen;
      return {
        holds: bursts.length > 0,
        detail: list(shown.map(({ event, posts, usual }) => `${event}: ${posts} posts in ${minutes} minutes, ${usual.toFixed(1)} are usual`), 'no post in 24 hours'),
      };
    }
    case 'stall': {
      const minutes = condition.minutes ?? stallMinutes;
      const seen = rows.map(([source, latest]) => ({ source: String(source), quietMs: at - Date.parse(String(latest)) }));
      const stalled = seen.filter(({ quietMs }) => quietMs > minutes * minuteMs);
      return {
        holds: stalled.length > 0,
        detail: list((stalled.length > 0 ? stalled : seen).map(({ source, quietMs }) => `${source}: the last post came ${duration(quietMs)} ago`), 'no network has brought a post yet'),
      };
    }
    case 'gap':
      return {
        holds: rows.length > 0,
        detail: list(rows.map(([source, since, until, cause]) => `${source}: ${cause ?? 'not connected'}, since ${time(since)}${
          until === null || until === undefined ? '' : `, until ${time(until)}, not filled`}`), 'all collectors are connected, and no gap of the last hour is unfilled'),
      };
    case 'rows': {
      const line = (row: readonly unknown[]): string => columns.map((name, index) => `${name} ${String(row[index] ?? '–').slice(0, 200)}`).join(', ');
      return { holds: rows.length > 0, detail: list(rows.slice(0, 20).map(line), 'the statement returns no row') };
    }
  }
}

function list(lines: readonly string[], none: string): string {
  return lines.length === 0 ? none : lines.slice(0, 20).join('\n');
}

function time(value: unknown): string {
  return `${new Date(String(value)).toISOString().slice(0, 16).replace('T', ' ')} UTC`;
}

function duration(ms: number): string {
  const minutes = Math.floor(ms / minuteMs);
  return minutes < 120 ? `${minutes} minutes` : `${Math.floor(minutes / 60)} hours`;
}
