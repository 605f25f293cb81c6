import { type Log, type LogChunk, recordBytesMax } from './log.ts';
import { encodeText, lines, numbered, readMany, recordsOf, textsOf } from './suite-tools.ts';

/** What the suite needs of an adapter. */
export interface LogSubject {
  readonly log: Log;
  /** Another handle on the same log, as another process would have; the suite disposes it. */
  another(): Promise<Log>;
  /** Deletes the topic and makes it again under the same name, where the adapter's world can do that. */
  remake?(topic: string, partitions: number): Promise<void>;
  /** Gives back what `open` took, the log included. */
  dispose(): Promise<void>;
}

let topicNumber = 0;
const runId = Math.random().toString(36).slice(2, 8);

/** The contract of core/log/log.ts. Every adapter passes it, on the real thing. `open` is called once. */
export function logSuite(name: string, open: () => Promise<LogSubject>): void {
  describe(`${name} as a log`, () => {
    let subject: LogSubject;
    let log: Log;
    beforeAll(async () => {
      subject = await open();
      log = subject.log;
    }, 120_000);
    afterAll(() => subject?.dispose());

    const makeTopic = async (partitions = 1): Promise<string> => {
      const topic = `suite_${runId}_${++topicNumber}`;
      await log.ensureTopic(topic, partitions);
      return topic;
    };
    const use = (): { makeTopic: typeof makeTopic; log: Log; subject: LogSubject } => ({ makeTopic, log, subject });
    describe('topics', () => topicTests(use));
    describe('append', () => recordTests(use));
    describe('read', () => readTests(use));
    describe('what is refused', () => refusalTests(use));
    describe('waiting', () => waitingTests(use));
    describe('bounds and trim', () => boundsTests(use));
    describe('several at once', () => concurrencyTests(use));
  });
}

type Use = () => { makeTopic: (partitions?: number) => Promise<string>; log: Log; subject: LogSubject };

function topicTests(use: Use): void {
  test('a topic has the partitions it was made with, and keeps them', async () => {
    const { log, makeTopic } = use();
    const topic = await makeTopic(3);
    expect(await log.partitions(topic)).toBe(3);
    await log.ensureTopic(topic, 3);
    expect(await log.partitions(topic)).toBe(3);
    expect(await log.bounds(topic, 2)).toEqual({ earliest: 0n, next: 0n });
  });

  test('several may ensure the same new topic at once', async () => {
    const { log, subject } = use();
    await using other = await subject.another();
    const topic = `suite_${runId}_${++topicNumber}`;
    await Promise.all([log.ensureTopic(topic, 2), other.ensureTopic(topic, 2), log.ensureTopic(topic, 2)]);
    expect(await other.partitions(topic)).toBe(2);
    expect(await other.identity(topic)).toBe(await log.identity(topic));
  });

  test('a topic has an identity that every handle sees and no other topic has', async () => {
    const { log, makeTopic, subject } = use();
    const [one, two] = [await makeTopic(), await makeTopic()];
    await using other = await subject.another();
    const identity = await log.identity(one);
    expect(identity).not.toBe('');
    await log.append(one, 0, lines('a'));
    expect(await log.identity(one)).toBe(identity);
    expect(await other.identity(one)).toBe(identity);
    expect(await log.identity(two)).not.toBe(identity);
  });

  test('a topic that is made anew is another topic', async () => {
    const { log, makeTopic, subject } = use();
    // Where a topic cannot be deleted it cannot be made anew, and nothing is claimed.
    if (subject.remake === undefined) return expect(log.kind).toBe('memory');
    const topic = await makeTopic();
    await log.append(topic, 0, lines('old'));
    const identity = await log.identity(topic);
    await subject.remake(topic, 1);
    expect(await log.identity(topic)).not.toBe(identity);
    expect((await log.bounds(topic, 0)).next).toBe(0n);
  });
}

function recordTests(use: Use): void {
  test('records come back in order, at the offsets that append named', async () => {
    const { log, makeTopic } = use();
    const topic = await makeTopic();
    const first = await log.append(topic, 0, numbered('a', 3));
    const second = await log.append(topic, 0, numbered('b', 2));
    expect(second).toBeGreaterThanOrEqual(first + 3n);
    const records = await readMany(log, topic, 0, 0n, 5);
    expect(textsOf(records)).toEqual(['a-0', 'a-1', 'a-2', 'b-0', 'b-1']);
    expect(records.map(({ offset }) => offset)).toEqual([first, first + 1n, first + 2n, second, second + 1n]);
    expect((await log.bounds(topic, 0)).next).toBeGreaterThanOrEqual(second + 2n);
  });

  test('bytes come back as they were, whatever they are', async () => {
    const { log, makeTopic } = use();
    const topic = await makeTopic();
    const bytes = [
      encodeText('{"text":"🌊 naïve مرحبا 水位\\u0000"}'),
      Uint8Array.of(0),
      Uint8Array.of(0xff, 0xfe, 0x0d, 0xc3, 0x28),
      Uint8Array.from({ length: 5000 }, (_, index) => (index % 256 === 10 ? 11 : index % 256)),
    ];
    await log.append(topic, 0, bytes);
    const records = await readMany(log, topic, 0, 0n, bytes.length);
    expect(records.map((record) => [...record.bytes])).toEqual(bytes.map((value) => [...value]));
  });

  test('a record of the largest size is taken', async () => {
    const { log, makeTopic } = use();
    const topic = await makeTopic();
    const largest = new Uint8Array(recordBytesMax).fill(0x61);
    largest[recordBytesMax - 1] = 0x62;
    await log.append(topic, 0, [...lines('before'), largest, ...lines('after')]);
    const records = await readMany(log, topic, 0, 0n, 3);
    expect(records.map(({ bytes }) => bytes.length)).toEqual([6, recordBytesMax, 5]);
    expect(Buffer.compare(records[1]?.bytes ?? new Uint8Array(), largest)).toBe(0);
  }, 30_000);

  test('one append of many bytes keeps its order', async () => {
    const { log, makeTopic } = use();
    const topic = await makeTopic();
    const many = Array.from({ length: 30_000 }, (_, index) => encodeText(`${index}:${'x'.repeat(700)}`));
    await log.append(topic, 0, many);
    const records = await readMany(log, topic, 0, 0n, many.length);
    expect(records.map(({ bytes }) => Number.parseInt(Buffer.from(bytes.subarray(0, 8)).toString(), 10))).toEqual(
      many.map((_, index) => index),
    );
  }, 30_000);

}

function readTests(use: Use): void {
  test('a read may begin in the middle of what was appended together', async () => {
    const { log, makeTopic } = use();
    const topic = await makeTopic();
    const first = await log.append(topic, 0, numbered('a', 10));
    await log.append(topic, 0, numbered('b', 3));
    const chunks = await log.read(topic, 0, first + 7n, { maxBytes: 1_000_000, waitMs: 10_000 });
    expect(chunks[0]?.baseOffset).toBe(first + 7n);
    expect(textsOf(await readMany(log, topic, 0, first + 7n, 6))).toEqual(['a-7', 'a-8', 'a-9', 'b-0', 'b-1', 'b-2']);
    expect(textsOf(await readMany(log, topic, 0, first + 9n, 1)).slice(0, 1)).toEqual(['a-9']);
  });

  test('a read brings about as many bytes as it may, and at least one chunk', async () => {
    const { log, makeTopic } = use();
    const topic = await makeTopic();
    for (let batch = 0; batch < 20; batch++) {
      await log.append(topic, 0, numbered(`${batch}-${'y'.repeat(1000)}`, 100));
    }
    const size = (chunks: LogChunk[]): number => chunks.reduce((sum, chunk) => sum + chunk.lines.length, 0);
    const little = await log.read(topic, 0, 0n, { maxBytes: 1, waitMs: 10_000 });
    expect(size(little)).toBeGreaterThan(0);
    expect(size(little)).toBeLessThan(1_000_000);
    const more = await log.read(topic, 0, 0n, { maxBytes: 600_000, waitMs: 10_000 });
    expect(size(more)).toBeLessThan(1_400_000);
    expect(await readMany(log, topic, 0, 0n, 2000)).toHaveLength(2000);
  });

  test('partitions know nothing of each other', async () => {
    const { log, makeTopic } = use();
    const topic = await makeTopic(3);
    await log.append(topic, 2, lines('two'));
    await log.append(topic, 0, lines('zero'));
    expect(textsOf(await readMany(log, topic, 2, 0n, 1))).toEqual(['two']);
    expect(textsOf(await readMany(log, topic, 0, 0n, 1))).toEqual(['zero']);
    expect(await log.read(topic, 1, 0n, { maxBytes: 1000, waitMs: 0 })).toEqual([]);
  });

  test('a chunk says when it was appended', async () => {
    const { log, makeTopic } = use();
    const topic = await makeTopic();
    const before = Date.now();
    await log.append(topic, 0, lines('a'));
    const [chunk] = await log.read(topic, 0, 0n, { maxBytes: 1000, waitMs: 10_000 });
    expect(chunk?.appendedAtMs).toBeGreaterThan(before - 1000);
    expect(chunk?.appendedAtMs).toBeLessThan(Date.now() + 1000);
  });

  test('what one handle appended, another one reads', async () => {
    const { log, makeTopic, subject } = use();
    const topic = await makeTopic();
    const first = await log.append(topic, 0, lines('a', 'b'));
    await using other = await subject.another();
    expect(textsOf(await readMany(other, topic, 0, first, 2))).toEqual(['a', 'b']);
  });
}

function refusalTests(use: Use): void {
  test.each([
    ['nothing at all', []],
    ['a record with a line break', lines('good', 'bad\nline', 'good')],
    ['a record that ends with a line break', lines('bad\n')],
    ['a record over the limit', [new Uint8Array(recordBytesMax + 1)]],
  ])('%s is refused, and nothing of the append is kept', async (_what, records) => {
    const { log, makeTopic } = use();
    const topic = await makeTopic();
    await expect(log.append(topic, 0, records)).rejects.toMatchObject({ code: 'bad_request', retryable: false });
    expect(await log.bounds(topic, 0)).toEqual({ earliest: 0n, next: 0n });
  });

  const options = { maxBytes: 1000, waitMs: 0 };
  test('a topic that does not exist is not found', async () => {
    const { log } = use();
    const topic = `suite_${runId}_absent`;
    const attempts = [
      log.append(topic, 0, lines('a')),
      log.read(topic, 0, 0n, options),
      log.bounds(topic, 0),
      log.partitions(topic),
      log.identity(topic),
      log.trim(topic, 0, 1n),
    ];
    for (const attempt of await Promise.allSettled(attempts)) {
      expect(attempt).toMatchObject({ status: 'rejected', reason: { code: 'not_found' } });
    }
  });

  test('a partition that does not exist is not found', async () => {
    const { log, makeTopic } = use();
    const topic = await makeTopic(2);
    const attempts = [
      log.append(topic, 2, lines('a')),
      log.read(topic, 2, 0n, options),
      log.bounds(topic, 2),
      log.trim(topic, 2, 1n),
    ];
    for (const attempt of await Promise.allSettled(attempts)) {
      expect(attempt).toMatchObject({ status: 'rejected', reason: { code: 'not_found' } });
    }
  });

  test('an offset that the log has not reached is out of range', async () => {
    const { log, makeTopic } = use();
    const topic = await makeTopic();
    await log.append(topic, 0, lines('a'));
    const { next } = await log.bounds(topic, 0);
    await expect(log.read(topic, 0, next + 5n, { maxBytes: 1000, waitMs: 10_000 })).rejects.toMatchObject({
      code: 'offset_out_of_range',
    });
  });
}

function waitingTests(use: Use): void {
  test('a read at the end waits no longer than it may', async () => {
    const { log, makeTopic } = use();
    const topic = await makeTopic();
    const before = performance.now();
    expect(await log.read(topic, 0, 0n, { maxBytes: 1000, waitMs: 200 })).toEqual([]);
    expect(performance.now() - before).toBeGreaterThan(150);
    expect(await log.read(topic, 0, 0n, { maxBytes: 1000, waitMs: 0 })).toEqual([]);
  });

  test('a waiting read is woken by an append of another handle', async () => {
    const { log, makeTopic, subject } = use();
    const topic = await makeTopic();
    await using other = await subject.another();
    const waiting = log.read(topic, 0, 0n, { maxBytes: 1000, waitMs: 60_000 });
    await other.append(topic, 0, lines('wake'));
    const chunks = await waiting;
    expect(textsOf(chunks.flatMap(recordsOf))).toEqual(['wake']);
  }, 20_000);

  test('several readers wait at once, each for its own partition', async () => {
    const { log, makeTopic } = use();
    const topic = await makeTopic(3);
    const waiting = [0, 1, 2].map((partition) => log.read(topic, partition, 0n, { maxBytes: 1000, waitMs: 60_000 }));
    await Promise.all([2, 0, 1].map((partition) => log.append(topic, partition, lines(`p${partition}`))));
    const chunks = await Promise.all(waiting);
    expect(chunks.map((list) => textsOf(list.flatMap(recordsOf)))).toEqual([['p0'], ['p1'], ['p2']]);
  }, 20_000);

  test('a waiting read is given up with the reason of its signal', async () => {
    const { log, makeTopic } = use();
    const topic = await makeTopic();
    const stop = new AbortController();
    const waiting = log.read(topic, 0, 0n, { maxBytes: 1000, waitMs: 60_000, signal: stop.signal });
    const reason = new Error('enough');
    stop.abort(reason);
    await expect(waiting).rejects.toBe(reason);
    await expect(log.read(topic, 0, 0n, { maxBytes: 1000, waitMs: 60_000, signal: stop.signal })).rejects.toBe(reason);
    const first = await log.append(topic, 0, lines('after'));
    expect(textsOf(await readMany(log, topic, 0, first, 1))).toEqual(['after']);
  }, 20_000);
}

function boundsTests(use: Use): void {
  test('bounds follow what is appended', async () => {
    const { log, makeTopic } = use();
    const topic = await makeTopic();
    expect(await log.bounds(topic, 0)).toEqual({ earliest: 0n, next: 0n });
    const first = await log.append(topic, 0, numbered('a', 4));
    const { earliest, next } = await log.bounds(topic, 0);
    expect(earliest).toBeLessThanOrEqual(first);
    expect(next).toBeGreaterThanOrEqual(first + 4n);
  });

  test('trim never forgets more than asked, and says so where it forgot', async () => {
    const { log, makeTopic } = use();
    const topic = await makeTopic();
    const bases: bigint[] = [];
    for (let batch = 0; batch < 5; batch++) bases.push(await log.append(topic, 0, numbered(`b${batch}`, 10)));
    const before = (bases[2] ?? 0n) + 3n;
    await log.trim(topic, 0, before);
    const { earliest, next } = await log.bounds(topic, 0);
    expect(earliest).toBeLessThanOrEqual(before);
    const rest = await readMany(log, topic, 0, before, Number(next - before));
    expect(textsOf(rest).slice(0, 2)).toEqual(['b2-3', 'b2-4']);
    expect(textsOf(rest).at(-1)).toBe('b4-9');
    if (earliest > 0n) {
      await expect(log.read(topic, 0, earliest - 1n, { maxBytes: 1000, waitMs: 0 })).rejects.toMatchObject({
        code: 'offset_out_of_range',
      });
    }
    await log.trim(topic, 0, 0n);
    expect(await log.bounds(topic, 0)).toEqual({ earliest, next });
  });

  test('a topic that was trimmed to its end goes on where it was', async () => {
    const { log, makeTopic } = use();
    const topic = await makeTopic();
    await log.append(topic, 0, numbered('a', 10));
    const { next } = await log.bounds(topic, 0);
    await log.trim(topic, 0, next);
    expect((await log.bounds(topic, 0)).next).toBe(next);
    expect(await log.read(topic, 0, next, { maxBytes: 1000, waitMs: 0 })).toEqual([]);
    const first = await log.append(topic, 0, lines('later'));
    expect(first).toBeGreaterThanOrEqual(next);
    expect(textsOf(await readMany(log, topic, 0, next, 1))).toEqual(['later']);
  });
}

function concurrencyTests(use: Use): void {
  test('appends of two handles lose nothing, mix nothing, and a reader that follows passes nothing by', async () => {
    const { log, makeTopic, subject } = use();
    const topic = await makeTopic();
    await using other = await subject.another();
    const [batches, size] = [40, 7];
    const bases = new Map<string, bigint>();
    const write = async (handle: Log, label: string): Promise<void> => {
      for (let batch = 0; batch < batches; batch++) {
        bases.set(`${label}${batch}`, await handle.append(topic, 0, numbered(`${label}${batch}`, size)));
      }
    };
    const reading = readMany(log, topic, 0, 0n, 4 * batches * size);
    await Promise.all([write(log, 'a'), write(log, 'b'), write(other, 'c'), write(other, 'd')]);
    const records = await reading;
    const byOffset = new Map(records.map(({ offset, bytes }) => [offset, Buffer.from(bytes).toString()]));
    expect(byOffset.size).toBe(4 * batches * size);
    for (const [label, base] of bases) {
      const own = Array.from({ length: size }, (_, index) => byOffset.get(base + BigInt(index)));
      expect(own).toEqual(Array.from({ length: size }, (_, index) => `${label}-${index}`));
    }
    const offsets = records.map(({ offset }) => offset);
    expect(offsets).toEqual(offsets.toSorted((a, b) => (a < b ? -1 : 1)));
  }, 60_000);
}
