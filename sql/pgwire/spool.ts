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

interface Piece {
  readonly bytes?: Uint8Array;
  readonly at: number;
  readonly length: number;
}

/**
 * Drains a result at once, so that the engine's child is free while the client takes its time (a suspended portal, a
 * cursor between two FETCHes). First to memory, then to a file. Pieces come out as they went in.
 */
export class Spool {
  private readonly source: AsyncIterator<Uint8Array>;
  private readonly limits: SpoolLimits;
  private readonly draining: Promise<void>;
  private readonly pieces: Piece[] = [];
  private memoryBytes = 0;
  private fileBytes = 0;
  private totalBytes = 0;
  private file: FileHandle | undefined;
  private failure: { readonly error: unknown } | undefined;
  private isDrained = false;
  private isClosed = false;
  private wake: (() => void) | undefined;

  constructor(source: AsyncIterator<Uint8Array>, limits: SpoolLimits) {
    this.source = source;
    this.limits = limits;
    this.draining = this.drain();
  }

  /** The next piece, or undefined after the last. Throws what the source threw, or `limit_exceeded`. */
  async next(): Promise<Uint8Array | undefined> {
    for (;;) {
      const piece = this.pieces.shift();
      if (piece !== undefined) return await this.take(piece);
      if (this.failure !== undefined) throw this.failure.error;
      if (this.isDrained || this.isClosed) return undefined;
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
  }

  async close(): Promise<void> {
    if (this.isClosed) return;
    this.isClosed = true;
    await this.source.return?.();
    await this.draining;
    this.limits.shared.heldBytes -= this.totalBytes;
    await this.file?.close();
    this.file = undefined;
  }

  private async drain(): Promise<void> {
    try {
      for (;;) {
        const { done, value } = await this.source.next();
        if (done === true || this.isClosed) break;
        await this.keep(value);
        this.stir();
      }
    } catch (error) {
      this.failure = { error };
      await this.source.return?.();
    }
    this.isDrained = true;
    this.stir();
  }

  private async keep(bytes: Uint8Array): Promise<void> {
    const { memoryBytesMax, bytesMax, shared, folder } = this.limits;
    this.totalBytes += bytes.length;
    shared.heldBytes += bytes.length;
    if (this.totalBytes > bytesMax || shared.heldBytes > shared.heldBytesMax) {
      const most = Math.min(bytesMax, shared.heldBytesMax);
      const message = `results that are fetched in parts may have at most ${most} bytes waiting`;
      const hint = 'fetch it in one go, or ask for less with LIMIT';
      throw new WatershedError('limit_exceeded', message, { hint, context: { sqlstate: '53400' } });
    }
    if (this.file === undefined && this.memoryBytes + bytes.length <= memoryBytesMax) {
      this.memoryBytes += bytes.length;
      this.pieces.push({ bytes, at: 0, length: bytes.length });
      return;
    }
    this.file ??= await namelessFile(folder);
    await this.file.write(bytes, 0, bytes.length, this.fileBytes);
    this.pieces.push({ at: this.fileBytes, length: bytes.length });
    this.fileBytes += bytes.length;
  }

  private async take({ bytes, at, length }: Piece): Promise<Uint8Array> {
    if (bytes !== undefined) {
      this.memoryBytes -= length;
      return bytes;
    }
    const read = new Uint8Array(length);
    await this.file?.read(read, 0, length, at);
    return read;
  }

  private stir(): void {
    this.wake?.();
    this.wake = undefined;
  }
}

async function namelessFile(folder: string): Promise<FileHandle> {
  const path = join(folder, `spool-${process.pid}-${crypto.randomUUID()}`);
  const file = await open(path, 'wx+', 0o600);
  await unlink(path);
  return file;
}
