import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { startFaultProxy } from '#test/services/fault-proxy.ts';
import type { Fault, FaultProxy } from '#test/services/fault-proxy.ts';
import { removeFolder, temporaryFolder } from '#test/services/process.ts';
import { startS3 } from '#test/services/s3.ts';
import type { S3Service } from '#test/services/s3.ts';
import { systemClock } from '../../clock.ts';
import type { Store } from '../store.ts';
import { openS3Store } from './s3.ts';
import type { S3StoreOptions } from './s3.ts';

let s3: S3Service;
let proxy: FaultProxy;
let folder: string;
let handles = 0;

beforeAll(async () => {
  s3 = await startS3();
  proxy = await startFaultProxy(s3.endpoint);
  folder = await temporaryFolder('faults');
}, 300_000);

afterAll(async () => {
  await proxy.stop();
  await s3.stop();
  await removeFolder(folder);
});

beforeEach(() => {
  proxy.inject(500, 0);
  proxy.ignoreConditions = false;
});

const open = (more: Partial<S3StoreOptions> = {}): Promise<Store & AsyncDisposable> => openS3Store({
  uri: `s3://${s3.bucket}/lake`, region: s3.region, endpoint: proxy.url, pathStyle: true, timeoutMs: 1000,
  keys: { accessKey: s3.accessKey, secretKey: s3.secretKey },
  cache: { folder: join(folder, String(++handles)), bytesMax: 1e9 }, clock: systemClock, ...more,
});
const keysOf = async (store: Store, prefix: string): Promise<string[]> => {
  const keys: string[] = [];
  for await (const { key } of store.list(prefix)) keys.push(key);
  return keys;
};
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const textOf = (value: Uint8Array): string => Buffer.from(value).toString();
const code = (wanted: string, more: object = {}): unknown => expect.objectContaining({ code: wanted, ...more });

describe.each<Fault>([500, 503, 'silence', 'cut', 'half', 'lost', 'lost-cut'])('two requests suffer %p', (fault) => {
  test('and every operation does what it should all the same', async () => {
    await using store = await open();
    const base = `faults-${fault}`;
    const before = proxy.suffered;
    const suffering = async <T>(work: () => Promise<T>): Promise<T> => {
      proxy.inject(fault, 2);
      return work();
    };
    await suffering(() => store.put(`${base}/a`, bytes('content')));
    expect(textOf(await suffering(() => store.get(`${base}/a`)))).toBe('content');
    expect(textOf(await suffering(() => store.get(`${base}/a`, { start: 1, end: 4 })))).toBe('ont');
    expect(await suffering(() => store.size(`${base}/a`))).toBe(7);
    expect(await suffering(() => store.putIfAbsent(`${base}/b`, bytes('mine')))).toBe(true);
    expect(await suffering(() => store.putIfAbsent(`${base}/b`, bytes('other')))).toBe(false);
    const local = join(folder, `local-${fault}`);
    await writeFile(local, 'a file');
    await suffering(() => store.putFile(`${base}/c`, local));
    await expect(stat(local)).rejects.toMatchObject({ code: 'ENOENT' });
    const keys = await suffering(() => keysOf(store, `${base}/`));
    expect(keys.toSorted()).toEqual([`${base}/a`, `${base}/b`, `${base}/c`]);
    await suffering(() => store.delete(`${base}/a`));
    proxy.inject(500, 0);
    await using other = await open();
    expect(textOf(await other.get(`${base}/b`))).toBe('mine');
    expect(await readFile(await suffering(() => other.localPath(`${base}/c`)), 'utf8')).toBe('a file');
    expect(await other.size(`${base}/a`)).toBeUndefined();
    // A body that cannot be cut in two (none, or an error's) leaves nothing to suffer from.
    expect(proxy.suffered - before).toBeGreaterThan(fault === 'half' ? 8 : 17);
  }, 240_000);
});

describe('large files', () => {
  // The proxy passes an answer on when it has all of it: on a crowded machine that is longer than the second of the other tests.
  const patient = { timeoutMs: 30_000 };
  const content = Buffer.alloc(40 * 1024 * 1024).map((_, index) => (index * 7 + (index >> 13)) % 256);
  const upload = async (store: Store, key: string): Promise<void> => {
    const local = join(folder, `large-${++handles}`);
    await writeFile(local, content);
    await store.putFile(key, local);
  };

  test('go in parts, each of which is tried again by itself; a download goes on where it was cut', async () => {
    await using store = await open(patient);
    proxy.inject(503, 3, ({ url }) => url?.includes('partNumber') === true);
    await upload(store, 'large/parts');
    expect(proxy.suffered).toBeGreaterThanOrEqual(3);
    await using other = await open(patient);
    let sent = 0;
    proxy.inject('half', 2, ({ method, headers }) => {
      if (method !== 'GET') return false;
      if (headers.range !== undefined) sent++;
      return true;
    });
    expect((await readFile(await other.localPath('large/parts'))).equals(content)).toBe(true);
    expect(sent).toBeGreaterThan(0);
  }, 240_000);

  test.each<Fault>(['lost', 'lost-cut'])('a completion whose answer is lost (%s) is found to have been carried out', async (fault) => {
    await using store = await open(patient);
    proxy.inject(fault, 1, ({ method, url }) => method === 'POST' && url?.includes('uploadId') === true);
    await upload(store, `large/${fault}`);
    expect(await store.size(`large/${fault}`)).toBe(content.length);
  }, 240_000);

  test('an upload that fails leaves the local file where it was', async () => {
    await using store = await open(patient);
    const local = join(folder, 'stays');
    await writeFile(local, content);
    proxy.inject(500, 100, ({ url }) => url?.includes('partNumber') === true);
    await expect(store.putFile('large/failed', local)).rejects.toEqual(code('unavailable'));
    expect((await stat(local)).size).toBe(content.length);
    expect(await store.size('large/failed')).toBeUndefined();
  }, 240_000);
});

test('a conditional write that another won while our answer was lost is not ours', async () => {
  await using store = await open();
  await using other = await open({ endpoint: s3.endpoint });
  proxy.inject('cut', 1, () => {
    void other.putIfAbsent('race/object', bytes('theirs'));
    return true;
  });
  const made = await store.putIfAbsent('race/object', bytes('ours'));
  expect(textOf(await other.get('race/object'))).toBe(made ? 'ours' : 'theirs');
});

describe('a store that we cannot use is refused in a sentence', () => {
  test('one that goes on failing', async () => {
    await using store = await open();
    proxy.inject(503, 100);
    await expect(store.get('any')).rejects.toEqual(code('unavailable', { retryable: true }));
  }, 120_000);

  test('one that is not there', async () => {
    await expect(open({ endpoint: 'http://127.0.0.1:1' })).rejects.toEqual(
      code('unavailable', { message: expect.stringContaining('ECONNREFUSED'), hint: expect.stringContaining('WAREHOUSE_S3_ENDPOINT') }));
  }, 120_000);

  test('wrong keys', async () => {
    const wrong = { accessKey: s3.accessKey, secretKey: 'wrong' };
    await expect(open({ keys: wrong })).rejects.toEqual(code('unauthorized', { hint: expect.stringContaining('WAREHOUSE_S3_SECRET_KEY') }));
    await expect(open({ keys: { ...wrong, accessKey: 'nobody' } })).rejects.toEqual(code('unauthorized'));
  });

  test('a bucket that is missing', async () => {
    await expect(open({ uri: 's3://nowhere/lake' })).rejects.toEqual(
      code('bad_config', { message: expect.stringContaining('there is no bucket nowhere'), hint: expect.stringContaining('WAREHOUSE_URI') }));
  });

  test('a bucket elsewhere', async () => {
    await expect(open({ region: 'eu-central-1' })).rejects.toEqual(code('bad_config', { hint: expect.stringContaining('WAREHOUSE_S3_REGION') }));
  });

  test('one without conditional writes', async () => {
    proxy.ignoreConditions = true;
    await expect(open()).rejects.toEqual(code('unsupported', { message: expect.stringContaining('If-None-Match') }));
    await using store = await open({ endpoint: s3.endpoint });
    expect(await keysOf(store, 'watershed-probe')).toEqual([]);
  });

  test.each(['s3:/lake', 'lake', 's3://', 's3://bucket/a//b'])('the address %s', async (uri) => {
    await expect(open({ uri })).rejects.toEqual(expect.objectContaining({ code: expect.stringMatching(/^bad_/) }));
  });
});
