import fc from 'fast-check';
import type { PlannedFile } from '../table/scan.ts';
import type { Value } from '../table/values.ts';
import { planUpkeep, upkeepLimits, type UpkeepPlan } from './plan.ts';

const kib = 1024;
const mib = 1024 * 1024;
let number = 0;

function file(bytes: number, partition: Readonly<Record<string, Value | null>> = {}, specId = 0): PlannedFile {
  return {
    path: `f${number++}`, recordCount: 1, bytes, specId, partition, sequenceNumber: number, sortOrderId: 0, deletes: [],
    range: () => ({ nulls: 'unknown' }),
  };
}

/** Neither any day is over nor files have bounds, unless told. */
function plan(files: readonly PlannedFile[], of: { fileable?: boolean; day?: string; nowMs?: number; overFiledAtMs?: number } = {}): UpkeepPlan {
  const { fileable = true, day, nowMs = 0, overFiledAtMs = -Infinity } = of;
  return planUpkeep(files, { hotSpecIds: new Set([0]), fileBy: fileable ? { day } : undefined, nowMs, overFiledAtMs });
}

const many = (count: number, bytes: number): PlannedFile[] => Array.from({ length: count }, () => file(bytes));

test('few small files are left, many become one', () => {
  expect(plan(many(15, 10 * kib))).toMatchObject({ merge: [], file: [], pack: [] });
  expect(plan(many(16, 10 * kib)).merge.map((group) => group.length)).toEqual([16]);
});

test('a merged file comes along only when what arrived since is as large', () => {
  const merged = file(300 * kib);
  expect(plan([merged, ...many(29, 10 * kib)]).merge.flat()).not.toContain(merged);
  expect(plan([merged, ...many(30, 10 * kib)]).merge.flat()).toContain(merged);
});

test('however sizes fall, a row is merged a few times and few files stay', () => {
  fc.assert(fc.property(fc.array(fc.integer({ min: 2 * kib, max: 40 * kib }), { minLength: 500, maxLength: 2000 }), fc.integer({ min: 1, max: 90 }), (sizes, every) => {
    let files: PlannedFile[] = [];
    let written = 0;
    for (const [index, bytes] of sizes.entries()) {
      files.push(file(bytes));
      if (index % every !== 0) continue;
      for (const group of plan(files).merge) {
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
  expect(plan(hot).file).toEqual(hot);
  expect(plan(hot, { fileable: false }).file).toEqual([]);
  const left = file(400 * mib);
  expect(plan([left, ...many(3, 50 * mib)]).file).toEqual([]);
  expect(plan([left, ...many(4, 50 * mib)]).file).toHaveLength(5);
});

test('a partition has enough with 32 MB, and a smaller one when more is hot than may be', () => {
  expect(plan(many(3, 10 * mib)).file).toEqual([]);
  const enough = many(4, 10 * mib);
  expect(plan(enough)).toMatchObject({ file: enough, filing: { partitionBytesMin: 32 * mib } });
  const crowded = many(20, 10 * mib);
  expect(plan(crowded)).toMatchObject({ file: crowded, filing: { partitionBytesMin: 4 * mib } });
});

const dayMs = 86_400_000;
/** A small hot file with rows from that day on; microseconds, as Iceberg keeps instants. */
const since = (day: number): PlannedFile => ({ ...file(kib), range: (column) => column === 'at' ? { lower: BigInt(day * dayMs) * 1000n, nulls: 'none' } : { nulls: 'unknown' } });

test('a day that is over for an hour is filed however small, and again after six hours', () => {
  const [old, young] = [since(10), since(11)];
  const at = (hours: number, overFiledAtMs = -Infinity): UpkeepPlan => plan([old, young], { day: 'at', nowMs: 11 * dayMs + hours * 3_600_000, overFiledAtMs });
  expect(at(0.9).file).toEqual([]);
  expect(at(1)).toMatchObject({ file: [old], filing: { overBeforeDay: 11, partitionBytesMin: Infinity } });
  expect(at(25)).toMatchObject({ file: [old, young], filing: { overBeforeDay: 12 } });
  expect(at(7, 11 * dayMs + 3_600_001)).toMatchObject({ file: [], filing: { overBeforeDay: undefined } });
  expect(at(7, 11 * dayMs + 3_600_000).file).toEqual([old]);
  expect(plan([old, young], { day: 'at', nowMs: 20 * dayMs, fileable: false }).file).toEqual([]);
  expect(plan([old, young], { nowMs: 20 * dayMs }).file).toEqual([]);
});

test('a file without bounds may hold a day that is over, one that knows no day does not', () => {
  const unbounded = file(kib);
  const without: PlannedFile = { ...file(kib), range: () => ({ nulls: 'all' }) };
  expect(plan([unbounded, without], { day: 'at', nowMs: 20 * dayMs }).file).toEqual([unbounded]);
});

test('one filing takes on a gigabyte at most', () => {
  const hot = many(40, 50 * mib);
  expect(plan(hot).file).toEqual(hot.slice(0, 20));
});

test('files are packed within their partition only: null, "null", 1 and "1" are four', () => {
  const of = (value: Value | null): PlannedFile[] => Array.from({ length: 3 }, () => file(5 * mib, { '1000': value }, 1));
  expect(plan([null, 'null', 1, '1'].flatMap(of)).pack).toEqual([]);
  const six = [...of('a'), ...of('a')];
  expect(plan([...six, ...of('b')]).pack).toEqual([six]);
  expect(plan([...of('a'), ...of('a').map((each) => ({ ...each, specId: 2 }))]).pack).toEqual([]);
});

test('no group exceeds the size that is aimed at', () => {
  const packed = plan(Array.from({ length: 10 }, () => file(200 * mib, { '1000': 'a' }, 1))).pack;
  expect(packed.map((group) => group.length)).toEqual([2, 2, 2, 2, 2]);
  expect(Math.max(...packed.map((group) => group.reduce((sum, { bytes }) => sum + bytes, 0)))).toBeLessThanOrEqual(upkeepLimits.packedBytesTarget);
});
