import { manualClock } from '#core/clock.ts';
import type { EngineChild } from './child-process.ts';
import type { ToChild } from './protocol.ts';
import { watchStatement } from './watch.ts';

function pretendedChild(resident = 1): EngineChild & { sent: ToChild[]; kills: number; resident: number } {
  const child = {
    pid: 1,
    shown: new Map<string, string>(),
    alive: true,
    ending: '',
    sent: [] as ToChild[],
    kills: 0,
    resident,
    ended: new Promise<void>(() => undefined),
    send: (message: ToChild) => void child.sent.push(message),
    next: async () => await Promise.reject(new Error('nothing')),
    answered: async () => await Promise.resolve(),
    kill: () => void (child.kills += 1),
    residentBytes: async () => child.resident,
    cpuMs: async () => 0,
  };
  return child;
}

const never = new AbortController().signal;

test('a statement that ends in its grace leaves no timer behind to kill the next one', async () => {
  const clock = manualClock();
  const child = pretendedChild();
  const watch = watchStatement(child, 1000, never, { clock, graceMs: 2000, residentBytesMax: 100 });
  await clock.advance(1500); // told to end at 1000, and looked at many times since
  expect(child.sent).toEqual([{ type: 'cancel' }]);
  expect(watch.reason).toMatchObject({ code: 'limit_exceeded' });
  watch.end();
  await clock.advance(10_000);
  expect(child.kills).toBe(0);
});

test('a child that does not obey is killed after the grace', async () => {
  const clock = manualClock();
  const child = pretendedChild();
  const controller = new AbortController();
  const watch = watchStatement(child, 60_000, controller.signal, { clock, graceMs: 2000, residentBytesMax: 100 });
  controller.abort();
  expect(watch.reason).toMatchObject({ code: 'cancelled' });
  await clock.advance(1999);
  expect(child.kills).toBe(0);
  await clock.advance(2);
  expect(child.kills).toBe(1);
  watch.end();
});

test('a child that grows is killed at once, and not after the statement is over', async () => {
  const clock = manualClock();
  const child = pretendedChild();
  const watch = watchStatement(child, 60_000, never, { clock, graceMs: 2000, residentBytesMax: 100 });
  await clock.advance(1000);
  expect(child.kills).toBe(0);
  child.resident = 101;
  await clock.advance(150);
  expect([child.kills, watch.reason?.code]).toEqual([1, 'limit_exceeded']);
  watch.end();
  await clock.advance(1000);
  expect(child.kills).toBe(1);
});
