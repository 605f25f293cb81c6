import type { Projection } from './projection.ts';
import { each, isoInstant } from './sql.ts';

const blob = 'STRUCT(ref STRUCT("$link" VARCHAR))';
const attached = `images STRUCT(image ${blob})[], video ${blob}, "external" STRUCT(uri VARCHAR)`;
const postType = `STRUCT(did VARCHAR, time_us BIGINT, "commit" STRUCT(collection VARCHAR, rkey VARCHAR, record STRUCT(
  "text" VARCHAR, createdAt VARCHAR, langs VARCHAR[], tags VARCHAR[],
  facets STRUCT("index" STRUCT(byteStart BIGINT, byteEnd BIGINT), features STRUCT(uri VARCHAR, did VARCHAR, tag VARCHAR)[])[],
  reply STRUCT(root STRUCT(uri VARCHAR), parent STRUCT(uri VARCHAR)),
  subject STRUCT(uri VARCHAR),
  embed STRUCT(${attached}, media STRUCT(${attached}), record STRUCT(uri VARCHAR, record STRUCT(uri VARCHAR))))))`;

const record = 'post."commit".record';
const rkey = 'post."commit".rkey';

/** `at://did/app.bsky.feed.post/rkey` as our post id, `rkey/did`; null for what is no post. */
const idOf = (uri: string): string =>
  `case when ${uri} like 'at://%/app.bsky.feed.post/%' then split_part(${uri}, '/', 5) || '/' || split_part(${uri}, '/', 3) end`;

const isPost = `post."commit".collection in ('app.bsky.feed.post', 'app.bsky.feed.repost') and ${record} is not null`;
const postId = `case when ${isPost} then ${rkey} || '/' || post.did end`;

// A record key made by clients is a TID: 13 characters of base 32, of which the upper 53 bits count microseconds.
const tidMicros = `case when regexp_full_match(${rkey}, '[2-7a-j][2-7a-z]{12}') then (${
  Array.from({ length: 13 }, (_, index) =>
    `((strpos('234567abcdefghijklmnopqrstuvwxyz', substr(${rkey}, ${index + 1}, 1)) - 1)::bigint << ${5 * (12 - index)})`)
    .join(' + ')}) >> 10 end`;

// `createdAt` is the author's own claim: before 1970, or later than a day after the network saw it, it is none.
const claimed = isoInstant(`${record}.createdAt`);
const seenMicros = `coalesce(post.time_us, ${tidMicros})`;
const createdAt = `coalesce(
  case when epoch_us(${claimed}) between 0 and coalesce(${seenMicros} + 86400000000, epoch_us(${claimed}))
    then ${claimed} end,
  make_timestamptz(${seenMicros}))`;

const features = (member: string): string =>
  `flatten(list_transform(${record}.facets, lambda f: list_transform(list_filter(f.features,
    lambda x: x.${member} is not null), lambda x: x.${member})))`;

/**
 * A hashtag as it is written: the bytes of the text that the facet points at (it counts bytes of UTF-8), without the
 * mark, where they are the facet's tag but for case; where they are not, the tag itself.
 */
const written = `ltrim(try(decode(encode(${record}."text")[f."index".byteStart + 1 : f."index".byteEnd])), '#＃')`;
const facetTags = `flatten(list_transform(${record}.facets, lambda f: list_transform(list_filter(f.features,
  lambda x: x.tag is not null), lambda x: case when lower(${written}) = lower(x.tag) then ${written} else x.tag end)))`;

const ofEmbed = (member: string): string => `coalesce(${record}.embed.${member}, ${record}.embed.media.${member})`;
const image = `'https://cdn.bsky.app/img/feed_fullsize/plain/' || post.did || '/' || x.image.ref."$link" || '@jpeg'`;
const video = `'https://video.bsky.app/watch/' || post.did || '/' || ${ofEmbed('video.ref."$link"')} || '/playlist.m3u8'`;
const card = ofEmbed('"external".uri');

/** An event of Jetstream with a post or a repost in it. What the network knows of the author does not come with it. */
export const bluesky: Projection = {
  format: 'bluesky',
  postType,
  select: {
    post_id: postId,
    created_at: createdAt,
    author_id: 'post.did',
    author_handle: 'null',
    author_name: 'null',
    author_followers: 'null',
    author_location: 'null',
    author_created_at: 'null',
    author_verified: 'null',
    text: `${record}."text"`,
    lang: `${record}.langs[1]`,
    hashtags: `case when ${record}.facets is null then coalesce(${record}.tags, [])
      else list_concat(${facetTags}, coalesce(${record}.tags, [])) end`,
    mentions: `case when ${record}.facets is null then [] else ${features('did')} end`,
    urls: `list_concat(case when ${record}.facets is null then [] else ${features('uri')} end,
      case when ${card} is null or list_contains(${features('uri')}, ${card}) then [] else [${card}] end)`,
    media: `list_concat(${each(ofEmbed('images'), image)}, case when ${video} is null then [] else [${video}] end)`,
    conversation_id: `coalesce(${idOf(`${record}.reply.root.uri`)}, ${postId})`,
    in_reply_to_id: idOf(`${record}.reply.parent.uri`),
    repost_of_id: `case when post."commit".collection = 'app.bsky.feed.repost' then ${idOf(`${record}.subject.uri`)} end`,
    quote_of_id: `coalesce(${idOf(`${record}.embed.record.uri`)}, ${idOf(`${record}.embed.record.record.uri`)})`,
    reposts: 'null',
    replies: 'null',
    likes: 'null',
    quotes: 'null',
    latitude: 'null',
    longitude: 'null',
    place: 'null',
    country: 'null',
    uri: `'https://bsky.app/profile/' || post.did || '/post/' || ${rkey}`,
  },
};
