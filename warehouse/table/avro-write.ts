import { asComplex, pairOf, unsupported } from './avro.ts';
import type { AvroField, AvroSchema, Pick } from './avro.ts';

/** Grows as it is written to. */
export class AvroEncoder {
  #bytes: Buffer = Buffer.allocUnsafe(1024);
  #at = 0;

  #room(length: number): void {
    if (this.#at + length <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafe(Math.max(this.#bytes.length * 2, this.#at + length));
    this.#bytes.copy(larger, 0, 0, this.#at);
    this.#bytes = larger;
  }

  long(value: number | bigint): void {
    this.#room(10);
    if (typeof value === 'number' && Math.abs(value) < 2 ** 30) {
      let zigzag = (value << 1) ^ (value >> 31);
      while (zigzag > 0x7f) {
        this.#bytes[this.#at++] = (zigzag & 0x7f) | 0x80;
        zigzag >>>= 7;
      }
      this.#bytes[this.#at++] = zigzag;
      return;
    }
    const wide = BigInt(value);
    let zigzag = BigInt.asUintN(64, (wide << 1n) ^ (wide >> 63n));
    while (zigzag > 0x7fn) {
      this.#bytes[this.#at++] = Number(zigzag & 0x7fn) | 0x80;
      zigzag >>= 7n;
    }
    this.#bytes[this.#at++] = Number(zigzag);
  }

  raw(bytes: Uint8Array): void {
    this.#room(bytes.length);
    this.#bytes.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  bytes(bytes: Uint8Array): void {
    this.long(bytes.length);
    this.raw(bytes);
  }

  string(text: string): void {
    const length = Buffer.byteLength(text);
    this.long(length);
    this.#room(length);
    this.#at += this.#bytes.write(text, this.#at, 'utf8');
  }

  finish(): Buffer {
    return this.#bytes.subarray(0, this.#at);
  }
}

type Write = (into: AvroEncoder, value: unknown) => void;

const primitives: Readonly<Record<string, Write>> = {
  null: () => undefined,
  boolean: (into, value) => into.raw(Uint8Array.of(value === true ? 1 : 0)),
  int: (into, value) => into.long(Number(value)),
  long: (into, value) => into.long(typeof value === 'bigint' ? value : Number(value)),
  float: (into, value) => into.raw(new Uint8Array(Float32Array.of(Number(value)).buffer)),
  double: (into, value) => into.raw(new Uint8Array(Float64Array.of(Number(value)).buffer)),
  bytes: (into, value) => into.bytes(bytesOf(value)),
  string: (into, value) => into.string(String(value)),
};

/** The inverse of `avroReader`: the property that `pick` names is written; unions are those of null and one type. */
export function avroWriter(schema: AvroSchema, pick: Pick): Write {
  if (typeof schema === 'string') {
    const write = primitives[schema];
    if (write === undefined) throw unsupported(schema);
    return write;
  }
  if (Array.isArray(schema)) return optionalWriter(schema, pick);
  const complex = asComplex(schema);
  switch (complex.type) {
    case 'record':
      return recordWriter(complex.fields ?? [], pick);
    case 'array':
      return arrayWriter(complex.items ?? 'null', pick);
    case 'fixed':
      return (into, value) => into.raw(bytesOf(value));
    default:
      return avroWriter(complex.type, pick);
  }
}

function optionalWriter(branches: readonly AvroSchema[], pick: Pick): Write {
  const [none, some, ...more] = branches;
  if (none !== 'null' || some === undefined || more.length > 0) throw unsupported(JSON.stringify(branches));
  const write = avroWriter(some, pick);
  return (into, value) => {
    if (value === null || value === undefined) return into.long(0);
    into.long(1);
    write(into, value);
  };
}

function recordWriter(fields: readonly AvroField[], pick: Pick): Write {
  const steps = fields.map((field) => ({
    property: pick(field['field-id'] ?? -1) ?? field.name,
    write: avroWriter(field.type, pick),
  }));
  return (into, value) => {
    if (typeof value !== 'object' || value === null) throw unsupported(`a record made of ${typeof value}`);
    for (const { property, write } of steps) {
      const member: unknown = Reflect.get(value, property);
      write(into, member);
    }
  };
}

function arrayWriter(items: AvroSchema, pick: Pick): Write {
  const pair = pairOf(items);
  const item = avroWriter(items, pick);
  return (into, value) => {
    const list = pair && value instanceof Map ? [...value].map(([key, of]) => ({ key, value: of })) : value;
    if (Array.isArray(list) && list.length > 0) {
      into.long(list.length);
      for (const each of list) item(into, each);
    }
    into.long(0);
  };
}

function bytesOf(value: unknown): Uint8Array {
  if (value instanceof Uint8Array) return value;
  throw unsupported(`bytes of ${typeof value}`);
}
