import type { DashboardBuilder } from '@grafana/grafana-foundation-sdk/dashboard';
import { dashboard, eventVariable, partsOf } from './parts.ts';
import type { Variant } from './query.ts';

/** The dashboards by the name of their file. */
export const dashboards: Readonly<Record<string, (variant: Variant) => DashboardBuilder>> = {
  'crisis-overview': crisisOverview,
  'one-event': oneEvent,
  'collection-health': collectionHealth,
  classifier,
  'lake-health': lakeHealth,
};

const step = `$__timeGroup(minute, '$__interval')`;

function crisisOverview(variant: Variant): DashboardBuilder {
  const { stat, bars, table } = partsOf(variant);
  return dashboard(variant, { uid: 'overview', title: 'Crisis overview', description: 'All events that are followed', from: 'now-24h' })
    .withPanel(stat({ title: 'Posts', description: 'Posts of all events in this time', width: 6,
      sql: 'select coalesce(sum(posts), 0) as posts from lake.activity where $__timeFilter(minute)' }))
    .withPanel(stat({ title: 'Events with posts', description: 'Events that had a post in this time', width: 6,
      sql: 'select count(distinct event_id) as events from lake.activity where $__timeFilter(minute)' }))
    .withPanel(stat({ title: 'Share of reposts', description: 'Posts that repeat another', width: 6, unit: 'percentunit',
      sql: 'select coalesce(cast(sum(reposts) as double) / nullif(sum(posts), 0), 0) as share from lake.activity where $__timeFilter(minute)' }))
    .withPanel(stat({ title: 'Open gaps', description: 'Times that were not collected and not filled since', width: 6,
      sql: "select count(*) as gaps from lake.journal where kind = 'gap' and filled_at is null and $__timeFilter(since)" }))
    .withPanel(bars({ title: 'Posts by event', description: 'Posts per step of time', width: 24, sql: `select ${step} as "time", event_id as "metric", sum(posts) as posts
from lake.activity where $__timeFilter(minute) group by 1, 2 order by 1` }))
    .withPanel(bars({ title: 'Posts by kind of information', description: 'What posts of all events are about', width: 12, sql: `select ${step} as "time", label as "metric", sum(posts) as posts
from lake.activity_labels where classifier = 'information_type' and $__timeFilter(minute) group by 1, 2 order by 1` }))
    .withPanel(table({ title: 'Events', description: 'Most posts first', width: 12, sql: `select e.name, e.status, sum(a.posts) as posts, max(a.minute) as latest
from lake.activity a join lake.events e on e.event_id = a.event_id where $__timeFilter(a.minute) group by 1, 2 order by 3 desc` }));
}

function oneEvent(variant: Variant): DashboardBuilder {
  const { stat, bars, lines, table } = partsOf(variant);
  const ofEvent = "event_id = '$event' and $__timeFilter(minute)";
  const terms = (kind: string): string => `select value, sum(posts) as posts from lake.activity_terms
where event_id = '$event' and kind = '${kind}' and $__timeFilter(hour) group by 1 order by 2 desc, 1 limit 20`;
  return dashboard(variant, { uid: 'event', title: 'One event', description: 'What is posted about one event', from: 'now-24h' })
    .withVariable(eventVariable(variant))
    .withPanel(stat({ title: 'Posts', description: 'In this time', width: 6, sql: `select coalesce(sum(posts), 0) as posts from lake.activity where ${ofEvent}` }))
    .withPanel(stat({ title: 'Most in a minute', description: 'The busiest minute', width: 6,
      sql: `select coalesce(max(posts), 0) as posts from (select minute, sum(posts) as posts from lake.activity where ${ofEvent} group by 1) as minutes` }))
    .withPanel(stat({ title: 'Languages', description: 'Different languages', width: 6, sql: `select count(distinct lang) as languages from lake.activity where ${ofEvent}` }))
    .withPanel(stat({ title: 'Calls for help and damage', description: 'Posts on affected people and on infrastructure', width: 6,
      sql: `select coalesce(sum(posts), 0) as posts from lake.activity_labels where classifier = 'information_type'
  and label in ('affected_individuals', 'infrastructure_and_utilities') and ${ofEvent}` }))
    .withPanel(bars({ title: 'Posts by kind of information', description: 'Posts per step of time', width: 24, height: 10,
      sql: `select ${step} as "time", label as "metric", sum(posts) as posts
from lake.activity_labels where classifier = 'information_type' and ${ofEvent} group by 1, 2 order by 1` }))
    .withPanel(lines({ title: 'Posts by language', description: 'As the network states it', width: 12, sql: `select ${step} as "time", coalesce(lang, 'not stated') as "metric", sum(posts) as posts
from lake.activity where ${ofEvent} group by 1, 2 order by 1` }))
    .withPanel(table({ title: 'Hashtags', description: 'The most frequent of each hour, summed', width: 4, sql: terms('hashtag') }))
    .withPanel(table({ title: 'Links to', description: 'Hosts of the links in posts', width: 4, sql: terms('domain') }))
    .withPanel(table({ title: 'Words', description: 'The most frequent of each hour, summed', width: 4, sql: terms('word') }))
    .withPanel(table({ title: 'Newest posts', description: 'At most 50, from this time', width: 24, height: 12, sql: `select created_at as "time", author_handle, lang, text
from lake.posts where event_id = '$event' and $__timeFilter(created_at) order by created_at desc limit 50` }));
}

function collectionHealth(variant: Variant): DashboardBuilder {
  const { stat, bars, table } = partsOf(variant);
  return dashboard(variant, { uid: 'collection', title: 'Collection health', description: 'Whether everything that was posted has come', from: 'now-24h' })
    .withPanel(stat({ title: 'Since the last post', description: 'By network; large while nobody posts, or while nothing comes', width: 8, unit: 's',
      sql: `select source, date_diff('second', max(minute), current_timestamp) as seconds from lake.activity where $__timeFilter(minute) group by 1` }))
    .withPanel(stat({ title: 'Not collected', description: 'Minutes of gaps that were not filled', width: 8, unit: 'm',
      sql: `select coalesce(cast(sum(date_diff('second', since, until)) as double), 0) / 60 as minutes from lake.journal
where kind = 'gap' and filled_at is null and until is not null and $__timeFilter(since)` }))
    .withPanel(stat({ title: 'Set aside', description: 'Records that could not be kept', width: 8,
      sql: 'select count(*) as records from lake.quarantine where $__timeFilter("at")' }))
    .withPanel(bars({ title: 'Posts by network', description: 'Posts per step of time', width: 24, sql: `select ${step} as "time", source as "metric", sum(posts) as posts
from lake.activity where $__timeFilter(minute) group by 1, 2 order by 1` }))
    .withPanel(table({ title: 'Collectors', description: 'What each said last in this time', width: 12, sql: `select source, kind, "at", cause from (
  select source, kind, "at", cause, row_number() over (partition by source order by "at" desc, log_offset desc) as newest
  from lake.journal where kind in ('connected', 'disconnected', 'rate_limited') and $__timeFilter("at")) as states
where newest = 1 order by source` }))
    .withPanel(table({ title: 'Gaps', description: 'Newest first; without an end it lasts', width: 12, sql: `select source, event_id, since, max(until) as until, max(cause) as cause, max(filled_at) as filled_at
from lake.journal where kind in ('gap', 'undelivered') and $__timeFilter(since) group by 1, 2, 3 order by 3 desc limit 100` }))
    .withPanel(bars({ title: 'Records set aside', description: 'By reason', width: 24, sql: `select $__timeGroup("at", '$__interval') as "time", reason as "metric", count(*) as records
from lake.quarantine where $__timeFilter("at") group by 1, 2 order by 1` }));
}

function classifier(variant: Variant): DashboardBuilder {
  const { stat, lines, bars, table } = partsOf(variant);
  return dashboard(variant, { uid: 'classifier', title: 'Classifier', description: 'What the model says, how sure it is, what waits for it', from: 'now-24h' })
    .withVariable(eventVariable(variant))
    .withPanel(stat({ title: 'Classified', description: 'Posts of this time that have an answer to whether they are about the crisis', width: 12, unit: 'percentunit',
      sql: `select coalesce((select cast(sum(posts) as double) from lake.activity_labels where classifier = 'relevance' and event_id = '$event' and $__timeFilter(minute))
  / nullif((select sum(posts) from lake.activity where event_id = '$event' and $__timeFilter(minute)), 0), 0) as share` }))
    .withPanel(stat({ title: 'Not about the crisis', description: 'Of those that were classified', width: 12, unit: 'percentunit',
      sql: `select coalesce(cast(sum(case when label = 'not_relevant' then posts else 0 end) as double) / nullif(sum(posts), 0), 0) as share
from lake.activity_labels where classifier = 'relevance' and event_id = '$event' and $__timeFilter(minute)` }))
    .withPanel(bars({ title: 'Answers', description: 'Whether a post is about the crisis', width: 12, sql: `select ${step} as "time", label as "metric", sum(posts) as posts
from lake.activity_labels where classifier = 'relevance' and event_id = '$event' and $__timeFilter(minute) group by 1, 2 order by 1` }))
    .withPanel(lines({ title: 'How sure', description: 'Mean probability of the answer given, by kind', width: 12, unit: 'percentunit', sql: `select $__timeGroup(created_at, '$__interval') as "time", label as "metric", avg(score) as score
from lake.classifications where classifier = 'information_type' and event_id = '$event' and $__timeFilter(created_at) group by 1, 2 order by 1` }))
    .withPanel(table({ title: 'Models', description: 'Versions that judged the posts of this time', width: 24, sql: `select classifier, model_version, count(*) as posts, avg(score) as mean_score, max(classified_at) as latest
from lake.classifications where event_id = '$event' and $__timeFilter(created_at) group by 1, 2 order by 5 desc` }));
}

function lakeHealth(variant: Variant): DashboardBuilder {
  const { stat, bars, table } = partsOf(variant);
  return dashboard(variant, { uid: 'lake', title: 'Lake health', description: 'What is in the tables and what left them', from: 'now-7d' })
    .withPanel(stat({ title: 'Behind', description: 'Age of the newest minute that is counted', width: 8, unit: 's',
      sql: `select coalesce(date_diff('second', max(minute), current_timestamp), 0) as seconds from lake.activity where $__timeFilter(minute)` }))
    .withPanel(stat({ title: 'Forgotten', description: 'Posts and authors that must be forgotten', width: 8,
      sql: "select count(*) as forgotten from lake.tombstones where state = 'gone' and $__timeFilter(received_at)" }))
    .withPanel(stat({ title: 'Waiting in quarantine', description: 'Records that were not put back', width: 8,
      sql: 'select count(*) as records from lake.quarantine where replayed_at is null and $__timeFilter("at")' }))
    .withPanel(bars({ title: 'Rows by network', description: 'Posts per hour as matched to events', width: 24, sql: `select $__timeGroup(minute, '1h') as "time", source as "metric", sum(posts) as posts
from lake.activity where $__timeFilter(minute) group by 1, 2 order by 1` }))
    .withPanel(bars({ title: 'Forgotten', description: 'Why posts and authors had to be forgotten', width: 12, sql: `select $__timeGroup(received_at, '1h') as "time", why as "metric", count(*) as records
from lake.tombstones where $__timeFilter(received_at) group by 1, 2 order by 1` }))
    .withPanel(table({ title: 'Changes of events', description: 'The state each event is in', width: 12,
      sql: 'select event_id, name, status, action, changed_by, changed_at from lake.events order by changed_at desc limit 100' }));
}
