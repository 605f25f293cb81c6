import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { lineSplitter, objectSplitter, type RawRecord, type Splitter } from './records.ts';

setFlagsFromString('--expose-gc');
const collectGarbage: () => void = runInNewContext('gc');

const limit = 8 * 1024 * 1024;

function cut(splitter: Splitter, bytes: Buffer, sizes: readonly number[]): RawRecord[] {
  const records: RawRecord[] = [];
  let at = 0;
  for (let turn = 0; at < bytes.length; turn++) {
    const size = sizes[turn % sizes.length] ?? 1;
    records.push(...splitter.push(bytes.subarray(at, at + size)));
    at += size;
  }
  return [...records, ...splitter.end()];
}

const text = (records: readonly RawRecord[]): string[] => records.map(({ bytes }) => bytes.toString('utf8'));
const sizes = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 8 });

test('lines are those of the text, wherever the chunks are cut, and each position goes on behind its line', () => {
  fc.assert(fc.property(fc.array(fc.string({ unit: 'grapheme' }).map((line) => line.replaceAll('\n', ' '))), sizes,
    fc.constantFrom('\n', '\r\n'), (given, cuts, lineEnd) => {
      const bytes = Buffer.from(given.join(lineEnd));
      const expected = given.map((line) => line.replaceAll(/^[ \t\r\n]+|[ \t\r\n]+$/g, '')).filter((line) => line !== '');
      const records = cut(lineSplitter({ from: 0, recordBytesMax: limit }), bytes, cuts);
      expect(text(records)).toEqual(expected);
      for (const [index, record] of records.entries()) {
        const rest = cut(lineSplitter({ from: record.end, recordBytesMax: limit }), bytes.subarray(record.end), cuts);
        expect(text(rest)).toEqual(expected.slice(index + 1));
      }
    }));
});

test('objects are those of the JSON, one behind the other or in an array, in any layout', () => {
  const objects = fc.array(fc.dictionary(fc.string({ unit: 'grapheme' }), fc.jsonValue()), { maxLength: 6 });
  fc.assert(fc.property(objects, sizes, fc.constantFrom('array', 'pretty array', 'lines', 'pretty'), (given, cuts, layout) => {
    const written = layout === 'array' ? JSON.stringify(given) : layout === 'pretty array' ? JSON.stringify(given, null, 2)
      : given.map((one) => JSON.stringify(one, null, layout === 'pretty' ? 2 : 0)).join('\n');
    const bytes = Buffer.from(written);
    const records = cut(objectSplitter({ from: 0, recordBytesMax: limit }), bytes, cuts);
    expect(records.map((record) => JSON.parse(record.bytes.toString('utf8')))).toEqual(given.map((one) => JSON.parse(JSON.stringify(one))));
    for (const [index, record] of records.entries()) {
      const rest = cut(objectSplitter({ from: record.end, recordBytesMax: limit }), bytes.subarray(record.end), cuts);
      expect(text(rest)).toEqual(text(records.slice(index + 1)));
    }
  }));
});

test('what stands between objects is a record of its own, and so is one that never ends', () => {
  const bytes = Buffer.from('[{"a":1}, nonsense, {"b":"}"}, {"c":');
  expect(text(cut(objectSplitter({ from: 0, recordBytesMax: limit }), bytes, [5]))).toEqual(['{"a":1}', 'nonsense, ', '{"b":"}"}', '{"c":']);
});

test.each([['lines', lineSplitter], ['objects', objectSplitter]] as const)('an endless record is held by its beginning only: %s', async (_, make) => {
  const splitter = make({ from: 0, recordBytesMax: limit });
  const chunk = Buffer.alloc(1024 * 1024, 'x');
  collectGarbage();
  const before = process.memoryUsage().arrayBuffers;
  const records = [...splitter.push(Buffer.from('{"a":"'))];
  for (let turn = 0; turn < 40; turn++) records.push(...splitter.push(Buffer.from(chunk)));
  // Freed buffers are swept by another thread, so the number is asked for until it has fallen.
  for (let round = 0; round < 200 && process.memoryUsage().arrayBuffers - before > 12 * 1024 * 1024; round++) {
    collectGarbage();
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThanOrEqual(12 * 1024 * 1024);
  records.push(...splitter.push(Buffer.from('"}\n{"b":2}\n')), ...splitter.end());
  const length = 40 * 1024 * 1024 + '{"a":""}'.length;
  // A position lies behind the line break for lines and behind the brace for objects.
  const lineBreak = make === lineSplitter ? 1 : 0;
  expect(records.map((record) => [record.bytes.length, record.bytesLength, record.end])).toEqual([
    [1024 * 1024, length, length + lineBreak], [7, undefined, length + 8 + lineBreak],
  ]);
});
