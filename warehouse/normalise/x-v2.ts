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

const referenced = (type: string): string => where('post.data.referenced_tweets', '"type"', `'${type}'`);

// A repost's own text ends in "…": the whole is in the post that it repeats, with entities that fit it.
const parts = [
  {
    retweeted: referenced('retweeted'),
    author: `coalesce(${where('post.includes.users', 'id', 'post.data.author_id')}, post.data.author)`,
    place: where('post.includes.places', 'id', 'post.data.geo.place_id'),
  },
  { original: where('post.includes.tweets', 'id', 'retweeted.id') },
];

/** The first of some members of the post whose content counts: of the original where there is one, else of itself. */
const shown = (...members: readonly string[]): string => {
  const of = (tweet: string): string => `coalesce(${members.map((member) => `${tweet}.${member}`).join(', ')})`;
  return `case when original."text" is not null then ${of('original')}
    when retweeted."text" is not null then ${of('retweeted')} else ${of('post.data')} end`;
};
const entity = (member: string): string => shown(`note_tweet.entities.${member}`, `entities.${member}`);

const link = `case when x.media_key is null and not coalesce(regexp_matches(x.display_url, '^pic\\.(twitter|x)\\.com/'), false)
  then coalesce(x.unwound_url, x.expanded_url, x.url) end`;
const medium = where('post.includes.media', 'media_key', 'k');
const keys = shown('attachments.media_keys');

/** A response of X API v2 about one post: `{data, includes?, matching_rules?}`, as the filtered stream sends it. */
export const xV2: Projection = {
  format: 'x.v2',
  postType,
  parts,
  select: {
    post_id: xId('post.data.id', 'post.data."text"'),
    created_at: `case when post.data.created_at is null then ${snowflakeInstant('post.data.id')}
      else ${isoInstant('post.data.created_at')} end`,
    author_id: 'post.data.author_id',
    author_handle: 'author.username',
    author_name: 'author.name',
    author_followers: 'author.public_metrics.followers_count',
    author_location: orNull('author.location'),
    author_created_at: isoInstant('author.created_at'),
    author_verified: 'author.verified',
    text: unescaped(shown('note_tweet."text"', '"text"')),
    lang: 'post.data.lang',
    hashtags: each(entity('hashtags'), 'x.tag'),
    mentions: each(entity('mentions'), 'x.username'),
    urls: each(entity('urls'), link),
    media: `case when ${keys} is null then [] when post.includes.media is null then ${keys}
      else list_transform(${keys}, lambda k: coalesce(${medium}.url, ${medium}.preview_image_url, k)) end`,
    conversation_id: 'post.data.conversation_id',
    in_reply_to_id: `${referenced('replied_to')}.id`,
    repost_of_id: 'retweeted.id',
    quote_of_id: `${referenced('quoted')}.id`,
    reposts: 'post.data.public_metrics.retweet_count',
    replies: 'post.data.public_metrics.reply_count',
    likes: 'post.data.public_metrics.like_count',
    quotes: 'post.data.public_metrics.quote_count',
    latitude: degrees('post.data.geo.coordinates.coordinates[2]', 90),
    longitude: degrees('post.data.geo.coordinates.coordinates[1]', 180),
    place: 'coalesce(place.full_name, post.data.geo.full_name)',
    country: 'coalesce(place.country_code, post.data.geo.country_code)',
    uri: `'https://x.com/' || coalesce(author.username, 'i/web') || '/status/' || post.data.id`,
  },
};
