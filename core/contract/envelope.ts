import { WatershedError } from '../errors.ts';
import type { Slab } from '../slab.ts';

/**
 * One line of topic `posts`: a small header around the source's own JSON, untouched.
 * `{"v":1,"source":"x","format":"x.v2","events":[{"id":"…","matched":["…"]}],"receivedAt":"…","account":"…","post":{…}}`
 * The keys stand in this order and `post` is the last, so that header and body part without parsing the body: the bytes
 * `,"post":` cannot occur in the header's strings, where a quotation mark is always escaped.
 */
export interface EnvelopeHeader {
  readonly source: SourceName;
  readonly format: PostFormat;
  readonly events: readonly { readonly id: string; readonly matched: readonly string[] }[];
  /** ISO 8601, UTC, with milliseconds. */
  readonly receivedAt: string;
  /** Which of our accounts received it; empty where there is only one. */
  readonly account: string;
}

/** The networks, as column `source` names them. */
export type SourceName = 'x' | 'bluesky';

/** The shapes of a post; `warehouse/normalise` has a projection for each. */
export const postFormats = ['x.v2', 'x.v1', 'bluesky', 'crisislex'] as const;
export type PostFormat = (typeof postFormats)[number];

export const envelopeVersion = 1;
const bodyMark = Buffer.from(',"post":');

/**
 * Encodes a record of topic `posts`. `post` is the source's JSON object in UTF-8, put in as it is; line breaks between
 * its tokens (legal in JSON, not in a record) become spaces.
 */
export function encodeEnvelope(header: EnvelopeHeader, post: Uint8Array): Buffer {
  return envelopeEncoder(header)(post);
}

/** `encodeEnvelope` for many posts with one header, which is encoded once: a quarter of the time. */
export function envelopeEncoder(header: EnvelopeHeader, slab: Slab = Buffer.allocUnsafe): (post: Uint8Array) => Buffer {
  const head = Buffer.from(`${JSON.stringify({
    v: envelopeVersion,
    source: header.source,
    format: header.format,
    events: header.events.map(({ id, matched }) => ({ id, matched })),
    receivedAt: header.receivedAt,
    account: header.account,
  }).slice(0, -1)}${bodyMark.toString()}`);
  return (post) => {
    const line = slab(head.length + post.length + 1);
    line.set(head);
    line.set(post, head.length);
    line[line.length - 1] = closeBrace;
    for (const lineBreak of [0x0a, 0x0d]) {
      for (let at = line.indexOf(lineBreak, head.length); at !== -1; at = line.indexOf(lineBreak, at + 1)) line[at] = space;
    }
    return line;
  };
}

const closeBrace = 0x7d;
const space = 0x20;

/**
 * Where the body of the record `buffer[from, to)` begins and ends, or undefined when that is no envelope of this
 * version.
 */
export function bodyRange(buffer: Buffer, from = 0, to = buffer.length): { start: number; end: number } | undefined {
  if (buffer[to - 1] !== closeBrace || !beginsWith(buffer, from, to, prefix)) return undefined;
  const mark = buffer.indexOf(bodyMark, from);
  return mark === -1 || mark + bodyMark.length >= to ? undefined : { start: mark + bodyMark.length, end: to - 1 };
}

const prefix = Buffer.from(`{"v":${envelopeVersion},`);

/** True where `buffer[from, to)` begins with `start` and is longer. */
export function beginsWith(buffer: Buffer, from: number, to: number, start: Buffer): boolean {
  // Compared here, byte by byte: most differ early, and a call out of JavaScript costs more than the comparison.
  let at = 0;
  while (at < start.length && buffer[from + at] === start[at]) at++;
  return at === start.length && to - from > at;
}

/** The version of an envelope that only a newer Watershed understands, else undefined. */
export function newerVersionOf(line: Uint8Array): number | undefined {
  const version = Number(/^\{"v":(\d{1,9}),/.exec(Buffer.from(line.subarray(0, 20)).toString('latin1'))?.[1] ?? 0);
  return version > envelopeVersion ? version : undefined;
}

/**
 * Parses a record wholly; throws `bad_request` when it is none, `unsupported` when
 * only a newer Watershed understands it. For tools and tests: the writer leaves this to DuckDB.
 */
export function decodeEnvelope(line: Uint8Array): { header: EnvelopeHeader; post: Buffer } {
  const buffer = Buffer.from(line.buffer, line.byteOffset, line.byteLength);
  const range = bodyRange(buffer);
  if (range === undefined) {
    const version = newerVersionOf(line);
    throw version === undefined ? new WatershedError('bad_request', `not an envelope of version ${envelopeVersion}`)
      : new WatershedError('unsupported', `an envelope of version ${version}, and this Watershed knows version ${envelopeVersion}`, {
        hint: 'put it back with the newer Watershed that knows it',
      });
  }
  const header = JSON.parse(`${buffer.toString('utf8', 0, range.start - bodyMark.length)}}`) as EnvelopeHeader;
  return { header, post: buffer.subarray(range.start, range.end) };
}
