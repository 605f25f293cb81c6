// What an analyst asks gives the same answers on both engines, over the same files: issue 10, part 6.
import { jest } from '@jest/globals';
import { writeTrinoViews } from '#sql/engine/trino/views.ts';
import type { Engine } from '#sql/engine/engine.ts';
import { ask } from '../sql-lake.ts';
import { trinoLake } from '../trino-lake.ts';
import type { TrinoLake } from '../trino-lake.ts';

jest.setTimeout(120_000);

let world: TrinoLake;
let duck: Engine;
let trino: Engine;

// Every number is a function of i alone, so that each run has the same rows; 4,000 minutes are almost three days.
const posts = `SELECT CASE i % 7 WHEN 0 THEN 'alberta' WHEN 1 THEN 'käse' ELSE 'colorado' END AS event_id, CASE WHEN i % 3 = 0 THEN 'bluesky' ELSE 'x' END AS source,
  'p' || i AS post_id, 'a' || (i * i % 101) AS author_id, 'handle ' || (i * i % 101) AS author_handle, (i * 37 % 1009)::BIGINT AS likes,
  CASE WHEN i % 11 > 0 THEN (i % 50)::BIGINT END AS reposts,
  TIMESTAMPTZ '2013-10-25 20:00:00.000001+00' + to_seconds(i * 61) + to_microseconds(i * 7) AS created_at,
  CASE i % 5 WHEN 0 THEN 'Water is rising near the bridge ' || i WHEN 1 THEN 'فيضان في المدينة ' || i WHEN 2 THEN '🌊🌊 help! "flood" ' || i
    WHEN 3 THEN 'It''s over; roads open' ELSE NULL END AS text,
  CASE i % 4 WHEN 0 THEN 'en' WHEN 1 THEN 'ar' WHEN 2 THEN 'de' END AS lang,
  CASE WHEN i % 6 > 0 THEN list_transform(range(i % 4), lambda t: 'tag' || ((t * 7 + i) % 13)) END AS hashtags,
  CASE WHEN i % 9 = 0 THEN 50 + (i % 100) / 8.0 END AS latitude, i % 2 = 0 AS author_verified, 0 AS log_partition, i AS log_offset
  FROM range(4000) r(i)`;

const events = `SELECT * FROM (VALUES ('alberta', 1, 'Alberta floods', 'active'), ('alberta', 2, 'Alberta floods 2013', 'archived'),
  ('colorado', 1, 'Colorado floods', 'active'), ('käse', 1, 'Käse', 'paused')) AS t(event_id, version, name, status)`;

const classifications = `SELECT event_id, source, post_id, created_at, classifier, 'v' || version AS model_version,
  CASE (log_offset + version) % 3 WHEN 0 THEN 'caution' WHEN 1 THEN 'donations' ELSE 'other' END AS label, (log_offset % 100) / 128.0 AS score,
  created_at + to_minutes(version) AS classified_at, log_partition, log_offset
  FROM (${posts}), (VALUES ('information_type', 1), ('information_type', 2), ('relevance', 1)) AS c(classifier, version) WHERE log_offset % 2 = 0`;

beforeAll(async () => {
  world = await trinoLake();
  await world.lake.append('posts', `SELECT * FROM (${posts}) WHERE log_offset < 2500`);
  await world.lake.append('posts', `SELECT * FROM (${posts}) WHERE log_offset >= 2500`);
  await world.lake.append('events', events);
  await world.lake.append('classifications', classifications);
  await world.lake.append('tombstones', `SELECT source, kind, id, state, received_at, 0 AS log_partition, n AS log_offset FROM (VALUES
    ('x', 'post', 'p7', 'gone', TIMESTAMPTZ '2013-11-01 00:00:00+00', 1), ('x', 'author', 'a4', 'gone', TIMESTAMPTZ '2013-11-01 00:00:00+00', 2),
    ('x', 'author', 'a5', 'gone', TIMESTAMPTZ '2013-11-01 00:00:00+00', 3), ('x', 'author', 'a5', 'back', TIMESTAMPTZ '2013-11-02 00:00:00+00', 4))
    AS t(source, kind, id, state, received_at, n)`);
  await world.publish();
  await writeTrinoViews(world.views);
  duck = world.lake.engine();
  trino = world.engine();
}, 600_000);

afterAll(async () => {
  await trino?.[Symbol.asyncDispose]();
  await world?.[Symbol.asyncDispose]();
});

const questions: readonly (readonly [what: string, sql: string])[] = [
  ['posts by hour', `SELECT date_trunc('hour', created_at) AS hour, count(*) AS posts FROM posts WHERE event_id = 'colorado' GROUP BY 1 ORDER BY 1`],
  ['the most frequent hashtags', `SELECT tag, count(*) AS posts FROM posts CROSS JOIN UNNEST(hashtags) AS t(tag) GROUP BY tag ORDER BY posts DESC, tag LIMIT 10`],
  ['posts and people of each event, by its newest name', `SELECT e.name, e.status, count(*) AS posts, count(DISTINCT p.author_id) AS people
    FROM posts AS p JOIN events AS e ON e.event_id = p.event_id GROUP BY 1, 2 ORDER BY 1`],
  ['the first and the last post of each event', `SELECT event_id, min(created_at) AS first, max(created_at) AS last FROM posts GROUP BY event_id ORDER BY event_id`],
  ['posts that add up day by day', `SELECT day, posts, sum(posts) OVER (ORDER BY day) AS so_far FROM (
    SELECT CAST(created_at AS DATE) AS day, count(*) AS posts FROM posts GROUP BY 1) AS d ORDER BY day`],
  ['how each hour compares with the one before', `SELECT hour, posts - lag(posts) OVER (ORDER BY hour) AS change FROM (
    SELECT date_trunc('hour', created_at) AS hour, count(*) AS posts FROM posts GROUP BY 1) AS h ORDER BY hour LIMIT 30`],
  ['the three busiest people of each event', `SELECT event_id, author_handle, posts FROM (SELECT event_id, author_handle, count(*) AS posts,
    row_number() OVER (PARTITION BY event_id ORDER BY count(*) DESC, author_handle) AS place FROM posts GROUP BY 1, 2) AS r WHERE place <= 3 ORDER BY 1, place`],
  ['the day in Prague, over the change of clocks', `SELECT CAST(created_at AT TIME ZONE 'Europe/Prague' AS DATE) AS day, count(*) FROM posts GROUP BY 1 ORDER BY 1`],
  ['the hour of day in New York', `SELECT extract(hour FROM created_at AT TIME ZONE 'America/New_York') AS hour, count(*) FROM posts GROUP BY 1 ORDER BY 1`],
  ['posts that hold a word', `SELECT post_id, text FROM posts WHERE lower(text) LIKE '%bridge 4%' ORDER BY log_offset LIMIT 20`],
  ['words of another script, and lengths', `SELECT length(text), text, strpos(text, 'المدينة'), substr(text, 1, 5) FROM posts WHERE lang = 'ar' AND text LIKE '%فيضان%'
    ORDER BY log_offset LIMIT 5`],
  ['posts with a certain hashtag', `SELECT count(*), sum(likes) FROM posts WHERE contains(hashtags, 'tag3')`],
  ['hashtags that stand together', `SELECT a.tag AS one, b.tag AS other, count(*) AS posts FROM posts CROSS JOIN UNNEST(hashtags) AS a(tag) CROSS JOIN UNNEST(hashtags) AS b(tag)
    WHERE a.tag < b.tag GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LIMIT 10`],
  ['languages, with those that are not known', `SELECT coalesce(lang, '?') AS lang, count(*) AS posts, count(*) FILTER (WHERE author_verified) AS verified
    FROM posts GROUP BY 1 ORDER BY posts DESC, lang`],
  ['likes in figures', `SELECT event_id, avg(likes), max(likes), round(stddev(likes), 6), sum(reposts), count(reposts) FROM posts GROUP BY event_id ORDER BY event_id`],
  ['the most liked post of each event', `SELECT event_id, max_by(post_id, likes * 10000 + log_offset), max(likes) FROM posts GROUP BY event_id ORDER BY event_id`],
  ['totals by event and network, with sums', `SELECT event_id, source, count(*) FROM posts GROUP BY ROLLUP (event_id, source) ORDER BY 1, 2`],
  ['labels of the newest model', `SELECT classifier, label, model_version, count(*), round(avg(score), 6) FROM classifications GROUP BY 1, 2, 3 ORDER BY 1, 2, 3`],
  ['posts whose label says caution', `SELECT p.event_id, count(*), min(p.text) FROM posts AS p JOIN classifications AS c
    ON c.event_id = p.event_id AND c.source = p.source AND c.post_id = p.post_id WHERE c.label = 'caution' AND c.classifier = 'information_type' GROUP BY 1 ORDER BY 1`],
  ['people who posted in one event and not in another', `SELECT count(*) FROM (SELECT author_id FROM posts WHERE event_id = 'alberta' EXCEPT
    SELECT author_id FROM posts WHERE event_id = 'käse') AS d`],
  ['posts of an evening, by a window of time', `SELECT source, count(*) FROM posts WHERE created_at >= CAST('2013-10-26 18:00:00+00:00' AS TIMESTAMP WITH TIME ZONE)
    AND created_at < CAST('2013-10-26 18:00:00+00:00' AS TIMESTAMP WITH TIME ZONE) + INTERVAL '6' HOUR GROUP BY 1 ORDER BY 1`],
  ['what must be forgotten is left out, and who came back is not', `SELECT author_id, count(*) FROM posts WHERE author_id IN ('a4', 'a5') OR post_id = 'p7' GROUP BY 1 ORDER BY 1`],
  ['gathered lists', `SELECT event_id, array_agg(DISTINCT lang ORDER BY lang) FROM posts WHERE lang IS NOT NULL GROUP BY event_id ORDER BY event_id`],
  ['posts where somebody was', `SELECT round(latitude, 1) AS degree, count(*) FROM posts WHERE latitude IS NOT NULL GROUP BY 1 ORDER BY 1 LIMIT 15`],
];

test.each(questions)('%s', async (_what, sql) => {
  const [one, other] = [await ask(duck, sql), await ask(trino, sql)];
  expect(other.rows).toEqual(one.rows);
  expect(one.rows.length).toBeGreaterThan(0);
  expect(other.columns.map(nameless)).toEqual(one.columns.map(nameless));
});

/** A column without a name is called `_col0` by Trino and by its expression by DuckDB. */
function nameless(name: string): string {
  return /^_col\d+$|[( ]/.test(name) ? '' : name;
}

test('the same rows, in the order of the log', async () => {
  const sql = `SELECT event_id, post_id, created_at, text, hashtags, likes, latitude, author_verified FROM posts ORDER BY log_offset`;
  const [one, other] = [await ask(duck, sql), await ask(trino, sql)];
  expect(one.rows.length).toBeGreaterThan(3900);
  expect(other).toEqual(one);
});
