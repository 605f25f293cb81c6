import type { Sink } from '../encode/sink.ts';

/** Numbers in network order, as the wire wants them, into a sink. */

export function int16(out: Sink, value: number): void {
  out.reserve(2);
  out.bytes[out.length++] = (value >> 8) & 0xff;
  out.bytes[out.length++] = value & 0xff;
}

export function int32(out: Sink, value: number): void {
  out.reserve(4);
  putInt32(out, out.length, value);
  out.length += 4;
}

/** A 64-bit number from its two halves. */
export function int64(out: Sink, high: number, low: number): void {
  int32(out, high);
  int32(out, low);
}

export function bigint64(out: Sink, value: bigint): void {
  out.reserve(8);
  out.length = out.bytes.writeBigInt64BE(BigInt.asIntN(64, value), out.length);
}

/** UTF-8 with a closing zero, as messages carry names. A zero within would end it early and is left out. */
export function cstring(out: Sink, text: string): void {
  out.utf8(text.includes('\0') ? text.replaceAll('\0', '') : text);
  out.byte(0);
}

/** Overwrites four bytes already written. */
export function putInt32(out: Sink, at: number, value: number): void {
  const { bytes } = out;
  bytes[at] = (value >> 24) & 0xff;
  bytes[at + 1] = (value >> 16) & 0xff;
  bytes[at + 2] = (value >> 8) & 0xff;
  bytes[at + 3] = value & 0xff;
}

/** Reads a message's body. Everything that does not fit throws RangeError: the message was malformed. */
export class ByteReader {
  private readonly buffer: Buffer;
  private at = 0;

  constructor(body: Buffer) {
    this.buffer = body;
  }

  get left(): number {
    return this.buffer.length - this.at;
  }

  int8(): number {
    return this.take(1).readUInt8(0);
  }

  int16(): number {
    return this.take(2).readInt16BE(0);
  }

  uint16(): number {
    return this.take(2).readUInt16BE(0);
  }

  int32(): number {
    return this.take(4).readInt32BE(0);
  }

  cstring(): string {
    const end = this.buffer.indexOf(0, this.at);
    if (end < 0) throw new RangeError('a text is not closed');
    const text = strictUtf8.decode(this.buffer.subarray(this.at, end));
    this.at = end + 1;
    return text;
  }

  take(bytes: number): Buffer {
    if (bytes < 0 || bytes > this.left) throw new RangeError('the message is shorter than it says');
    const taken = this.buffer.subarray(this.at, this.at + bytes);
    this.at += bytes;
    return taken;
  }

  rest(): Buffer {
    return this.take(this.left);
  }

  /** A message with something left over was malformed. */
  end(): void {
    if (this.left > 0) throw new RangeError('the message is longer than it says');
  }
}

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Text of bytes that must be UTF-8; throws RangeError where they are not. */
export function decodeUtf8(bytes: Uint8Array): string {
  return strictUtf8.decode(bytes);
}
