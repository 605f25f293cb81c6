import { mkdir, mkdtemp, readdir, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openFileStore } from './file.ts';
import { storeSuite } from './store.suite.ts';
import { keyOf } from './store.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'watershed-file-store-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

storeSuite('the file store', async () => {
  const root = await mkdtemp(join(tmpdir(), 'watershed-file-store-'));
  return {
    store: await openFileStore(join(root, 'lake')),
    another: () => openFileStore(join(root, 'lake')),
    dispose: () => rm(root, { recursive: true, force: true }),
  };
});

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

test('an object is the file at its key below the folder, and that is its path for other engines', async () => {
  const store = await openFileStore(folder);
  await store.put('store/posts/data/0001.parquet', bytes('x'));
  const path = `${folder}/store/posts/data/0001.parquet`;
  expect(store.uri).toBe(`file://${folder}`);
  expect(await store.localPath('store/posts/data/0001.parquet')).toBe(path);
  expect((await stat(path)).size).toBe(1);
  expect(keyOf(store, `file:${path}`)).toBe('store/posts/data/0001.parquet');
});

test('nothing is left of drafts, neither after success nor after failure', async () => {
  const store = await openFileStore(folder);
  await store.put('a/object', bytes('x'));
  await store.putIfAbsent('a/object', bytes('y'));
  await expect(store.put('a/object/below', bytes('z'))).rejects.toMatchObject({
    code: expect.stringMatching(/^(disk|internal)$/),
  });
  await expect(store.putFile('b', join(folder, 'absent'))).rejects.toMatchObject({ code: 'internal' });
  expect(await readdir(join(folder, '.drafts'))).toEqual([]);
});

test("drafts of a killed process are cleared after a day, younger ones are somebody's work", async () => {
  await openFileStore(folder);
  const [old, young] = [join(folder, '.drafts', 'old'), join(folder, '.drafts', 'young')];
  await writeFile(old, 'x');
  await writeFile(young, 'x');
  await utimes(old, new Date(), new Date(Date.now() - 25 * 3_600_000));
  const store = await openFileStore(folder);
  expect(await readdir(join(folder, '.drafts'))).toEqual(['young']);
  const listed: string[] = [];
  for await (const { key } of store.list('')) listed.push(key);
  expect(listed).toEqual([]);
  await expect(store.get('.drafts/young')).rejects.toMatchObject({ code: 'bad_request' });
});

test('a file comes over from another file system', async () => {
  const elsewhere = await mkdtemp('/dev/shm/watershed-');
  const local = join(elsewhere, 'data.parquet');
  await writeFile(local, 'from memory');
  const store = await openFileStore(folder);
  await store.putFile('data/1.parquet', local);
  expect(Buffer.from(await store.get('data/1.parquet')).toString()).toBe('from memory');
  expect(await readdir(elsewhere)).toEqual([]);
  await rm(elsewhere, { recursive: true });
});

test('a folder that is a file, and one that nobody may write, are refused with what to do', async () => {
  await writeFile(join(folder, 'file'), '');
  await expect(openFileStore(join(folder, 'file', 'lake'))).rejects.toMatchObject({
    code: 'disk',
    hint: expect.stringContaining('folder'),
  });
  await expect(openFileStore('/sys/lake')).rejects.toMatchObject({
    code: 'disk',
    message: expect.stringContaining('/sys/lake'),
    hint: expect.any(String),
  });
});

test('a folder whose name engines would misread is refused', async () => {
  await mkdir(join(folder, '100%'));
  await expect(openFileStore(join(folder, '100%'))).rejects.toMatchObject({ code: 'bad_config' });
});
