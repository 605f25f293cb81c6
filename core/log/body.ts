import { constants, zstdCompress, zstdCompressSync, zstdDecompress, zstdDecompressSync } from 'node:zlib';
import { promisify } from 'node:util';
import { WatershedError } from '../errors.ts';

type Codec = 'zstd' | 'none';
export interface Body {
  readonly codec: Codec;
  readonly bytes: Uint8Array;
}

// Level 1: level 3 gains 3 % in size on posts and costs a fifth more time. The checksum makes our own corruption an
// error.
const params = { [constants.ZSTD_c_compressionLevel]: 1, [constants.ZSTD_c_checksumFlag]: 1 };
const inline = 32 * 1024; // below this, the way to another thread and back takes longer than the work
const compressInThread = promisify(zstdCompress);
const decompressInThread = promisify(zstdDecompress);

/** Compresses lines, on another thread where there are many; leaves them as they are where that would gain nothing. */
export async function pack(lines: Uint8Array): Promise<Body> {
  if (lines.length < 128) return { codec: 'none', bytes: lines };
  // One output buffer of a likely size: zlib's default of 16 KB a step costs as much as the work.
  const options = { params, chunkSize: Math.max(lines.length >> 1, 64) };
  const bytes = lines.length < inline ? zstdCompressSync(lines, options) : await compressInThread(lines, options);
  return bytes.length < lines.length ? { codec: 'zstd', bytes } : { codec: 'none', bytes: lines };
}

/** The lines again, which must be `length` bytes; else, or where the checksum is wrong, `corrupt`. */
export async function unpack(codec: string, bytes: Uint8Array, length: number): Promise<Uint8Array> {
  const lines = await decompress(codec, bytes, length);
  if (lines.length !== length)
    throw new WatershedError('corrupt', `a log batch holds ${lines.length} bytes and should hold ${length}`);
  return lines;
}

async function decompress(codec: string, bytes: Uint8Array, length: number): Promise<Uint8Array> {
  if (codec === 'none') return bytes;
  if (codec !== 'zstd')
    throw new WatershedError(
      'unsupported',
      `a log batch is compressed with ${codec}, which this version does not know`,
    );
  const options = { maxOutputLength: Math.max(length, 1), chunkSize: Math.max(length + 1, 64) };
  try {
    return length < inline ? zstdDecompressSync(bytes, options) : await decompressInThread(bytes, options);
  } catch (cause) {
    throw new WatershedError('corrupt', 'a log batch cannot be decompressed', { cause });
  }
}
