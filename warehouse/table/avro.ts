import { WatershedError } from '#core/errors.ts';

/**
 * Avro's binary encoding for the schemas of Iceberg's manifests. Fields are told by `field-id`, never by name, because
 * names differ between writers (`added_files_count`, `added_data_files_count`); the reader keeps only the fields that
 * `pick` names.
 */
export type AvroSchema = string | readonly AvroSchema[] | AvroComplex;

export interface AvroComplex {
  readonly type: AvroSchema;
  readonly name?: string;
  readonly fields?: readonly AvroField[];
  readonly items?: AvroSchema;
  readonly values?: AvroSchema;
  readonly size?: number;
  readonly symbols?: readonly string[];
  readonly logicalType?: string;
  readonly [extra: string]: unknown;
}

export interface AvroField {
  readonly name: string;
  readonly type: AvroSchema;
  readonly 'field-id'?: number;
  readonly [extra: string]: unknown;
}

/** The property under which a field is kept, or undefined to pass over it. */
export type Pick = (fieldId: number) => string | undefined;

/** A map with integer keys that is decoded when it is asked, key by key: most are never asked. */
class LazyMap {
  readonly #from: AvroDecoder;
  readonly #at: number;
  readonly #key: AvroReader;
  readonly #value: AvroReader;

  constructor(from: AvroDecoder, key: AvroReader, value: AvroReader) {
    this.#from = from;
    this.#at = from.at;
    this.#key = key;
    this.#value = value;
  }

  get(wanted: number): unknown {
    const from = this.#from;
    from.at = this.#at;
    let found: unknown;
    from.blocks(() => {
      if (this.#key.read(from) === wanted) found = this.#value.read(from);
      else this.#value.skip(from);
    });
    return found;
  }
}

export class AvroDecoder {
  readonly #bytes: Buffer;
  at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get done(): boolean {
    return this.at >= this.#bytes.length;
  }

  byte(): number {
    const byte = this.#bytes[this.at];
    if (byte === undefined) throw new WatershedError('corrupt', 'an Avro file ends within a value');
    this.at += 1;
    return byte;
  }

  /** A zigzag varint: a number where that is exact, else a bigint. */
  long(): number | bigint {
    const start = this.at;
    let value = 0;
    let scale = 1;
    for (let read = 0; read < 7; read += 1) {
      const byte = this.byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
      scale *= 128;
    }
    this.at = start;
    return this.#bigLong();
  }

  #bigLong(): number | bigint {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.byte();
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) {
        const signed = (value >> 1n) ^ -(value & 1n);
        const number = Number(signed);
        return Number.isSafeInteger(number) ? number : signed;
      }
    }
    throw new WatershedError('corrupt', 'an Avro file has a number of more than ten bytes');
  }

  skipLong(): void {
    while (this.byte() > 0x7f);
  }

  length(): number {
    const length = Number(this.long());
    if (length < 0 || this.at + length > this.#bytes.length) {
      throw new WatershedError('corrupt', 'an Avro file has a length that points beyond its end');
    }
    return length;
  }

  bytes(length = this.length()): Buffer {
    this.at += length;
    if (this.at > this.#bytes.length) throw new WatershedError('corrupt', 'an Avro file ends within a value');
    return this.#bytes.subarray(this.at - length, this.at);
  }

  string(): string {
    const length = this.length();
    this.at += length;
    return this.#bytes.toString('utf8', this.at - length, this.at);
  }

  /** Calls `item` for each item of an array or map. */
  blocks(item: () => void): void {
    for (;;) {
      let count = Number(this.long());
      if (count === 0) return;
      if (count < 0) {
        count = -count;
        this.long();
      }
      for (let index = 0; index < count; index += 1) item();
    }
  }

  skipBlocks(item: () => void): void {
    for (;;) {
      const count = Number(this.long());
      if (count === 0) return;
      if (count < 0) this.bytes();
      else for (let index = 0; index < count; index += 1) item();
    }
  }
}

export interface AvroReader {
  read(from: AvroDecoder): unknown;
  skip(from: AvroDecoder): void;
}

const primitives: Readonly<Record<string, AvroReader>> = {
  null: { read: () => null, skip: () => undefined },
  boolean: { read: (from) => from.byte() !== 0, skip: (from) => from.byte() },
  int: { read: (from) => Number(from.long()), skip: (from) => from.skipLong() },
  long: { read: (from) => from.long(), skip: (from) => from.skipLong() },
  float: { read: (from) => from.bytes(4).readFloatLE(), skip: (from) => from.bytes(4) },
  double: { read: (from) => from.bytes(8).readDoubleLE(), skip: (from) => from.bytes(8) },
  bytes: { read: (from) => from.bytes(), skip: (from) => from.bytes() },
  string: { read: (from) => from.string(), skip: (from) => from.bytes() },
};

/**
 * Compiles a reader for a schema. Records become objects, arrays arrays, Iceberg's maps with integer keys become Maps,
 * or LazyMaps if `lazy`: those keep the decoder they came from, which then must not be used for anything else.
 */
export function avroReader(schema: AvroSchema, pick: Pick, lazy = false): AvroReader {
  return compile(schema, { pick, lazy, named: new Map() });
}

interface Compiling {
  readonly pick: Pick;
  readonly lazy: boolean;
  /** Types defined so far, which a schema may name again. */
  readonly named: Map<string, AvroReader>;
}

function compile(schema: AvroSchema, how: Compiling): AvroReader {
  if (typeof schema === 'string') {
    const reader = primitives[schema] ?? how.named.get(schema);
    if (reader === undefined) throw unsupported(schema);
    return reader;
  }
  if (Array.isArray(schema)) return unionReader(schema.map((branch) => compile(branch, how)));
  const complex = asComplex(schema);
  const reader = complexReader(complex, how);
  if (complex.name !== undefined) how.named.set(complex.name, reader);
  return reader;
}

function complexReader(schema: AvroComplex, how: Compiling): AvroReader {
  switch (schema.type) {
    case 'record':
      return recordReader(schema.fields ?? [], how);
    case 'array':
      return arrayReader(schema.items ?? 'null', how);
    case 'map': {
      const value = compile(schema.values ?? 'null', how);
      const read = (from: AvroDecoder): unknown => {
        const entries = new Map<string, unknown>();
        from.blocks(() => entries.set(from.string(), value.read(from)));
        return entries;
      };
      return { read, skip: (from) => from.skipBlocks(() => (from.string(), value.skip(from))) };
    }
    case 'fixed': {
      const size = schema.size ?? 0;
      return { read: (from) => from.bytes(size), skip: (from) => from.bytes(size) };
    }
    case 'enum': {
      const symbols = schema.symbols ?? [];
      return { read: (from) => symbols[Number(from.long())], skip: (from) => from.long() };
    }
    default:
      return compile(schema.type, how);
  }
}

function unionReader(branches: readonly AvroReader[]): AvroReader {
  const branch = (from: AvroDecoder): AvroReader => {
    const reader = branches[Number(from.long())];
    if (reader !== undefined) return reader;
    throw new WatershedError('corrupt', 'an Avro file chooses a union branch that is not there');
  };
  return { read: (from) => branch(from).read(from), skip: (from) => branch(from).skip(from) };
}

function recordReader(fields: readonly AvroField[], how: Compiling): AvroReader {
  const steps = fields.map((field) => {
    const id = field['field-id'];
    const property = id === undefined ? undefined : how.pick(id);
    return { property, reader: compile(field.type, how) };
  });
  return {
    read(from) {
      const record: Record<string, unknown> = {};
      for (const { property, reader } of steps) {
        if (property === undefined) reader.skip(from);
        else record[property] = reader.read(from);
      }
      return record;
    },
    skip(from) {
      for (const { reader } of steps) reader.skip(from);
    },
  };
}

function arrayReader(items: AvroSchema, how: Compiling): AvroReader {
  const pair = pairOf(items);
  if (pair !== undefined) {
    const key = compile(pair.key, how);
    const value = compile(pair.value, how);
    const skip = (from: AvroDecoder): void => from.skipBlocks(() => (key.skip(from), value.skip(from)));
    const read = (from: AvroDecoder): unknown => {
      const entries = new Map<unknown, unknown>();
      from.blocks(() => entries.set(key.read(from), value.read(from)));
      return entries;
    };
    const readLazy = (from: AvroDecoder): unknown => {
      const map = new LazyMap(from, key, value);
      skip(from);
      return map;
    };
    return { read: how.lazy ? readLazy : read, skip };
  }
  const item = compile(items, how);
  const read = (from: AvroDecoder): unknown => {
    const list: unknown[] = [];
    from.blocks(() => list.push(item.read(from)));
    return list;
  };
  return { read, skip: (from) => from.skipBlocks(() => item.skip(from)) };
}

/** Key and value of Iceberg's way to write a map with integer keys: an array of records `key`, `value`. */
export function pairOf(items: AvroSchema): { key: AvroSchema; value: AvroSchema } | undefined {
  if (typeof items === 'string' || Array.isArray(items)) return undefined;
  const [key, value, ...more] = asComplex(items).fields ?? [];
  if (key?.name !== 'key' || value?.name !== 'value' || more.length > 0) return undefined;
  return { key: key.type, value: value.type };
}

/** A schema that is neither a name nor a union; `Array.isArray` does not narrow readonly arrays. */
export function asComplex(schema: AvroSchema): AvroComplex {
  if (typeof schema === 'object' && 'type' in schema) return schema;
  throw unsupported(JSON.stringify(schema));
}

export function unsupported(what: string): WatershedError {
  return new WatershedError('unsupported', `Avro schema ${what} is not known`);
}
