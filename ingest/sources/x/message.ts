import type { MatchablePost } from '#core/match/matcher.ts';

/** What one line of the stream, or one post of a search, turned out to be. */
export type Message =
  | {
    readonly kind: 'post'; readonly rules: readonly MatchedRule[]; readonly matchable: MatchablePost;
    readonly createdAtMs: number | undefined;
  }
  /** X closes the connection, or says why it will: `title` such as operational-disconnect or ConnectionException. */
  | { readonly kind: 'error'; readonly title: string; readonly detail: string }
  /** JSON of a type that we do not know: kept for people to look at, and no reason to stop. */
  | { readonly kind: 'unknown'; readonly keys: string }
  | { readonly kind: 'broken'; readonly reason: string };

export interface MatchedRule {
  readonly id: string;
  readonly tag: string | undefined;
}

/** Understands a line. Never throws: what is wrong with it is in the answer. */
export function readMessage(line: Buffer): Message {
  let parsed: unknown;
  try {
    parsed = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(line));
  } catch (error) {
    return { kind: 'broken', reason: error instanceof SyntaxError ? 'it is no JSON' : 'it is not UTF-8' };
  }
  if (!isObject(parsed)) return { kind: 'broken', reason: 'it is no JSON object' };
  const { data } = parsed;
  if (isObject(data) && typeof data['id'] === 'string' && typeof data['text'] === 'string') {
    const createdAtMs = typeof data['created_at'] === 'string' ? Date.parse(data['created_at']) : Number.NaN;
    return { kind: 'post', rules: rulesOf(parsed['matching_rules']), matchable: matchableOf(data, parsed['includes']),
      createdAtMs: Number.isNaN(createdAtMs) ? undefined : createdAtMs };
  }
  const error = listOf(parsed['errors'])[0] ?? (typeof parsed['title'] === 'string' ? parsed : undefined);
  if (error !== undefined) {
    const text = (key: string): string => typeof error[key] === 'string' ? error[key] : '';
    const connection = text('connection_issue');
    return { kind: 'error', title: connection === '' ? text('title') : connection, detail: text('detail') || text('message') };
  }
  return { kind: 'unknown', keys: Object.keys(parsed).slice(0, 8).join(', ') };
}

// Ids of rules were numbers above 2^53 for a while: the tag is what counts, the id only helps where it is missing.
function rulesOf(value: unknown): MatchedRule[] {
  return listOf(value).map((rule) => ({
    id: typeof rule['id'] === 'string' ? rule['id'] : '', tag: typeof rule['tag'] === 'string' ? rule['tag'] : undefined,
  }));
}

/** What a rule can see of a v2 post, with the texts that it repeats and quotes: the stream matches on those too. */
function matchableOf(data: Json, includes: unknown): MatchablePost {
  const included = isObject(includes) ? includes : {};
  const referenced = new Set(listOf(data['referenced_tweets']).filter(({ type }) => type !== 'replied_to').map(({ id }) => id));
  const shown = [data, ...listOf(included['tweets']).filter(({ id }) => referenced.has(id))];
  const author = listOf(included['users']).find(({ id }) => id === data['author_id']);
  const place = isObject(data['geo']) ? placeOf(data['geo'], listOf(included['places'])) : undefined;
  return {
    texts: shown.flatMap(textOf).map(unescape),
    hashtags: shown.flatMap((post) => entitiesOf(post, 'hashtags')).flatMap(({ tag }) => typeof tag === 'string' ? [tag] : []),
    urls: shown.flatMap((post) => entitiesOf(post, 'urls'))
      .map((url) => url['unwound_url'] ?? url['expanded_url']).filter((url) => typeof url === 'string'),
    ...(typeof data['lang'] === 'string' ? { languages: [data['lang']] } : {}),
    ...(typeof data['author_id'] === 'string' ? { authorId: data['author_id'] } : {}),
    ...(typeof author?.['username'] === 'string' ? { authorHandle: author['username'] } : {}),
    ...(place === undefined ? {} : { place }),
  };
}

function placeOf(geo: Json, places: readonly Json[]): MatchablePost['place'] {
  const place = places.find(({ id }) => id === geo['place_id']);
  const point = isObject(geo['coordinates']) && Array.isArray(geo['coordinates']['coordinates']) ? geo['coordinates']['coordinates'] : [];
  const [longitude, latitude]: unknown[] = point;
  return {
    ...(typeof place?.['country_code'] === 'string' ? { country: place['country_code'] } : {}),
    ...(typeof place?.['full_name'] === 'string' ? { name: place['full_name'] } : {}),
    ...(typeof longitude === 'number' && typeof latitude === 'number' ? { longitude, latitude } : {}),
  };
}

function textOf(post: Json): string[] {
  const note = isObject(post['note_tweet']) ? post['note_tweet']['text'] : undefined;
  const text = typeof note === 'string' ? note : post['text'];
  return typeof text === 'string' ? [text] : [];
}

function entitiesOf(post: Json, member: string): Json[] {
  const note = isObject(post['note_tweet']) && isObject(post['note_tweet']['entities']) ? post['note_tweet']['entities'] : {};
  const own = isObject(post['entities']) ? post['entities'] : {};
  return listOf(note[member] ?? own[member]);
}

function unescape(text: string): string {
  return text.replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&');
}

type Json = Readonly<Record<string, unknown>>;

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function listOf(value: unknown): Json[] {
  return Array.isArray(value) ? value.filter(isObject) : [];
}
