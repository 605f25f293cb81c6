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
  const bounded = since === undefined || since <= (filter.from ?? -Infinity) ? filter : { ...filter, from: since };
  return `select ${postColumns}
  from lake.posts p${filter.kind === '' ? '' : `\n  ${labels}`}
  ${where(conditions(bounded))}
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

/**
 * Languages and terms of the newest posts that fit, at most `posts` of them: what the counts by hour cannot tell, for they
 * know neither words nor kinds. `since` is a time that so many lie behind. Words are those that the event is counted by.
 */
export function sampleSql(filter: Filter, since: number, posts: number, each: number): string {
  const bounded = { ...filter, from: Math.max(since, filter.from ?? since) };
  const ofEvent = `event_id = ${quote(filter.eventId)}`;
  const list = (kind: string, column: string, value: string): string => `select '${kind}' as kind, ${value} as value from fitting cross join unnest(${column}) as t(item)`;
  return `with fitting as (
    select p.source, p.post_id, p.lang, p.text, p.hashtags, p.mentions, p.urls, p.author_handle
    from lake.posts p${filter.kind === '' ? '' : `\n    ${labels}`}
    ${where(conditions(bounded))}
    order by p.created_at desc limit ${posts}),
  terms as (
    ${[list('hashtag', 'hashtags', 'lower(item)'), list('mention', 'mentions', 'lower(item)'), list('domain', 'urls', "regexp_extract(lower(item), '^https?://([^/?#:]+)', 1)"),
    "select 'author' as kind, author_handle as value from fitting where author_handle is not null",
    `select 'word' as kind, item as value from fitting cross join unnest(split(lower(text), ' ')) as t(item)
      where item in (select value from lake.activity_terms where ${ofEvent} and kind = 'word')`,
    `select 'lang' as kind, coalesce(nullif(f.lang, ''), l.label) as value from fitting f left join lake.classifications l
      on l.source = f.source and l.post_id = f.post_id and l.classifier = 'language' and ${['l.event_id = ' + quote(filter.eventId), ...within('l.created_at', bounded.from, filter.to)].join(' and ')}`,
  ].join('\n    union all ')})
  select kind, value, posts from (
    select kind, value, count(*) as posts, row_number() over (partition by kind order by count(*) desc, value) as place from terms where value <> '' group by 1, 2) as ranked
  where place <= ${each} order by kind, place`;
}

/** The last hour and the one before, of posts that fit a filter by words, kind or language. */
export function matchingMomentumSql(filter: Filter, end: number): string {
  const hour = 3_600_000;
  const bounded = { ...filter, from: end - 2 * hour, to: end };
  return `select sum(case when p.created_at >= ${instantSql(end - hour)} then 1 else 0 end) as now,
    sum(case when p.created_at < ${instantSql(end - hour)} then 1 else 0 end) as before
  from lake.posts p${filter.kind === '' ? '' : `\n  ${labels}`}
  ${where(conditions(bounded))}`;
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

/** Posts of each event in the hour before its own newest minute, and when that is. */
export function paceSql(): string {
  return `with ends as (select event_id, max(minute) as last from lake.activity group by event_id)
  select a.event_id, e.last, sum(case when date_diff('minute', a.minute, e.last) < 60 then a.posts else 0 end) as hour,
    sum(case when date_diff('minute', a.minute, e.last) < 5 then a.posts else 0 end) as five
  from lake.activity a join ends e on e.event_id = a.event_id group by 1, 2`;
}

/** Gaps, newest first, of all events or one. A gap that was filled later stands there again with the time of it. */
export function gapsSql(since: number, eventId?: string): string {
  const ofEvent = eventId === undefined ? '' : `\n    and (event_id = ${quote(eventId)} or event_id is null)`;
  return `select source, event_id, since, until, cause, max(filled_at) as filled_at, max(count) as posts
  from lake.journal where "at" >= ${instantSql(since)} and kind in ('gap', 'undelivered')${ofEvent}
  group by 1, 2, 3, 4, 5 order by since desc limit 100`;
}

/** Who changed which event, newest first: all states, not only the newest that `lake.events` shows. */
export function changesSql(limit: number): string {
  return `select changed_at, changed_by, action, event_id, version from store.events order by changed_at desc, version desc limit ${limit}`;
}
