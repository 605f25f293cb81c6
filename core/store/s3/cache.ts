import { createHash, randomUUID } from 'node:crypto';
import { mkdir, readdir, rename, rm, stat, utimes } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Clock } from '../../clock.ts';
import { diskError } from '../../disk.ts';
import { isWatershedError, systemCode, WatershedError } from '../../errors.ts';

export interface FileCacheOptions {
  readonly folder: string;
  /** Never exceeded, half-fetched files included. */
  readonly bytesMax: number;
  readonly clock: Clock;
  /**
   * A file that was asked for so recently does not make room for another: a statement opens its files one after the
   * other and must find the last one too. Longer than the longest statement. Default 10 min.
   */
  readonly keepMs?: number;
  /** How long a file waits for room before it is refused. Default 10 s. */
  readonly waitMs?: number;
}

/** Writes an object to a path, having asked for room for all its bytes. */
type Fetch = (path: string, room: (bytes: number) => Promise<void>) => Promise<void>;

interface Entry {
  readonly path: string;
  readonly bytes: number;
  usedAtMs: number;
}

/** Copies of immutable objects on the local disk; those used least recently make room. Outlives the process. */
export class FileCache {
  readonly #options: FileCacheOptions;
  // A map keeps the order of insertion: the first entry is the one used least recently.
  readonly #entries = new Map<string, Entry>();
  readonly #fetching = new Map<string, Promise<string>>();
  #bytes = 0;

  private constructor(options: FileCacheOptions) {
    this.#options = options;
  }

  static async open(options: FileCacheOptions): Promise<FileCache> {
    const cache = new FileCache(options);
    try {
      await mkdir(options.folder, { recursive: true });
      await cache.#takeUp();
    } catch (error) {
      throw diskError(error, 'use the cache in', options.folder);
    }
    return cache;
  }

  /** Bytes held at the moment, with those that room was made for. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * The path of the copy; where there is none, `fetch` asks for room for the whole file, once, and writes it to the
   * path it is given. Callers at once share it. `limit_exceeded` where all room is taken by what may be in use.
   */
  async get(key: string, fetch: Fetch): Promise<string> {
    const name = nameOf(key);
    const entry = this.#entries.get(name);
    if (entry !== undefined && (await this.#use(name, entry))) return entry.path;
    const running = this.#fetching.get(name);
    if (running !== undefined) return running;
    const fetching = this.#fetch(name, fetch).finally(() => this.#fetching.delete(name));
    this.#fetching.set(name, fetching);
    return fetching;
  }

  /**
   * Moves a local file in as the copy of an object; false where that cannot be done by a rename, or there is no room.
   */
  async adopt(key: string, path: string): Promise<boolean> {
    const name = nameOf(key);
    const target = join(this.#options.folder, name);
    const { size } = await stat(path);
    if (!(await this.#makeRoom(size))) return false;
    try {
      await rename(path, target);
    } catch (error) {
      this.#bytes -= size;
      if (systemCode(error) === 'EXDEV') return false;
      throw diskError(error, 'move a file into the cache at', target);
    }
    await this.#add(name, target, size);
    return true;
  }

  /** Drops the copy of an object that was overwritten or deleted. */
  async forget(key: string): Promise<void> {
    const name = nameOf(key);
    const entry = this.#entries.get(name);
    if (entry !== undefined) await this.#remove(name, entry);
  }

  async #fetch(name: string, fetch: Fetch): Promise<string> {
    const path = join(this.#options.folder, name);
    const half = join(this.#options.folder, `${randomUUID()}${halfSuffix}`);
    let reserved = 0;
    try {
      await fetch(half, async (bytes) => {
        await this.#waitForRoom(bytes);
        reserved += bytes;
      });
      await rename(half, path);
      await this.#add(name, path, reserved);
    } catch (error) {
      this.#bytes -= reserved;
      await rm(half, { force: true });
      if (isWatershedError(error)) throw error;
      throw diskError(error, 'write a copy into the cache at', path);
    }
    return path;
  }

  async #use(name: string, entry: Entry): Promise<boolean> {
    const now = this.#options.clock.now();
    try {
      // The time on the file is what the next process goes by.
      await utimes(entry.path, now / 1000, now / 1000);
    } catch {
      this.#drop(name, entry);
      return false;
    }
    entry.usedAtMs = now;
    this.#entries.delete(name);
    this.#entries.set(name, entry);
    return true;
  }

  /** `reserved` bytes are counted already. */
  async #add(name: string, path: string, reserved: number): Promise<void> {
    const old = this.#entries.get(name);
    if (old !== undefined) this.#drop(name, old);
    const { size } = await stat(path);
    const entry = { path, bytes: size, usedAtMs: 0 };
    await this.#use(name, entry);
    this.#bytes += size - reserved;
  }

  async #waitForRoom(bytes: number): Promise<void> {
    const { bytesMax, clock, waitMs = 10_000 } = this.#options;
    const until = clock.monotonic() + waitMs;
    const most = bytesMax * fetchShare;
    while (!(await this.#makeRoom(bytes, most))) {
      if (bytes > most || clock.monotonic() >= until) {
        throw new WatershedError(
          'limit_exceeded',
          `the local copies of the object store may take ${bytesMax} bytes, and all of them are in use: ${bytes} more do not fit`,
          { hint: 'ask for less at once (an event, some days), or try again when other statements have ended' },
        );
      }
      await clock.sleep(200);
    }
  }

  /** Lets files go that were not used of late until there is room, and takes it; false where that is not enough. */
  async #makeRoom(bytes: number, bytesMax = this.#options.bytesMax): Promise<boolean> {
    const { clock, keepMs = 600_000 } = this.#options;
    for (const [name, entry] of this.#entries) {
      if (this.#bytes + bytes <= bytesMax || clock.now() - entry.usedAtMs < keepMs) break;
      await this.#remove(name, entry);
    }
    // Between this look and the taking nothing else runs, so that callers at once never take the same room.
    if (this.#bytes + bytes > bytesMax) return false;
    this.#bytes += bytes;
    return true;
  }

  #drop(name: string, entry: Entry): void {
    if (this.#entries.delete(name)) this.#bytes -= entry.bytes;
  }

  async #remove(name: string, entry: Entry): Promise<void> {
    this.#drop(name, entry);
    await rm(entry.path, { force: true });
  }

  async #takeUp(): Promise<void> {
    const { folder } = this.#options;
    const names = await readdir(folder);
    const found = await Promise.all(
      names.map(async (name) => {
        const path = join(folder, name);
        if (name.endsWith(halfSuffix)) {
          await rm(path, { force: true });
          return [];
        }
        const { size, mtimeMs } = await stat(path);
        return [[name, { path, bytes: size, usedAtMs: mtimeMs }] as const];
      }),
    );
    for (const [name, entry] of found.flat().toSorted((a, b) => a[1].usedAtMs - b[1].usedAtMs)) {
      this.#entries.set(name, entry);
      this.#bytes += entry.bytes;
    }
    await this.#makeRoom(0);
  }
}

/** What is fetched may take this much; the rest is for files that this process wrote and takes over. */
const fetchShare = 0.9;

const halfSuffix = '.half';

/** A file name for a key: its hash, and its end for people and for engines that look at the extension. */
function nameOf(key: string): string {
  const end = basename(key)
    .replaceAll(/[^\w.-]/g, '_')
    .slice(-60);
  return `${createHash('sha256').update(key).digest('hex').slice(0, 32)}-${end}`;
}
