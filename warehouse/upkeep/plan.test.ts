import fc from 'fast-check';
import type { PlannedFile } from '../table/scan.ts';
import type { Value } from '../table/values.ts';
import { planUpkeep, upkeepLimits } from './plan.ts';

const kib = 1024;
const mib = 1024 * 1024;
const hotIds = new Set([0]);
let number = 0;

function file(bytes: number, partition: Readonly<Record<string, Value | null>> = {}, specId = 0): PlannedFile {
  return {
    path: `f${number++}`, recordCount: 1, bytes, specId, partition, sequenceNumber: number, sortOrderId: 0, deletes: [],
    range: () => ({ nulls: 'unknown' }),
  };
}

const many = (count: number, bytes: number): PlannedFile[] => Array.from({ length: count }, () => file(bytes));

test('few small files are left, many become one', () => {
  expect(planUpkeep(many(15, 10 * kib), hotIds, true)).toEqual({ merge: [], file: [], pack: [] });
  expect(planUpkeep(many(16, 10 * kib), hotIds, true).merge.map((group) => group.length)).toEqual([16]);
});

test('a merged file comes along only when what arrived since is as large', () => {
  const merged = file(300 * kib);
  expect(planUpkeep([merged, ...many(29, 10 * kib)], hotIds, true).merge.flat()).not.toContain(merged);
  expect(planUpkeep([merged, ...many(30, 10 * kib)], hotIds, true).merge.flat()).toContain(merged);
});

test('however sizes fall, a row is merged a few times and few files stay', () => {
  fc.assert(fc.property(fc.array(fc.integer({ min: 2 * kib, max: 40 * kib }), { minLength: 500, maxLength: 2000 }), fc.integer({ min: 1, max: 90 }), (sizes, every) => {
    let files: PlannedFile[] = [];
    let written = 0;
    for (const [index, bytes] of sizes.entries()) {
      files.push(file(bytes));
      if (index % every !== 0) continue;
      for (const group of planUpkeep(files, hotIds, true).merge) {
        const sum = group.reduce((total, each) => total + each.bytes, 0);
        written += sum;
        files = [...files.filter((each) => !group.includes(each)), file(sum)];
      }
    }
    const arrived = sizes.reduce((sum, bytes) => sum + bytes, 0);
    expect(written).toBeLessThan(arrived * 12);
    expect(files.length).toBeLessThan(every + 16 + 16);
  }), { numRuns: 20 });
});

test('filing is due when enough is hot, and again only when enough has arrived beside what was left', () => {
  const hot = many(4, 50 * mib);
  expect(planUpkeep(hot, hotIds, true).file).toEqual(hot);
  expect(planUpkeep(hot, hotIds, true).merge).toEqual([]);
  expect(planUpkeep(hot, hotIds, false).file).toEqual([]);
  const left = file(400 * mib);
  expect(planUpkeep([left, ...many(3, 50 * mib)], hotIds, true).file).toEqual([]);
  expect(planUpkeep([left, ...many(4, 50 * mib)], hotIds, true).file).toHaveLength(5);
});

test('files are packed within their partition only: null, "null", 1 and "1" are four', () => {
  const of = (value: Value | null): PlannedFile[] => Array.from({ length: 3 }, () => file(5 * mib, { '1000': value }, 1));
  expect(planUpkeep([null, 'null', 1, '1'].flatMap(of), hotIds, true).pack).toEqual([]);
  const six = [...of('a'), ...of('a')];
  expect(planUpkeep([...six, ...of('b')], hotIds, true).pack).toEqual([six]);
  expect(planUpkeep([...of('a'), ...of('a').map((each) => ({ ...each, specId: 2 }))], hotIds, true).pack).toEqual([]);
});

test('no group exceeds the size that is aimed at', () => {
  const packed = planUpkeep(Array.from({ length: 10 }, () => file(200 * mib, { '1000': 'a' }, 1)), hotIds, true).pack;
  expect(packed.map((group) => group.length)).toEqual([2, 2, 2, 2, 2]);
  expect(Math.max(...packed.map((group) => group.reduce((sum, { bytes }) => sum + bytes, 0)))).toBeLessThanOrEqual(upkeepLimits.packedBytesTarget);
});
