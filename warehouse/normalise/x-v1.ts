import type { Projection } from './projection.ts';
import { degrees, each, isoInstant, orNull, snowflakeInstant, unescaped, v1Instant, xId } from './sql.ts';

const media = 'STRUCT(media_url_https VARCHAR, media_url VARCHAR, id_str VARCHAR)[]';
const entities = `STRUCT(
  hashtags STRUCT("text" VARCHAR)[],
  user_mentions STRUCT(screen_name VARCHAR)[],
  urls STRUCT(url VARCHAR, expanded_url VARCHAR, unwound STRUCT(url VARCHAR))[],
  media ${media})`;
const content = `id_str VARCHAR, id VARCHAR, "text" VARCHAR, full_text VARCHAR, entities ${entities},
  extended_entities STRUCT(media ${media}),
  extended_tweet STRUCT(full_text VARCHAR, entities ${entities}, extended_entities STRUCT(media ${media}))`;

const postType = `STRUCT(${content}, created_at VARCHAR, lang VARCHAR,
  retweeted_status STRUCT(${content}),
  quoted_status STRUCT(id_str VARCHAR), quoted_status_id_str VARCHAR, quoted_status_id VARCHAR,
  in_reply_to_status_id_str VARCHAR, in_reply_to_status_id VARCHAR,
  "user" STRUCT(id_str VARCHAR, id VARCHAR, screen_name VARCHAR, name VARCHAR, location VARCHAR, created_at VARCHAR,
    followers_count BIGINT, verified BOOLEAN),
  place STRUCT(full_name VARCHAR, country_code VARCHAR),
  coordinates STRUCT(coordinates DOUBLE[]), geo STRUCT(coordinates DOUBLE[]),
  retweet_count BIGINT, reply_count BIGINT, favorite_count BIGINT, quote_count BIGINT)`;

// Tools that read numbers as doubles have rounded many an `id` above 2^53; `id_str` is what the network said.
const id = 'coalesce(post.id_str, post.id)';

/** The first of some members of the retweeted post where there is one, else of the post itself. */
const shown = (...members: readonly string[]): string => {
  const of = (tweet: string): string => `coalesce(${members.map((member) => `${tweet}.${member}`).join(', ')})`;
  return `case when coalesce(post.retweeted_status."text", post.retweeted_status.full_text) is not null
    then ${of('post.retweeted_status')} else ${of('post')} end`;
};
const entity = (member: string): string => shown(`extended_tweet.entities.${member}`, `entities.${member}`);
const attached = shown('extended_tweet.extended_entities.media', 'extended_entities.media', 'extended_tweet.entities.media',
  'entities.media');
const instant = (text: string): string => `coalesce(${v1Instant(text)}, ${isoInstant(text)})`;

/** A tweet of API v1.1, as the old streams and `statuses/lookup` gave it: twarc, DMI-TCAT, EPIC's `tweet-*.json.gz`. */
export const xV1: Projection = {
  format: 'x.v1',
  postType,
  select: {
    post_id: xId(id, 'coalesce(post."text", post.full_text)'),
    created_at: `case when post.created_at is null then ${snowflakeInstant(id)} else ${instant('post.created_at')} end`,
    author_id: 'coalesce(post."user".id_str, post."user".id)',
    author_handle: 'post."user".screen_name',
    author_name: 'post."user".name',
    author_followers: 'post."user".followers_count',
    author_location: orNull('post."user".location'),
    author_created_at: instant('post."user".created_at'),
    author_verified: 'post."user".verified',
    text: unescaped(shown('extended_tweet.full_text', 'full_text', '"text"')),
    lang: 'post.lang',
    hashtags: each(entity('hashtags'), 'x."text"'),
    mentions: each(entity('user_mentions'), 'x.screen_name'),
    urls: each(entity('urls'), 'coalesce(x.unwound.url, x.expanded_url, x.url)'),
    media: each(attached, 'coalesce(x.media_url_https, x.media_url, x.id_str)'),
    conversation_id: 'null',
    in_reply_to_id: 'coalesce(post.in_reply_to_status_id_str, post.in_reply_to_status_id)',
    repost_of_id: 'coalesce(post.retweeted_status.id_str, post.retweeted_status.id)',
    quote_of_id: `case when post.retweeted_status is null
      then coalesce(post.quoted_status_id_str, post.quoted_status.id_str, post.quoted_status_id) end`,
    reposts: 'post.retweet_count',
    replies: 'post.reply_count',
    likes: 'post.favorite_count',
    quotes: 'post.quote_count',
    // `coordinates` is GeoJSON, longitude first; the older `geo` has latitude first.
    latitude: degrees('coalesce(post.coordinates.coordinates[2], post.geo.coordinates[1])', 90),
    longitude: degrees('coalesce(post.coordinates.coordinates[1], post.geo.coordinates[2])', 180),
    place: 'post.place.full_name',
    country: 'post.place.country_code',
    uri: `'https://x.com/' || coalesce(post."user".screen_name, 'i/web') || '/status/' || ${id}`,
  },
};
