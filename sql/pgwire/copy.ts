import { WatershedError } from '#core/errors.ts';
import { Sink } from '../encode/sink.ts';
import { copyData, type Field } from './backend.ts';
import type { CopyOptions } from './copy-options.ts';

/**
 * Turns DataRow messages into CopyData messages. Text and CSV are made of rows in text format, binary of rows in binary
 * format, whose body is what COPY's binary form has for a row (PostgreSQL documentation, COPY, File Formats).
 */
export interface CopyWriter {
  begin(fields: readonly Field[]): Uint8Array;
  rows(messages: Uint8Array): Uint8Array;
  end(): Uint8Array;
}

export function copyWriter(options: CopyOptions): CopyWriter {
  return options.format === 'binary' ? binaryWriter() : textWriter(options);
}

function binaryWriter(): CopyWriter {
  // Signature, flags, length of the header's extension. It goes with the first row, as PostgreSQL sends it: ADBC's
  // reader takes the first message apart and expects a row behind the header.
  let header = Buffer.from('PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0', 'latin1');
  const withHeader = (body: Uint8Array): Buffer => {
    const whole = copyData(Buffer.concat([header, body]));
    header = Buffer.alloc(0);
    return whole;
  };
  return {
    begin: () => new Uint8Array(),
    rows(messages) {
      const changed = Buffer.from(messages);
      // Only the type byte differs: a row's length, count and values are the same.
      for (let at = 0; at < changed.length; at += 1 + changed.readInt32BE(at + 1)) changed[at] = 0x64;
      if (header.length === 0 || changed.length === 0) return changed;
      const firstEnd = 1 + changed.readInt32BE(1);
      return Buffer.concat([withHeader(changed.subarray(5, firstEnd)), changed.subarray(firstEnd)]);
    },
    end: () => withHeader(Buffer.from([0xff, 0xff])),
  };
}

function textWriter(options: CopyOptions): CopyWriter {
  const out = new Sink(64 * 1024);
  const cell = options.format === 'csv' ? csvCell(options) : textCell(options);
  const delimiter = options.delimiter.charCodeAt(0);
  const { forceQuote } = options;
  let isForced: readonly boolean[] = [];
  const line = (count: number, write: (index: number) => void): void => {
    out.byte(0x64);
    const lengthAt = out.length;
    out.reserve(4);
    out.length += 4;
    for (let index = 0; index < count; index++) {
      if (index > 0) out.byte(delimiter);
      write(index);
    }
    out.byte(0x0a);
    out.bytes.writeInt32BE(out.length - lengthAt, lengthAt);
  };
  return {
    begin(fields) {
      isForced = fields.map(({ name }) => (typeof forceQuote === 'boolean' ? forceQuote : forceQuote.includes(name)));
      const unknown = typeof forceQuote === 'boolean' ? undefined : forceQuote.find((name) => fields.every((field) => field.name !== name));
      if (unknown !== undefined) throw noColumn(unknown);
      if (options.header) line(fields.length, (index) => cell(out, Buffer.from(fields[index]?.name ?? ''), false));
      return out.take();
    },
    rows(messages) {
      const buffer = Buffer.from(messages.buffer, messages.byteOffset, messages.length);
      let at = 0;
      while (at < buffer.length) {
        const next = at + 1 + buffer.readInt32BE(at + 1);
        const count = buffer.readUInt16BE(at + 5);
        at += 7;
        line(count, (index) => {
          const length = buffer.readInt32BE(at);
          at += 4;
          if (length < 0) out.utf8(options.nullText);
          else {
            cell(out, buffer.subarray(at, at + length), isForced[index] === true);
            at += length;
          }
        });
        at = next;
      }
      return out.take();
    },
    end: () => new Uint8Array(),
  };
}

type CellWriter = (out: Sink, value: Buffer, isQuotedAnyway: boolean) => void;

// Backslash, the delimiter and control characters are escaped (CopyAttributeOutText).
function textCell({ delimiter }: CopyOptions): CellWriter {
  const escapes = new Map([
    [0x08, 0x62],
    [0x0c, 0x66],
    [0x0a, 0x6e],
    [0x0d, 0x72],
    [0x09, 0x74],
    [0x0b, 0x76],
    [0x5c, 0x5c],
  ]);
  const own = delimiter.charCodeAt(0);
  if (!escapes.has(own)) escapes.set(own, own);
  return (out, value) => {
    for (const byte of value) {
      const escape = escapes.get(byte);
      if (escape !== undefined) out.byte(0x5c);
      out.byte(escape ?? byte);
    }
  };
}

// Quoted where the value would be misread: delimiter, quote, line ends, the NULL text, or `\.` alone
// (CopyAttributeOutCSV).
function csvCell({ delimiter, quote, escape, nullText }: CopyOptions): CellWriter {
  const special = new Set([delimiter.charCodeAt(0), quote.charCodeAt(0), 0x0a, 0x0d]);
  const nullBytes = Buffer.from(nullText);
  const quoteByte = quote.charCodeAt(0);
  const escapeByte = escape.charCodeAt(0);
  return (out, value, isQuotedAnyway) => {
    const isQuoted =
      isQuotedAnyway || value.equals(nullBytes) || value.some((byte) => special.has(byte)) || value.equals(endMark);
    if (!isQuoted) return out.copy(value, 0, value.length);
    out.byte(quoteByte);
    for (const byte of value) {
      if (byte === quoteByte || byte === escapeByte) out.byte(escapeByte);
      out.byte(byte);
    }
    out.byte(quoteByte);
  };
}

function noColumn(name: string): WatershedError {
  return new WatershedError('bad_request', `column "${name}" does not exist`, { context: { sqlstate: '42703' } });
}

const endMark = Buffer.from('\\.');
