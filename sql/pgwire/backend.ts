import { Sink } from '../encode/sink.ts';
import { cstring, int16, int32, putInt32 } from './bytes.ts';
import type { Format } from './encode-rows.ts';
import type { PgType } from './types.ts';

/** One column of a RowDescription. */
export interface Field {
  readonly name: string;
  readonly type: PgType;
  /** OID and column number of the table it comes from; 0 where unknown. */
  readonly table?: number;
  readonly column?: number;
}

/** The fields of an ErrorResponse or NoticeResponse that we send. */
export interface ErrorFields {
  readonly severity: 'ERROR' | 'FATAL' | 'WARNING' | 'NOTICE';
  readonly sqlstate: string;
  readonly message: string;
  readonly detail?: string | undefined;
  readonly hint?: string | undefined;
  /** Characters into the statement, from 1. */
  readonly position?: number | undefined;
}

/** I: idle, T: in a transaction, E: in a failed one. */
export type TransactionStatus = 'I' | 'T' | 'E';

let scratch = new Sink(1024);

function message(tag: string, write?: (out: Sink) => void): Buffer {
  scratch.length = 0;
  scratch.ascii(tag);
  int32(scratch, 0);
  write?.(scratch);
  putInt32(scratch, 1, scratch.length - 1);
  const made = Buffer.from(scratch.bytes.subarray(0, scratch.length));
  // One wide message must not stay with us for good.
  if (made.length > 65_536) scratch = new Sink(1024);
  return made;
}

export const authenticationOk = (): Buffer => message('R', (out) => int32(out, 0));

export const saslMechanisms = (names: readonly string[]): Buffer =>
  message('R', (out) => {
    int32(out, 10);
    for (const name of names) cstring(out, name);
    out.byte(0);
  });

export const saslContinue = (text: string): Buffer =>
  message('R', (out) => {
    int32(out, 11);
    out.utf8(text);
  });

export const saslFinal = (text: string): Buffer =>
  message('R', (out) => {
    int32(out, 12);
    out.utf8(text);
  });

export const negotiateProtocolVersion = (minor: number, unknownOptions: readonly string[]): Buffer =>
  message('v', (out) => {
    // Since PostgreSQL 18 the whole version is sent, 3 in the upper half.
    int32(out, (3 << 16) | minor);
    int32(out, unknownOptions.length);
    for (const name of unknownOptions) cstring(out, name);
  });

export const parameterStatus = (name: string, value: string): Buffer =>
  message('S', (out) => {
    cstring(out, name);
    cstring(out, value);
  });

export const backendKeyData = (pid: number, key: Uint8Array): Buffer =>
  message('K', (out) => {
    int32(out, pid);
    out.copy(key, 0, key.length);
  });

export const readyForQuery = (status: TransactionStatus): Buffer => message('Z', (out) => out.ascii(status));
export const parseComplete = (): Buffer => message('1');
export const bindComplete = (): Buffer => message('2');
export const closeComplete = (): Buffer => message('3');
export const noData = (): Buffer => message('n');
export const emptyQuery = (): Buffer => message('I');
export const portalSuspended = (): Buffer => message('s');
export const copyDone = (): Buffer => message('c');
export const commandComplete = (tag: string): Buffer => message('C', (out) => cstring(out, tag));

export const parameterDescription = (oids: readonly number[]): Buffer =>
  message('t', (out) => {
    int16(out, oids.length);
    for (const oid of oids) int32(out, oid);
  });

export const rowDescription = (fields: readonly Field[], formats: readonly Format[]): Buffer =>
  message('T', (out) => {
    int16(out, fields.length);
    fields.forEach(({ name, type, table = 0, column = 0 }, index) => {
      cstring(out, name);
      int32(out, table);
      int16(out, column);
      int32(out, type.oid);
      int16(out, type.size);
      int32(out, type.typmod);
      int16(out, formats[formats.length === 1 ? 0 : index] ?? 0);
    });
  });

export const dataRow = (values: readonly (string | null)[]): Buffer =>
  message('D', (out) => {
    int16(out, values.length);
    for (const value of values) {
      const at = out.length;
      int32(out, -1);
      if (value === null) continue;
      out.utf8(value);
      putInt32(out, at, out.length - at - 4);
    }
  });

export const copyOutResponse = (columns: number, format: Format): Buffer =>
  message('H', (out) => {
    out.byte(format);
    int16(out, columns);
    for (let index = 0; index < columns; index++) int16(out, format);
  });

export const copyData = (body: Uint8Array): Buffer => message('d', (out) => out.copy(body, 0, body.length));

export function errorResponse(fields: ErrorFields): Buffer {
  return report('E', fields);
}

export function noticeResponse(fields: ErrorFields): Buffer {
  return report('N', fields);
}

function report(tag: string, fields: ErrorFields): Buffer {
  return message(tag, (out) => {
    const add = (code: string, text: string | undefined): void => {
      if (text === undefined) return;
      out.ascii(code);
      cstring(out, text);
    };
    add('S', fields.severity);
    add('V', fields.severity);
    add('C', fields.sqlstate);
    add('M', fields.message);
    add('D', fields.detail);
    add('H', fields.hint);
    add('P', fields.position === undefined ? undefined : String(fields.position));
    out.byte(0);
  });
}
