import { messageOf } from '#core/errors.ts';
import type { Slab } from '#core/slab.ts';
import type { DeadItem, PostItem } from '../sources/source.ts';
import type { RawRecord } from './records.ts';
import type { PostShape } from './sniff.ts';

/** What becomes of the records of a file; one record may hold many posts. */
export interface PostSink {
  post(format: PostItem['format'], body: Uint8Array): void;
  dead(item: DeadItem): void;
  dropped(reason: string): void;
}

export interface TakeOptions {
  /** The largest body that fits into a record of the log with its header. */
  readonly bodyBytesMax: number;
  /** Memory for bodies that are not just a piece of the file; each has its own where nothing is said. */
  readonly slab?: Slab;
}

// Messages of the streams that are no posts, by the one key they have.
const notices: ReadonlySet<string> = new Set(['delete', 'limit', 'scrub_geo', 'status_withheld', 'user_withheld', 'disconnect',
  'warning', 'info', 'friends', 'friends_str', 'event', 'direct_message', 'for_user', 'control', 'errors', 'error']);

/**
 * Gives the posts of one record to the sink. A record that is an object is not parsed where its first key tells what it
 * is: whether it is sound is for the writer to find out, who parses it anyway. A bare v2 post becomes a response,
 * `{"data":…}`, and a page of posts one response each with the includes that belong to it.
 */
export function takeRecord(shape: PostShape, record: RawRecord, sink: PostSink, options: TakeOptions): void {
  const { bytes, bytesLength } = record;
  if (bytesLength !== undefined || bytes.length > options.bodyBytesMax) {
    sink.dead({ kind: 'dead', reason: 'it is too long for a record', bytes, bytesLength: bytesLength ?? bytes.length });
    return;
  }
  if (bytes[0] === openBracket) return takeParsed(shape, bytes, sink, options);
  if (bytes[0] !== openBrace || bytes[bytes.length - 1] !== closeBrace) {
    sink.dead({ kind: 'dead', reason: 'it is no JSON object', bytes });
    return;
  }
  const { key, next } = firstKey(bytes);
  if (notices.has(key)) sink.dropped(`a notice, no post: ${key}`);
  else if (key === 'data' && next === openBrace) sink.post('x.v2', bytes);
  else if (key === 'data' || shape === 'v2.response') takeParsed(shape, bytes, sink, options);
  else takeBare(shape, bytes, sink, options);
}

const openBrace = 0x7b;
const closeBrace = 0x7d;
const openBracket = 0x5b;
const quote = 0x22;
const colon = 0x3a;
const keyBytesMax = 32;
const dataBegins = Buffer.from('{"data":');

function takeBare(shape: PostShape, bytes: Uint8Array, sink: PostSink, { slab = Buffer.allocUnsafe }: TakeOptions): void {
  if (shape === 'v1') return sink.post('x.v1', bytes);
  const body = slab(dataBegins.length + bytes.length + 1);
  body.set(dataBegins);
  body.set(bytes, dataBegins.length);
  body[body.length - 1] = closeBrace;
  sink.post('x.v2', body);
}

/** The first key of an object and the byte that its value begins with; no key where it is long, escaped or none. */
function firstKey(bytes: Buffer): { key: string; next: number } {
  let at = skipSpaces(bytes, 1);
  if (bytes[at] !== quote) return { key: '', next: 0 };
  const stop = bytes.indexOf(quote, at + 1);
  if (stop === -1 || stop - at > keyBytesMax) return { key: '', next: 0 };
  const key = bytes.toString('latin1', at + 1, stop);
  at = skipSpaces(bytes, stop + 1);
  return bytes[at] === colon ? { key, next: bytes[skipSpaces(bytes, at + 1)] ?? 0 } : { key: '', next: 0 };
}

function skipSpaces(bytes: Buffer, from: number): number {
  let at = from;
  while (at < bytes.length && (bytes[at] ?? 0) <= 0x20) at++;
  return at;
}

function takeParsed(shape: PostShape, bytes: Buffer, sink: PostSink, options: TakeOptions): void {
  let parsed: unknown;
  try {
    parsed = parse(bytes.toString('utf8'));
  } catch (error) {
    sink.dead({ kind: 'dead', reason: `it is no JSON: ${messageOf(error)}`, bytes });
    return;
  }
  if (Array.isArray(parsed)) {
    for (const one of parsed) takeElement(shape, one, sink, options);
  } else takeElement(shape, parsed, sink, options, bytes);
}

function takeElement(shape: PostShape, one: unknown, sink: PostSink, options: TakeOptions, whole?: Buffer): void {
  const bytes = (): Buffer => whole ?? Buffer.from(JSON.stringify(one) ?? '');
  if (!isObject(one)) {
    sink.dead({ kind: 'dead', reason: 'it is no JSON object', bytes: bytes() });
    return;
  }
  const [key = ''] = Object.keys(one);
  if (notices.has(key) && !('data' in one)) sink.dropped(`a notice, no post: ${key}`);
  else if (Array.isArray(one['data'])) takePage(one['data'], one, sink);
  else if ('data' in one) sink.post('x.v2', bytes());
  else takeBare(shape === 'v1' ? 'v1' : 'v2.bare', bytes(), sink, options);
}

/** A page of posts as one response each. Copying all includes for each would make its size quadratic. */
function takePage(data: readonly unknown[], page: Readonly<Record<string, unknown>>, sink: PostSink): void {
  const includes = isObject(page['includes']) ? page['includes'] : {};
  const index = new Map(Object.entries(includes).map(([kind, list]) =>
    [kind, new Map((Array.isArray(list) ? list : []).filter(isObject).map((one) => [one['media_key'] ?? one['id'], one]))]));
  for (const post of data) {
    const wanted = idsIn(post);
    for (const original of referencedBy(post, index.get('tweets'))) for (const id of idsIn(original)) wanted.add(id);
    const own: Record<string, unknown[]> = {};
    for (const [kind, byId] of index) {
      const found = [...wanted].map((id) => byId.get(id)).filter((one) => one !== undefined);
      if (found.length > 0) own[kind] = found;
    }
    const response = Object.keys(own).length === 0 ? { data: post } : { data: post, includes: own };
    sink.post('x.v2', Buffer.from(JSON.stringify(response)));
  }
}

/** What a post refers to by id: author, posts, media, place, poll; mentioned and answered users. */
function idsIn(post: unknown): Set<unknown> {
  const ids = new Set<unknown>();
  if (!isObject(post)) return ids;
  const add = (...values: readonly unknown[]): void => values.forEach((value) => { if (typeof value === 'string') ids.add(value); });
  add(post['author_id'], post['in_reply_to_user_id']);
  for (const referenced of listOf(post['referenced_tweets'])) add(referenced['id']);
  if (isObject(post['geo'])) add(post['geo']['place_id']);
  if (isObject(post['entities'])) for (const mention of listOf(post['entities']['mentions'])) add(mention['id']);
  const { attachments } = post;
  if (isObject(attachments)) {
    for (const keys of [attachments['media_keys'], attachments['poll_ids']]) if (Array.isArray(keys)) add(...keys);
  }
  return ids;
}

function referencedBy(post: unknown, tweets: ReadonlyMap<unknown, unknown> | undefined): unknown[] {
  if (!isObject(post) || tweets === undefined) return [];
  return listOf(post['referenced_tweets']).map((referenced) => tweets.get(referenced['id'])).filter((tweet) => tweet !== undefined);
}

function listOf(value: unknown): Record<string, unknown>[] {
  return Array.isArray(value) ? value.filter(isObject) : [];
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

const longNumber = /[:[,]\s*-?\d{16}/;
const rawJson = Reflect.get(JSON, 'rawJSON');

/**
 * JSON whose integers keep all their digits: what is taken apart and put together again must not round an id. The
 * compiler's library knows neither the reviver's third argument nor `JSON.rawJSON`, hence `Reflect`.
 */
function parse(text: string): unknown {
  return longNumber.test(text) ? Reflect.apply(JSON.parse, JSON, [text, keepDigits]) : JSON.parse(text);
}

function keepDigits(_key: string, value: unknown, context?: { readonly source?: string }): unknown {
  if (typeof value !== 'number' || Number.isSafeInteger(value)) return value;
  return /^-?\d+$/.test(context?.source ?? '') ? Reflect.apply(rawJson, JSON, [context?.source]) : value;
}
