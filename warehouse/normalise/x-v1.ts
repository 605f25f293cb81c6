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

/** What the retweeted post has, where there is one, else the post itself. */
const shown = (retweeted: string, own: string): string =>
  `case when coalesce(retweeted."text", retweeted.full_text) is not null then ${retweeted} else ${own} end`;
const text = (tweet: string, extended: string): string => `coalesce(${extended}.full_text, ${tweet}.full_text, ${tweet}."text")`;
const attached = (tweet: string, extended: string): string =>
  `coalesce(${extended}.extended_entities.media, ${tweet}.extended_entities.media, ${extended}.entities.media, ${tweet}.entities.media)`;

// Named step by step, as in the projection of v2: a struct at every step of a path is what costs.
const parts = [
  { retweeted: 'post.retweeted_status', extended: 'post.extended_tweet', author: 'post."user"' },
  { retweeted_extended: 'retweeted.extended_tweet' },
  {
    shown_text: shown(text('retweeted', 'retweeted_extended'), text('post', 'extended')),
    long_entities: shown('retweeted_extended.entities', 'extended.entities'),
    short_entities: shown('retweeted.entities', 'post.entities'),
    attached: shown(attached('retweeted', 'retweeted_extended'), attached('post', 'extended')),
  },
];
const entity = (member: string): string => `coalesce(long_entities.${member}, short_entities.${member})`;
const instant = (text: string): string => `coalesce(${v1Instant(text)}, ${isoInstant(text)})`;

/** A tweet of API v1.1, as the old streams and `statuses/lookup` gave it: twarc, DMI-TCAT, EPIC's `tweet-*.json.gz`. */
export const xV1: Projection = {
  format: 'x.v1',
  postType,
  parts,
  select: {
    post_id: xId(id, 'coalesce(post."text", post.full_text)'),
    created_at: `case when post.created_at is null then ${snowflakeInstant(id)} else ${instant('post.created_at')} end`,
    author_id: 'coalesce(author.id_str, author.id)',
    author_handle: 'author.screen_name',
    author_name: 'author.name',
    author_followers: 'author.followers_count',
    author_location: orNull('author.location'),
    author_created_at: instant('author.created_at'),
    author_verified: 'author.verified',
    text: unescaped('shown_text'),
    lang: 'post.lang',
    hashtags: each(entity('hashtags'), 'x."text"'),
    mentions: each(entity('user_mentions'), 'x.screen_name'),
    urls: each(entity('urls'), 'coalesce(x.unwound.url, x.expanded_url, x.url)'),
    media: each('attached', 'coalesce(x.media_url_https, x.media_url, x.id_str)'),
    conversation_id: 'null',
    in_reply_to_id: 'coalesce(post.in_reply_to_status_id_str, post.in_reply_to_status_id)',
    repost_of_id: 'coalesce(retweeted.id_str, retweeted.id)',
    quote_of_id: `case when retweeted is null
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
    uri: `'https://x.com/' || coalesce(author.screen_name, 'i/web') || '/status/' || ${id}`,
  },
};
