import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { ApiPartialResponseError, ApiRequestError, ApiResponseError, TwitterApi } from 'twitter-api-v2';
import Type, { type Static } from 'typebox';
import Value from 'typebox/value';
import type { Clock } from '#core/clock.ts';
import { isWatershedError } from '#core/errors.ts';
import { asError, failureOf, networkFailure, requireAllowed, serverTimeMs, type Answer } from './failure.ts';

/** A rule that X holds. */
export interface StreamRule {
  readonly id: string;
  readonly value: string;
  readonly tag: string;
}

/** What became of a rule that was to be added. */
type Added =
  | { readonly rule: StreamRule }
  | { readonly value: string; readonly refused: string; readonly duplicateOf?: string };

/** Begin and end of a search in ms, by X's clock, and which of its pages. */
interface SearchRange {
  readonly sinceMs: number;
  readonly untilMs: number;
  readonly nextToken: string | undefined;
}

/** One page of recent search: the body untouched, and where the next page begins. */
interface SearchPage {
  readonly body: Buffer;
  readonly posts: number;
  readonly nextToken: string | undefined;
}

/**
 * The requests of X API v2 that are answered at once. Errors: `unauthorized` (401, 403), `rate_limited`, `unavailable`;
 * none of them holds the token, nor an object that holds it.
 */
export interface XApi extends Disposable {
  rules(): Promise<StreamRule[]>;
  addRules(rules: readonly { value: string; tag: string }[]): Promise<Added[]>;
  deleteRules(ids: readonly string[]): Promise<void>;
  /** Posts of the last seven days, 100 a page. */
  search(query: string, page: SearchRange): Promise<SearchPage>;
  /** How far X's clock is ahead of ours, as of the last answer. */
  skewMs(): number;
}

/** Everything that a projection or the matcher reads. */
export const postFields = {
  'tweet.fields': 'id,text,note_tweet,created_at,author_id,lang,conversation_id,in_reply_to_user_id,referenced_tweets,attachments,'
    + 'entities,geo,public_metrics,edit_history_tweet_ids,possibly_sensitive,source,reply_settings',
  expansions: 'author_id,referenced_tweets.id,referenced_tweets.id.author_id,attachments.media_keys,geo.place_id',
  'user.fields': 'id,username,name,location,created_at,verified,public_metrics,description',
  'media.fields': 'media_key,type,url,preview_image_url,alt_text',
  'place.fields': 'id,full_name,country,country_code,place_type,geo',
} as const;

export const userAgent = 'watershed (https://www.npmjs.com/package/watershed)';

const timeoutMs = 30_000;
/** Rules in one request: X names no limit; this keeps a refusal readable and a request small. */
const rulesPerRequest = 100;

const RulesPage = Type.Object({
  data: Type.Optional(Type.Array(Type.Object({
    id: Type.String(), value: Type.String(), tag: Type.Optional(Type.String()),
  }))),
  meta: Type.Optional(Type.Object({ next_token: Type.Optional(Type.String()) })),
  errors: Type.Optional(Type.Array(Type.Object({
    value: Type.Optional(Type.String()), id: Type.Optional(Type.String()), title: Type.Optional(Type.String()),
    details: Type.Optional(Type.Array(Type.String())), detail: Type.Optional(Type.String()),
  }))),
});
type RulesPage = Static<typeof RulesPage>;

const SearchBody = Type.Object({
  meta: Type.Object({ result_count: Type.Optional(Type.Integer()), next_token: Type.Optional(Type.String()) }),
});

type Call = (what: string, request: () => Promise<{ data: unknown; headers: Answer['headers'] }>) => Promise<unknown>;

/** The REST part of X's API through twitter-api-v2; `url` without path, such as https://api.x.com. */
export function createXApi(options: { url: string; token: string; clock: Clock }): XApi {
  const agent = options.url.startsWith('http:') ? new HttpAgent() : new HttpsAgent();
  const client = new TwitterApi(options.token, { httpAgent: agent }).v2;
  // Made anew for each request: the client adds headers of its own to the object that it is given.
  const full = () => ({ prefix: `${options.url}/2/`, fullResponse: true, timeout: timeoutMs, headers: { 'user-agent': userAgent } }) as const;
  let skewMs = 0;
  const call: Call = async (what, request) => {
    try {
      const answer = await request();
      // The client takes a redirect for success. It is not followed: it would carry the token elsewhere.
      if (answer.headers['location'] !== undefined) throw asError({ kind: 'http', cause: 'a redirect', detail: '' }, what);
      skewMs = (serverTimeMs(answer.headers) ?? options.clock.now() + skewMs) - options.clock.now();
      return answer.data;
    } catch (error) {
      throw isWatershedError(error) ? error : converted(error, what, options.clock.now());
    }
  };
  const page = async (what: string, request: () => Promise<{ data: unknown; headers: Answer['headers'] }>): Promise<RulesPage> =>
    checked(RulesPage, await call(what, request), what);
  return {
    skewMs: () => skewMs,
    async rules() {
      const found: StreamRule[] = [];
      for (let next: string | undefined; ;) {
        const query = { max_results: 1000, ...(next === undefined ? {} : { pagination_token: next }) };
        const { data, meta } = await page('reading the rules of the stream', () => client.get(rulesPath, query, full()));
        found.push(...(data ?? []).map(({ id, value, tag }) => ({ id, value, tag: tag ?? '' })));
        next = meta?.next_token;
        if (next === undefined) return found;
      }
    },
    async addRules(rules) {
      const results: Added[] = [];
      for (let at = 0; at < rules.length; at += rulesPerRequest) {
        const add = rules.slice(at, at + rulesPerRequest);
        results.push(...addedOf(await page('adding rules to the stream', () => client.post(rulesPath, { add }, full()))));
      }
      return results;
    },
    async deleteRules(ids) {
      for (let at = 0; at < ids.length; at += rulesPerRequest) {
        const body = { delete: { ids: ids.slice(at, at + rulesPerRequest) } };
        await call('deleting rules of the stream', () => client.post(rulesPath, body, full()));
      }
    },
    async search(query, { sinceMs, untilMs, nextToken }) {
      const parameters = { query, start_time: isoOf(sinceMs), end_time: isoOf(untilMs), max_results: 100, ...postFields,
        ...(nextToken === undefined ? {} : { next_token: nextToken }) };
      // As bytes: what X sent is kept as it is, not as a parser would write it again.
      const body = await call('searching recent posts', () =>
        client.get('tweets/search/recent', parameters, { ...full(), forceParseMode: 'buffer' }));
      return searchPageOf(body);
    },
    [Symbol.dispose]: () => agent.destroy(),
  };
}

const rulesPath = 'tweets/search/stream/rules';

/** X takes whole seconds. */
function isoOf(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}

/** The client's errors hold the request with its headers: nothing of them goes on but status, body and code. */
function converted(error: unknown, what: string, nowMs: number): unknown {
  if (error instanceof ApiResponseError) {
    const body: unknown = error.data;
    const answer = { status: error.code, headers: error.headers, body: Buffer.isBuffer(body) ? body.toString('utf8') : JSON.stringify(body) ?? '' };
    requireAllowed(answer, what);
    return asError(failureOf(answer, nowMs), what);
  }
  // `requestError` of 1.29 looks for the error under another name than it was stored by.
  const inner: unknown = error instanceof ApiRequestError ? error.requestError ?? Reflect.get(Reflect.get(error, '_options'), 'error')
    : error instanceof ApiPartialResponseError ? error.responseError : error;
  return asError(networkFailure(inner), what);
}

function checked<Schema extends Type.TSchema>(schema: Schema, value: unknown, what: string): Static<Schema> {
  if (Value.Check(schema, value)) return value;
  throw asError({ kind: 'http', cause: 'an answer of another form', detail: JSON.stringify(value)?.slice(0, 200) ?? '' }, what);
}

function addedOf(page: RulesPage): Added[] {
  return [
    ...(page.data ?? []).map(({ id, value, tag }) => ({ rule: { id, value, tag: tag ?? '' } })),
    ...(page.errors ?? []).map((error) => ({
      value: error.value ?? '',
      refused: [error.title, ...(error.details ?? []), error.detail].filter((part) => part !== undefined).join(': '),
      ...(error.title === 'DuplicateRule' && error.id !== undefined ? { duplicateOf: error.id } : {}),
    })),
  ];
}

function searchPageOf(body: unknown): SearchPage {
  const what = 'searching recent posts';
  if (!Buffer.isBuffer(body)) throw asError({ kind: 'http', cause: 'an answer of another form', detail: '' }, what);
  let parsed: unknown;
  try {
    parsed = JSON.parse(body.toString('utf8'));
  } catch (error) {
    throw asError({ ...networkFailure(error), kind: 'http' }, what);
  }
  const { meta } = checked(SearchBody, parsed, what);
  return { body, posts: meta.result_count ?? 0, nextToken: meta.next_token };
}
