import { createLru } from './lru.ts';

test('what was used last is kept, within the weight', () => {
  const lru = createLru<string>(10);
  lru.set('a', 'A', 4);
  lru.set('b', 'B', 4);
  expect(lru.get('a')).toBe('A');
  lru.set('c', 'C', 4);
  expect([lru.get('a'), lru.get('b'), lru.get('c')]).toEqual(['A', undefined, 'C']);
});

test('setting again replaces the weight, and what is too heavy alone is kept alone', () => {
  const lru = createLru<string>(10);
  for (let turn = 0; turn < 5; turn += 1) lru.set('a', `A${turn}`, 8);
  lru.set('b', 'B', 2);
  expect([lru.get('a'), lru.get('b')]).toEqual(['A4', 'B']);
  lru.set('huge', 'H', 50);
  expect([lru.get('a'), lru.get('b'), lru.get('huge')]).toEqual([undefined, undefined, 'H']);
});
