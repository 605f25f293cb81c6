import { createMemoryLog } from '#core/log/memory.ts';
import type { Log, LogChunk } from '#core/log/log.ts';
import { shareReads } from './share.ts';

const options = { maxBytes: 1024 * 1024, waitMs: 0 };

interface Counted {
  readonly log: Log;
  readonly reads: { count: number };
  readonly shared: Pick<Log, 'read'>;
}

async function countedLog(bytesMax = 1024 * 1024): Promise<Counted> {
  const log = createMemoryLog();
  await log.ensureTopic('posts', 1);
  const reads = { count: 0 };
  const shared = shareReads({
    read(...args) {
      reads.count++;
      return log.read(...args);
    },
  }, bytesMax);
  return { log, reads, shared };
}

const texts = (chunks: readonly LogChunk[]): string[] =>
  chunks.flatMap(({ lines }) => Buffer.from(lines).toString('utf8').split('\n').slice(0, -1));
const append = (log: Log, ...records: string[]): Promise<bigint> => log.append('posts', 0, records.map((text) => Buffer.from(text)));

test('two readers get the same records in order, and the log is read once', async () => {
  const { log, reads, shared } = await countedLog();
  await append(log, 'a', 'b');
  await append(log, 'c');
  const first = await shared.read('posts', 0, 0n, options);
  expect(texts(first)).toEqual(['a', 'b', 'c']);
  expect(texts(await shared.read('posts', 0, 0n, options))).toEqual(['a', 'b', 'c']);
  expect(reads.count).toBe(1);
});

test('a reader that starts in the middle of what the other took, or comes a third time, reads for itself', async () => {
  const { log, reads, shared } = await countedLog();
  await append(log, 'a', 'b');
  await append(log, 'c');
  await shared.read('posts', 0, 0n, options);
  expect(texts(await shared.read('posts', 0, 2n, options))).toEqual(['c']);
  expect(reads.count).toBe(1);
  expect(texts(await shared.read('posts', 0, 1n, options))).toEqual(['b', 'c']);
  expect(texts(await shared.read('posts', 0, 2n, options))).toEqual(['c']);
  expect(reads.count).toBe(2);
});

test('readers that wait at the head of the log wait together', async () => {
  const { log, reads, shared } = await countedLog();
  const waiting = [1, 2].map(() => shared.read('posts', 0, 0n, { maxBytes: 1024, waitMs: 60_000 }));
  await append(log, 'a');
  expect((await Promise.all(waiting)).map(texts)).toEqual([['a'], ['a']]);
  expect(reads.count).toBe(1);
});

test('the end of one reader is not the end of the other', async () => {
  const { log, shared } = await countedLog();
  const stop = new AbortController();
  const ended = shared.read('posts', 0, 0n, { maxBytes: 1024, waitMs: 60_000, signal: stop.signal });
  const other = shared.read('posts', 0, 0n, { maxBytes: 1024, waitMs: 60_000 });
  stop.abort();
  await expect(ended).rejects.toThrow();
  await append(log, 'a');
  expect(texts(await other)).toEqual(['a']);
});

test('no more than the limit is kept for a reader that does not come', async () => {
  const { log, reads, shared } = await countedLog(10);
  for (const text of ['aaaa', 'bbbb', 'cccc']) await append(log, text);
  await shared.read('posts', 0, 0n, options);
  expect(texts(await shared.read('posts', 0, 5n, options).catch(() => []))).toEqual([]);
  expect(texts(await shared.read('posts', 0, 1n, options))).toEqual(['bbbb', 'cccc']);
  expect(reads.count).toBe(2);
  expect(texts(await shared.read('posts', 0, 0n, options))).toEqual(['aaaa', 'bbbb', 'cccc']);
  expect(reads.count).toBe(3);
});

test('what the log refuses is refused to both', async () => {
  const { log, shared } = await countedLog();
  await append(log, 'a');
  const both = await Promise.allSettled([1, 2].map(() => shared.read('posts', 7, 0n, options)));
  expect(both.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
});
