import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Store, canonicalPath, keyOf } from './store.ts';

export interface StoreSubject {
  readonly store: Store;
  /** Another handle on the same store, as another process would have. */
  another(): Promise<Store>;
  dispose(): Promise<void>;
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const textOf = (value: Uint8Array): string => Buffer.from(value).toString('utf8');
const keysOf = async (store: Store, prefix: string): Promise<string[]> => {
  const keys: string[] = [];
  for await (const { key } of store.list(prefix)) keys.push(key);
  return keys.toSorted((a, b) => (a < b ? -1 : 1));
};

const runId = Math.random().toString(36).slice(2, 8);
let keyNumber = 0;

/** The contract of core/store/store.ts. Every adapter passes it, on the real thing. `open` is called once. */
export function storeSuite(name: string, open: () => Promise<StoreSubject>): void {
  describe(`${name} as a store`, () => {
    let subject: StoreSubject;
    let store: Store;
    let folder: string;
    beforeAll(async () => {
      subject = await open();
      store = subject.store;
      folder = await mkdtemp(join(tmpdir(), 'watershed-store-suite-'));
    }, 120_000);
    afterAll(async () => {
      await subject?.dispose();
      await rm(folder, { recursive: true, force: true });
    });
    const use = (): Used => {
      const base = `suite-${runId}/${++keyNumber}`;
      return { store, subject, base, localFile: (text) => localFile(folder, text) };
    };
    describe('get and put', () => objectTests(use));
    describe('put if absent', () => absentTests(use));
    describe('files', () => fileTests(use));
    describe('list and delete', () => listTests(use));
    describe('names', () => nameTests(use));
  });
}

interface Used {
  readonly store: Store;
  readonly subject: StoreSubject;
  /** A prefix that no other test uses. */
  readonly base: string;
  localFile: (content: string | Uint8Array) => Promise<string>;
}
type Use = () => Used;

async function localFile(folder: string, content: string | Uint8Array): Promise<string> {
  const path = join(folder, `local-${++keyNumber}`);
  await writeFile(path, content);
  return path;
}

function objectTests(use: Use): void {
  test('an object comes back byte for byte, through every handle', async () => {
    const { store, subject, base } = use();
    const content = Uint8Array.from({ length: 100_000 }, (_, index) => (index * 31) % 256);
    await store.put(`${base}/deep/er/object.parquet`, content);
    const other = await subject.another();
    expect(Buffer.compare(await other.get(`${base}/deep/er/object.parquet`), content)).toBe(0);
    expect(await other.size(`${base}/deep/er/object.parquet`)).toBe(100_000);
  });

  test('an object of many megabytes, and one of none', async () => {
    const { store, base } = use();
    const content = new Uint8Array(20 * 1024 * 1024).map((_, index) => index % 251);
    await store.put(`${base}/large`, content);
    expect(Buffer.compare(await store.get(`${base}/large`), content)).toBe(0);
    await store.put(`${base}/empty`, new Uint8Array());
    expect(await store.get(`${base}/empty`)).toHaveLength(0);
    expect(await store.size(`${base}/empty`)).toBe(0);
  }, 30_000);

  test('a range is from start up to and without end, and ends where the object ends', async () => {
    const { store, base } = use();
    await store.put(`${base}/object`, bytes('0123456789'));
    expect(textOf(await store.get(`${base}/object`, { start: 2, end: 5 }))).toBe('234');
    expect(textOf(await store.get(`${base}/object`, { start: 0, end: 1 }))).toBe('0');
    expect(textOf(await store.get(`${base}/object`, { start: 8, end: 100 }))).toBe('89');
  });

  test('what is not there is not found, and has no size', async () => {
    const { store, base } = use();
    await store.put(`${base}/folder/object`, bytes('x'));
    for (const key of [`${base}/absent`, `${base}/folder`, `${base}/absent/deeper`]) {
      await expect(store.get(key)).rejects.toMatchObject({ code: 'not_found', retryable: false });
      await expect(store.get(key, { start: 0, end: 1 })).rejects.toMatchObject({ code: 'not_found' });
      await expect(store.localPath(key)).rejects.toMatchObject({ code: 'not_found' });
      expect(await store.size(key)).toBeUndefined();
    }
  });

  test('the bytes given to put may be reused afterwards', async () => {
    const { store, base } = use();
    const buffer = bytes('first');
    await store.put(`${base}/object`, buffer);
    buffer.fill(0x78);
    expect(textOf(await store.get(`${base}/object`))).toBe('first');
  });

  test('a reader sees the old object or the new one, never a part', async () => {
    const { store, base } = use();
    const contents = [new Uint8Array(300_000).fill(1), new Uint8Array(300_000).fill(2)];
    await store.put(`${base}/object`, contents[0] ?? new Uint8Array());
    let writing = true;
    const writer = (async () => {
      for (let round = 0; round < 20; round++)
        await store.put(`${base}/object`, contents[round % 2] ?? new Uint8Array());
      writing = false;
    })();
    while (writing) {
      const seen = await store.get(`${base}/object`);
      expect(seen).toHaveLength(300_000);
      expect(new Set(seen).size).toBe(1);
    }
    await writer;
  }, 30_000);
}

function absentTests(use: Use): void {
  test('the first makes the object, the second does not touch it', async () => {
    const { store, base } = use();
    expect(await store.putIfAbsent(`${base}/object`, bytes('first'))).toBe(true);
    expect(await store.putIfAbsent(`${base}/object`, bytes('second'))).toBe(false);
    expect(textOf(await store.get(`${base}/object`))).toBe('first');
  });

  test('of many at once exactly one makes it, and its bytes stand', async () => {
    const { store, subject, base } = use();
    const other = await subject.another();
    const made = await Promise.all(
      Array.from({ length: 16 }, (_, index) =>
        (index % 2 === 0 ? store : other).putIfAbsent(`${base}/race`, bytes(`writer ${index}`)),
      ),
    );
    expect(made.filter(Boolean)).toHaveLength(1);
    expect(textOf(await store.get(`${base}/race`))).toBe(`writer ${made.indexOf(true)}`);
  });
}

function fileTests(use: Use): void {
  test('a local file is moved into the store', async () => {
    const { store, base, localFile: make } = use();
    const content = Uint8Array.from({ length: 50_000 }, (_, index) => index % 256);
    const path = await make(content);
    await store.putFile(`${base}/data/0001.parquet`, path);
    expect(Buffer.compare(await store.get(`${base}/data/0001.parquet`), content)).toBe(0);
    await expect(stat(path)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  test('an object can be had as a local file', async () => {
    const { store, base } = use();
    await store.put(`${base}/object`, bytes('content'));
    expect(await readFile(await store.localPath(`${base}/object`), 'utf8')).toBe('content');
    expect(await readFile(await store.localPath(`${base}/object`), 'utf8')).toBe('content');
  });
}

function listTests(use: Use): void {
  test('a list holds what begins with the prefix, at every depth, with sizes and times', async () => {
    const { store, base } = use();
    const before = Date.now();
    for (const key of ['data/a.parquet', 'data/b/c.parquet', 'database', 'metadata/1.json', 'data/.b.crc']) {
      await store.put(`${base}/${key}`, bytes(key));
    }
    const under = async (prefix: string): Promise<string[]> =>
      (await keysOf(store, `${base}/${prefix}`)).map((key) => key.slice(base.length + 1));
    expect(await under('')).toEqual([
      'data/.b.crc',
      'data/a.parquet',
      'data/b/c.parquet',
      'database',
      'metadata/1.json',
    ]);
    expect(await under('data/')).toEqual(['data/.b.crc', 'data/a.parquet', 'data/b/c.parquet']);
    expect(await under('data')).toEqual(['data/.b.crc', 'data/a.parquet', 'data/b/c.parquet', 'database']);
    expect(await under('data/b')).toEqual(['data/b/c.parquet']);
    expect(await under('nothing/here')).toEqual([]);
    for await (const { bytes: size, modifiedAtMs } of store.list(`${base}/metadata/`)) {
      expect(size).toBe('metadata/1.json'.length);
      expect(modifiedAtMs).toBeGreaterThan(before - 60_000);
      expect(modifiedAtMs).toBeLessThan(Date.now() + 60_000);
    }
  });

  test('a list of many is whole', async () => {
    const { store, base } = use();
    const keys = Array.from({ length: 1100 }, (_, index) => `${base}/many/${String(index).padStart(5, '0')}`);
    for (let at = 0; at < keys.length; at += 50) {
      await Promise.all(keys.slice(at, at + 50).map((key) => store.put(key, bytes('x'))));
    }
    expect(await keysOf(store, `${base}/many/`)).toEqual(keys);
  }, 60_000);

  test('what was deleted is gone, and may be deleted again', async () => {
    const { store, base } = use();
    await store.put(`${base}/a`, bytes('a'));
    await store.put(`${base}/b`, bytes('b'));
    await store.delete(`${base}/a`);
    await store.delete(`${base}/a`);
    await store.delete(`${base}/never/was`);
    expect(await keysOf(store, base)).toEqual([`${base}/b`]);
    await expect(store.get(`${base}/a`)).rejects.toMatchObject({ code: 'not_found' });
    expect(await store.putIfAbsent(`${base}/a`, bytes('again'))).toBe(true);
  });
}

function nameTests(use: Use): void {
  test.each([
    ['', 'empty'],
    ['/lead', 'a leading slash'],
    ['trail/', 'a trailing slash'],
    ['a//b', 'an empty segment'],
    ['a/../b', 'a way up'],
    ['a/./b', 'a dot'],
    ['a\u0000b', 'a control character'],
    ['a\nb', 'a line break'],
  ])('a key like %j is refused: %s', async (key) => {
    const { store } = use();
    const attempts = [
      store.get(key),
      store.put(key, bytes('x')),
      store.putIfAbsent(key, bytes('x')),
      store.size(key),
      store.delete(key),
      store.localPath(key),
    ];
    for (const attempt of await Promise.allSettled(attempts)) {
      expect(attempt).toMatchObject({ status: 'rejected', reason: { code: 'bad_request' } });
    }
  });

  test('a key with a percent sign is read and deleted, for other engines make such, and never made', async () => {
    const { store, base } = use();
    const key = `${base}/event_id=k%C3%A4se`;
    for (const attempt of await Promise.allSettled([store.put(key, bytes('x')), store.putIfAbsent(key, bytes('x'))])) {
      expect(attempt).toMatchObject({ status: 'rejected', reason: { code: 'bad_request' } });
    }
    await expect(store.get(key)).rejects.toMatchObject({ code: 'not_found' });
    await expect(store.localPath(key)).rejects.toMatchObject({ code: 'not_found' });
    expect(await store.size(key)).toBeUndefined();
    await store.delete(key);
  });

  test('letters of every script, spaces, signs of equality and dots are names like others', async () => {
    const { store, base } = use();
    for (const name of ['Überflutung 2013.parquet', 'event=a b', '水位', 'a+b&c', '.hidden', 'x'.repeat(200)]) {
      await store.put(`${base}/${name}`, bytes(name));
      expect(textOf(await store.get(`${base}/${name}`))).toBe(name);
    }
    expect(await keysOf(store, `${base}/`)).toHaveLength(6);
  });

  test('the address and a key make the full path, and back', async () => {
    const { store, base } = use();
    expect(store.uri).toMatch(/^[a-z0-9]+:\/\/.*[^/]$/);
    const path = `${store.uri}/${base}/object`;
    expect(keyOf(store, path)).toBe(`${base}/object`);
    expect(keyOf(store, canonicalPath(path))).toBe(`${base}/object`);
    expect(keyOf(store, `${store.uri}-other/object`)).toBeUndefined();
  });
}
