import { WatershedError } from '../errors.ts';

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
export function envelopeEncoder(header: EnvelopeHeader): (post: Uint8Array) => Buffer {
  const head = Buffer.from(`${JSON.stringify({
    v: envelopeVersion,
    source: header.source,
    format: header.format,
    events: header.events.map(({ id, matched }) => ({ id, matched })),
    receivedAt: header.receivedAt,
    account: header.account,
  }).slice(0, -1)}${bodyMark.toString()}`);
  return (post) => {
    const line = Buffer.allocUnsafe(head.length + post.length + 1);
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

/** Where the body begins and ends in a record, or undefined when it is no envelope of this version. */
export function bodyRange(line: Uint8Array): { start: number; end: number } | undefined {
  const buffer = Buffer.from(line.buffer, line.byteOffset, line.byteLength);
  const mark = buffer.indexOf(bodyMark);
  if (mark === -1 || buffer[buffer.length - 1] !== 125 || !buffer.subarray(0, prefix.length).equals(prefix)) return undefined;
  return { start: mark + bodyMark.length, end: buffer.length - 1 };
}

const prefix = Buffer.from(`{"v":${envelopeVersion},`);

/**
 * Parses a record wholly; throws `bad_request` when it is none. For tools and tests: the writer leaves this to DuckDB.
 */
export function decodeEnvelope(line: Uint8Array): { header: EnvelopeHeader; post: Buffer } {
  const range = bodyRange(line);
  if (range === undefined) throw new WatershedError('bad_request', 'not an envelope of version 1');
  const buffer = Buffer.from(line.buffer, line.byteOffset, line.byteLength);
  const header = JSON.parse(`${buffer.toString('utf8', 0, range.start - bodyMark.length)}}`) as EnvelopeHeader;
  return { header, post: buffer.subarray(range.start, range.end) };
}
