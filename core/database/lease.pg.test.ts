import { spawn } from 'node:child_process';
import { type TestPostgres, startPostgres } from '#test/services/postgres.ts';
import { manualClock, systemClock } from '../clock.ts';
import { WatershedError } from '../errors.ts';
import { type Database, openDatabase } from './database.ts';
import { acquireLease, freeAllLeases, withLease } from './lease.ts';
import { migrate } from './migrate.ts';

let server: TestPostgres;
let url: string;
let database: Database;
beforeAll(async () => {
  server = await startPostgres();
}, 30_000);
beforeEach(async () => {
  url = await server.createDatabase();
  database = openDatabase(url, { max: 6 });
  await migrate(database);
});
afterEach(() => database[Symbol.asyncDispose]());
afterAll(() => server.stop());

const clock = systemClock;

test('one holds a lease, the other waits until it is given back, and the epoch grows', async () => {
  const first = await acquireLease(database, 'writer', 'a', { clock });
  const order: string[] = [];
  const second = acquireLease(database, 'writer', 'b', { clock }).then((lease) => {
    order.push('taken');
    return lease;
  });
  await using other = await acquireLease(database, 'collector', 'b', { clock });
  expect(other.epoch).toBe(1n);
  order.push('given back');
  await first[Symbol.asyncDispose]();
  await using lease = await second;
  expect(order).toEqual(['given back', 'taken']);
  expect([first.epoch, lease.epoch]).toEqual([1n, 2n]);
});

test('freed after a crash, a lease is taken at once, and its holder of before is fenced', async () => {
  const before = await acquireLease(database, 'writer', 'a', { clock, ttlMs: 600 });
  const lost = new Promise((resolve) => before.signal.addEventListener('abort', () => resolve(before.signal.reason), { once: true }));
  await freeAllLeases(database);
  const signal = AbortSignal.timeout(60_000);
  await using after = await acquireLease(database, 'writer', 'b', { clock, ttlMs: 600_000, signal });
  expect(after.epoch).toBe(before.epoch + 1n);
  expect(await lost).toMatchObject({ code: 'fenced' });
});

test('a holder that lives keeps its lease well beyond the time of one', async () => {
  // Long enough that a process which the machine holds up for a second still renews in time.
  await using held = await acquireLease(database, 'writer', 'a', { clock, ttlMs: 4000 });
  const signal = AbortSignal.timeout(10_000);
  await expect(acquireLease(database, 'writer', 'b', { clock, ttlMs: 4000, signal })).rejects.toMatchObject({
    name: 'TimeoutError',
  });
  expect(held.signal.aborted).toBe(false);
}, 30_000);

test('a standby takes over from a killed process within the time of a lease', async () => {
  const script = `
    import { openDatabase } from ${JSON.stringify(new URL('./database.ts', import.meta.url).href)};
    import { acquireLease } from ${JSON.stringify(new URL('./lease.ts', import.meta.url).href)};
    import { systemClock as clock } from ${JSON.stringify(new URL('../clock.ts', import.meta.url).href)};
    await acquireLease(openDatabase(process.argv[1], { max: 1 }), 'writer', 'child', { clock, ttlMs: 1500 });
    console.log('held');
    setInterval(() => undefined, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script, url], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await new Promise((resolve) => child.stdout.once('data', resolve));
  const standby = acquireLease(database, 'writer', 'standby', { clock, ttlMs: 1500 });
  const killedAt = performance.now();
  child.kill('SIGKILL');
  await using lease = await standby;
  expect(lease.epoch).toBe(2n);
  expect(performance.now() - killedAt).toBeLessThan(10_000); // what a standby is promised for
}, 20_000);

test('a holder that was overtaken is told that it is fenced', async () => {
  await using held = await acquireLease(database, 'writer', 'a', { clock, ttlMs: 200 });
  await database.execute(
    `update watershed.lease set holder = 'b', epoch = epoch + 1, expires_at = now() + interval '1 hour'`,
  );
  await expect(held.keep(new AbortController().signal)).rejects.toMatchObject({ code: 'fenced', retryable: false });
  expect(held.signal.reason).toMatchObject({ code: 'fenced' });
  await held[Symbol.asyncDispose]();
  const rows = await database.query<{ live: boolean }>('select expires_at > now() as live from watershed.lease');
  expect(rows).toEqual([{ live: true }]);
});

describe('while the database does not answer', () => {
  const cut = (): { database: Database; down: () => void } => {
    let down = false;
    const execute: Database['execute'] = (statement, parameters) =>
      down ? Promise.reject(new WatershedError('unavailable', 'down')) : database.execute(statement, parameters);
    return {
      database: { ...database, execute },
      down: () => {
        down = true;
      },
    };
  };

  test('a lease counts as lost when its time is over, not before', async () => {
    const time = manualClock();
    const world = cut();
    const held = await acquireLease(world.database, 'writer', 'a', { clock: time, ttlMs: 8000 });
    world.down();
    await time.advance(7900);
    expect(held.signal.aborted).toBe(false);
    await time.advance(2100);
    expect(held.signal.reason).toMatchObject({ code: 'fenced' });
  });

  test('a lease whose epoch every commit checks may be held through it', async () => {
    const time = manualClock();
    const world = cut();
    const held = await acquireLease(world.database, 'writer', 'a', {
      clock: time,
      ttlMs: 8000,
      holdThroughOutage: true,
    });
    world.down();
    await time.advance(60_000);
    expect(held.signal.aborted).toBe(false);
    await held[Symbol.asyncDispose]();
  });
});

test('work under a lease is stopped by its loss, and its end gives the lease back', async () => {
  const result = await withLease(database, 'writer', 'a', { clock, ttlMs: 200 }, async (signal, epoch) => {
    await database.execute(`update watershed.lease set epoch = epoch + 1`);
    await new Promise((resolve) => signal.addEventListener('abort', resolve));
    return [epoch, signal.reason];
  });
  expect(result).toEqual([1n, expect.objectContaining({ code: 'fenced' })]);
  const next = await withLease(database, 'collector', 'a', { clock }, async () => 'done');
  expect(next).toBe('done');
  await using again = await acquireLease(database, 'collector', 'b', { clock });
  expect(again.epoch).toBe(2n);
});
