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

/** `at://did/app.bsky.feed.post/rkey` as our post id, `rkey/did`; null for what is no post. */
const idOf = (uri: string): string =>
  `case when ${uri} like 'at://%/app.bsky.feed.post/%' then split_part(${uri}, '/', 5) || '/' || split_part(${uri}, '/', 3) end`;

const isPost = `collection in ('app.bsky.feed.post', 'app.bsky.feed.repost') and record is not null`;

// A record key made by clients is a TID: 13 characters of base 32, of which the upper 53 bits count microseconds.
const tidMicros = `case when regexp_full_match(rkey, '[2-7a-j][2-7a-z]{12}') then (${
  Array.from({ length: 13 }, (_, index) =>
    `((strpos('234567abcdefghijklmnopqrstuvwxyz', substr(rkey, ${index + 1}, 1)) - 1)::bigint << ${5 * (12 - index)})`)
    .join(' + ')}) >> 10 end`;

const features = (member: string): string =>
  `flatten(list_transform(facets, lambda f: list_transform(list_filter(f.features,
    lambda x: x.${member} is not null), lambda x: x.${member})))`;

/**
 * A hashtag as it is written: the bytes of the text that the facet points at (it counts bytes of UTF-8), without the
 * mark, where they are the facet's tag but for case; where they are not, the tag itself.
 */
const written = `ltrim(try(decode(encode(body)[f."index".byteStart + 1 : f."index".byteEnd])), '#＃')`;
const facetTags = `flatten(list_transform(facets, lambda f: list_transform(list_filter(f.features,
  lambda x: x.tag is not null), lambda x: case when lower(${written}) = lower(x.tag) then ${written} else x.tag end)))`;

const ofEmbed = (member: string): string => `coalesce(embed.${member}, embed_media.${member})`;
const image = `'https://cdn.bsky.app/img/feed_fullsize/plain/' || did || '/' || x.image.ref."$link" || '@jpeg'`;
const video = `'https://video.bsky.app/watch/' || did || '/' || ${ofEmbed('video.ref."$link"')} || '/playlist.m3u8'`;

// Named step by step, as in the projection of X's v2: a struct at every step of a path is what costs.
const parts = [
  { did: 'post.did', committed: 'post."commit"' },
  { record: 'committed.record', rkey: 'committed.rkey', collection: 'committed.collection' },
  {
    embed: 'record.embed', reply: 'record.reply', facets: 'record.facets', body: 'record."text"', tags: 'coalesce(record.tags, [])',
    claimed: isoInstant('record.createdAt'), seen_micros: `coalesce(post.time_us, ${tidMicros})`,
    id: `case when ${isPost} then rkey || '/' || did end`,
  },
  { embed_media: 'embed.media', embed_record: 'embed.record' },
  { card: ofEmbed('"external".uri'), linked: features('uri') },
];

// `createdAt` is the author's own claim: before 1970, or later than a day after the network saw it, it is none.
const createdAt = `coalesce(
  case when epoch_us(claimed) between 0 and coalesce(seen_micros + 86400000000, epoch_us(claimed)) then claimed end,
  make_timestamptz(seen_micros))`;

/** An event of Jetstream with a post or a repost in it. What the network knows of the author does not come with it. */
export const bluesky: Projection = {
  format: 'bluesky',
  postType,
  parts,
  select: {
    post_id: 'id',
    created_at: createdAt,
    author_id: 'did',
    author_handle: 'null',
    author_name: 'null',
    author_followers: 'null',
    author_location: 'null',
    author_created_at: 'null',
    author_verified: 'null',
    text: 'body',
    lang: 'record.langs[1]',
    hashtags: `case when facets is null then tags
      else list_concat(${facetTags}, tags) end`,
    mentions: `case when facets is null then [] else ${features('did')} end`,
    urls: `list_concat(case when facets is null then [] else linked end,
      case when card is null or list_contains(linked, card) then [] else [card] end)`,
    media: `list_concat(${each(ofEmbed('images'), image)}, case when ${video} is null then [] else [${video}] end)`,
    conversation_id: `coalesce(${idOf('reply.root.uri')}, id)`,
    in_reply_to_id: idOf('reply.parent.uri'),
    repost_of_id: `case when collection = 'app.bsky.feed.repost' then ${idOf('record.subject.uri')} end`,
    quote_of_id: `coalesce(${idOf('embed_record.uri')}, ${idOf('embed_record.record.uri')})`,
    reposts: 'null',
    replies: 'null',
    likes: 'null',
    quotes: 'null',
    latitude: 'null',
    longitude: 'null',
    place: 'null',
    country: 'null',
    uri: `'https://bsky.app/profile/' || did || '/post/' || rkey`,
  },
};
