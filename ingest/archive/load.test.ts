import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { manualClock, systemClock } from '#core/clock.ts';
import { decodeEnvelope } from '#core/contract/envelope.ts';
import { WatershedError } from '#core/errors.ts';
import type { Log } from '#core/log/log.ts';
import { createMemoryLog } from '#core/log/memory.ts';
import { loadArchive, type LoadOptions, type LoadProgress } from './load.ts';
import type { Places } from './place.ts';

const v1 = readFileSync(new URL('../../test/vectors/x-posts/tweet_parser/original_format_examples.json', import.meta.url), 'utf8').trim().split('\n');

let folder = '';
beforeAll(() => { folder = mkdtempSync(join(tmpdir(), 'watershed-load-')); });
afterAll(() => rmSync(folder, { recursive: true }));

function file(content: string | Uint8Array, name = 'posts.txt'): string {
  writeFileSync(join(folder, name), content);
  return join(folder, name);
}

function memoryPlaces(): Places & { readonly kept: Map<string, number> } {
  const kept = new Map<string, number>();
  return {
    kept,
    find: async (key) => kept.get(key) ?? 0,
    store: async (key, position) => { kept.set(key, position); },
    forget: async (key) => { kept.delete(key); },
  };
}

async function setUp(files: readonly string[], more: Partial<LoadOptions> = {}) {
  const log = more.log ?? createMemoryLog();
  await log.ensureTopic('posts', 3);
  await log.ensureTopic('quarantine', 1);
  return { files, eventId: 'flood', log, places: memoryPlaces(), clock: systemClock, signal: new AbortController().signal, ...more };
}

async function linesOf(log: Log, topic: string): Promise<Buffer[]> {
  const all: Buffer[] = [];
  for (let partition = 0; partition < await log.partitions(topic); partition++) {
    for (let from = 0n; ;) {
      const chunks = await log.read(topic, partition, from, { maxBytes: 1e9, waitMs: 0 });
      if (chunks.length === 0) break;
      for (const chunk of chunks) {
        const text = Buffer.from(chunk.lines);
        for (let at = 0; at < text.length;) {
          const end = text.indexOf(10, at);
          all.push(text.subarray(at, end));
          at = end + 1;
        }
        from = chunk.baseOffset + BigInt(chunk.count);
      }
    }
  }
  return all;
}

const numbered = (count: number, bytes: number): string[] =>
  Array.from({ length: count }, (_, index) => JSON.stringify({ id_str: String(index), text: 'x'.repeat(bytes) }));

test('every post of all files is in the log once, in its envelope, and the summary says what became of each record', async () => {
  const files = [file([...v1.slice(0, 10), '{"delete":{"status":{}}}', 'no json', ''].join('\n'), 'a.json'),
    file(gzipSync(v1.slice(10).join('\n')), 'b.json.gz'), file('', 'empty.json')];
  const progress: number[] = [];
  const options = await setUp(files, {
    clock: manualClock(1_700_000_000_000), onProgress: ({ appended }) => progress.push(appended),
  });
  const summary = await loadArchive(options);
  expect(summary.interrupted).toBe(false);
  expect(summary.files).toEqual([
    { path: files[0], read: 12, appended: 10, quarantined: { 'it is no JSON object': 1 }, dropped: { 'a notice, no post: delete': 1 },
      resumedFrom: 0, problem: undefined },
    { path: files[1], read: 15, appended: 15, quarantined: {}, dropped: {}, resumedFrom: 0, problem: undefined },
    { path: files[2], read: 0, appended: 0, quarantined: {}, dropped: {}, resumedFrom: 0, problem: 'it is empty' },
  ]);
  const records = (await linesOf(options.log, 'posts')).map(decodeEnvelope);
  expect(records.map(({ post }) => post.toString('utf8')).toSorted()).toEqual(v1.toSorted());
  expect(records[0]?.header).toEqual({ v: 1, source: 'x', format: 'x.v1', events: [{ id: 'flood', matched: [] }],
    receivedAt: '2023-11-14T22:13:20.000Z', account: '' });
  const [dead] = await linesOf(options.log, 'quarantine');
  expect(JSON.parse(dead?.toString('utf8') ?? '')).toEqual({ at: '2023-11-14T22:13:20.000Z', component: 'load a.json',
    reason: 'it is no JSON object', topic: 'posts', bytes: Buffer.from('no json').toString('base64'), bytes_length: 7 });
  expect([...summary.offsets.values()].reduce((sum, { from, to }) => sum + Number(to - from), 0)).toBe(25);
  expect(progress.at(-1)).toBe(25);
});

test('a file of another kind is refused before anything of the others is in the log', async () => {
  const options = await setUp([file(v1.join('\n'), 'good.json'), file('prose', 'bad.txt')]);
  await expect(loadArchive(options)).rejects.toMatchObject({ code: 'unsupported', message: expect.stringContaining('bad.txt') });
  expect(await linesOf(options.log, 'posts')).toEqual([]);
});

test('after a break the next run goes on where the log had come to, and all of it is there', async () => {
  const lines = numbered(2000, 5000);
  const path = file(lines.join('\n'), 'long.json');
  const places = memoryPlaces();
  const stop = new AbortController();
  const stopSoon = ({ appended }: LoadProgress): void => {
    if (appended > 500) stop.abort();
  };
  const first = await setUp([path], { places, signal: stop.signal, onProgress: stopSoon });
  const broken = await loadArchive(first);
  expect(broken.interrupted).toBe(true);
  expect(broken.files[0]?.appended).toBeLessThan(2000);
  expect(places.kept.size).toBe(1);
  const rest = await loadArchive({ ...first, signal: new AbortController().signal });
  expect(rest.files[0]?.resumedFrom).toBeGreaterThan(0);
  expect((broken.files[0]?.appended ?? 0) + (rest.files[0]?.appended ?? 0)).toBe(2000);
  const ids = (await linesOf(first.log, 'posts')).map((line) => Number(JSON.parse(decodeEnvelope(line).post.toString('utf8')).id_str));
  expect(ids.toSorted((a, b) => a - b)).toEqual(lines.map((_, index) => index));
  // Loaded to its end, a file is forgotten: loading it again reads it from the begin.
  expect(places.kept.size).toBe(0);
});

test('where the log refuses, the place of what it took is kept, and nothing behind it is lost', async () => {
  const lines = numbered(2000, 5000);
  const path = file(lines.join('\n'), 'refused.json');
  const places = memoryPlaces();
  const inner = createMemoryLog();
  let appends = 0;
  const log: Log = { ...inner, append: (topic, partition, records) => {
    if (++appends === 5) return Promise.reject(new WatershedError('disk', 'full'));
    return inner.append(topic, partition, records);
  } };
  const options = await setUp([path], { log, places });
  await expect(loadArchive(options)).rejects.toMatchObject({ code: 'disk' });
  await loadArchive(options);
  const ids = (await linesOf(log, 'posts')).map((line) => Number(JSON.parse(decodeEnvelope(line).post.toString('utf8')).id_str));
  expect([...new Set(ids)].toSorted((a, b) => a - b)).toEqual(lines.map((_, index) => index));
  expect(ids.length).toBeLessThan(2 * lines.length);
});

test('a log that is away for a while is waited for', async () => {
  const clock = manualClock();
  const inner = createMemoryLog();
  let failures = 3;
  const log: Log = { ...inner, append: (topic, partition, records) =>
    failures-- > 0 ? Promise.reject(new WatershedError('unavailable', 'away')) : inner.append(topic, partition, records) };
  const options = await setUp([file(v1.join('\n'), 'wait.json')], { log, clock });
  const loading = loadArchive(options);
  let finished = false;
  void loading.then(() => { finished = true; });
  while (!finished) await clock.advance(100);
  expect((await loading).files[0]?.appended).toBe(25);
});

test('a truncated gzip loads its good part and says so', async () => {
  const noisy = Array.from({ length: 2000 }, (_, index) => JSON.stringify({ id_str: String(index), text: `${index * 7919 % 1009}`.repeat(7) }));
  const bytes = gzipSync(noisy.join('\n'));
  const summary = await loadArchive(await setUp([file(bytes.subarray(0, bytes.length >> 1), 'cut.json.gz')]));
  expect(summary.files[0]).toMatchObject({ problem: 'the gzip stream is cut off before its end' });
  expect(summary.files[0]?.appended).toBeGreaterThan(100);
});

test('it keeps as many appends under way as there are partitions and no more', async () => {
  const inner = createMemoryLog();
  let now = 0;
  let most = 0;
  const log: Log = { ...inner, async append(topic, partition, records) {
    most = Math.max(most, ++now);
    // Slower than the reader: many turns of the event loop.
    for (let turn = 0; turn < 1000; turn++) await new Promise((resolve) => setImmediate(resolve));
    now--;
    return inner.append(topic, partition, records);
  } };
  await loadArchive(await setUp([file(numbered(3000, 5000).join('\n'), 'many.json')], { log }));
  expect(most).toBe(3);
});
