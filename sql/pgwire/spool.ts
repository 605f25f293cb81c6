import { type FileHandle, open, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { WatershedError } from '#core/errors.ts';

/** Where rows wait that a client has not asked for yet. */
export interface SpoolLimits {
  /** A folder of our own; files in it have no name once they are open, so that nothing is left behind. */
  readonly folder: string;
  /** Held in memory before the file is begun. */
  readonly memoryBytesMax: number;
  /** In one result, memory and file together. */
  readonly bytesMax: number;
  /** What all results of the door hold now, and may hold. */
  readonly shared: { heldBytes: number; readonly heldBytesMax: number };
}

/**
 * Drains a result at once, so that the engine's child is free while the client takes its time (a suspended portal, a
 * cursor between two FETCHes). First to memory, then to a file. Pieces come out as they went in.
 */
export interface Spool {
  next(): Promise<Uint8Array | undefined>;
  close(): Promise<void>;
}

interface Piece {
  readonly bytes?: Uint8Array;
  readonly at: number;
  readonly length: number;
}

export function spool(source: AsyncIterator<Uint8Array>, limits: SpoolLimits): Spool {
  const pieces: Piece[] = [];
  let memoryBytes = 0;
  let fileBytes = 0;
  let total = 0;
  let file: FileHandle | undefined;
  let failure: { error: unknown } | undefined;
  let isClosed = false;
  let wake: (() => void) | undefined;
  const stir = (): void => {
    wake?.();
    wake = undefined;
  };
  const keep = async (bytes: Uint8Array): Promise<void> => {
    total += bytes.length;
    limits.shared.heldBytes += bytes.length;
    if (total > limits.bytesMax || limits.shared.heldBytes > limits.shared.heldBytesMax) {
      const most = Math.min(limits.bytesMax, limits.shared.heldBytesMax);
      throw new WatershedError(
        'limit_exceeded',
        `results that are fetched in parts may have at most ${most} bytes waiting`,
        { hint: 'fetch it in one go, or ask for less with LIMIT', context: { sqlstate: '53400' } },
      );
    }
    if (file === undefined && memoryBytes + bytes.length <= limits.memoryBytesMax) {
      memoryBytes += bytes.length;
      pieces.push({ bytes, at: 0, length: bytes.length });
      return;
    }
    file ??= await namelessFile(limits.folder);
    await file.write(bytes, 0, bytes.length, fileBytes);
    pieces.push({ at: fileBytes, length: bytes.length });
    fileBytes += bytes.length;
  };
  const drain = async (): Promise<void> => {
    try {
      for (;;) {
        const { done, value } = await source.next();
        if (done === true || isClosed) break;
        await keep(value);
        stir();
      }
    } catch (error) {
      failure = { error };
      await source.return?.();
    }
  };
  let isDrained = false;
  const draining = drain().finally(() => {
    isDrained = true;
    stir();
  });
  return {
    async next() {
      for (;;) {
        const piece = pieces.shift();
        if (piece !== undefined) {
          if (piece.bytes !== undefined) {
            memoryBytes -= piece.length;
            return piece.bytes;
          }
          const bytes = new Uint8Array(piece.length);
          await file?.read(bytes, 0, piece.length, piece.at);
          return bytes;
        }
        if (failure !== undefined) throw failure.error;
        if (isDrained || isClosed) return undefined;
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
    async close() {
      if (isClosed) return;
      isClosed = true;
      await source.return?.();
      await draining;
      limits.shared.heldBytes -= total;
      await file?.close();
      file = undefined;
    },
  };
}

async function namelessFile(folder: string): Promise<FileHandle> {
  const path = join(folder, `spool-${process.pid}-${crypto.randomUUID()}`);
  const file = await open(path, 'wx+', 0o600);
  await unlink(path);
  return file;
}
