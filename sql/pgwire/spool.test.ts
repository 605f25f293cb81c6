import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { type RowReader, rowReader } from './rows.ts';
import type { SpoolLimits } from './spool.ts';

let folder: string;
beforeAll(async () => { folder = await mkdtemp(join(tmpdir(), 'spool-test-')); });
afterAll(() => rm(folder, { recursive: true, force: true }));

const limits = (more: Partial<SpoolLimits> = {}): SpoolLimits =>
  ({ folder, memoryBytesMax: 200, bytesMax: 1e6, shared: { heldBytes: 0, heldBytesMax: 1e6 }, ...more });

/** A DataRow message of one value. */
const row = (text: string): Buffer => {
  const body = Buffer.from(text);
  const message = Buffer.alloc(11 + body.length);
  message.write('D');
  message.writeInt32BE(10 + body.length, 1);
  message.writeInt16BE(1, 5);
  message.writeInt32BE(body.length, 7);
  body.copy(message, 11);
  return message;
};

async function* source(rows: readonly Buffer[], perPiece: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < rows.length; at += perPiece) yield await Promise.resolve(Buffer.concat(rows.slice(at, at + perPiece)));
}

const readerOf = (rows: readonly Buffer[], perPiece: number, spoolLimits: SpoolLimits): RowReader =>
  rowReader({ fields: [], formats: [0], chunks: source(rows, perPiece) }, spoolLimits);

test('rows come out once and in order, in whatever steps, through memory and file', async () => {
  const steps = fc.array(fc.tuple(fc.integer({ min: 0, max: 40 }), fc.boolean()), { minLength: 1, maxLength: 12 });
  await fc.assert(fc.asyncProperty(fc.nat(150), fc.integer({ min: 1, max: 9 }), steps, async (count, perPiece, takes) => {
    const rows = Array.from({ length: count }, (_, index) => row(`row ${index}`));
    const held = limits();
    const reader = readerOf(rows, perPiece, held);
    const got: Uint8Array[] = [];
    let taken = 0;
    for (const [rowsMax, isSuspended] of [...takes, [0, false] as const]) {
      const step = await reader.take(rowsMax, (bytes) => void got.push(bytes));
      expect(step).toBe(rowsMax === 0 ? count - taken : Math.min(rowsMax, count - taken));
      taken += step;
      if (isSuspended) reader.suspend();
    }
    expect(Buffer.concat(got).equals(Buffer.concat(rows))).toBe(true);
    await reader.close();
    expect(held.shared.heldBytes).toBe(0);
  }), { numRuns: 60 });
  expect(await readdir(folder)).toEqual([]);
});

test('a suspended reader drains its source, so that the engine is free', async () => {
  const rows = Array.from({ length: 500 }, (_, index) => row(`row ${index}`));
  const drained = Promise.withResolvers<void>();
  async function* watched(): AsyncGenerator<Uint8Array> {
    try {
      yield* source(rows, 10);
    } finally {
      drained.resolve();
    }
  }
  const reader = rowReader({ fields: [], formats: [0], chunks: watched() }, limits());
  await reader.take(5, () => undefined);
  reader.suspend();
  await drained.promise;
  expect(await readdir(folder)).toEqual([]);
  const rest: Uint8Array[] = [];
  expect(await reader.take(0, (bytes) => void rest.push(bytes))).toBe(495);
  expect(Buffer.concat(rest).equals(Buffer.concat(rows.slice(5)))).toBe(true);
  await reader.close();
});

test.each([
  ['its own', limits({ bytesMax: 1000 })],
  ['that of the door', limits({ shared: { heldBytes: 999_500, heldBytesMax: 1e6 } })],
])('more than %s limit is an error after the rows that fit', async (_what, spoolLimits) => {
  const reader = readerOf(Array.from({ length: 500 }, (_, index) => row(`row ${index}`)), 1, spoolLimits);
  await reader.take(1, () => undefined);
  reader.suspend();
  await expect(reader.take(0, () => undefined)).rejects.toMatchObject({ code: 'limit_exceeded' });
  await reader.close();
});

test('an error of the engine comes out where it happened, also after suspension', async () => {
  async function* failing(): AsyncGenerator<Uint8Array> {
    yield await Promise.resolve(Buffer.concat([row('a'), row('b')]));
    throw new Error('broken');
  }
  for (const isSuspended of [false, true]) {
    const reader = rowReader({ fields: [], formats: [0], chunks: failing() }, limits());
    expect(await reader.take(1, () => undefined)).toBe(1);
    if (isSuspended) reader.suspend();
    expect(await reader.take(1, () => undefined)).toBe(1);
    await expect(reader.take(1, () => undefined)).rejects.toThrow('broken');
    await reader.close();
  }
});

test('nothing is told of the end before the end', async () => {
  const summary = Promise.withResolvers<string>();
  const reader = rowReader({ fields: [], formats: [0], chunks: source([row('a'), row('b')], 1), notice: () => summary.promise }, limits());
  await reader.take(1, () => undefined);
  expect(await reader.notice()).toBeUndefined();
  await reader.take(0, () => undefined);
  summary.resolve('cut');
  expect(await reader.notice()).toBe('cut');
});
