import { jest } from '@jest/globals';
import { runOracle } from './run.ts';

jest.setTimeout(900_000);

// About a minute of faults each, and starting, settling and what is on its way on top. `npm run soak` does the same for longer.
test.each([
  { seed: 11, apart: false },
  { seed: 12, apart: true },
])('every post of both networks is in the table once, or in a gap on record; what is deleted is hidden: $seed, programs apart: $apart', async (options) => {
  const { wrong, history, ...report } = await runOracle({ seconds: 45, ...options });
  if (wrong.length > 0) throw new Error(`${wrong.slice(0, 20).join('\n')}\n${history.join('\n')}`);
  expect(report.found).toBeGreaterThan(300);
  expect(report.posts).toBeGreaterThan(1000);
  expect(report.revived).toBe(0);
});
