/** Bytes being written: grows as needed, is taken away whole. */
export class Sink {
  bytes: Buffer;
  /** Bytes written since the last `take`. */
  length = 0;

  constructor(sizeBytes = 64 * 1024) {
    this.bytes = Buffer.allocUnsafe(sizeBytes);
  }

  /** Makes room for `count` more bytes; write to `bytes` from `length` on and add to `length`. */
  reserve(count: number): void {
    const needed = this.length + count;
    if (needed <= this.bytes.length) return;
    const grown = Buffer.allocUnsafe(Math.max(needed, this.bytes.length * 2));
    this.bytes.copy(grown, 0, 0, this.length);
    this.bytes = grown;
  }

  byte(value: number): void {
    if (this.length === this.bytes.length) this.reserve(1);
    this.bytes[this.length++] = value;
  }

  /** Text in ASCII. */
  ascii(text: string): void {
    this.reserve(text.length);
    for (let index = 0; index < text.length; index++) this.bytes[this.length++] = text.charCodeAt(index);
  }

  utf8(text: string): void {
    this.reserve(text.length * 3);
    this.length += this.bytes.write(text, this.length);
  }

  /** `source` from `start` to `end`; a loop beats `copy` for the short strings that most are. */
  copy(source: Uint8Array, start: number, end: number): void {
    this.reserve(end - start);
    if (end - start > 96) {
      this.bytes.set(source.subarray(start, end), this.length);
      this.length += end - start;
      return;
    }
    let at = this.length;
    for (let index = start; index < end; index++) this.bytes[at++] = source[index] ?? 0;
    this.length = at;
  }

  /** What was written; the sink goes on with new memory, so the bytes may be kept. */
  take(): Uint8Array {
    const taken = this.bytes.subarray(0, this.length);
    this.bytes = Buffer.allocUnsafe(Math.max(64 * 1024, Math.min(this.bytes.length, 1024 * 1024)));
    this.length = 0;
    return taken;
  }
}
