import { readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { removeFolder, temporaryFolder } from '#test/services/process.ts';
import { manualClock } from '../../clock.ts';
import type { ManualClock } from '../../clock.ts';
import { FileCache } from './cache.ts';

let folder: string;
let clock: ManualClock;
const keepMs = 60_000;

beforeEach(async () => {
  folder = await temporaryFolder('cache');
  clock = manualClock();
});
afterEach(() => removeFolder(folder));

const open = (bytesMax = 1000): Promise<FileCache> => FileCache.open({ folder: join(folder, 'cache'), bytesMax, clock, keepMs, waitMs: 0 });
/** Fetches 400 bytes and counts. */
function source() {
  const fetched: string[] = [];
  const get = (cache: FileCache, key: string): Promise<string> => cache.get(key, async (path, room) => {
    await room(400);
    fetched.push(key);
    await writeFile(path, key.padEnd(400));
  });
  return { fetched, get };
}
const there = (path: string): Promise<boolean> => stat(path).then(() => true, () => false);

test('what was fetched once is not fetched again, and callers at once share one fetching', async () => {
  const cache = await open();
  const { fetched, get } = source();
  const paths = await Promise.all(Array.from({ length: 10 }, () => get(cache, 'store/posts/data/a.parquet')));
  expect(new Set(paths).size).toBe(1);
  expect(paths[0]).toMatch(/a\.parquet$/);
  await get(cache, 'store/posts/data/a.parquet');
  expect(fetched).toEqual(['store/posts/data/a.parquet']);
  expect((await readFile(paths[0] ?? '', 'utf8')).trim()).toBe('store/posts/data/a.parquet');
});

test('those used least recently make room, but not what somebody may be reading', async () => {
  const cache = await open();
  const { fetched, get } = source();
  const [a, b] = [await get(cache, 'a'), await get(cache, 'b')];
  await clock.advance(keepMs + 1);
  await get(cache, 'a');
  const c = await get(cache, 'c');
  expect([await there(a), await there(b), await there(c)]).toEqual([true, false, true]);
  expect(cache.bytes).toBe(800);
  // Both are younger than keepMs: none goes, and a third is refused.
  await expect(get(cache, 'd')).rejects.toMatchObject({ code: 'limit_exceeded', hint: expect.stringContaining('ask for less') });
  expect([await there(a), await there(c)]).toEqual([true, true]);
  expect(cache.bytes).toBe(800);
  // What was written here has a tenth that nothing fetched may take.
  await writeFile(join(folder, 'own'), 'e'.repeat(200));
  expect(await cache.adopt('e', join(folder, 'own'))).toBe(true);
  await writeFile(join(folder, 'own'), 'f');
  expect(await cache.adopt('f', join(folder, 'own'))).toBe(false);
  expect(cache.bytes).toBe(1000);
  await clock.advance(keepMs + 1);
  await get(cache, 'd');
  expect(fetched).toEqual(['a', 'b', 'c', 'd']);
  expect(cache.bytes).toBeLessThanOrEqual(900);
});

test('many at once never take more than the limit', async () => {
  const cache = await open();
  const { get } = source();
  let most = 0;
  const results = await Promise.allSettled(Array.from({ length: 20 }, async (_, index) => {
    await get(cache, String(index));
    most = Math.max(most, cache.bytes);
  }));
  expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(2);
  expect(most).toBe(800);
});

test('a file waits for room that others give back', async () => {
  const cache = await FileCache.open({ folder: join(folder, 'cache'), bytesMax: 500, clock, keepMs: 1_000, waitMs: 10_000 });
  const { get } = source();
  await get(cache, 'a');
  const waiting = get(cache, 'b');
  for (let step = 0; step < 8; step++) await clock.advance(200);
  expect(await there(await waiting)).toBe(true);
  expect(cache.bytes).toBe(400);
});

test('a fetching that fails leaves nothing, and the next caller tries again', async () => {
  const cache = await open();
  await expect(cache.get('a', async (path, room) => {
    await room(400);
    await writeFile(path, 'half');
    throw new TypeError('cut');
  })).rejects.toMatchObject({ code: 'internal' });
  expect(cache.bytes).toBe(0);
  const { get } = source();
  expect((await readFile(await get(cache, 'a'), 'utf8')).trim()).toBe('a');
});

test('what a process left is found by the next one, without half files', async () => {
  const first = await open();
  const { fetched, get } = source();
  await get(first, 'a');
  await clock.advance(1000);
  await get(first, 'b');
  await writeFile(join(folder, 'cache', 'x.half'), 'left over');
  const second = await open(500);
  expect(await there(join(folder, 'cache', 'x.half'))).toBe(false);
  expect(second.bytes).toBe(800);
  await get(second, 'a');
  expect(fetched).toEqual(['a', 'b']);
  await clock.advance(keepMs * 2);
  const third = await open(500);
  expect(third.bytes).toBe(400);
  await get(third, 'a');
  expect(fetched).toEqual(['a', 'b']);
});

test('a file that somebody took away is fetched again', async () => {
  const cache = await open();
  const { fetched, get } = source();
  await rm(await get(cache, 'a'));
  expect(await there(await get(cache, 'a'))).toBe(true);
  expect(fetched).toEqual(['a', 'a']);
  expect(cache.bytes).toBe(400);
});

test('a local file can be taken in, and a copy forgotten', async () => {
  const cache = await open();
  const { fetched, get } = source();
  await writeFile(join(folder, 'own'), 'taken in');
  expect(await cache.adopt('a', join(folder, 'own'))).toBe(true);
  expect(await there(join(folder, 'own'))).toBe(false);
  expect(await readFile(await get(cache, 'a'), 'utf8')).toBe('taken in');
  expect(fetched).toEqual([]);
  await cache.forget('a');
  expect(cache.bytes).toBe(0);
  await get(cache, 'a');
  expect(fetched).toEqual(['a']);
});
