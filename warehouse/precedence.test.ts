import { systemClock } from '#core/clock.ts';
import type { Batch } from './gather.ts';
import { inPrecedence } from './precedence.ts';

const batch = (bytes: number): Batch => ({ ranges: [], records: 1, bytes });
const fullBytes = 1_000;
const running = new AbortController().signal;

/** Two paces, and what was begun in which order. */
function paces(): { order: string[]; first: (bytes: number, work?: Promise<void>) => Promise<void>; second: (signal?: AbortSignal) => Promise<void> } {
  const { first, second } = inPrecedence(systemClock, fullBytes);
  const order: string[] = [];
  return {
    order,
    first: (bytes, work) => first(batch(bytes), running, async () => {
      order.push('first');
      await work;
    }),
    second: (signal = running) => second(batch(1), signal, async () => void order.push('second')),
  };
}

test('the second waits while batches of the first are full, and follows when one is not', async () => {
  const { order, first, second } = paces();
  const held = Promise.withResolvers<void>();
  const busy = first(fullBytes, held.promise);
  const waiting = second();
  held.resolve();
  await busy;
  await first(fullBytes);
  expect(order).toEqual(['first', 'first']);
  await first(fullBytes - 1);
  await waiting;
  expect(order).toEqual(['first', 'first', 'first', 'second']);
});

test('the second does not wait where the first has no backlog, nor for one that has ended with a full batch', async () => {
  const { order, first, second } = paces();
  const held = Promise.withResolvers<void>();
  const busy = first(1, held.promise);
  await second();
  held.resolve();
  await busy;
  await first(fullBytes);
  await second();
  expect(order).toEqual(['first', 'second', 'first', 'second']);
});

test('an end while the second waits ends its waiting, and a first that fails does not hold it', async () => {
  const { order, first, second } = paces();
  const stop = new AbortController();
  const held = Promise.withResolvers<void>();
  const busy = first(fullBytes, held.promise);
  const waiting = second(stop.signal);
  stop.abort();
  await waiting;
  held.reject(new Error('the disk is full'));
  await expect(busy).rejects.toThrow('the disk is full');
  await second();
  expect(order).toEqual(['first', 'second', 'second']);
});
