import { createHash } from 'node:crypto';
import Type, { type Static } from 'typebox';
import { Value } from 'typebox/value';
import { WatershedError } from '#core/errors.ts';

/**
 * A trained model as a file: `WSMODEL\n`, format version and length of the header (32 bits, little-endian), SHA-256 of
 * all that follows, a header in JSON (padded to 8 bytes), and the sections, each at a multiple of 8 bytes.
 */
export interface ModelFile {
  readonly meta: Readonly<Record<string, unknown>>;
  /** First 12 hexadecimal digits of the checksum: two models that differ have different ones. */
  readonly fingerprint: string;
  text(section: string): string;
  f32(section: string): Float32Array;
  i32(section: string): Int32Array;
  i8(section: string): Int8Array;
  u8(section: string): Uint8Array;
}

export interface Section {
  readonly name: string;
  readonly data: Float32Array | Int32Array | Int8Array | Uint8Array | string;
}

const magic = Buffer.from('WSMODEL\n');
const formatVersion = 1;
const headerAt = 8 + 8 + 32;

const Header = Type.Object({
  kind: Type.String(),
  sections: Type.Array(
    Type.Object({
      name: Type.String(),
      type: Type.Union([
        Type.Literal('text'),
        Type.Literal('f32'),
        Type.Literal('i32'),
        Type.Literal('i8'),
        Type.Literal('u8'),
      ]),
      offset: Type.Integer({ minimum: 0, multipleOf: 8 }),
      bytes: Type.Integer({ minimum: 0 }),
    }),
  ),
});
type Header = Static<typeof Header>;

/** The bytes of a model file. The same input gives the same bytes. */
export function encodeModel(
  meta: { readonly kind: string } & Readonly<Record<string, unknown>>,
  sections: readonly Section[],
): Buffer {
  const parts: Buffer[] = [];
  const listed: Header['sections'] = [];
  let offset = 0;
  for (const { name, data } of sections) {
    const bytes =
      typeof data === 'string' ? Buffer.from(data) : Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    const padding = Buffer.alloc((8 - (bytes.length % 8)) % 8);
    listed.push({ name, type: typeOf(data), offset, bytes: bytes.length });
    parts.push(bytes, padding);
    offset += bytes.length + padding.length;
  }
  const json = JSON.stringify({ ...meta, sections: listed });
  const header = Buffer.from(json + ' '.repeat((8 - (Buffer.byteLength(json) % 8)) % 8));
  const lead = Buffer.alloc(8);
  lead.writeUInt32LE(formatVersion, 0);
  lead.writeUInt32LE(header.length, 4);
  const digest = createHash('sha256').update(header);
  for (const part of parts) digest.update(part);
  return Buffer.concat([magic, lead, digest.digest(), header, ...parts]);
}

function typeOf(data: Section['data']): Header['sections'][number]['type'] {
  if (typeof data === 'string') return 'text';
  if (data instanceof Float32Array) return 'f32';
  if (data instanceof Int32Array) return 'i32';
  return data instanceof Int8Array ? 'i8' : 'u8';
}

/**
 * Reads a model file of `kind`. Throws `corrupt` when it is cut short or damaged, `unsupported` when it is another
 * thing.
 */
export function decodeModel(bytes: Uint8Array, kind: string, path: string): ModelFile {
  // A copy at a multiple of 8, so that sections can be viewed as 32-bit numbers where they stand.
  const file = Buffer.from(new Uint8Array(bytes).buffer);
  const hint = 'take the file from the repository again, or make it with `watershed train`';
  if (file.length < headerAt || !file.subarray(0, 8).equals(magic)) {
    throw new WatershedError('unsupported', `${path} is no model of ours: it does not begin as one`, { hint });
  }
  const version = file.readUInt32LE(8);
  if (version !== formatVersion) {
    throw new WatershedError(
      'unsupported',
      `${path} is a model of format ${version}; this program reads format ${formatVersion}`,
      { hint },
    );
  }
  const bodyAt = headerAt + file.readUInt32LE(12);
  const digest = createHash('sha256').update(file.subarray(headerAt)).digest();
  if (file.length < bodyAt || !digest.equals(file.subarray(16, 48))) {
    throw new WatershedError(
      'corrupt',
      `${path} is damaged or cut short: its checksum is not that of its ${file.length} bytes`,
      { hint },
    );
  }
  const meta: unknown = JSON.parse(file.toString('utf8', headerAt, bodyAt));
  if (!Value.Check(Header, meta) || meta.kind !== kind) {
    throw new WatershedError('unsupported', `${path} holds no ${kind}`, { hint });
  }
  const view = (name: string, type: string): Buffer => {
    const found = meta.sections.find((section) => section.name === name && section.type === type);
    if (found === undefined || bodyAt + found.offset + found.bytes > file.length) {
      throw new WatershedError('unsupported', `${path} has no section ${name}: it was made by another version`, {
        hint,
      });
    }
    return file.subarray(bodyAt + found.offset, bodyAt + found.offset + found.bytes);
  };
  return {
    meta: { ...meta },
    fingerprint: digest.toString('hex').slice(0, 12),
    text: (section) => view(section, 'text').toString('utf8'),
    f32: (section) => {
      const part = view(section, 'f32');
      return new Float32Array(part.buffer, part.byteOffset, part.byteLength / 4);
    },
    i32: (section) => {
      const part = view(section, 'i32');
      return new Int32Array(part.buffer, part.byteOffset, part.byteLength / 4);
    },
    i8: (section) => {
      const part = view(section, 'i8');
      return new Int8Array(part.buffer, part.byteOffset, part.byteLength);
    },
    u8: (section) => view(section, 'u8'),
  };
}
