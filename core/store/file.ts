import { randomUUID } from 'node:crypto';
import type { Dirent } from 'node:fs';
import { copyFile, link, mkdir, open, opendir, readFile, readdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { diskError } from '../disk.ts';
import { WatershedError, systemCode } from '../errors.ts';
import { checkKey, checkNewKey, noSuchObject } from './keys.ts';
import type { Store } from './store.ts';

const draftsFolder = '.drafts'; // beside the objects, for a rename is atomic only within one file system
const draftAgeMaxMs = 24 * 3_600_000; // whoever wrote an older draft is gone

/**
 * The store in a folder, made where it is missing. An object is written as a draft, synced, and renamed into its
 * place (or linked, where it must not exist yet), and the folder is synced: after a power cut it is whole or not
 * there.
 *
 * Errors: `disk` with what to do, `bad_config` for a folder whose name other engines would misread.
 */
export async function openFileStore(folder: string): Promise<Store> {
  const root = resolve(folder);
  if (/[%?#]/.test(root)) {
    throw new WatershedError(
      'bad_config',
      `tables cannot be kept in ${root}: engines read %, ? and # in a path in different ways`,
      {
        hint: 'choose a folder without these characters',
      },
    );
  }
  const drafts = join(root, draftsFolder);
  try {
    await mkdir(drafts, { recursive: true });
    await clearDrafts(drafts);
  } catch (error) {
    throw diskError(error, 'use the folder', root);
  }
  const pathOf = (key: string): string => {
    checkKey(key);
    if (key.startsWith(`${draftsFolder}/`))
      throw new WatershedError('bad_request', `${key} is in the store's own folder`);
    return join(root, key);
  };
  const makeFolder = folderMaker(root);
  const writing = async <Result>(
    key: string,
    write: (path: string, draft: string) => Promise<Result>,
  ): Promise<Result> => {
    checkNewKey(key);
    const path = pathOf(key);
    const draft = join(drafts, randomUUID());
    try {
      await makeFolder(dirname(path));
      return await write(path, draft);
    } catch (error) {
      await rm(draft, { force: true });
      throw diskError(error, `write object ${key} to`, path);
    }
  };
  return {
    uri: `file://${root}`,
    get: async (key, range) => read(key, pathOf(key), range),
    put: (key, bytes) =>
      writing(key, async (path, draft) => {
        await writeDraft(draft, bytes);
        await moveIntoPlace(draft, path);
      }),
    putIfAbsent: (key, bytes) =>
      writing(key, async (path, draft) => {
        await writeDraft(draft, bytes);
        return linkIntoPlace(draft, path);
      }),
    putFile: (key, localPath) => writing(key, (path, draft) => putFile(localPath, path, draft)),
    size: async (key) => (await statOf(pathOf(key)))?.size,
    list: (prefix) => list(root, prefix),
    delete: async (key) => remove(pathOf(key)),
    async localPath(key) {
      const path = pathOf(key);
      if ((await statOf(path)) === undefined) throw noSuchObject(key);
      return path;
    },
  };
}

async function read(
  key: string,
  path: string,
  range: { readonly start: number; readonly end: number } | undefined,
): Promise<Uint8Array> {
  try {
    if (range === undefined) return await readFile(path);
    await using file = await open(path, 'r');
    const { size } = await file.stat();
    const length = Math.max(0, Math.min(range.end, size) - range.start);
    const bytes = Buffer.allocUnsafeSlow(length);
    for (let filled = 0; filled < length;) {
      const { bytesRead } = await file.read(bytes, filled, length - filled, range.start + filled);
      if (bytesRead === 0) throw new WatershedError('corrupt', `object ${key} became shorter while it was read`);
      filled += bytesRead;
    }
    return bytes;
  } catch (error) {
    if (isAbsent(error)) throw noSuchObject(key, error);
    throw error instanceof WatershedError ? error : diskError(error, 'read', path);
  }
}

/**
 * Makes folders below `root`, durably. What mkdir finds may have been made by somebody who has not synced it yet, so
 * each folder's entry in the one above is synced once by every process that writes there.
 */
function folderMaker(root: string): (folder: string) => Promise<void> {
  const known = new Set([root]);
  return async (folder) => {
    await mkdir(folder, { recursive: true });
    for (let made = folder; !known.has(made); made = dirname(made)) {
      await syncFolder(dirname(made));
      known.add(made);
    }
  };
}

async function writeDraft(draft: string, bytes: Uint8Array): Promise<void> {
  await using file = await open(draft, 'wx');
  await file.writeFile(bytes);
  await file.sync();
}

async function moveIntoPlace(draft: string, path: string): Promise<void> {
  await rename(draft, path);
  await syncFolder(dirname(path));
}

/** True where the object was made; false, and nothing changed, where there was one. */
async function linkIntoPlace(draft: string, path: string): Promise<boolean> {
  try {
    await link(draft, path);
    await syncFolder(dirname(path));
    return true;
  } catch (error) {
    if (systemCode(error) === 'EEXIST') return false;
    throw error;
  } finally {
    await rm(draft, { force: true });
  }
}

/** By a rename, which costs nothing; from another file system by a copy. */
async function putFile(localPath: string, path: string, draft: string): Promise<void> {
  await syncFile(localPath);
  try {
    await moveIntoPlace(localPath, path);
  } catch (error) {
    if (systemCode(error) !== 'EXDEV') throw error;
    await copyFile(localPath, draft);
    await syncFile(draft);
    await moveIntoPlace(draft, path);
    await rm(localPath);
  }
}

async function remove(path: string): Promise<void> {
  try {
    await rm(path, { force: true });
  } catch (error) {
    if (!isAbsent(error)) throw diskError(error, 'delete', path);
  }
}

async function syncFile(path: string): Promise<void> {
  await using file = await open(path, 'r+');
  await file.sync();
}

async function syncFolder(folder: string): Promise<void> {
  await using handle = await open(folder, 'r');
  await handle.sync();
}

async function* list(
  root: string,
  prefix: string,
): AsyncGenerator<{ key: string; bytes: number; modifiedAtMs: number }> {
  const slash = prefix.lastIndexOf('/');
  const start = slash === -1 ? '' : prefix.slice(0, slash);
  if (start !== '') checkKey(start);
  const folders = [start];
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    for await (const entry of entriesOf(join(root, folder))) {
      const key = folder === '' ? entry.name : `${folder}/${entry.name}`;
      if (entry.isDirectory()) {
        const wanted = key.startsWith(prefix) || prefix.startsWith(`${key}/`);
        if (wanted && key !== draftsFolder) folders.push(key);
        continue;
      }
      if (!key.startsWith(prefix)) continue;
      const found = await statOf(join(root, key));
      if (found !== undefined) yield { key, bytes: found.size, modifiedAtMs: found.mtimeMs };
    }
  }
}

async function* entriesOf(folder: string): AsyncGenerator<Dirent> {
  try {
    yield* await opendir(folder);
  } catch (error) {
    if (!isAbsent(error)) throw diskError(error, 'list', folder);
  }
}

async function statOf(path: string): Promise<{ size: number; mtimeMs: number } | undefined> {
  try {
    const found = await stat(path);
    return found.isFile() ? found : undefined;
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw diskError(error, 'look at', path);
  }
}

/** ENOTDIR: a part of the path is an object; EISDIR: the whole is a part of other keys. */
function isAbsent(error: unknown): boolean {
  return ['ENOENT', 'ENOTDIR', 'EISDIR'].includes(systemCode(error) ?? '');
}

/**
 * Removes what a killed process left behind. A draft of its own first, which tells whether one can write, and what
 * time it is.
 */
async function clearDrafts(drafts: string): Promise<void> {
  const probe = join(drafts, randomUUID());
  await writeDraft(probe, new Uint8Array(1));
  const now = (await stat(probe)).mtimeMs;
  await rm(probe);
  for (const name of await readdir(drafts)) {
    const found = await statOf(join(drafts, name));
    if (found !== undefined && found.mtimeMs < now - draftAgeMaxMs) await rm(join(drafts, name), { force: true });
  }
}
