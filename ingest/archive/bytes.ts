import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import { messageOf, systemCode, WatershedError } from '#core/errors.ts';

type Compression = 'none' | 'gzip' | 'zstd';

/** The bytes of a file, decompressed. */
export interface FileBytes {
  /** Chunks in order. It ends where the file can be read no further; `damage` then says why. */
  readonly chunks: AsyncIterable<Buffer>;
  /** Bytes of the file itself read so far, for a progress bar. */
  bytesRead(): number;
  readonly fileBytes: number;
  /** Why the file ended before its end (a truncated gzip), or undefined. Known when `chunks` has ended. */
  damage(): string | undefined;
}

// Large chunks: each costs a turn of the event loop and a copy of the line that it cuts.
const chunkBytes = 1024 * 1024;

/**
 * Opens a file whose compression is told by its first bytes, not by its name, from the decompressed offset `from` on.
 * Throws `not_found`, `disk` (no permission) or `unsupported` (an archive of another kind, named).
 */
export async function openBytes(path: string, from = 0): Promise<FileBytes> {
  const { compression, fileBytes } = await inspect(path);
  const file = createReadStream(path, { highWaterMark: chunkBytes, start: compression === 'none' ? from : 0 });
  let damage: string | undefined;
  return {
    chunks: (async function* chunks() {
      let toSkip = compression === 'none' ? 0 : from;
      for await (const chunk of decompressed(file, compression, (why) => { damage = why; })) {
        if (toSkip >= chunk.length) toSkip -= chunk.length;
        else {
          yield toSkip === 0 ? chunk : chunk.subarray(toSkip);
          toSkip = 0;
        }
      }
    })(),
    bytesRead: () => (compression === 'none' ? from : 0) + file.bytesRead,
    fileBytes,
    damage: () => damage,
  };
}

async function inspect(path: string): Promise<{ compression: Compression; fileBytes: number }> {
  try {
    const file = await open(path, 'r');
    try {
      const stats = await file.stat();
      if (!stats.isFile()) throw new WatershedError('bad_request', `${path} is no file`, { hint: 'name the files themselves' });
      const { buffer, bytesRead } = await file.read(Buffer.alloc(8), 0, 8, 0);
      return { compression: compressionOf(buffer.subarray(0, bytesRead), path), fileBytes: stats.size };
    } finally {
      await file.close();
    }
  } catch (error) {
    const code = systemCode(error);
    if (code === 'ENOENT') throw new WatershedError('not_found', `there is no file ${path}`, { cause: error });
    if (code === 'EACCES' || code === 'EPERM') {
      throw new WatershedError('disk', `${path} may not be read by this user`, { cause: error });
    }
    throw error;
  }
}

const others: readonly (readonly [name: string, magic: readonly number[]])[] = [
  ['a zip archive', [0x50, 0x4b, 3, 4]],
  ['compressed with bzip2', [0x42, 0x5a, 0x68]],
  ['compressed with xz', [0xfd, 0x37, 0x7a, 0x58, 0x5a]],
  ['a 7z archive', [0x37, 0x7a, 0xbc, 0xaf]],
  ['a Parquet file', [0x50, 0x41, 0x52, 0x31]],
  ['text in UTF-16', [0xff, 0xfe]],
  ['text in UTF-16', [0xfe, 0xff]],
];

function compressionOf(head: Buffer, path: string): Compression {
  const begins = (magic: readonly number[]): boolean => magic.every((byte, index) => head[index] === byte);
  if (begins([0x1f, 0x8b])) return 'gzip';
  // A zstd file may begin with a skippable frame (0x184D2A50 to …5F), which tools use for indexes.
  const isSkippable = ((head[0] ?? 0) & 0xf0) === 0x50 && head[1] === 0x2a && head[2] === 0x4d && head[3] === 0x18;
  if (isSkippable || begins([0x28, 0xb5, 0x2f, 0xfd])) return 'zstd';
  const other = others.find(([, magic]) => begins(magic));
  if (other !== undefined) {
    throw new WatershedError('unsupported', `${path} is ${other[0]}`, { hint: 'load takes text in UTF-8, plain, .gz or .zst' });
  }
  return 'none';
}

/**
 * The chunks of a stream up to its end or its first error. Node's own iteration of a stream throws away what was
 * already decompressed when the error comes, and with a truncated file that is the part that is still good.
 */
async function* decompressed(
  file: Readable, compression: Compression, onDamage: (why: string) => void,
): AsyncGenerator<Buffer> {
  const stream = compression === 'none' ? file
    : file.pipe(compression === 'gzip' ? createGunzip({ chunkSize: chunkBytes }) : createZstdDecompress({ chunkSize: chunkBytes }));
  const queue: Buffer[] = [];
  let over = false;
  let failure: unknown;
  let wake = Promise.withResolvers<void>();
  const end = (error?: unknown): void => {
    failure ??= error;
    over = true;
    wake.resolve();
  };
  stream.on('data', (chunk: Buffer) => {
    queue.push(chunk);
    stream.pause();
    wake.resolve();
  });
  stream.on('end', () => end());
  for (const part of new Set<Readable>([file, stream])) part.on('error', end);
  try {
    for (;;) {
      const chunk = queue.shift();
      if (chunk !== undefined) yield chunk;
      else if (over) break;
      else {
        wake = Promise.withResolvers();
        stream.resume();
        await wake.promise;
      }
    }
  } finally {
    stream.destroy();
    file.destroy();
  }
  if (failure === undefined) return;
  const code = systemCode(failure);
  if (compression === 'none') throw new WatershedError('disk', `reading failed: ${messageOf(failure)}`, { cause: failure });
  onDamage(code === 'Z_BUF_ERROR' ? `the ${compression} stream is cut off before its end`
    : `the ${compression} stream is damaged: ${messageOf(failure)}`);
}
