import { barsLayout } from './src/bars.ts';

const hour = 3_600_000;
const begin = Date.parse('2013-06-20T00:00:00Z');

test('bars stand on each other, over their own step, and nothing is drawn outside', () => {
  const layout = barsLayout([
    { label: 'a', points: [[begin, 4], [begin + 2 * hour, 6]] },
    { label: 'b', points: [[begin + 2 * hour, 2]] },
  ], hour, [], 364, 140);
  // 300 pixels for three hours, 100 for 8 posts: an hour is 100 wide, a post 12.5 high.
  expect([layout.left, layout.right, layout.top, layout.bottom]).toEqual([52, 352, 12, 112]);
  expect(layout.outlines).toEqual([
    { label: 'a', d: 'M52 112h88V62h-88zM252 112h88V37h-88z' },
    { label: 'b', d: 'M252 37h88V12h-88z' },
  ]);
  expect(layout.values.map(({ y, text }) => [y, text])).toEqual([[112, '0'], [87, '2'], [62, '4'], [37, '6'], [12, '8']]);
});

test('a place is a time, kept within what is drawn', () => {
  const layout = barsLayout([{ label: 'a', points: [[begin, 1], [begin + 2 * hour, 1]] }], hour, [], 364, 140);
  expect(layout.timeAt(52)).toBe(begin);
  expect(layout.timeAt(202)).toBe(begin + 1.5 * hour);
  expect(layout.timeAt(-1000)).toBe(begin);
  expect(layout.timeAt(1000)).toBe(begin + 3 * hour);
  expect(layout.stepAt(202)).toBe(begin + hour);
  expect(layout.stepAt(1000)).toBe(begin + 2 * hour);
});

test('gaps are cut to what is drawn, and those outside are left out', () => {
  const { gaps } = barsLayout([{ label: 'a', points: [[begin, 1], [begin + 2 * hour, 1]] }], hour,
    [[-1, 1], [5, 6], [2, 2.01]].map(([from = 0, to = 0]) => ({ from: begin + from * hour, to: begin + to * hour })), 364, 140);
  expect(gaps).toEqual([{ x: 52, width: 100 }, { x: 252, width: 1 }]);
});

test.each([[hour, 1], [60_000, 1], [24 * hour, 3650], [hour, 48], [7 * 24 * hour, 600]])('steps of %d ms, %d of them: labels neither crowd nor lack', (step, steps) => {
  const { times, values } = barsLayout([{ label: 'a', points: Array.from({ length: steps }, (_, index) => [begin + index * step, index + 1] as const) }], step, [], 1000, 256);
  expect(times.length).toBeGreaterThan(0);
  expect(times.length).toBeLessThan(13);
  const spaces = times.slice(1).map(({ x }, index) => x - (times[index]?.x ?? 0));
  for (const space of spaces) expect(space).toBeGreaterThan(60);
  expect(values.length).toBeGreaterThan(1);
  expect(values.length).toBeLessThan(8);
});

test('nothing is drawn of nothing', () => {
  expect(barsLayout([], hour, [{ from: 0, to: 1 }], 300, 100)).toMatchObject({ outlines: [], times: [], gaps: [] });
  expect(barsLayout([{ label: 'a', points: [[begin, 1]] }], hour, [], 0, 0).outlines).toHaveLength(1);
});
