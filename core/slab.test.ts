import { createSlab } from './slab.ts';

test('pieces have the length that was asked for, share blocks and never bytes', () => {
  const slab = createSlab(64);
  const pieces = Array.from({ length: 40 }, (_, index) => slab(index % 13).fill(index));
  pieces.forEach((piece, index) => expect([...piece]).toEqual(Array.from({ length: index % 13 }, () => index)));
  const blocks = new Set(pieces.filter(({ length }) => length > 0).map(({ buffer }) => buffer));
  expect(blocks.size).toBeGreaterThan(1);
  expect(blocks.size).toBeLessThan(12);
});

test('what would fill most of a block has memory of its own, and the block goes on', () => {
  const slab = createSlab(64);
  const small = slab(4).fill(1);
  const large = slab(1_000).fill(2);
  const next = slab(4).fill(3);
  expect(large).toHaveLength(1_000);
  expect(large.buffer).not.toBe(small.buffer);
  expect(next.buffer).toBe(small.buffer);
  expect([...small]).toEqual([1, 1, 1, 1]);
});
