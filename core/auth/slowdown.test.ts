import { manualClock } from '../clock.ts';
import { createSlowdown } from './slowdown.ts';

const address = '192.0.2.1';

function timed(): {
  fail: (from?: string) => void;
  answers: number[];
  clock: ReturnType<typeof manualClock>;
  slowdown: ReturnType<typeof createSlowdown>;
} {
  const clock = manualClock(0);
  const slowdown = createSlowdown(clock);
  const answers: number[] = [];
  return {
    clock,
    slowdown,
    answers,
    fail: (from = address) => void slowdown.failed(from).then(() => answers.push(clock.now())),
  };
}

test('each failure waits longer, at most three seconds, and parallel ones wait for each other', async () => {
  const { fail, answers, clock } = timed();
  for (let time = 0; time < 7; time++) fail();
  await clock.advance(60_000);
  expect(answers).toEqual([100, 300, 700, 1500, 3100, 6100, 9100]);
});

test('another address does not pay for it', async () => {
  const { fail, answers, clock } = timed();
  for (let time = 0; time < 3; time++) fail();
  fail('192.0.2.2');
  await clock.advance(150);
  expect(answers).toEqual([100, 100]);
});

test('a success or ten quiet minutes make good', async () => {
  const { fail, answers, clock, slowdown } = timed();
  for (let time = 0; time < 5; time++) fail();
  await clock.advance(10_000);
  slowdown.succeeded(address);
  fail();
  await clock.advance(600_001);
  fail();
  await clock.advance(1_000_000);
  expect(answers.slice(5)).toEqual([10_100, 610_101]);
});

test('of one address only so many wait at once', async () => {
  const { clock, slowdown } = timed();
  const waiting = Array.from({ length: 20 }, () => slowdown.failed(address));
  await expect(slowdown.failed(address)).rejects.toMatchObject({ code: 'rate_limited', retryable: true });
  await clock.advance(100_000);
  await Promise.all(waiting);
  const next = slowdown.failed(address);
  await clock.advance(3000);
  await expect(next).resolves.toBeUndefined();
});
