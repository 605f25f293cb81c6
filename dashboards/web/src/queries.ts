/**
 * Every statement that the pages send, in SQL that DuckDB and Trino both understand. They read the counts by minute
 * where those can answer, and posts only within a bounded time or for words, which nothing else knows.
 */
import { conditions, type Filter, instantSql, needsPosts, quote, within } from './filter.ts';

export type Unit = 'minute' | 'hour' | 'day';

const labels = `left join lake.classifications c on c.event_id = p.event_id and c.source = p.source and c.post_id = p.post_id
    and c.classifier = 'information_type'`;

const where = (terms: readonly string[]): string => `where ${terms.join('\n    and ')}`;

/** First and last minute, posts, of the counted posts of an event. */
export function rangeSql(eventId: string): string {
  return `select min(minute) as first, max(minute) as last, sum(posts) as posts from lake.activity where event_id = ${quote(eventId)}`;
}

/** The same from the posts themselves, for the first moments in which nothing is counted yet. */
export function rangeOfPostsSql(eventId: string): string {
  return `select min(created_at) as first, max(created_at) as last, count(*) as posts from lake.posts where event_id = ${quote(eventId)}`;
}

/** Posts per unit of time, all kinds together. */
export function totalsSql(filter: Filter, unit: Unit): string {
  return `select date_trunc('${unit}', minute) as step, sum(posts) as posts
  from lake.activity ${where([`event_id = ${quote(filter.eventId)}`, ...within('minute', filter.from, filter.to)])}
  group by 1 order by 1`;
}

/** Posts per unit of time and kind of information. */
export function kindsSql(filter: Filter, unit: Unit): string {
  const kind = filter.kind === '' ? [] : [`label = ${quote(filter.kind)}`];
  return `select date_trunc('${unit}', minute) as step, label, sum(posts) as posts
  from lake.activity_labels ${where([`event_id = ${quote(filter.eventId)}`, "classifier = 'information_type'", ...kind,
    ...within('minute', filter.from, filter.to)])}
  group by 1, 2 order by 1, 2`;
}

/** The same for posts that contain words or are in a language: counted from the posts. */
export function matchingSql(filter: Filter, unit: Unit): string {
  return `select date_trunc('${unit}', p.created_at) as step, c.label, count(*) as posts
  from lake.posts p
  ${labels}
  ${where(conditions(filter))}
  group by 1, 2 order by 1, 2`;
}

/** What the filter bar shows: the statement behind the timeline. */
export function shownSql(filter: Filter, unit: Unit, counted: boolean): string {
  return counted && !needsPosts(filter) ? kindsSql(filter, unit) : matchingSql(filter, unit);
}

const postColumns = 'p.created_at, p.author_handle, p.text, p.lang, p.uri, p.source, p.post_id';

/** The newest posts that fit; `since` bounds how far it looks back. */
export function newestSql(filter: Filter, since: number | undefined, limit: number): string {
  const bound = since === undefined || filter.from !== undefined ? [] : [`p.created_at >= ${instantSql(since)}`];
  return `select ${postColumns}
  from lake.posts p${filter.kind === '' ? '' : `\n  ${labels}`}
  ${where([...conditions(filter), ...bound])}
  order by p.created_at desc limit ${limit}`;
}

/** The answers for a page of posts, found by the time that the page covers. */
export function labelsSql(eventId: string, from: number, to: number, ids: readonly string[]): string {
  return `select source, post_id, classifier, label, score from lake.classifications
  ${where([`event_id = ${quote(eventId)}`, ...within('created_at', from, to + 1), `post_id in (${ids.map(quote).join(', ')})`])}`;
}

/** Languages as the network states them, or as the classifier says where it does not. */
export function languagesSql(filter: Filter): string {
  const of = [`event_id = ${quote(filter.eventId)}`, ...within('minute', filter.from, filter.to)];
  return `select lang, sum(posts) as posts from (
    select lang, posts from lake.activity ${where([...of, "coalesce(lang, '') <> ''"])}
    union all
    select label as lang, posts from lake.activity_labels ${where([...of, "classifier = 'language'"])}) as both_kinds
  group by 1 order by 2 desc, 1 limit 12`;
}

/** The most frequent values of each kind of term, best first. */
export function termsSql(filter: Filter, each: number): string {
  return `select kind, value, posts from (
    select kind, value, sum(posts) as posts, row_number() over (partition by kind order by sum(posts) desc, value) as place
    from lake.activity_terms ${where([`event_id = ${quote(filter.eventId)}`, ...within('hour', hourBegin(filter.from), filter.to)])}
    group by kind, value) as ranked
  where place <= ${each} order by kind, place`;
}

function hourBegin(ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : Math.floor(ms / 3_600_000) * 3_600_000;
}

/** Posts of the last hour before `end`, and of the hour before that. */
export function momentumSql(eventId: string, end: number): string {
  const hour = 3_600_000;
  return `select sum(case when minute >= ${instantSql(end - hour)} then posts else 0 end) as now,
    sum(case when minute < ${instantSql(end - hour)} then posts else 0 end) as before
  from lake.activity ${where([`event_id = ${quote(eventId)}`, ...within('minute', end - 2 * hour, end)])}`;
}

/** Each event's posts over its own time, cut into `steps` bars. Doubles: Trino's decimals would round to one digit. */
export function sparksSql(steps: number): string {
  return `with spans as (select event_id, min(minute) as first, date_diff('minute', min(minute), max(minute)) + 1 as minutes
    from lake.activity group by event_id)
  select a.event_id, cast(floor(cast(date_diff('minute', s.first, a.minute) as double) * ${steps} / s.minutes) as integer) as step, sum(a.posts) as posts
  from lake.activity a join spans s on s.event_id = a.event_id group by 1, 2`;
}

/** What each collector said last, within the last days. */
export function collectorsSql(since: number): string {
  return `select source, kind, "at", cause from (
    select source, kind, "at", cause, row_number() over (partition by source order by "at" desc, log_offset desc) as newest
    from lake.journal where "at" >= ${instantSql(since)} and kind in ('connected', 'disconnected', 'rate_limited')) as states
  where newest = 1 order by source`;
}

/** Gaps, newest first, of all events or one. A gap that was filled later stands there again with the time of it. */
export function gapsSql(since: number, eventId?: string): string {
  const ofEvent = eventId === undefined ? '' : `\n    and (event_id = ${quote(eventId)} or event_id is null)`;
  return `select source, event_id, since, until, cause, max(filled_at) as filled_at, max(count) as posts
  from lake.journal where "at" >= ${instantSql(since)} and kind in ('gap', 'undelivered')${ofEvent}
  group by 1, 2, 3, 4, 5 order by since desc limit 100`;
}

export function quarantineSql(since: number): string {
  return `select component, reason, count(*) as records, max("at") as latest, sum(case when replayed_at is null then 1 else 0 end) as waiting
  from lake.quarantine where "at" >= ${instantSql(since)} group by 1, 2 order by 3 desc limit 50`;
}

/** Posts here already that a new rule would have matched: a few, to see what it catches. */
export function previewSql(words: readonly string[], none: readonly string[]): string {
  const has = (word: string): string => `strpos(lower(text), ${quote(word.toLowerCase())}) > 0`;
  return `select event_id, author_handle, text from lake.posts
  where (${words.map(has).join(' or ')})${none.map((word) => ` and not ${has(word)}`).join('')} limit 5`;
}
