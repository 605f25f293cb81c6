import { jest } from '@jest/globals';
import type { Excused } from './model.ts';
import { runOracle } from './run.ts';

// On a quiet machine two minutes; each deed is done at least once, however crowded it is.
jest.setTimeout(1_200_000);

test('peers g1 6, peers g2 1, peers g2 3: whatever fails, every post of both networks is in the table once, or in a gap on record', async () => {
  const { wrong, history, ...report } = await runOracle({ seed: 11, seconds: 60, apart: true });
  if (wrong.length > 0) throw new Error(`${wrong.slice(0, 20).join('\n')}\n${history.join('\n')}`);
  expect(report.found).toBeGreaterThan(300);
  expect(report.posts).toBeGreaterThan(1000);
  expect(report.hidden).toBeGreaterThan(0);
  // An excuse is a gap that the journal names, of this network and event (or of all), and most posts need none.
  const isOnRecord = ({ source, event, atMs }: Excused): boolean => report.gaps.some((gap) => gap.source === source
    && [null, event].includes(gap.event) && atMs > gap.sinceMs - 1500 && atMs < gap.untilMs + 1500);
  expect(report.excused.filter((post) => !isOnRecord(post))).toEqual([]);
  expect(report.excused.filter(({ source }) => source === 'bluesky')).toEqual([]); // it replays everything
  expect(report.excused.length).toBeLessThan(report.found / 5);
});
