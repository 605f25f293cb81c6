import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Clock, systemClock } from '../clock.ts';
import { checkKey, checkNewKey, noSuchObject } from './keys.ts';
import type { Store } from './store.ts';

/**
 * A store that ends with the process: for tests. `localPath` writes a copy into a temporary folder, gone on dispose.
 */
export function createMemoryStore(uri = 'memory://lake', clock: Clock = systemClock): Store & AsyncDisposable {
  const objects = new Map<string, { bytes: Uint8Array; modifiedAtMs: number }>();
  let copies: Promise<string> | undefined;
  let copyNumber = 0;
  const bytesOf = (key: string): Uint8Array => {
    checkKey(key);
    const found = objects.get(key);
    if (found === undefined) throw noSuchObject(key);
    return found.bytes;
  };
  const set = (key: string, bytes: Uint8Array): void => {
    checkNewKey(key);
    objects.set(key, { bytes: Uint8Array.from(bytes), modifiedAtMs: clock.now() });
  };
  return {
    uri,
    get: async (key, range) => Uint8Array.from(bytesOf(key).subarray(range?.start, range?.end)),
    put: async (key, bytes) => set(key, bytes),
    async putFile(key, localPath) {
      set(key, await readFile(localPath));
      await rm(localPath);
    },
    async putIfAbsent(key, bytes) {
      if (objects.has(key)) return false;
      set(key, bytes);
      return true;
    },
    async size(key) {
      checkKey(key);
      return objects.get(key)?.bytes.length;
    },
    async *list(prefix) {
      for (const [key, { bytes, modifiedAtMs }] of objects) {
        if (key.startsWith(prefix)) yield { key, bytes: bytes.length, modifiedAtMs };
      }
    },
    async delete(key) {
      checkKey(key);
      objects.delete(key);
    },
    async localPath(key) {
      const bytes = bytesOf(key);
      copies ??= mkdtemp(join(tmpdir(), 'watershed-memory-store-'));
      const path = join(await copies, String(++copyNumber));
      await writeFile(path, bytes);
      return path;
    },
    async [Symbol.asyncDispose]() {
      if (copies !== undefined) await rm(await copies, { recursive: true, force: true });
    },
  };
}
