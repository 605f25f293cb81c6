import type { Projection } from './projection.ts';
import { degrees, each, isoInstant, orNull, snowflakeInstant, unescaped, where, xId } from './sql.ts';

const entities = `STRUCT(
  hashtags STRUCT(tag VARCHAR)[],
  mentions STRUCT(username VARCHAR)[],
  urls STRUCT(url VARCHAR, expanded_url VARCHAR, unwound_url VARCHAR, display_url VARCHAR, media_key VARCHAR)[])`;
const user = `STRUCT(id VARCHAR, username VARCHAR, name VARCHAR, location VARCHAR, created_at VARCHAR, verified BOOLEAN,
  public_metrics STRUCT(followers_count BIGINT))`;
const content = `id VARCHAR, "text" VARCHAR, note_tweet STRUCT("text" VARCHAR, entities ${entities}),
  entities ${entities}, attachments STRUCT(media_keys VARCHAR[])`;

// `author` and the content of `referenced_tweets` stand in the post itself where `twarc2 flatten` has put them.
const postType = `STRUCT(
  data STRUCT(${content}, created_at VARCHAR, author_id VARCHAR, author ${user}, lang VARCHAR, conversation_id VARCHAR,
    referenced_tweets STRUCT("type" VARCHAR, ${content})[],
    geo STRUCT(place_id VARCHAR, full_name VARCHAR, country_code VARCHAR, coordinates STRUCT(coordinates DOUBLE[])),
    public_metrics STRUCT(retweet_count BIGINT, reply_count BIGINT, like_count BIGINT, quote_count BIGINT)),
  includes STRUCT(
    users ${user}[],
    tweets STRUCT(${content})[],
    media STRUCT(media_key VARCHAR, url VARCHAR, preview_image_url VARCHAR)[],
    places STRUCT(id VARCHAR, full_name VARCHAR, country_code VARCHAR)[]))`;

const referenced = (type: string): string => where('referenced', '"type"', `'${type}'`);
const medium = where('media_objects', 'media_key', 'k');

/** The first of what the original, the repost and the post itself have: a repost's own text ends in "…". */
const shown = (original: string, retweeted: string, own: string): string =>
  `case when original."text" is not null then ${original} when retweeted."text" is not null then ${retweeted} else ${own} end`;

// What is a struct within a struct gets a name before its members are asked for: DuckDB makes room for all that a
// struct holds, 2,048 times, at every step of a path, and half of a small batch's time went there.
const parts = [
  { tweet: 'post.data', includes: 'post.includes' },
  {
    referenced: 'tweet.referenced_tweets', metrics: 'tweet.public_metrics', geo: 'tweet.geo', attachments: 'tweet.attachments', note: 'tweet.note_tweet',
    users: 'includes.users', tweets: 'includes.tweets', media_objects: 'includes.media', places: 'includes.places',
  },
  {
    retweeted: referenced('retweeted'),
    author: `coalesce(${where('users', 'id', 'tweet.author_id')}, tweet.author)`,
    place: where('places', 'id', 'geo.place_id'),
    coordinates: 'geo.coordinates.coordinates',
  },
  { original: where('tweets', 'id', 'retweeted.id'), retweeted_note: 'retweeted.note_tweet' },
  { original_note: 'original.note_tweet' },
  {
    shown_text: shown('coalesce(original_note."text", original."text")', 'coalesce(retweeted_note."text", retweeted."text")', 'coalesce(note."text", tweet."text")'),
    // The entities of a long text; a post that is short has only the others.
    note_entities: shown('original_note.entities', 'retweeted_note.entities', 'note.entities'),
    short_entities: shown('original.entities', 'retweeted.entities', 'tweet.entities'),
    keys: shown('original.attachments.media_keys', 'retweeted.attachments.media_keys', 'attachments.media_keys'),
  },
];
const entity = (member: string): string => `coalesce(note_entities.${member}, short_entities.${member})`;

const link = `case when x.media_key is null and not coalesce(regexp_matches(x.display_url, '^pic\\.(twitter|x)\\.com/'), false)
  then coalesce(x.unwound_url, x.expanded_url, x.url) end`;

/** A response of X API v2 about one post: `{data, includes?, matching_rules?}`, as the filtered stream sends it. */
export const xV2: Projection = {
  format: 'x.v2',
  postType,
  parts,
  select: {
    post_id: xId('tweet.id', 'tweet."text"'),
    created_at: `case when tweet.created_at is null then ${snowflakeInstant('tweet.id')}
      else ${isoInstant('tweet.created_at')} end`,
    author_id: 'tweet.author_id',
    author_handle: 'author.username',
    author_name: 'author.name',
    author_followers: 'author.public_metrics.followers_count',
    author_location: orNull('author.location'),
    author_created_at: isoInstant('author.created_at'),
    author_verified: 'author.verified',
    text: unescaped('shown_text'),
    lang: 'tweet.lang',
    hashtags: each(entity('hashtags'), 'x.tag'),
    mentions: each(entity('mentions'), 'x.username'),
    urls: each(entity('urls'), link),
    media: `case when keys is null then [] when media_objects is null then keys
      else list_transform(keys, lambda k: coalesce(${medium}.url, ${medium}.preview_image_url, k)) end`,
    conversation_id: 'tweet.conversation_id',
    in_reply_to_id: `${referenced('replied_to')}.id`,
    repost_of_id: 'retweeted.id',
    quote_of_id: `${referenced('quoted')}.id`,
    reposts: 'metrics.retweet_count',
    replies: 'metrics.reply_count',
    likes: 'metrics.like_count',
    quotes: 'metrics.quote_count',
    latitude: degrees('coordinates[2]', 90),
    longitude: degrees('coordinates[1]', 180),
    place: 'coalesce(place.full_name, geo.full_name)',
    country: 'coalesce(place.country_code, geo.country_code)',
    uri: `'https://x.com/' || coalesce(author.username, 'i/web') || '/status/' || tweet.id`,
  },
};
