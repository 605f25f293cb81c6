import { type ManualClock, manualClock } from '#core/clock.ts';
import { silentLogger } from '#core/logger.ts';
import type { EngineChild } from './child-process.ts';
import { type ChildPool, createChildPool, type Lease } from './pool.ts';
import type { Past } from './slices.ts';

/** Children that are there at once, use all the processor time that passes, and end when they are killed. */
function pretended(children: number): { pool: ChildPool; clock: ManualClock; alive: Set<EngineChild> } {
  const clock = manualClock();
  const alive = new Set<EngineChild>();
  const start = async (): Promise<EngineChild> => {
    const end = Promise.withResolvers<void>();
    const child: EngineChild = {
      pid: 1,
      shown: new Map(),
      get alive() {
        return alive.has(child);
      },
      ending: '',
      ended: end.promise,
      send: () => undefined,
      next: async () => await Promise.reject(new Error('nothing')),
      answered: async () => await new Promise(() => undefined),
      kill() {
        alive.delete(child);
        end.resolve();
      },
      residentBytes: async () => await Promise.resolve(1),
      cpuMs: async () => await Promise.resolve(clock.now()),
    };
    alive.add(child);
    return await Promise.resolve(child);
  };
  const options = { memoryBytes: 1, threads: 1, readable: [], tempDir: '', tempBytesMax: 1, logger: silentLogger };
  return { pool: createChildPool({ ...options, children, clock }, start), clock, alive };
}

const never = new AbortController().signal;

/** A statement that never ends: it begins again as often as it is sent back. */
function endless(pool: ChildPool, user: string, showsRows: boolean): void {
  const lead = async (past?: Past): Promise<void> => {
    const lease = await pool.acquire({ user, signal: never, ...(past === undefined ? {} : { past }) });
    let isBack = false;
    lease.onSendBack(() => {
      isBack = true;
      lease.release();
      lead(lease.past()).catch(() => undefined); // the pool is put away at the end
    });
    if (showsRows && !isBack) await lease.begin(new Promise(() => undefined));
  };
  lead().catch(() => undefined);
}

/** How long a statement of a moment waits for its child, in milliseconds. */
async function waited({ pool, clock }: { pool: ChildPool; clock: ManualClock }, user: string): Promise<number> {
  const startedMs = clock.now();
  const got: Lease[] = [];
  void pool.acquire({ user, signal: never }).then((lease) => got.push(lease));
  for (let step = 0; step < 2000 && got.length === 0; step++) await clock.advance(10);
  const waitedMs = clock.now() - startedMs;
  for (const lease of got) {
    await lease.begin(Promise.resolve());
    lease.release();
  }
  return waitedMs;
}

test('one child is kept; others are there while statements are at work, and end when nobody needs them', async () => {
  const house = pretended(3);
  const { pool, clock, alive } = house;
  await clock.advance(1);
  expect(alive.size).toBe(1);
  const leases = await Promise.all(
    ['a', 'b', 'c'].map(async (user) => await pool.acquire({ user, signal: never })),
  );
  expect(alive.size).toBe(3);
  await clock.advance(300); // all at work for a moment: somebody may come
  expect(alive.size).toBe(4);
  for (const lease of leases) lease.release();
  await clock.advance(30_000);
  expect(alive.size).toBe(4);
  await clock.advance(60_000);
  expect(alive.size).toBe(1);
  expect(await waited(house, 'a')).toBeLessThanOrEqual(10);
  await pool[Symbol.asyncDispose]();
  expect(alive.size).toBe(0);
});

test.each([false, true])(
  'a short statement never waits a second behind long ones (that show rows early: %s), however long they run',
  async (showsRows) => {
    const house = pretended(2);
    const { pool, clock, alive } = house;
    const waits: number[] = [];
    for (let user = 0; user < 8; user++) endless(pool, `long ${user}`, showsRows);
    for (let turn = 0; turn < 40; turn++) {
      await clock.advance(turn % 3 === 0 ? 30 : turn % 3 === 1 ? 700 : 7000);
      if (turn % 5 === 0) endless(pool, `late ${turn}`, showsRows);
      waits.push(await waited(house, 'short'));
    }
    expect(Math.max(...waits)).toBeLessThan(1000);
    expect(alive.size).toBeLessThanOrEqual(4);
    await pool[Symbol.asyncDispose]();
  },
);

test('a statement of half a second is answered though the regular children are taken for good', async () => {
  const { pool, clock } = pretended(1);
  for (let user = 0; user < 3; user++) endless(pool, `long ${user}`, false);
  await clock.advance(2000);
  const told: string[] = [];
  const lead = async (past?: Past): Promise<void> => {
    const lease = await pool.acquire({ user: 'middle', signal: never, ...(past === undefined ? {} : { past }) });
    let isBack = false;
    lease.onSendBack(() => {
      isBack = true;
      told.push('sent back');
      lease.release();
      lead(lease.past()).catch(() => undefined); // the pool is put away at the end
    });
    await clock.sleep(350);
    if (isBack) return;
    await lease.begin(Promise.resolve());
    told.push('answered');
    lease.release();
  };
  lead().catch(() => undefined);
  void clock.sleep(50).then(() => {
    for (let user = 0; user < 3; user++) endless(pool, `late ${user}`, false);
  });
  await clock.advance(3000);
  expect(told).toContain('sent back');
  expect(told.at(-1)).toBe('answered');
  await pool[Symbol.asyncDispose]();
});
