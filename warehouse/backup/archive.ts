import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { constants, createZstdCompress, createZstdDecompress } from 'node:zlib';
import { diskError } from '#core/disk.ts';
import { messageOf, systemCode, WatershedError } from '#core/errors.ts';

// A backup is a tar (POSIX ustar) in zstd, so that `tar --zstd -tf` shows what is in it. Its last member is
// `index.json` with size and SHA-256 of every other one: a file that was cut short has none, and is refused before
// anything is written.

const block = 512;
const indexName = 'index.json';
/** A member is held in memory once; larger objects are cut into parts. */
export const partBytesMax = 16 * 1024 * 1024;

export interface Member {
  /** At most 100 bytes of ASCII. */
  readonly name: string;
  readonly bytes: Uint8Array;
}

export interface Index<About> {
  readonly about: About;
  readonly members: readonly { readonly name: string; readonly bytes: number; readonly sha256: string }[];
}

/**
 * Writes the members as they come and the index after them; the file gets its name once it is whole and synced. `about`
 * is asked last, when everything is known. **Errors**: `already_exists`, `disk`, and those of the members.
 */
export async function writeArchive<About>(path: string, members: AsyncIterable<Member>, about: () => About): Promise<Index<About>> {
  const half = `${path}.half`;
  const seen: { name: string; bytes: number; sha256: string }[] = [];
  let index: Index<About> | undefined;
  const tar = async function* (): AsyncGenerator<Uint8Array> {
    for await (const member of members) {
      seen.push({ name: member.name, bytes: member.bytes.length, sha256: sha256(member.bytes) });
      yield* tarMember(member);
    }
    index = { about: about(), members: seen };
    yield* tarMember({ name: indexName, bytes: Buffer.from(JSON.stringify(index)) });
    yield Buffer.alloc(2 * block);
  };
  try {
    await pipeline(
      Readable.from(tar(), { objectMode: true, highWaterMark: 1 }),
      createZstdCompress({ params: { [constants.ZSTD_c_compressionLevel]: 3, [constants.ZSTD_c_checksumFlag]: 1 } }),
      createWriteStream(half, { flags: 'w', mode: 0o600, flush: true }),
    );
    await rename(half, path);
  } catch (error) {
    await rm(half, { force: true });
    throw systemCode(error)?.startsWith('E') === true ? diskError(error, 'write the backup', path) : error;
  }
  if (index === undefined) throw new WatershedError('internal', 'a backup ended without its index');
  return index;
}

function* tarMember({ name, bytes }: Member): Generator<Uint8Array> {
  yield header(name, bytes.length);
  yield bytes;
  const rest = bytes.length % block;
  if (rest > 0) yield Buffer.alloc(block - rest);
}

// POSIX.1-1988 ustar: name 0, mode 100, uid 108, gid 116, size 124, mtime 136, checksum 148, type 156, magic 257.
function header(name: string, size: number): Uint8Array {
  if (Buffer.byteLength(name) > 100) throw new WatershedError('internal', `a member cannot be called ${name}`);
  const bytes = Buffer.alloc(block);
  const octal = (value: number, at: number, width: number): void => {
    bytes.write(`${value.toString(8).padStart(width - 1, '0')}\0`, at, 'latin1');
  };
  bytes.write(name, 0, 'latin1');
  octal(0o600, 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  octal(size, 124, 12);
  octal(0, 136, 12);
  bytes.write('        ', 148, 'latin1');
  bytes.write('0', 156, 'latin1');
  bytes.write('ustar\x0000', 257, 'latin1');
  bytes.write(`${bytes.reduce((sum, byte) => sum + byte, 0).toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return bytes;
}

/**
 * Reads the whole file once and returns its index, when every member is what the index says. **Errors**: `corrupt` (no
 * backup, cut short, changed), `not_found`, `disk`.
 */
export async function checkArchive<About>(path: string): Promise<Index<About>> {
  const seen = new Map<string, string>();
  let index: Index<About> | undefined;
  for await (const { name, bytes } of readArchive(path)) {
    if (index !== undefined) throw corrupt(path, 'something stands behind its index');
    // What stands behind the checksum of zstd and the name is what `writeArchive` made.
    if (name === indexName) index = JSON.parse(Buffer.from(bytes).toString('utf8')) as Index<About>;
    else seen.set(name, sha256(bytes));
  }
  if (index === undefined) throw corrupt(path, 'it ends before its index, so it was cut short');
  for (const member of index.members) {
    if (seen.get(member.name) !== member.sha256) throw corrupt(path, `${member.name} in it is not what was written`);
  }
  if (seen.size !== index.members.length) throw corrupt(path, 'it holds more than its index names');
  return index;
}

/** The members in order, the index last. **Errors**: as `checkArchive`. */
export async function* readArchive(path: string): AsyncGenerator<Member> {
  const input = createReadStream(path);
  const unpacked = input.pipe(createZstdDecompress());
  input.on('error', (error) => unpacked.destroy(error));
  const reader = exactReader(unpacked);
  try {
    for (;;) {
      const head = await reader(block);
      if (head === undefined) throw corrupt(path, 'it ends within, so it was cut short');
      if (head.every((byte) => byte === 0)) {
        // To the very end, where zstd has its checksum.
        while (await reader(block) !== undefined);
        return;
      }
      const name = text(head, 0, 100);
      const size = Number.parseInt(text(head, 124, 12), 8);
      if (!Number.isInteger(size) || text(head, 257, 5) !== 'ustar') throw corrupt(path, 'it is no tar');
      const padded = await reader(Math.ceil(size / block) * block);
      if (padded === undefined) throw corrupt(path, `it ends within ${name}, so it was cut short`);
      yield { name, bytes: padded.subarray(0, size) };
    }
  } catch (error) {
    throw readError(error, path);
  } finally {
    input.destroy();
    unpacked.destroy();
  }
}

/** Gives exactly so many bytes, or undefined where the stream ends before. */
function exactReader(stream: AsyncIterable<Buffer>): (wanted: number) => Promise<Buffer | undefined> {
  const chunks = stream[Symbol.asyncIterator]();
  let held: Buffer[] = [];
  let length = 0;
  return async (wanted) => {
    while (length < wanted) {
      const next = await chunks.next();
      if (next.done === true) return undefined;
      held.push(next.value);
      length += next.value.length;
    }
    const all = Buffer.concat(held, length);
    held = [all.subarray(wanted)];
    length -= wanted;
    return all.subarray(0, wanted);
  };
}

function readError(error: unknown, path: string): unknown {
  const code = systemCode(error) ?? '';
  if (code === 'ENOENT') return new WatershedError('not_found', `there is no backup ${path}`, { cause: error });
  // Z_BUF_ERROR: the compressed stream ends too early.
  if (code.startsWith('ZSTD') || code.startsWith('Z_') || code.startsWith('ERR_ZLIB')) {
    return corrupt(path, `it is no zstd, or was cut short (${messageOf(error)})`, error);
  }
  return code.startsWith('E') && !code.startsWith('ERR') ? diskError(error, 'read the backup', path) : error;
}

function text(bytes: Buffer, at: number, width: number): string {
  const field = bytes.subarray(at, at + width);
  const end = field.indexOf(0);
  return field.subarray(0, end === -1 ? width : end).toString('latin1').trim();
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function corrupt(path: string, why: string, cause?: unknown): WatershedError {
  return new WatershedError('corrupt', `${path} is no whole backup: ${why}`, {
    cause, hint: 'take another backup; nothing was written from this one',
  });
}
