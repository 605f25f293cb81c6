import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { manualClock } from '#core/clock.ts';
import type { SpoolLimits } from '../pgwire/spool.ts';
import { readAhead } from './ahead.ts';

let folder: string;
let limits: SpoolLimits;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ahead-'));
  limits = { folder, memoryBytesMax: 10, bytesMax: 1000, shared: { heldBytes: 0, heldBytesMax: 1000 } };
});
afterEach(async () => await rm(folder, { recursive: true }));

/** Pieces of one byte, which tells how many were asked for and whether it was ended. */
function source(pieces: number): AsyncGenerator<Uint8Array> & { given: number; ended: boolean } {
  const state = { given: 0, ended: false };
  async function* give(): AsyncGenerator<Uint8Array> {
    try {
      for (; state.given < pieces; state.given++) yield await Promise.resolve(Uint8Array.of(state.given));
    } finally {
      state.ended = true;
    }
  }
  return Object.defineProperties(Object.assign(give(), { given: 0, ended: false }), {
    given: { get: () => state.given },
    ended: { get: () => state.ended },
  });
}

test('a client that keeps pace is served from the source', async () => {
  const clock = manualClock();
  const rows = source(50);
  const ahead = readAhead(rows, limits, clock);
  for (let index = 0; index < 10; index++) expect((await ahead.next()).value).toEqual(Uint8Array.of(index));
  expect(rows.given).toBe(9);
  await ahead.return(undefined);
  expect(rows.ended).toBe(true);
});

test('a client that leaves them lying has the rest set aside, in order and whole, and nothing is left behind', async () => {
  const clock = manualClock();
  const rows = source(50);
  const ahead = readAhead(rows, limits, clock);
  await ahead.next();
  await clock.advance(1_001);
  while (!rows.ended) await new Promise((resolve) => setImmediate(resolve));
  const got: number[] = [];
  for await (const bytes of ahead) got.push(bytes[0] ?? -1);
  expect(got).toEqual(Array.from({ length: 49 }, (_, index) => index + 1));
  expect(limits.shared.heldBytes).toBe(0);
  expect(await readdir(folder)).toEqual([]);
});

test('who leaves while rows lie aside ends the source', async () => {
  const clock = manualClock();
  const rows = source(1e9);
  const ahead = readAhead(rows, { ...limits, bytesMax: 1e9, shared: { heldBytes: 0, heldBytesMax: 1e9 } }, clock);
  await ahead.next();
  await clock.advance(1_001);
  await ahead.next();
  await ahead.return(undefined);
  expect(rows.ended).toBe(true);
});

test('more than may lie aside is an error', async () => {
  const clock = manualClock();
  const ahead = readAhead(source(5000), limits, clock);
  await ahead.next();
  await clock.advance(1_001);
  const all = (async () => {
    for await (const _bytes of ahead);
  })();
  await expect(all).rejects.toMatchObject({ code: 'limit_exceeded' });
});
