import { literal } from '#warehouse/duck.ts';
import { hourOf, type SourceName } from './touched.ts';
import { stopwords } from './stopwords.ts';

/** A table that is counted from others, hour by hour. */
export interface Rollup {
  readonly table: 'activity' | 'activity_labels' | 'activity_terms';
  /** The instant of a row: the begin of its minute or hour. */
  readonly instant: 'minute' | 'hour';
  /** Whatever changes in these changes the counts. */
  readonly from: readonly SourceName[];
  /**
   * A SELECT of its columns over `kept_posts` (the posts of the touched hours that are not to be forgotten) and
   * `labels` (the newest labels of those posts).
   */
  readonly sql: string;
}

const begin = (column: string, micros: number): string =>
  `make_timestamptz(cast(floor(epoch_us(${column}) / ${micros}) as bigint) * ${micros})`;
const minute = begin('created_at', 60_000_000);
const hour = begin('created_at', 3_600_000_000);

/**
 * Values kept of each event, hour and kind: more than any chart shows, so that sums over days are right for what is
 * frequent.
 */
const termsPerHour = 200;

/**
 * Words between white space, without punctuation around them; no links, names, hashtags or numbers. Not by regular
 * expressions: over Unicode classes they took ten times as long.
 */
const punctuation = literal('.,;:!?"\'`()[]{}<>|*_~=+-–—/\\…“”„‘’«»¿¡•·&%$€£');
const words = `list_filter(
  list_transform(string_split(translate(lower(text), chr(9) || chr(10) || chr(13), '   '), ' '), lambda w: trim(w, ${punctuation})),
  lambda w: length(w) between 3 and 40 and not starts_with(w, 'http') and not starts_with(w, '@')
    and not starts_with(w, '#') and not (w[1] between '0' and '9'))`;

const terms: Readonly<Record<string, string>> = {
  hashtag: 'list_distinct(list_transform(hashtags, lambda t: lower(t)))',
  mention: 'list_distinct(list_transform(mentions, lambda t: lower(t)))',
  domain: `list_distinct(list_transform(urls, lambda u: regexp_replace(lower(regexp_extract(u, '^[a-zA-Z]+://([^/?#:]+)', 1)), '^www[.]', '')))`,
  author: '[coalesce(author_handle, author_id)]',
  word: `list_distinct(${words})`,
};

const stopwordList = stopwords.map(literal).join(', ');

export const rollups: readonly Rollup[] = [
  {
    table: 'activity',
    instant: 'minute',
    from: ['posts', 'tombstones'],
    sql: `select event_id, source, ${minute} as minute, lang, count(*) as posts, count(distinct author_id) as authors,
        count(repost_of_id) as reposts
      from kept_posts group by all`,
  },
  {
    table: 'activity_labels',
    instant: 'minute',
    from: ['labels', 'tombstones'],
    sql: `select event_id, source, ${minute} as minute, classifier, label, count(*) as posts from labels group by all`,
  },
  {
    table: 'activity_terms',
    instant: 'hour',
    from: ['posts', 'tombstones'],
    sql: `select event_id, ${hour} as hour, kind, value, count(*) as posts
      from (${Object.entries(terms)
        .map(
          ([kind, list]) => `select event_id, created_at, '${kind}' as kind, unnest(${list}) as value from kept_posts`,
        )
        .join(' union all ')})
      where value is not null and value <> '' and not (kind = 'word' and value in (${stopwordList}))
      group by event_id, hour, kind, value
      qualify row_number() over (partition by event_id, hour, kind order by posts desc, value) <= ${termsPerHour}`,
  },
];

/** Makes `kept_posts` and `labels` over the views `some_posts`, `some_labels` and `all_tombstones`. */
export const keptPosts = `create or replace temp table gone as
    select source, kind, id from (select source, kind, id, state, row_number() over (
        partition by source, kind, id order by received_at desc, log_partition desc, log_offset desc) as newest
      from all_tombstones)
    where newest = 1 and state = 'gone';
  create or replace temp table hours as select distinct event_id, hour from touched;
  create or replace temp table kept_posts as
    select p.* from some_posts p semi join hours h on p.event_id = h.event_id and ${hourOf('p.created_at')} = h.hour
      anti join (select source, id from gone where kind = 'post') g on p.source = g.source and p.post_id = g.id
      anti join (select source, id from gone where kind = 'author') a on p.source = a.source and p.author_id = a.id;`;

/** One label for each post and question: that of the model that judged last. */
export const newestLabels = `create or replace temp view labels as
  select l.event_id, l.source, p.created_at, l.classifier, l.label
  from (select *, row_number() over (partition by event_id, source, post_id, classifier
      order by classified_at desc, model_version desc) as newest from some_labels) l
    join kept_posts p on l.event_id = p.event_id and l.source = p.source and l.post_id = p.post_id
  where l.newest = 1`;
