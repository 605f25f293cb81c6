import type { Projection } from './projection.ts';
import { snowflakeInstant, unescaped, xId } from './sql.ts';

const text = unescaped('post."text"');

// With Unicode's classes the expression takes six times as long, and most texts are ASCII.
const hashtags = `case when not regexp_matches(${text}, '[#＃]') then []
  when strlen(${text}) = length(${text}) then regexp_extract_all(${text}, '(?:^|[^A-Za-z0-9_&/])#([A-Za-z0-9_]*[A-Za-z_][A-Za-z0-9_]*)', 1)
  else regexp_extract_all(${text}, '(?:^|[^\\pL\\pM\\pN_&/])[#＃]([\\pL\\pM\\pN_]*[\\pL\\pM_][\\pL\\pM\\pN_]*)', 1) end`;
const mentions = `case when contains(${text}, '@')
  then regexp_extract_all(${text}, '(?:^|[^A-Za-z0-9_@/])@([A-Za-z0-9_]{1,20})', 1) else [] end`;
const urls = `case when contains(${text}, '://')
  then regexp_extract_all(${text}, 'https?://[^\\s"“”…]*[A-Za-z0-9/]') else [] end`;

/**
 * CrisisLex states an id and a text and nothing else of the tweet, so time comes from the id, and hashtags, mentions
 * and links from the text. `post` is `{id, text, label}` (T6) or `{id, text, information_source, …}` (T26).
 */
export const crisislex: Projection = {
  format: 'crisislex',
  postType: 'STRUCT(id VARCHAR, "text" VARCHAR)',
  select: {
    post_id: xId('post.id', 'post."text"'),
    created_at: snowflakeInstant('post.id'),
    author_id: 'null',
    author_handle: 'null',
    author_name: 'null',
    author_followers: 'null',
    author_location: 'null',
    author_created_at: 'null',
    author_verified: 'null',
    text,
    lang: 'null',
    hashtags,
    mentions,
    urls,
    media: '[]',
    conversation_id: 'null',
    in_reply_to_id: 'null',
    repost_of_id: 'null',
    quote_of_id: 'null',
    reposts: 'null',
    replies: 'null',
    likes: 'null',
    quotes: 'null',
    latitude: 'null',
    longitude: 'null',
    place: 'null',
    country: 'null',
    uri: "'https://x.com/i/web/status/' || post.id",
  },
};
