import fc from 'fast-check';
import { createRecordsBatch, Reader, readRecordsBatch } from '@platformatic/kafka';
import { recordBytesMax } from '../log.ts';
import type { LogChunk } from '../log.ts';
import { decodeBatches, encodeBatch, fetchedBatches } from './batch.ts';

const producer = { producerId: 7n, epoch: 3, sequence: 41 };
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

/** A batch by the client's own encoder, at an offset. */
function foreign(values: readonly (Buffer | undefined)[], baseOffset: bigint, compression: 'none' | 'gzip' | 'snappy' | 'lz4' | 'zstd' = 'none'): Buffer {
  const messages = values.map((value) => ({ topic: 't', partition: 0, key: Buffer.from('a key'), value, headers: new Map([[Buffer.from('h'), Buffer.from('\n')]]), timestamp: 1_700_000_000_000n }));
  // The declared type wants a value; null ones are what compacted topics hold.
  const batch = Buffer.from(createRecordsBatch(messages as Parameters<typeof createRecordsBatch>[0], { compression }).buffer);
  batch.writeBigInt64BE(baseOffset, 0);
  return batch;
}

const decode = async (batches: readonly Buffer[], from = 0n, maxBytes = 1e9): Promise<LogChunk[]> =>
  (await decodeBatches(fetchedBatches(Buffer.concat(batches), []), from, maxBytes)).chunks;
const linesOf = (chunk: LogChunk | undefined): string[] => Buffer.from(chunk?.lines ?? []).toString().split('\n').slice(0, -1);

describe('what we encode', () => {
  test('is read by the client and by us, whatever the records are', async () => {
    const record = fc.uint8Array({ maxLength: 3000 }).map((value) => value.map((byte) => (byte === 10 ? 11 : byte)));
    await fc.assert(fc.asyncProperty(fc.array(record, { minLength: 1, maxLength: 40 }), async (records) => {
      const batch = await encodeBatch(records, producer, 1_700_000_000_123);
      const read = readRecordsBatch(Reader.from(batch));
      expect(read.records.map(({ value }) => Buffer.from(value ?? []).toString('hex'))).toEqual(records.map((value) => Buffer.from(value).toString('hex')));
      expect(read).toMatchObject({ producerId: 7n, producerEpoch: 3, firstSequence: 41, firstTimestamp: 1_700_000_000_123n, lastOffsetDelta: records.length - 1 });
      const [chunk, ...more] = await decode([batch]);
      expect(more).toEqual([]);
      expect(chunk).toMatchObject({ baseOffset: 0n, count: records.length, appendedAtMs: 1_700_000_000_123, poison: [] });
      expect(Buffer.from(chunk?.lines ?? []).equals(Buffer.concat(records.flatMap((value) => [value, Buffer.of(10)])))).toBe(true);
    }), { numRuns: 200 });
  });

  test('is compressed where that pays', async () => {
    const text = bytes('the same words again and again, '.repeat(100));
    const many = await encodeBatch(Array.from({ length: 50 }, () => text), producer, 0);
    expect(many.length).toBeLessThan(2000);
    expect((await encodeBatch([bytes('short')], producer, 0)).readInt16BE(21)).toBe(0);
  });
});

describe('what others encode', () => {
  test.each(['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const)('%s is read, keys and headers left aside', async (compression) => {
    const values = Array.from({ length: 100 }, (_, index) => Buffer.from(`record ${index} ${'x'.repeat(index * 10)}`));
    const [chunk] = await decode([foreign(values, 500n, compression)], 540n);
    expect(chunk).toMatchObject({ baseOffset: 540n, count: 60, poison: [] });
    expect(linesOf(chunk)).toEqual(values.slice(40).map(String));
  });

  test('batches next to each other are one chunk, a hole begins another', async () => {
    const of = (text: string): Buffer[] => Array.from(text).map((letter) => Buffer.from(letter));
    const chunks = await decode([foreign(of('abc'), 10n), foreign(of('de'), 13n), foreign(of('f'), 20n)]);
    expect(chunks.map((chunk) => [chunk.baseOffset, chunk.count, linesOf(chunk)])).toEqual([[10n, 5, ['a', 'b', 'c', 'd', 'e']], [20n, 1, ['f']]]);
  });

  test('a batch that is cut off at the end is left for the next fetch', async () => {
    const whole = foreign([Buffer.from('a')], 0n);
    const cut = foreign([Buffer.from('b')], 1n);
    for (let length = 0; length < cut.length; length++) {
      const { chunks, nextOffset, rest } = await decodeBatches(fetchedBatches(Buffer.concat([whole, cut.subarray(0, length)]), []), 0n, 1e9);
      expect([chunks.length, nextOffset, rest]).toEqual([1, 1n, undefined]);
    }
  });

  test('what is more than was asked for stays for the next read, and is whole', async () => {
    const batches = Array.from({ length: 5 }, (_, index) => foreign([Buffer.from(`${index}`.repeat(1000))], BigInt(index)));
    const seen: string[] = [];
    let fetched: ReturnType<typeof fetchedBatches> | undefined = fetchedBatches(Buffer.concat(batches), []);
    for (let from = 0n; fetched !== undefined;) {
      const { chunks, nextOffset, rest } = await decodeBatches(fetched, from, 1500);
      expect(chunks.flatMap(linesOf).length).toBeLessThanOrEqual(2);
      seen.push(...chunks.flatMap(linesOf).map((line) => line.slice(0, 1)));
      from = nextOffset;
      fetched = rest;
    }
    expect(seen).toEqual(['0', '1', '2', '3', '4']);
  });

  test('what cannot be a line is poison in its place, and its line is empty', async () => {
    const large = Buffer.alloc(recordBytesMax + 1, 'x');
    const values = [Buffer.from('good'), Buffer.from('bad\nline'), undefined, Buffer.from(''), Buffer.from('ends\n'), large, Buffer.from('last')];
    const [chunk] = await decode([foreign(values, 7n)]);
    expect(linesOf(chunk)).toEqual(['good', '', '', '', '', '', 'last']);
    expect(chunk?.poison.map(({ offset, reason }) => [offset, reason])).toEqual([
      [8n, 'a line break within the record'], [9n, 'the record has no value'], [11n, 'a line break within the record'],
      [12n, `the record has ${recordBytesMax + 1} bytes, over the limit of ${recordBytesMax}`],
    ]);
    expect(Buffer.from(chunk?.poison[0]?.bytes ?? []).toString()).toBe('bad\nline');
    expect(chunk?.poison[3]?.bytes.length).toBe(large.length);
  });

  test('bytes that were changed on the way are an error, never records', async () => {
    const batch = foreign([Buffer.from('a record of some length')], 0n);
    for (const at of [21, 30, 61, batch.length - 1]) {
      const changed = Buffer.from(batch);
      changed[at] = (changed[at] ?? 0) ^ 1;
      await expect(decode([changed])).rejects.toMatchObject({ code: 'corrupt' });
    }
    const old = Buffer.from(batch);
    old[16] = 1;
    await expect(decode([old])).rejects.toMatchObject({ code: 'unsupported' });
  });
});

describe('transactions', () => {
  const transactional = 0b1_0000;
  const control = 0b10_0000;
  /** The checksum covers the attributes, so it is made anew by encoding through the client. */
  const batch = (text: string, baseOffset: bigint, producerId: bigint, attributes: number): Buffer => {
    const made = Buffer.from(createRecordsBatch([{ topic: 't', partition: 0, value: Buffer.from(text), timestamp: 1n }],
      { producerId, ...(attributes === 0 ? {} : { transactionalId: 'x' }) }).buffer);
    made.writeBigInt64BE(baseOffset, 0);
    if ((attributes & control) !== 0) made.writeInt16BE(attributes, 21);
    return made;
  };

  test('what an aborted one wrote is passed over, with the markers; what a later one of the same producer wrote is not', async () => {
    const bytesOf = Buffer.concat([
      batch('plain', 0n, -1n, 0), batch('aborted', 1n, 5n, transactional), batch('other', 2n, 6n, transactional),
      batch('abort', 3n, 5n, transactional | control), batch('again', 4n, 5n, transactional), batch('commit', 5n, 6n, transactional | control),
    ]);
    const fetched = fetchedBatches(bytesOf, [{ producerId: 5n, firstOffset: 1n }]);
    const { chunks, nextOffset } = await decodeBatches(fetched, 0n, 1e9);
    expect(chunks.map((chunk) => [chunk.baseOffset, ...linesOf(chunk)])).toEqual([[0n, 'plain'], [2n, 'other'], [4n, 'again']]);
    expect(nextOffset).toBe(6n);
  });

  test('a fetch of nothing but passed-over batches says where to go on', async () => {
    const fetched = fetchedBatches(batch('abort', 9n, 5n, transactional | control), []);
    expect(await decodeBatches(fetched, 9n, 1e9)).toMatchObject({ chunks: [], nextOffset: 10n });
  });
});
