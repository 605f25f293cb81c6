import { isWatershedError, WatershedError } from '#core/errors.ts';
import { ByteReader } from './bytes.ts';
import type { Format } from './encode-rows.ts';

/** What opens a connection, before any message has a type of its own. */
export type StartupPacket =
  | { readonly type: 'startup'; readonly minor: number; readonly parameters: ReadonlyMap<string, string> }
  | { readonly type: 'tls' }
  | { readonly type: 'gss' }
  | { readonly type: 'cancel'; readonly pid: number; readonly key: Buffer };

export interface Bind {
  readonly type: 'bind';
  readonly portal: string;
  readonly statement: string;
  readonly formats: readonly Format[];
  readonly values: readonly (Buffer | null)[];
  readonly resultFormats: readonly Format[];
}

export type FrontendMessage =
  | Bind
  | { readonly type: 'query'; readonly sql: string }
  | { readonly type: 'parse'; readonly name: string; readonly sql: string; readonly oids: readonly number[] }
  | { readonly type: 'describe' | 'close'; readonly target: 'statement' | 'portal'; readonly name: string }
  | { readonly type: 'execute'; readonly portal: string; readonly rowsMax: number }
  | { readonly type: 'password'; readonly body: Buffer }
  | { readonly type: 'flush' | 'sync' | 'terminate' | 'copy' | 'function' }
  /** Well framed, but its body is not what its type asks for. `simple`: ReadyForQuery is owed at once. */
  | { readonly type: 'malformed'; readonly simple: boolean; readonly error: WatershedError };

export interface DecoderLimits {
  /** Largest startup packet or message before login. PostgreSQL: 10,000 and 65,535. */
  readonly loginBytesMax: number;
  /** Largest message after login: bounds what one connection can make us hold. */
  readonly messageBytesMax: number;
}

const versions = { cancel: 80_877_102, tls: 80_877_103, gss: 80_877_104 };

export function protocolViolation(message: string, sqlstate = '08P01'): WatershedError {
  return new WatershedError('bad_request', message, { context: { sqlstate } });
}

/**
 * Cuts a stream of bytes into frontend messages, however the network cut it. Holds no more than one message and what
 * came with its last part. A frame that cannot be right (length, type) throws `bad_request`: the stream is lost then.
 * Source: PostgreSQL documentation, "Frontend/Backend Protocol", message formats.
 */
export class FrontendDecoder {
  private readonly limits: DecoderLimits;
  private chunks: Buffer[] = [];
  private bytes = 0;

  constructor(limits: DecoderLimits) {
    this.limits = limits;
  }

  /** Bytes that came in and were not yet asked for. */
  get bufferedBytes(): number {
    return this.bytes;
  }

  push(chunk: Buffer): void {
    if (chunk.length === 0) return;
    this.chunks.push(chunk);
    this.bytes += chunk.length;
  }

  /** The first byte without taking it: 0x16 opens a TLS handshake. */
  peek(): number | undefined {
    return this.chunks[0]?.[0];
  }

  /** Everything held, given back: for a TLS handshake that began at once. */
  takeAll(): Buffer {
    return this.take(this.bytes);
  }

  /** The next packet of the opening phase, or undefined until more bytes come. */
  nextStartup(): StartupPacket | undefined {
    const length = this.lengthAt(0);
    if (length === undefined) return undefined;
    if (length < 8 || length > this.limits.loginBytesMax) throw protocolViolation('invalid length of startup packet');
    if (this.bytes < length) return undefined;
    return wellFormed(() => parseStartup(this.take(length)));
  }

  /** The next message, or undefined until more bytes come. `loggedIn` chooses the limit. */
  next(loggedIn = true): FrontendMessage | undefined {
    const length = this.lengthAt(1);
    if (length === undefined) return undefined;
    const tag = this.peek() ?? 0;
    if (!tags.includes(String.fromCharCode(tag))) throw protocolViolation(`invalid frontend message type ${tag}`);
    const limit = loggedIn ? this.limits.messageBytesMax : this.limits.loginBytesMax;
    if (length < 4 || length > limit)
      throw protocolViolation(`a message of ${length} bytes is not taken (at most ${limit})`);
    if (this.bytes < length + 1) return undefined;
    return parseMessage(String.fromCharCode(tag), this.take(length + 1).subarray(5));
  }

  private lengthAt(offset: number): number | undefined {
    if (this.bytes < offset + 4) return undefined;
    if ((this.chunks[0]?.length ?? 0) < offset + 4) this.chunks = [Buffer.concat(this.chunks)];
    return this.chunks[0]?.readInt32BE(offset);
  }

  private take(count: number): Buffer {
    const [first] = this.chunks;
    this.bytes -= count;
    if (first !== undefined && first.length >= count) {
      if (first.length === count) this.chunks.shift();
      else this.chunks[0] = first.subarray(count);
      return first.subarray(0, count);
    }
    const whole = Buffer.concat(this.chunks);
    this.chunks = whole.length > count ? [whole.subarray(count)] : [];
    return whole.subarray(0, count);
  }
}

const tags = 'QPBDECHSXpdcfF';

function wellFormed<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw bodyError(error);
  }
}

function bodyError(error: unknown): WatershedError {
  if (isWatershedError(error)) return error;
  const text =
    typeof error === 'object' &&
    error !== null &&
    'code' in error &&
    error.code === 'ERR_ENCODING_INVALID_ENCODED_DATA';
  return text
    ? protocolViolation('invalid byte sequence for encoding "UTF8"', '22021')
    : protocolViolation('invalid message format');
}

function parseStartup(packet: Buffer): StartupPacket {
  const reader = new ByteReader(packet.subarray(4));
  const version = reader.int32();
  if (version === versions.tls) return { type: 'tls' };
  if (version === versions.gss) return { type: 'gss' };
  if (version === versions.cancel) {
    const pid = reader.int32();
    const key = reader.rest();
    // Four bytes until protocol 3.0, up to 256 since 3.2.
    if (key.length < 4 || key.length > 256) throw new RangeError('the key has a wrong length');
    return { type: 'cancel', pid, key };
  }
  const parameters = new Map<string, string>();
  const major = version >> 16;
  if (major !== 3)
    throw protocolViolation(
      `unsupported frontend protocol ${major}.${version & 0xffff}: server supports 3.0 to 3.2`,
      '0A000',
    );
  for (let name = reader.cstring(); name !== ''; name = reader.cstring()) parameters.set(name, reader.cstring());
  reader.end();
  return { type: 'startup', minor: version & 0xffff, parameters };
}

function parseMessage(tag: string, body: Buffer): FrontendMessage {
  try {
    const reader = new ByteReader(body);
    const message = parseBody(tag, reader);
    reader.end();
    return message;
  } catch (error) {
    return { type: 'malformed', simple: tag === 'Q' || tag === 'F', error: bodyError(error) };
  }
}

function parseBody(tag: string, reader: ByteReader): FrontendMessage {
  switch (tag) {
    case 'Q':
      return { type: 'query', sql: reader.cstring() };
    case 'P': {
      const name = reader.cstring();
      const sql = reader.cstring();
      return { type: 'parse', name, sql, oids: list(reader, () => reader.int32() >>> 0) };
    }
    case 'B':
      return parseBind(reader);
    case 'D':
      return { type: 'describe', ...target(reader) };
    case 'C':
      return { type: 'close', ...target(reader) };
    case 'E': {
      const portal = reader.cstring();
      const rowsMax = reader.int32();
      return { type: 'execute', portal, rowsMax: Math.max(0, rowsMax) };
    }
    case 'H':
      return { type: 'flush' };
    case 'S':
      return { type: 'sync' };
    case 'X':
      return { type: 'terminate' };
    case 'p':
      return { type: 'password', body: reader.rest() };
    case 'F':
      reader.rest();
      return { type: 'function' };
    default:
      reader.rest();
      return { type: 'copy' };
  }
}

function parseBind(reader: ByteReader): Bind {
  const portal = reader.cstring();
  const statement = reader.cstring();
  const formats = list(reader, () => format(reader));
  const values = list(reader, () => {
    const length = reader.int32();
    return length === -1 ? null : reader.take(length);
  });
  if (formats.length > 1 && formats.length !== values.length)
    throw new RangeError('formats and values differ in number');
  return { type: 'bind', portal, statement, formats, values, resultFormats: list(reader, () => format(reader)) };
}

function list<T>(reader: ByteReader, read: () => T): T[] {
  return Array.from({ length: reader.uint16() }, read);
}

function format(reader: ByteReader): Format {
  const code = reader.int16();
  if (code !== 0 && code !== 1) throw new RangeError('there is no such format');
  return code;
}

function target(reader: ByteReader): { target: 'statement' | 'portal'; name: string } {
  const kind = reader.int8();
  if (kind !== 0x53 && kind !== 0x50) throw new RangeError('neither statement nor portal');
  return { target: kind === 0x53 ? 'statement' : 'portal', name: reader.cstring() };
}
